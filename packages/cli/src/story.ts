// Owns the story of a job's decisions, read off its events: what a guard saw and did, what was offered, denied and answered, at which price and with which effect. Pure.
import type { JobEvent } from '@hearth/protocol'
import { handedBackWords, offerReasons, offerWords, passedWords, resumedWords, signalWords } from './escalation-text.ts'
import { count, counted, duration, usd } from './print.ts'
import { cut, oneLine, visible } from './text.ts'

/** Of an answer a person reads its beginning; `hearth logs` has all of it. */
const answerLines = 12

/** One decision. `what` is the type of its event; `text` is for people, everything else a program needs stands in `event`. */
export type Decision = { seq: number; at: number; step: number | null; what: JobEvent['type']; text: string; event: JobEvent }

export type Sums = { localTurns: number; escalations: number; denied: number; usdMicros: number; effects: Record<'cleared' | 'same' | 'worse', number> }

const guardDid = { nudge: 'the model is told so', replan: 'its history begins anew', sample: 'one more try from an earlier state', escalate: 'help is asked for', stop: 'the job is stopped' } as const

/** What an event says as a decision; null for what only accompanies one, and for the work itself. */
export function decisionOf(event: JobEvent): Decision | null {
  const text = textOf(event)
  if (text === null) return null
  return { seq: event.seq, at: event.at, step: 'step' in event ? event.step : null, what: event.type, text, event }
}

function textOf(event: JobEvent): string | null {
  switch (event.type) {
    case 'guard': return `${oneLine(event.guard)}: ${oneLine(event.evidence)} -> ${guardDid[event.action]}`
    case 'rewritten': return event.reason === 'replan' ? null : `the history was shortened: ${oneLine(event.evidence)}; ${count(event.refillTokens)} tokens are read again${event.refillMs === null ? '' : `, about ${duration(event.refillMs)}`}`
    case 'reverted': return `the folder went back to ${event.toStep === 0 ? 'its state before the job' : `step ${event.toStep}`} (${oneLine(event.by)})`
    case 'sampled': return `${counted(event.candidates.length, 'attempt')}, ${event.candidates.filter(({ passed }) => passed).length} passed`
    case 'signals': return event.acts ? `signals: ${signalWords(event.signals)} -> help is asked for` : null
    case 'escalation_offered': return [offerWords(event), ...offerReasons(event.offer)].join('\n')
    case 'escalation_denied': return [`${event.id} (${event.mode}) denied by ${event.denial.rule}: ${oneLine(`${event.denial.why} ${event.denial.remedy}`).trim()}${event.usdMicros === undefined ? '' : ` It cost ${usd(event.usdMicros)} all the same.`}`, ...passedWords(event.denial.passedOver)].join('\n')
    case 'approval_asked': return event.sha256 === undefined ? null : 'it waits for an approval of exactly that text'
    case 'approval_given': return event.callId.startsWith('escalation:') ? `${oneLine(event.by)} ${event.approved ? event.text === undefined ? 'approved it' : 'edited it' : 'refused it'}${event.note === '' ? '' : `: ${oneLine(event.note)}`}` : null
    case 'handed_back': return `${handedBackWords(event)}${event.text === '' ? '' : `\n${beginning(visible(event.text))}`}`
    case 'effect': return `effect of ${event.id}: ${event.effect} (${oneLine(event.evidence)})`
    case 'suspended': return event.state === undefined ? null : `it waits: ${oneLine(event.reason)}`
    case 'resumed': return `${oneLine(event.by)} let it go on${resumedWords(event)}`
    case 'ended': return `${event.outcome}${event.summary === null ? '' : `: ${cut(oneLine(event.summary), 400)}`}${event.fault === null ? '' : `: ${oneLine(event.fault.message)}`}`
    default: return null
  }
}

function beginning(text: string): string {
  const lines = text.trimEnd().split('\n')
  return lines.length <= answerLines ? lines.join('\n') : [...lines.slice(0, answerLines), `… ${counted(lines.length - answerLines, 'line')} more`].join('\n')
}

/** Adds an event to the sums. */
export function add(sums: Sums, event: JobEvent): void {
  if (event.type === 'turn') sums.localTurns += 1
  if (event.type === 'handed_back') sums.escalations += 1
  if (event.type === 'escalation_denied') sums.denied += 1
  if (event.type === 'effect') sums.effects[event.effect] += 1
  if (event.type === 'handed_back' || event.type === 'escalation_denied') sums.usdMicros += event.usdMicros ?? 0
}

export function noSums(): Sums {
  return { localTurns: 0, escalations: 0, denied: 0, usdMicros: 0, effects: { cleared: 0, same: 0, worse: 0 } }
}

export function sumWords({ localTurns, escalations, denied, usdMicros, effects }: Sums): string {
  if (escalations + denied === 0) return `${counted(localTurns, 'local turn')}; nobody outside was asked`
  return `${counted(localTurns, 'local turn')}; ${counted(escalations, 'escalation')} for ${usd(usdMicros)}: ${effects.cleared} cleared, ${effects.same} the same, ${effects.worse} worse; ${denied} denied`
}
