// Owns who could answer the questions of one job: those that a route names, found, put into their order, and weighed when their turn comes. Decides no policy, sends nothing
// of the job.
import { providerUrl, type Config, type Consultation, type EndpointConfig, type Job } from '@hearth/protocol'
import type { Parts } from '../parts.ts'
import { helpRecords } from '../store/help-rows.ts'
import type { Store } from '../store/store.ts'
import { ordered, routeFor, spilled, type Choice, type Track } from './routes.ts'
import { forbidden, weigh, type NotAsked, type Weighed } from './stronger.ts'
import { staysIn, type Asked, type Seller } from './terms.ts'

/** `track`: what came of its earlier answers. */
export type Ranked = Choice & { one: Asked; track: Track | undefined }

export type AnswerersOptions = {
  config: Config; parts: Parts; store: Store
  /** Why no machine answers there; null = one does. */
  unreachable(endpoint: EndpointConfig, jobId: string): Promise<string | null>
}

/** What stands around a packet at most: the words of the mode, and the tools where it has some. */
export const frameBytes: Readonly<Record<Consultation['mode'], number>> = { plan: 2048, advise: 2048, review: 2048, step: 16_384, rest: 16_384 }

export class Answerers {
  readonly #job: Job
  readonly #o: AnswerersOptions
  readonly #now: () => number

  constructor(job: Job, options: AnswerersOptions, now: () => number) {
    this.#job = job
    this.#o = options
    this.#now = now
  }

  async find(id: string): Promise<Asked | null> {
    const { config, parts } = this.#o
    for (const provider of config.escalation.providers) {
      const model = provider.models.find((one) => one.id === id)
      if (model !== undefined) return { place: 'remote', id, host: new URL(providerUrl(provider)).host, provider, model }
    }
    const endpoint = config.engine.endpoints.find((one) => one.id === id)
    if (endpoint !== undefined) return { place: 'lan', id, host: new URL(endpoint.url).host, endpoint }
    const found = await parts.model(id)
    return found.ok && found.model.info.place === 'local' ? { place: 'local', id, host: 'this box' } : null
  }

  /** By whom the route of this question names; the first one is asked. `isPaidFor`: throughput that is paid for anyway holds the question now. */
  async ranked({ mode }: Consultation, isPaidFor: (one: Seller) => boolean): Promise<Ranked[]> {
    const { config, store } = this.#o
    const kind = this.#job.request.tags['kind'] ?? this.#job.request.kind ?? 'task'
    const route = routeFor(config.escalation.routes, mode, kind)
    const ids = route?.models ?? config.escalation.providers.flatMap(({ models }) => models.map(({ id }) => id))
    const found: Asked[] = []
    for (const id of ids) {
      const one = id === this.#job.model ? null : await this.find(id)
      if (one !== null) found.push(one)
    }
    const candidates = found.map((one) => ({ id: one.id, place: one.place, ready: this.isReady(one), inHouse: staysIn(one) }))
    const records = helpRecords(store.read.query, mode, kind)
    const choices = ordered(candidates, route?.prefer ?? 'order', records).flatMap((choice) => found.flatMap((one) => (one.id === choice.id ? [{ ...choice, one, track: records.get(one.id) }] : [])))
    return spilled(choices, ({ one }) => one.place === 'remote' && one.provider.tokensPerMinute !== null && !isPaidFor(one))
  }

  /** A model of this box that is in memory. */
  isReady({ place, id }: Asked): boolean {
    return place === 'local' && this.#o.parts.workers().some(({ model, state }) => model === id && state === 'ready')
  }

  /** Whether one that may be asked is worth being asked: one of this box may have to be loaded, one of the network may be off. */
  async weighed(asked: Consultation, { one, track, because }: Ranked, consent: 'ask' | 'auto'): Promise<Weighed> {
    if (one.place === 'local' && !this.isReady(one)) return weigh(this.#o, this.#job, one.id, asked, frameBytes[asked.mode], track, this.#now())
    // Before a person's yes nothing goes there, not even the question whether it is on.
    const why = one.place === 'lan' && consent === 'auto' ? await this.#o.unreachable(one.endpoint, this.#job.id) : null
    return why === null ? { ok: true, swap: null, because } : { ok: false, passed: { model: one.id, why: `${one.host}: ${why}`, remedy: 'Look at that machine; the address is in engine.endpoints.' } }
  }

  /** What forbids by now to load it after all; null = nothing does. */
  async forbids(asked: Consultation, one: Asked): Promise<NotAsked | null> {
    const said = this.isReady(one) ? null : await forbidden(this.#o, this.#job, one.id, asked, frameBytes[asked.mode], this.#now())
    return said === null || said.ok ? null : said.passed
  }
}
