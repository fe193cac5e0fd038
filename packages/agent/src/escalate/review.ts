// Owns the review at "done": where no check of weight decides, an expert may look at the work before the model's word is taken.
import type { AgentEnd, Expert } from '@hearth/protocol'
import { checksOf } from '../checks.ts'
import type { Run } from '../run.ts'
import { askFor, goOn } from './consult.ts'
import { settingsOf } from './gather.ts'
import { openOffer, reviewsLeft, sinceTurn } from './state.ts'
import { verdictIn } from './words.ts'

/** A check that says little: it looks whether something is there, or at nothing at all. */
const weak = /^\s*(?:true|:|exit 0|echo\b[^;&|]*|(?:test|\[)\s+(?:-[a-z]\s+)?\S+\s*\]?|ls\b[^;&|]*|cat\b[^;&|]*)\s*$/

/** What a reviewer wants done again; null = the work stands, or nobody reviews it; an end = it waits for an approval, or the job was stopped. */
export async function reviewed(run: Run, answer: string): Promise<{ redo: string } | { end: AgentEnd } | null> {
  const { expert } = run.ports
  if (expert == null || !settingsOf(run).modes.includes('review') || !checksOf(run.input.request, run.history.events).every((check) => weak.test(check))) return null
  const end = await review(run, expert, answer)
  if (end !== null) return { end }
  const last = sinceTurn(run.history.events).findLast((event) => event.type === 'handed_back' && event.mode === 'review')
  return last?.type === 'handed_back' && verdictIn(last.text) === 'redo' ? { redo: last.text } : null
}

/** One review for one "done": a stored one, or the offer of it, is gone on with. */
async function review(run: Run, expert: Expert, answer: string): Promise<AgentEnd | null> {
  const { events } = run.history
  if (openOffer(events) !== null) return goOn(run, expert)
  const had = sinceTurn(events).some((event) => (event.type === 'handed_back' || event.type === 'escalation_denied') && event.mode === 'review')
  return had || !reviewsLeft(events) ? null : askFor(run, expert, ['review'], [], answer)
}
