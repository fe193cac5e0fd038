// Owns what follows on a guard's evidence: a nudge, a fresh start from a good state, several tries picked by the checks, the end. Pure.
import type { EventOf, JobEventBody } from '@hearth/protocol'
import { type Evidence, type GuardName, sinceFresh } from './guards.ts'

export type Rung = { action: EventOf<'guard'>['action'] }

export type Chances = {
  /** The state of a step can be put back, and a check can tell a good candidate from a bad one. */
  canSample: boolean
  /** Nothing else waits for the model. */
  idle: boolean
  stepsLeft: number
  /** Somebody outside may be asked before it is over. Absent = nobody. */
  canEscalate?: boolean
}

/** Candidates of one job. Three is where published gains of repeated sampling flatten for their price in time. */
export const candidates = 3
/** A fresh start needs steps to be worth it. */
const stepsForAnew = 4
/** What was bought must be used. */
const stepsForHelp = 2
/** One try may take so many turns before the next one begins. */
export const candidateTurns = 12

/**
 * The rung for this evidence. A guard nudges once in a history; then the history begins anew, once in a job; then, where checks can tell and
 * nothing else waits, some candidates are tried; then somebody outside is asked, where that may be; then it is over.
 */
export function rungFor(events: readonly JobEventBody[], { guard, nudge }: Evidence, chances: Chances): Rung {
  const tried = samplesOf(events)
  const anew = chances.stepsLeft >= stepsForAnew
  const last: Rung = { action: chances.canEscalate === true && chances.stepsLeft >= stepsForHelp ? 'escalate' : 'stop' }
  if (tried > 0) return tried < candidates && anew ? { action: 'sample' } : last
  const nudged = sinceFresh(events).some((event) => event.type === 'guard' && event.guard === guard && event.action === 'nudge')
  if (!nudged && nudge !== '') return { action: 'nudge' }
  if (!anew) return last
  if (!events.some((event) => event.type === 'guard' && event.action === 'replan')) return { action: 'replan' }
  return chances.canSample && chances.idle ? { action: 'sample' } : last
}

/** Candidates that were begun. */
export function samplesOf(events: readonly JobEventBody[]): number {
  return events.filter((event) => event.type === 'guard' && event.action === 'sample').length
}

/** A candidate that goes on and on makes room for the next one. */
export function longCandidate(events: readonly JobEventBody[]): Evidence | null {
  if (samplesOf(events) === 0) return null
  const turns = sinceFresh(events).filter((event) => event.type === 'turn').length
  return turns < candidateTurns ? null : { guard: 'candidate', evidence: `a try took ${turns} turns`, nudge: '' }
}

/** A rung that was decided and not yet done: a crash came in between. A nudge is stored together with its reason. */
export function unfinishedRung(events: readonly JobEventBody[]): { action: Exclude<Rung['action'], 'nudge'>; guard: GuardName; evidence: string } | null {
  const last = events.findLast((event) => event.type === 'guard' || event.type === 'rewritten' || event.type === 'turn' || event.type === 'said' || event.type === 'handed_back')
  if (last?.type !== 'guard' || last.action === 'nudge') return null
  return { action: last.action, guard: last.guard as GuardName, evidence: last.evidence }
}
