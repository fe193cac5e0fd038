// Owns how the events of an escalation read on a terminal: what was noticed, what would leave at which price, what the expert did, what came of it. Pure.
import type { EventOf, JobEvent } from '@hearth/protocol'
import { bytes, counted, usd, type Ink } from './print.ts'
import { cut, oneLine, visible, wrap } from './text.ts'

type EscalationType = 'signals' | 'escalation_offered' | 'escalation_denied' | 'remote' | 'handed_back' | 'effect'

type Look = { ink: Ink; width: number; cardLines: number }

/** The lines of one such event. */
export function escalationLines(event: Extract<JobEvent, { type: EscalationType }>, { ink, width, cardLines }: Look): string[] {
  const told = (mark: string, text: string, paint: (line: string) => string): string[] =>
    wrap(visible(text).trimEnd(), width - 2).slice(0, cardLines).map((line, index) => paint(`${index === 0 ? mark : '  '}${line}`))
  switch (event.type) {
    // What is only written down is for the statistics, not for who watches.
    case 'signals': return event.signals.every(({ kind }) => kind === 'logged') ? [] : [ink.dim(cut(`  noticed: ${signalWords(event.signals)}${event.acts ? '' : ' (noted)'}`, width))]
    case 'escalation_offered': return told('⇧ ', offerWords(event), ink.cyan)
    case 'escalation_denied': return told('! ', [`no help is bought (${event.denial.rule}): ${event.denial.why} ${event.denial.remedy}`, ...passedWords(event.denial.passedOver)].join('\n'), ink.yellow)
    case 'remote': return remoteLines(event.event).map((line) => ink.dim(cut(`  ⇧ ${oneLine(line)}`, width)))
    case 'handed_back': return told('⇩ ', `${handedBackWords(event)}${event.text === '' ? '' : `\n${event.text}`}`, ink.cyan)
    case 'effect': return told('= ', `what came of ${event.id}: ${event.effect}. ${event.evidence}`, event.effect === 'cleared' ? ink.green : ink.yellow)
    default: return event satisfies never
  }
}

export function signalWords(signals: EventOf<'signals'>['signals']): string {
  return signals.filter(({ kind }) => kind !== 'logged').map(({ name, evidence }) => `${oneLine(name)} (${oneLine(evidence)})`).join('; ')
}

/** Why it is this model and not another one, and what the job may spend by what it is worth: lines, or none. */
export function offerReasons({ because, bound, insteadUsdMicros, passedOver }: EventOf<'escalation_offered'>['offer']): string[] {
  const instead = insteadUsdMicros === undefined ? '' : `; a bought answer would have cost at most ${usd(insteadUsdMicros)}`
  return [...(because === undefined ? [] : [`chosen: ${oneLine(because)}${instead}`]), ...passedWords(passedOver), ...(bound === undefined ? [] : [oneLine(bound)])]
}

/** Who was not asked, and why: a line each. */
export function passedWords(passedOver: EventOf<'escalation_offered'>['offer']['passedOver']): string[] {
  return (passedOver ?? []).map(({ model, why }) => `not asked: ${oneLine(model)}, ${oneLine(why)}`)
}

const does = { plan: 'for a plan', advise: 'for advice', step: 'to take over a step', review: 'to review the work', rest: 'to take over the rest' } as const

/** What would be sent where, and at which price at worst. */
export function offerWords({ id, mode, offer }: EventOf<'escalation_offered'>): string {
  const hidden = offer.redactions.reduce((sum, { count }) => sum + count, 0)
  const replaced = hidden === 0 ? '' : `, ${counted(hidden, 'secret')} replaced (${offer.redactions.map(({ kind }) => oneLine(kind)).join(', ')})`
  if (offer.place === 'local') return `${id}: ${oneLine(offer.model)} on this box ${does[mode]}: ${bytes(offer.bytes)}, nothing leaves`
  return `${id}: ${oneLine(offer.model)} at ${oneLine(offer.host)} ${does[mode]}: ${bytes(offer.bytes)}${replaced}, ${usd(offer.worstUsdMicros)} at worst`
}

/** What a person gave it with that. */
export function resumedWords({ budgetUsdMicros, worthUsdMicros }: EventOf<'resumed'>): string {
  return `${budgetUsdMicros === null ? '' : `, with ${usd(budgetUsdMicros)} for the whole job`}${worthUsdMicros === undefined ? '' : `, worth ${usd(worthUsdMicros)}`}`
}

const hows = {
  answered: 'answered', stop: 'says that going on is useless', passed: 'made the check pass', done: 'says it is done', turns: 'used all its turns', failed: 'could not go on',
} as const

export function handedBackWords({ id, model, how, turns, usdMicros }: EventOf<'handed_back'>): string {
  return `${id}: ${oneLine(model)} ${hows[how]} (${counted(turns, 'turn')}, ${usd(usdMicros)})`
}

/** The expert's own course: its calls and what failed; what it says comes with the hand-back. */
function remoteLines(event: EventOf<'remote'>['event']): string[] {
  const calls = event['toolCalls']
  if (event.type === 'turn') return Array.isArray(calls) && calls.length > 0 ? calls.map(callWords) : ['it answered']
  if (event.type === 'check') return [`the check ${event['passed'] === true ? 'passes' : 'fails'}`]
  if (event.type === 'turn_failed') return [`it failed: ${problemOf(event['fault'])}`]
  return []
}

function callWords(call: unknown): string {
  if (typeof call !== 'object' || call === null || !('name' in call)) return 'a call'
  const args = 'arguments' in call && typeof call.arguments === 'object' && call.arguments !== null ? call.arguments as Record<string, unknown> : {}
  const telling = ['command', 'path', 'pattern'].map((key) => args[key]).filter((value) => typeof value === 'string')
  return `${String(call.name)} ${telling.join(' ')}`
}

function problemOf(fault: unknown): string {
  return typeof fault === 'object' && fault !== null && 'message' in fault ? String(fault.message) : 'for an unknown reason'
}
