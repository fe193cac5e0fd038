// Owns where the loop meets escalation: at the edge of each step it scores the signals, records the effect of what was bought, and asks for help when they act.
import type { AgentEnd, Expert, Signal } from '@hearth/protocol'
import { type Evidence, sinceFresh } from '../guards.ts'
import { put, type Run } from '../run.ts'
import { isChat } from '../talk.ts'
import { blockerOf } from './blockers.ts'
import { abandon, askFor, goOn } from './consult.ts'
import { effectDue } from './effect.ts'
import { settingsOf } from './gather.ts'
import { areActing, guardSignal, signalsNow } from './signals.ts'
import { boughtInVain, isCooling, modesToTry, notNow, openOffer } from './state.ts'

/** What an edge came to: nothing to do, something was done and the next move is read anew, or an end. */
export type Edge = { type: 'nothing' } | { type: 'moved' } | { type: 'end'; end: AgentEnd }

const nothing: Edge = { type: 'nothing' }

function moved(end: AgentEnd | null): Edge {
  return end === null ? { type: 'moved' } : { type: 'end', end }
}

/** Goes on with an escalation that is open; before the first step, buys the plan where one is wanted. */
export async function resumeOpen(run: Run): Promise<Edge> {
  const { expert } = run.ports
  const { events, step } = run.history
  if (openOffer(events) !== null) return moved(expert == null ? await abandon(run) : await goOn(run, expert))
  const { planFirst, modes } = settingsOf(run)
  if (expert == null || !planFirst || !modes.includes('plan') || step > 0 || isChat(run)) return nothing
  const had = events.some((event) => (event.type === 'handed_back' || event.type === 'escalation_denied') && event.mode === 'plan')
  return had ? nothing : moved(await askFor(run, expert, ['plan'], []))
}

/** Once after each turn: its signals, and help when they act. */
export async function atEdge(run: Run): Promise<Edge> {
  const { expert } = run.ports
  const { events, step, stepOpen } = run.history
  const turn = events.findLastIndex(({ type }) => type === 'turn')
  if (expert == null || turn < 0 || stepOpen) return nothing
  const due = effectDue(events, false)
  if (due !== null) await put(run, due)
  const since = events.slice(turn)
  if (since.some((event) => event.type === 'escalation_offered' || event.type === 'escalation_denied' || event.type === 'handed_back')) return nothing
  const stored = since.find((event) => event.type === 'signals')
  const signals = stored?.type === 'signals' ? stored.signals : edgeSignals(run)
  if (signals.length === 0) return nothing
  // What was bought last is judged before more is bought, or a quick "done" would hide that it changed nothing.
  const unsettled = stored === undefined && areActing(signals) && notNow(events) === null ? effectDue(events, true) : null
  if (unsettled !== null) await put(run, unsettled)
  const modes = modesToTry(events, settingsOf(run).modes, signals)
  const acts = stored?.type === 'signals' ? stored.acts : areActing(signals) && modes.length > 0 && notNow(events) === null
  if (stored === undefined) await put(run, { type: 'signals', step, signals, acts })
  return acts ? moved(await askFor(run, expert, modes, signals.filter(({ kind }) => kind !== 'logged'))) : nothing
}

/** In a chat a person is there to say how to go on: only what the model asks itself counts. Where the request says when, nothing else counts. */
function edgeSignals(run: Run): Signal[] {
  const { askAt } = settingsOf(run)
  if (askAt !== undefined && !isChat(run)) return appointed(run, askAt)
  const signals = signalsNow(run.history.events, { medianSeconds: settingsOf(run).medianSeconds })
  return isChat(run) ? signals.filter(({ kind }) => kind === 'declared') : signals
}

/** The moments that the request names: one that is over and was not used yet. What forbids to ask now only puts it off. */
function appointed({ history: { events, step } }: Run, askAt: readonly number[]): Signal[] {
  const asked = events.filter((event) => event.type === 'signals' && event.acts).length
  const at = askAt.filter((one) => one <= step).toSorted((a, b) => a - b)[asked]
  return at === undefined ? [] : [{ kind: 'declared', name: 'appointed', evidence: `the job was given with a question after step ${at}` }]
}

/** Whether help may be the last resort for what a guard saw; what lies outside of the job, or is only the model's wish to ask again, is no reason. */
export function mayEscalate(run: Run, evidence: Evidence): boolean {
  const { events } = run.history
  return run.ports.expert != null && !isChat(run) && settingsOf(run).askAt === undefined && !boughtInVain(events) && !isCooling(events) && blockerOf(events) === null && !onlyAsks(run)
    && modesToTry(events, settingsOf(run).modes, [guardSignal(evidence)]).length > 0
}

/** What a guard sees while the model uses what it was told last is not new yet. */
export function waitsForUse(run: Run): boolean {
  return run.ports.expert != null && isCooling(run.history.events)
}

function onlyAsks(run: Run): boolean {
  const last = sinceFresh(run.history.events).findLast((event) => event.type === 'tool_result')
  return last?.type === 'tool_result' && last.name === 'ask_expert'
}

/** The last rung: help for what a guard saw. Null = it came to its end, or was denied; the events say which. */
export function lastResort(run: Run, expert: Expert, evidence: Pick<Evidence, 'guard' | 'evidence'>): Promise<AgentEnd | null> {
  const signals = [guardSignal(evidence)]
  return askFor(run, expert, modesToTry(run.history.events, settingsOf(run).modes, signals), signals)
}

/** At the job's end: what became of an escalation that had no three turns. */
export async function settleEffect(run: Run): Promise<void> {
  const due = run.ports.expert == null ? null : effectDue(run.history.events, true)
  if (due !== null) await put(run, due)
}
