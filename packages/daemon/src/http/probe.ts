// Owns the route of a probe: one model is asked a fixed set of questions; each call is billed, and the profile is written only when asked.
import { FaultError, ProbeRequest, type Model, type ProbeEvent } from '@hearth/protocol'
import { metered } from '../meter/meter.ts'
import type { Api, Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

export const probeRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/models/:id/probe', scope: 'admin',
    about: 'ProbeRequest -> lines of ProbeEvent; asks the model (or endpoint) about 50 questions and fills its window; leaving the stream stops it',
    async handle(c, api) {
      const id = c.req.param('id') ?? ''
      const request = parse(ProbeRequest, await bodyOf(c), 'the request')
      const found = await api.parts.model(id)
      if (!found.ok) throw new FaultError(found.fault)
      const model = metered(found.model, { principal: c.get('principal'), jobId: null, step: () => null, energy: api.energy }, (entry) => api.store.ledger(entry))
      return ndjson((left) => pages(probed(api, id, model, request, left)))
    },
  },
]

async function* probed(api: Api, id: string, model: Model, request: ProbeRequest, left: AbortSignal): AsyncGenerator<ProbeEvent> {
  const probe = await api.parts.prober()
  for await (const event of probe(model, { seconds: request.seconds }, left)) {
    if (event.type !== 'done' || !request.write || event.result.agrees) {
      yield event
      continue
    }
    const kept = await (await api.parts.shelf()).keepProfile(id, event.result.recommended.profile)
    yield kept.ok ? { ...event, written: kept.path } : { type: 'failed', fault: kept.fault }
  }
}

async function* pages<T>(values: AsyncIterable<T>): AsyncGenerator<readonly T[]> {
  for await (const value of values) yield [value]
}
