// Owns which limits hold for a call: gathers them from the configuration, the key, the project and the job, each time anew. Decides nothing itself.
import { priceAt, type Budget, type Config, type Model, type ModelRequest, type Principal, type ProviderConfig, type RemoteModelConfig } from '@hearth/protocol'
import { boughtJobs, jobMoney, spentOf } from '../store/money-rows.ts'
import type { Store } from '../store/store.ts'
import { promptTokensAtMost } from './amounts.ts'
import type { Ask, Limit } from './ask.ts'
import type { Account } from './billed.ts'
import { reserve, type Decision } from './budget.ts'
import { withOwed } from './owed.ts'
import { paid, type Till } from './paid.ts'
import { worthWords, type Worth } from './worth.ts'

export type PurseOptions = { store: Store; config: Config['escalation']; now?: () => number }

/** What is bought: from whom, for which escalation of the job (or chat), in which project. */
export type Purchase = {
  /** Unique within the job; of a chat, unique at all. */
  escalation: string
  provider: ProviderConfig
  model: RemoteModelConfig
  project: { id: string; budget: Budget } | null
  /** The most that a person approved for it; absent = nobody had to. */
  approvedUsdMicros?: number
  /** Tokens at most of what goes along with a request and does not stand in it: sealed thoughts of earlier turns. Absent = nothing does. */
  alongTokens?: (request: Pick<ModelRequest, 'messages' | 'tools'>) => number
}

/** What of a request bounds its price. */
type Questioned = Pick<ModelRequest, 'messages' | 'tools' | 'responseFormat' | 'maxTokens' | 'purpose'>

export class Purse {
  readonly #o: PurseOptions
  readonly #now: () => number
  readonly #till: Till

  constructor(options: PurseOptions) {
    this.#o = options
    this.#till = withOwed(options.store)
    this.#now = options.now ?? Date.now
  }

  /** The model whose every call is reserved first and settled after; see `paid`. */
  paid(inner: Model, account: Account, purchase: Purchase): Model {
    return paid(inner, account, this.#askFor(account, purchase), this.#till, this.#now)
  }

  /** What a call would be granted now: its worst price, or why not. Holds nothing; another may have the money first. */
  quote(account: Account, purchase: Purchase, request: Questioned): Decision {
    const ask = this.#askFor(account, purchase)(request, this.#now())
    return reserve(spentOf(this.#o.store.read.query, ask), ask)
  }

  #askFor(account: Account, { escalation, provider, model, project, approvedUsdMicros, alongTokens }: Purchase): (request: Questioned, now: number) => Ask {
    const { config, store } = this.#o
    const { principal, jobId } = account
    return (request, now) => ({
      now, principal: principal.id, origin: principal.origin, jobId, step: account.step(), project: project?.id ?? null, escalation, purpose: request.purpose, model: model.id, place: 'remote',
      provider: { id: provider.id, tokensPerMinute: provider.tokensPerMinute, reservedTokensPerMinute: provider.reservedTokensPerMinute },
      worst: { promptTokens: promptTokensAtMost(request) + (alongTokens?.(request) ?? 0), completionTokens: Math.min(request.maxTokens, model.maxOutputTokens) },
      price: priceAt(model.prices, now), limits: limitsOf(store, config, principal, project, jobId), worth: jobId === null ? null : worthOf(store, config, jobId, now),
      earmarks: config.reserved, packages: config.packages, ...(approvedUsdMicros === undefined ? {} : { approvedUsdMicros }),
    })
  }

  /** What bounds the money of a job that said what it is worth, as a sentence; null = it did not. */
  worthWords(jobId: string): string | null {
    const worth = worthOf(this.#o.store, this.#o.config, jobId, this.#now())
    return worth === null ? null : worthWords(worth)
  }
}

/** What a job is worth and what is known of jobs like it; null = nobody said what it is worth. */
export function worthOf(store: Store, { assumedChance }: Config['escalation'], jobId: string, now: number): Worth | null {
  const { worthUsdMicros: usdMicros, kind } = jobMoney(store.read.query, jobId)
  return usdMicros === null ? null : { usdMicros, kind, ...boughtJobs(store.read.query, kind, now), assumed: assumedChance }
}

/** Every limit there is for this principal, project and job; all of them hold. */
export function limitsOf(store: Store, config: Config['escalation'], principal: Pick<Principal, 'id'>, project: Purchase['project'], jobId: string | null): Limit[] {
  const key = principal.id.startsWith('key:') ? store.read.key(principal.id.slice('key:'.length))?.key.budget ?? null : null
  const own = jobId === null ? null : jobMoney(store.read.query, jobId).budgetUsdMicros
  return [
    { scope: 'box', id: 'box', budget: config.budget },
    ...(project === null ? [] : [{ scope: 'project' as const, id: project.id, budget: project.budget }]),
    ...(key === null ? [] : [{ scope: 'principal' as const, id: principal.id, budget: key }]),
    ...(jobId === null || own === null ? [] : [{ scope: 'job' as const, id: jobId, budget: { ...noLimits, jobUsdMicros: own } }]),
  ]
}

const noLimits: Budget = { escalationUsdMicros: null, jobUsdMicros: null, dayUsdMicros: null, monthUsdMicros: null, jobCount: null, dayCount: null }
