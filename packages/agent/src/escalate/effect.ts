// Owns what became of a job in the three local turns after an escalation: cleared, same or worse, with the evidence. Pure.
import type { EventOf, JobEventBody } from '@hearth/protocol'
import { failingTests, fingerprint, paceOf, statesKept } from '../guards.ts'
import { hasFailed, isRun, type WorkRun } from './runs.ts'
import { turnsSince } from './state.ts'

/** Local turns after which the effect is told. */
const effectTurns = 3

/** The effect that is due: three local turns after a hand-back, or at the job's end (`over`). Null = none is. */
export function effectDue(events: readonly JobEventBody[], over: boolean): EventOf<'effect'> | null {
  const at = events.findLastIndex((event) => event.type === 'handed_back' && (event.mode === 'advise' || event.mode === 'step' || event.mode === 'rest'))
  const back = events[at]
  if (back?.type !== 'handed_back' || events.slice(at).some((event) => event.type === 'effect')) return null
  if (!over && turnsSince(events, at) < effectTurns) return null
  const offeredAt = events.findIndex((event) => event.type === 'escalation_offered' && event.id === back.id)
  const offered = events[offeredAt]
  const exploring = offered?.type === 'escalation_offered' && offered.signals.some(({ name }) => name === 'no_progress' || name === 'standing_still')
  const step = events.findLast((event) => event.type === 'step')?.step ?? back.step
  return { type: 'effect', step, id: back.id, ...compared(events.slice(0, offeredAt), events.slice(offeredAt), { events: events.slice(at + 1), kept: statesKept(events), exploring }) }
}

type Found = Pick<EventOf<'effect'>, 'effect' | 'evidence'>

/** What the local model did with it. `exploring`: looking without end was the trouble, so one more look is no progress. */
type Local = { events: readonly JobEventBody[]; kept: boolean; exploring: boolean }

/** `since`: from the offer on, so that what a step that was taken over did counts. */
function compared(before: readonly JobEventBody[], since: readonly JobEventBody[], local: Local): Found {
  const [old, now] = [before.findLast(isRun), since.findLast(isRun)]
  if (now?.type === 'check' && now.passed) return { effect: 'cleared', evidence: 'the check passes' }
  if (now !== undefined && old !== undefined) {
    const [hadFailed, fails] = [hasFailed(old), hasFailed(now)]
    if (!fails) return hadFailed ? { effect: 'cleared', evidence: 'what failed before passes now' } : moved(local, 'nothing fails')
    if (!hadFailed) return { effect: 'worse', evidence: 'nothing failed before, and now something does' }
    const [a, b] = [failingTests(old), failingTests(now)]
    if (a !== null && b !== null && a !== b) return { effect: b < a ? 'cleared' : 'worse', evidence: `${a} failing before, ${b} now` }
    return print(old) === print(now) ? { effect: 'same', evidence: 'the same failure as before' } : { effect: 'cleared', evidence: 'that failure is gone; another one is there' }
  }
  if (now !== undefined) return hasFailed(now) ? { effect: 'same', evidence: 'what was run since fails' } : { effect: 'cleared', evidence: 'what was run since passes' }
  return moved(local, 'nothing was run since')
}

/** Where no failure tells: whether there are calls again, and whether they change or look at anything. */
function moved({ events, kept, exploring }: Local, why: string): Found {
  const calls = events.filter(({ type }) => type === 'tool_planned').length
  const rejected = events.filter(({ type }) => type === 'call_rejected').length
  if (calls === 0) return { effect: 'same', evidence: rejected === 0 ? `${why}, and no tool was called` : `${rejected} answers since were no call` }
  const { turns, idle, reading } = paceOf(events, kept)
  if (reading < turns || reading === 0) return { effect: 'cleared', evidence: `${why}; a file was changed since` }
  if (exploring) return { effect: 'same', evidence: `${why}, and still no file was changed` }
  return idle <= (turns < effectTurns ? 0 : 1) ? { effect: 'cleared', evidence: `${why}; it does something new` } : { effect: 'same', evidence: `${why}, and nothing new was done` }
}

/** The same words mean the same failure, whichever of the two ran it. */
function print(event: WorkRun): string | null {
  return fingerprint(event.type === 'check' ? { ...event, when: 'after_edit' } : event)
}
