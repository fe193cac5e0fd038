// Owns what is told of work that leaves the history: plan, changed files, commands with their ends, the open failure, the model's own remarks.
// Pure, made of events alone: nothing in it was remembered by a model, so nothing in it is invented.
import type { EventOf, JobEventBody } from '@hearth/protocol'
import { cutText } from './cut.ts'

const commandsTold = 12
const remarksTold = 4
const remarkCharacters = 240
const outputCharacters = 1200
const adviceBytes = 1600
const wordsTold = 8
const wordsCharacters = 800

/** At most about `limit` bytes; a person's words, what an expert said last, the open failure and the plan are never the part that is cut. */
export function receipt(events: readonly JobEventBody[], limit: number): string {
  const plan = lastPlan(events)
  const failure = openFailure(events)
  const words = personsWords(events)
  const firm = [
    ...(words === '' ? [] : [words]),
    ...(plan === null ? [] : [`Plan:\n${plan}`]),
    ...expertsWords(events),
    ...(failure === null ? [] : [`Still failing: ${failure}`]),
  ]
  const soft = [changedFiles(events), commands(events), remarks(events)].filter((part) => part !== '')
  const firmText = firm.join('\n')
  const softText = cutText(soft.join('\n'), Math.max(200, limit - Buffer.byteLength(firmText)))
  return [softText, firmText].filter((part) => part !== '').join('\n')
}

/** Advice and plans were paid for; of a step that was taken over the rest of the receipt tells. */
function expertsWords(events: readonly JobEventBody[]): string[] {
  const last = events.findLast((event) => event.type === 'handed_back' && (event.mode === 'advise' || event.mode === 'plan'))
  return last?.type === 'handed_back' && last.text !== '' ? [cutText(last.text, adviceBytes)] : []
}

/** What a person asked for after the task, which only they said: the last of it, in their words. */
function personsWords(events: readonly JobEventBody[]): string {
  const said = events.flatMap((event) => (event.type === 'said' ? [`- ${event.text.length > wordsCharacters ? `${event.text.slice(0, wordsCharacters)} …` : event.text}`] : []))
  return said.length === 0 ? '' : `The person said, in this order:\n${said.slice(-wordsTold).join('\n')}`
}

/** Paths that write and edit changed, in the order of their last change. */
function changedFiles(events: readonly JobEventBody[]): string {
  const counts = new Map<string, number>()
  let planned: EventOf<'tool_planned'> | null = null
  for (const event of events) {
    if (event.type === 'tool_planned') planned = event
    if (event.type !== 'tool_result' || !event.ok || !event.wrote || planned?.call.id !== event.callId || event.name === 'bash') continue
    const path = planned.call.arguments['path']
    if (typeof path !== 'string') continue
    const before = counts.get(path) ?? 0
    counts.delete(path)
    counts.set(path, before + 1)
  }
  if (counts.size === 0) return 'Files changed: none with write or edit'
  return `Files changed: ${[...counts].map(([path, count]) => (count === 1 ? path : `${path} (${count} times)`)).join(', ')}`
}

function commands(events: readonly JobEventBody[]): string {
  const lines: string[] = []
  let planned: EventOf<'tool_planned'> | null = null
  for (const event of events) {
    if (event.type === 'tool_planned') planned = event
    if (event.type !== 'tool_result' || planned?.call.id !== event.callId || event.name === 'write' || event.name === 'edit' || event.name === 'plan') continue
    lines.push(`- ${callLine(planned)}: ${callEnd(event)}`)
  }
  if (lines.length === 0) return ''
  const told = lines.slice(-commandsTold)
  return `${lines.length > told.length ? `Last ${told.length} of ${lines.length} calls` : 'Calls'}:\n${told.join('\n')}`
}

/** A call in a line of at most 160 characters: the name and its most telling argument. */
export function callLine({ call }: Pick<EventOf<'tool_planned'>, 'call'>): string {
  const telling = ['command', 'path', 'pattern', 'name', 'question'].map((key) => call.arguments[key]).filter((value) => typeof value === 'string')
  return `${call.name} ${telling.join(' ')}`.replace(/\s+/g, ' ').slice(0, 160).trim()
}

/** How a call ended, in a line. */
export function callEnd(event: EventOf<'tool_result'>): string {
  if (event.ok) return event.totalBytes === 0 ? 'ok' : `ok, ${event.totalBytes} bytes`
  return `${event.cause === 'exited' ? `exit ${event.exitCode ?? '?'}` : event.cause}: ${lastLine(event.observation)}`
}

function lastLine(text: string): string {
  return (text.trimEnd().split('\n').findLast((line) => line.trim() !== '' && !/^\(exit \d+\)$/.test(line)) ?? '').trim().slice(0, 200)
}

/** The newest check or command, when it failed. */
function openFailure(events: readonly JobEventBody[]): string | null {
  const last = events.findLast((event) => event.type === 'check' || (event.type === 'tool_result' && event.name === 'bash' && event.cause !== 'refused'))
  if (last?.type === 'check') return last.passed ? null : `the check '${last.command.slice(0, 200)}' (${last.cause === 'exited' ? `exit ${last.exitCode ?? '?'}` : last.cause})\n${last.output.slice(-outputCharacters)}`
  if (last?.type !== 'tool_result' || last.ok) return null
  return `the last command (${last.cause === 'exited' ? `exit ${last.exitCode ?? '?'}` : last.cause})\n${last.observation.slice(-outputCharacters)}`
}

function lastPlan(events: readonly JobEventBody[]): string | null {
  const last = events.findLast((event) => event.type === 'tool_result' && event.name === 'plan' && event.ok)
  return last?.type === 'tool_result' ? last.observation.slice(0, 2000) : null
}

/** What the model said beside its calls; the last few say best what it was about to do. */
function remarks(events: readonly JobEventBody[]): string {
  const said = events.flatMap((event) => {
    if (event.type !== 'turn') return []
    const text = event.text.replace(/\s+/g, ' ').trim()
    return text === '' || text.startsWith('{') ? [] : [`- ${text.slice(0, remarkCharacters)}`]
  })
  return said.length === 0 ? '' : `You said:\n${said.slice(-remarksTold).join('\n')}`
}
