// Owns the signals that a job needs help, scored each turn from its events: hard, soft, declared, logged. They decide nothing but whether they act. Pure.
import type { EventOf, JobEventBody, Signal } from '@hearth/protocol'
import { notDone } from '../checks.ts'
import { reviewRefusal } from './words.ts'
import { failingTests, paceOf, sinceFresh, statesKept } from '../guards.ts'
import { blockerOf } from './blockers.ts'
import { sinceTurn } from './state.ts'

/** "Done" that evidence contradicted so often in one try. Once is told to the model, which is the local remedy. */
const contradictedTwice = 2
const stillTurns = 8
const flatEdits = 3
const slowTimes = 2

export type SignalFacts = { /** What jobs of this class usually take; null = not known. */ medianSeconds: number | null }

/** What says now that this job needs help. Guards are not among them: they come from the ladder, when its local rungs are used up (ladder.ts). */
export function signalsNow(all: readonly JobEventBody[], { medianSeconds }: SignalFacts): Signal[] {
  const question = askedNow(all)
  // Nobody can be bought to mend what lies outside of the job.
  const found = [...(blockerOf(all) === null ? [...falseDone(all), ...soft(all, medianSeconds)] : []), ...logged(all)]
  return question === null ? found : [...found, { kind: 'declared', name: 'ask_expert', evidence: oneLine(question.question) }]
}

/** Hard and declared ones act alone, soft ones in pairs. */
export function areActing(signals: readonly Signal[]): boolean {
  return signals.some(({ kind }) => kind === 'hard' || kind === 'declared') || signals.filter(({ kind }) => kind === 'soft').length >= 2
}

/** The model's question in its last turn, when it was taken. */
export function askedNow(all: readonly JobEventBody[]): { question: string; tried: string; files: string[] } | null {
  const since = sinceTurn(all)
  const taken = since.findLast((event) => event.type === 'tool_result' && event.name === 'ask_expert' && event.ok)
  const planned = since.find((event) => event.type === 'tool_planned' && taken?.type === 'tool_result' && event.call.id === taken.callId)
  if (planned?.type !== 'tool_planned') return null
  const { question, tried, files } = planned.call.arguments
  return { question: String(question ?? ''), tried: String(tried ?? ''), files: Array.isArray(files) ? files.map(String) : [] }
}

/** A check that failed at "done", or a last command that failed, and the model said "done" again. */
function falseDone(all: readonly JobEventBody[]): Signal[] {
  const fresh = sinceFresh(all)
  const last = all.findLastIndex(({ type }) => type === 'turn')
  const refusals = fresh.flatMap((event) => refusalText(event) ?? [])
  const now = all.slice(last + 1).flatMap((event) => refusalText(event) ?? []).at(-1)
  if (now === undefined || refusals.length < contradictedTwice) return []
  const byCheck = now.startsWith(`${notDone} the check failed`)
  return [{
    kind: 'hard', name: byCheck ? 'check_failed' : 'done_contradicted',
    evidence: byCheck ? `the check failed at "done" ${refusals.length} times` : `"done" ${refusals.length} times although ${now.slice(notDone.length).split('.')[0]?.trim() ?? ''}`,
  }]
}

function refusalText(event: JobEventBody): string | null {
  const text = event.type === 'tool_result' && event.name === 'finish' && !event.ok ? event.observation : event.type === 'nudge' && event.text.startsWith(notDone) ? event.text : null
  // What a reviewer wants otherwise contradicts nothing.
  return text?.startsWith(reviewRefusal) === true ? null : text
}

function soft(all: readonly JobEventBody[], medianSeconds: number | null): Signal[] {
  const fresh = sinceFresh(all)
  const signals: Signal[] = []
  const say = (name: string, evidence: string): void => void signals.push({ kind: 'soft', name, evidence })
  const { still } = paceOf(fresh, statesKept(all))
  if (still >= stillTurns) say('standing_still', `${still} turns without a change to a file or a check that changed`)
  const flat = flatTests(fresh)
  if (flat !== null) say('failing_tests_flat', `${flat.before} failing before the last ${flat.edits} edits, ${flat.now} now`)
  const seconds = workedSeconds(all)
  if (medianSeconds !== null && seconds > slowTimes * medianSeconds) say('slow', `${Math.round(seconds)} s, and such jobs usually take ${Math.round(medianSeconds)} s`)
  const effect = all.findLast((event) => event.type === 'effect')
  if (effect?.type === 'effect' && effect.effect !== 'cleared') say('advice_without_effect', `${effect.id}: ${effect.effect}`)
  return signals
}

/** Tallies of test runs with the edits before each: the newest against the newest that is at least three edits older. */
function flatTests(events: readonly JobEventBody[]): { before: number; now: number; edits: number } | null {
  let edits = 0
  const tallies: { edits: number; failing: number }[] = []
  for (const event of events) {
    if (event.type === 'tool_result' && event.ok && (event.name === 'write' || event.name === 'edit')) edits += 1
    const failing = failingTests(event)
    if (failing !== null) tallies.push({ edits, failing })
  }
  const now = tallies.at(-1)
  const at = tallies.findLastIndex((tally) => now !== undefined && tally.edits <= now.edits - flatEdits)
  const before = tallies[at]
  if (now === undefined || before === undefined || now.failing === 0) return null
  return tallies.slice(at + 1).every(({ failing }) => failing >= before.failing) ? { before: before.failing, now: now.failing, edits: now.edits - before.edits } : null
}

/** Written down until what the box has seen says whether it tells anything: there whenever it was asked for, under no threshold that nobody measured. */
function logged(all: readonly JobEventBody[]): Signal[] {
  const turn = all.findLast((event) => event.type === 'turn')
  if (turn?.type !== 'turn' || turn.likelihood === undefined) return []
  const { names, values } = turn.likelihood
  const percent = (thousandths: number): string => `${thousandths / 10} %`
  const said = values === null ? '' : `; values of arguments: ${percent(values.lowest)}, and a tenth of ${values.tokens} at most ${percent(values.tenth)}`
  return [{ kind: 'logged', name: 'call_likelihood', evidence: `name of the tool: ${percent(names.lowest)} at its least likely token${said}` }]
}

/** Time that the job worked: its model, tools and checks. What it waited for people or for its turn does not count, and no clock is asked. */
export function workedSeconds(events: readonly JobEventBody[]): number {
  let ms = 0
  for (const event of events) {
    if (event.type === 'turn') ms += event.timings.totalMs - event.timings.queuedMs
    else if (event.type === 'tool_result' || event.type === 'check') ms += event.durationMs
  }
  return ms / 1000
}

/** The signal of a guard whose local remedies are used up. */
export function guardSignal({ guard, evidence }: Pick<EventOf<'guard'>, 'guard' | 'evidence'>): Signal {
  return { kind: 'hard', name: guard, evidence }
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, ' ').trim().slice(0, 200)
}
