// Owns what a job's events say of its escalations: which one is open, what may be asked next, whether anything may be asked at all. Pure: a resumed job decides the same.
import { JobEventBody, type Denial, type EscalationMode, type EventOf, type Signal } from '@hearth/protocol'

type Events = readonly JobEventBody[]

/** Own questions of the model in one job: self-assessment is unreliable. */
export const questionsAtMost = 2
/** Local turns between a hand-back and the next offer: what was bought must be used first. */
const coolingTurns = 2
/** So many escalations that changed nothing, and this job buys nothing more. */
const uselessAtMost = 2
const reviewsAtMost = 2

/** What helps a model that is stuck, cheapest first. Plan and review have their own places. */
const helping: readonly EscalationMode[] = ['advise', 'step', 'rest']

export function nextId(events: Events): string {
  return `e${new Set(events.flatMap((event) => (event.type === 'escalation_offered' || event.type === 'escalation_denied' ? [event.id] : []))).size + 1}`
}

/** The offer that was neither denied nor brought to its end, with where it stands. */
export function openOffer(events: Events): { offered: EventOf<'escalation_offered'>; since: Events } | null {
  const at = events.findLastIndex((event) => event.type === 'escalation_offered' || event.type === 'escalation_denied' || event.type === 'handed_back')
  const offered = events[at]
  return offered?.type === 'escalation_offered' ? { offered, since: events.slice(at + 1) } : null
}

/** The expert's own course, as it was stored. */
export function remoteEvents(events: Events, id: string): JobEventBody[] {
  return events.flatMap((event) => {
    if (event.type !== 'remote' || event.id !== id) return []
    const parsed = JobEventBody.safeParse(event.event)
    return parsed.success ? [parsed.data] : []
  })
}

/** The last turn and what came after it. */
export function sinceTurn(events: Events): Events {
  return events.slice(events.findLastIndex(({ type }) => type === 'turn'))
}

export function turnsSince(events: Events, at: number): number {
  return events.slice(at + 1).filter(({ type }) => type === 'turn').length
}

/** The model has not yet had the turns to use what it was told last. */
export function isCooling(events: Events): boolean {
  const at = events.findLastIndex((event) => event.type === 'handed_back' && event.mode !== 'review')
  return at >= 0 && turnsSince(events, at) < coolingTurns
}

export function boughtInVain(events: Events): boolean {
  return events.filter((event) => event.type === 'effect' && event.effect !== 'cleared').length >= uselessAtMost
}

/** A denial holds until the job is taken up again. */
function standingDenial(events: Events): Denial | null {
  const last = events.findLast((event) => event.type === 'escalation_denied' || event.type === 'started' || event.type === 'resumed')
  return last?.type === 'escalation_denied' ? last.denial : null
}

/** Help that the job needed and was denied, since it was taken up or helped last; null = none was. */
export function deniedNeed(events: Events): EventOf<'escalation_denied'> | null {
  const since = events.slice(1 + events.findLastIndex((event) => event.type === 'started' || event.type === 'resumed' || event.type === 'handed_back'))
  const last = since.findLast((event) => event.type === 'escalation_denied' && event.signals.some(({ kind }) => kind === 'hard' || kind === 'soft'))
  return last?.type === 'escalation_denied' ? last : null
}

/** The job has waited for money since its last turn: it may ask again before it is over. */
export function hasWaited(events: Events): boolean {
  return sinceTurn(events).some((event) => event.type === 'suspended' && event.lacks === 'money')
}

/** Why nothing may be asked now, as a sentence's end; null = it may. */
export function notNow(events: Events): string | null {
  if (boughtInVain(events)) return 'help from outside changed nothing twice'
  if (isCooling(events)) return 'use what you were told last first'
  const denial = standingDenial(events)
  return denial === null ? null : `no help can be had from outside: ${denial.why}`
}

/** Why the model's own question is not asked; null = it is. */
export function questionRefusal(events: Events): string | null {
  const asked = events.filter((event) => event.type === 'tool_result' && event.name === 'ask_expert' && event.ok).length
  return asked >= questionsAtMost ? 'you asked twice already' : notNow(events)
}

/** What helps, in the order in which it is tried: what had no effect in this job comes last. After an overflow the local model cannot use advice. */
export function modesToTry(events: Events, configured: readonly EscalationMode[], signals: readonly Signal[]): EscalationMode[] {
  const useful = configured.filter((mode) => helping.includes(mode) && !(mode === 'advise' && signals.some(({ name }) => name === 'overflow')))
  const vain = new Set(events.flatMap((event) => (event.type === 'effect' && event.effect !== 'cleared' ? [modeOf(events, event.id)] : [])))
  return [...useful.filter((mode) => !vain.has(mode)), ...useful.filter((mode) => vain.has(mode))]
}

function modeOf(events: Events, id: string): EscalationMode | null {
  const event = events.find((one) => one.type === 'handed_back' && one.id === id)
  return event?.type === 'handed_back' ? event.mode : null
}

export function reviewsLeft(events: Events): boolean {
  return events.filter((event) => event.type === 'handed_back' && event.mode === 'review').length < reviewsAtMost
}

/** An expert ended the job's own work: it took over the rest, or it says that going on is useless. */
export function lastWord(events: Events): EventOf<'handed_back'> | null {
  const last = events.findLast((event) => event.type === 'handed_back' || event.type === 'turn')
  return last?.type === 'handed_back' && (last.mode === 'rest' || last.how === 'stop') ? last : null
}

/** A guard asked for help as its last resort and it was denied: what the job was denied, and whether it has waited since and may ask again. */
export function lastResortDenied(events: Events): { guard: EventOf<'guard'>; denied: EventOf<'escalation_denied'>; waited: boolean } | null {
  const at = events.findLastIndex((event) => event.type === 'guard' || event.type === 'turn' || event.type === 'handed_back' || event.type === 'said')
  const guard = events[at]
  if (guard?.type !== 'guard' || guard.action !== 'escalate') return null
  const after = events.slice(at + 1)
  const denied = after.findLastIndex((event) => event.type === 'escalation_denied' || event.type === 'escalation_offered')
  const event = after[denied]
  if (event?.type !== 'escalation_denied') return null
  return { guard, denied: event, waited: after.slice(denied).some((one) => one.type === 'suspended' && one.lacks === 'money') }
}
