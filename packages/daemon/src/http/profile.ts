// Owns the routes of the box profile: measure models, show what is stored. Refuses to measure beside jobs, unless the caller waits for them.
import { setTimeout as delay } from 'node:timers/promises'
import { fault, FaultError, faultFrom, TuneRequest, type TuneEvent } from '@hearth/protocol'
import type { Api, Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

const pollMs = 250

export const profileRoutes: readonly Route[] = [
  { method: 'GET', path: '/api/tune', scope: 'infer', about: 'ProfileReply: what `hearth tune` measured and chose on this box', handle: async (c, api) => c.json(await api.parts.tuning.profiles()) },
  {
    method: 'POST', path: '/api/tune', scope: 'admin', about: 'TuneRequest -> lines of TuneEvent; measures alone, so it is refused while jobs or requests run; leaving the stream stops it',
    async handle(c, api) {
      const request = parse(TuneRequest, await bodyOf(c), 'the request')
      const ids = request.models.length > 0 ? request.models : [await api.parts.defaultModel() ?? api.config.models.default]
      const jobs = jobsOf(api)
      if (jobs > 0 && !request.wait) throw new FaultError(fault('cannot_tune', { why: jobsText(jobs) }))
      return ndjson((left) => pages(measured(api, { ...request, models: [...new Set(ids)] }, left)))
    },
  },
]

async function* measured(api: Api, request: TuneRequest, left: AbortSignal): AsyncGenerator<TuneEvent> {
  try {
    for (let told = 0; jobsOf(api) > 0; await delay(pollMs, null, { signal: left })) {
      if (told !== jobsOf(api)) yield { type: 'waiting', text: jobsText(jobsOf(api)) }
      told = jobsOf(api)
    }
  } catch (error) {
    yield { type: 'failed', fault: left.aborted ? fault('cancelled', { by: 'the one who asked' }) : faultFrom(error) }
    return
  }
  yield* api.parts.tuning.tune(request.models, request, left)
}

function jobsOf({ runner }: Api): number {
  return runner.running + runner.waiting
}

function jobsText(count: number): string {
  return count === 1 ? 'a job runs or waits' : `${count} jobs run or wait`
}

async function* pages<T>(values: AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  for await (const value of values) yield [value]
}
