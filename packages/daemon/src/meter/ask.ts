// Owns the words of a purchase: what is asked for under which limits (Ask), and what was spent before it (Spent). Decides nothing.
import type { Budget, BudgetScope, Earmark, Package, Price, ProviderConfig } from '@hearth/protocol'
import type { Worth } from './worth.ts'

/** Id of the question that is the whole job, whose own model is outside: all of its turns are bought under it. */
export const wholeJob = 'main'

/** A limit and whose it is. `id`: of the project, principal or job. */
export type Limit = { scope: BudgetScope; id: string; budget: Budget }

/** One call that is about to be bought, and all that the owner says about it. */
export type Ask = {
  /** The clock, milliseconds since 1970. */
  now: number
  principal: string
  origin: 'human' | 'automation'
  /** null = a chat; then limits of a job do not apply. */
  jobId: string | null
  step: number | null
  project: string | null
  /** Unique within the job. A step that is taken over is one escalation of several calls. */
  escalation: string
  purpose: string
  model: string
  place: string
  provider: Pick<ProviderConfig, 'id' | 'tokensPerMinute' | 'reservedTokensPerMinute'>
  /** Tokens that it can use at most. */
  worst: { promptTokens: number; completionTokens: number }
  /** null = none is known for today. */
  price: Price | null
  /** Of box, project, principal and job, those there are. Every one holds. */
  limits: readonly Limit[]
  worth: Worth | null
  /** The most that a person approved for this escalation; absent = nobody had to. */
  approvedUsdMicros?: number
  earmarks: readonly Earmark[]
  packages: readonly Package[]
}

/** What was spent before, reservations that are not settled at their worst price. Lists are in the order of the ask's own. */
export type Spent = {
  /** Moment that the reservation is booked at: the clock, or the last booking when the clock is behind it. */
  at: number
  escalationUsdMicros: number
  jobUsdMicros: number
  /** Escalations of the job, and of the day and month in each limit's scope, without the one that asks. */
  jobOthers: number
  limits: readonly { dayUsdMicros: number; monthUsdMicros: number; dayOthers: number; monthOthers: number }[]
  earmarks: readonly { dayUsdMicros: number; monthUsdMicros: number }[]
  /** Tokens or micro-dollars drawn from each package. */
  packages: readonly number[]
  /** Tokens of paid throughput in the last minute, by principal. */
  throughput: ReadonlyMap<string, number>
}
