// Owns the route of evaluations. One at a time: two would measure each other.
import { EvalRequest, EvalResume, fault, FaultError, type EvalEvent } from '@hearth/protocol'
import { evaluate } from '../eval/evaluate.ts'
import { limitsOf } from '../queue/turn.ts'
import type { Api, Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

const playing = new WeakSet<Api>()

export const evalRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/eval', scope: 'admin', about: 'EvalRequest, or `{resume}` with the id of one that was cut off -> lines of EvalEvent: jobs of several arms over a set of tasks, judged and compared; leaving stops it and keeps its rows',
    async handle(c, api) {
      const body = await bodyOf(c)
      const goesOn = typeof body === 'object' && body !== null && 'resume' in body
      const start = goesOn ? parse(EvalResume, body, 'the evaluation') : parse(EvalRequest, body, 'the evaluation')
      if (playing.has(api)) throw new FaultError(fault('conflict', { problem: 'Another evaluation is under way.' }))
      playing.add(api)
      const principal = c.get('principal')
      return ndjson(async function* (left): AsyncGenerator<readonly EvalEvent[]> {
        try {
          const of = { ...api, stateDir: api.paths.state, sandbox: () => api.parts.sandbox(), limits: limitsOf(api.config.sandbox) }
          for await (const event of evaluate(of, start, principal, left)) {
            // Who reads the end may begin the next one.
            if (event.type === 'done' || event.type === 'failed') playing.delete(api)
            yield [event]
          }
        } finally {
          playing.delete(api)
        }
      })
    },
  },
]
