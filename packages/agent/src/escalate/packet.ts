// Owns what is sent to an expert: a packet, not the transcript. Pure: events and what was read of the folder in, a bounded text out, with what never changes first.
import type { EscalationMode, EscalationSettings, EventOf, JobEventBody, JobRequest, Message, Packet, PacketSlice } from '@hearth/protocol'
import { cutText } from '../context/cut.ts'
import { callEnd, callLine } from '../context/receipt.ts'
import { fingerprint } from '../guards.ts'
import { inFolder, pathsIn } from './places.ts'
import { hasFailed, isRun } from './runs.ts'

export type PacketInput = {
  form: EscalationSettings['packet']
  mode: EscalationMode
  request: Pick<JobRequest, 'prompt' | 'checks' | 'network'>
  /** Checks that a plan added. */
  addedChecks: readonly string[]
  events: readonly JobEventBody[]
  /** Patches against the start; null = none is known. */
  diff: readonly { path: string; patch: string }[] | null
  slices: readonly PacketSlice[]
  /** Names of the folder's files, for a plan. */
  tree: readonly string[]
  /** The conversation, for the form `full`. */
  messages: readonly Message[]
  question: string
  limitTokens: number
}

/** Code has fewer bytes in a token than prose: with three the text stays below its limit for any tokenizer in use. */
export const bytesPerPacketToken = 3

function constraints(network: readonly string[]): string {
  const reach = network.length === 0 ? 'without a network' : `whose network reaches ${network.join(', ')} only`
  return `The work is done by a smaller local model, in the folder /work, in a sandbox ${reach}. It can read, write and edit files and run commands there. Its tests and checks run in the same sandbox.`
}

// Parts of what is left behind prefix and question. What one does not use, the next ones may.
const shares = { failing: 0.3, tried: 0.2, diff: 0.55 }
const digestShare = 0.25
const triedLines = 30
const saidCharacters = 800
const prefixShare = 0.3

/** The packet of this moment, at most `limitTokens` long. */
export function packetOf(input: PacketInput): Packet {
  const limit = input.limitTokens * bytesPerPacketToken
  const prefix = prefixOf(input.request, Math.floor(limit * prefixShare))
  const question = section('Question', cutText(input.question, Math.floor(limit * 0.15)))
  const room = limit - Buffer.byteLength(prefix) - Buffer.byteLength(question) - 8
  const files = new Set<string>()
  const body = input.form === 'full' ? transcript(input, room, files) : state(input, input.form === 'digest' ? Math.floor(room * digestShare) : room, files)
  return { prefix, body: [...body, question].join('\n\n'), files: [...files].sort() }
}

/** The same in every packet of a job. */
function prefixOf({ prompt, checks, network }: PacketInput['request'], limit: number): string {
  const acceptance = checks.length === 0 ? 'No command decides it; the goal does.' : `These commands must succeed:\n${checks.join('\n')}`
  const rest = [section('Acceptance', cutText(acceptance, Math.floor(limit / 3))), section('Constraints', cutText(constraints(network ?? []), Math.floor(limit / 3)))].join('\n\n')
  return `${section('Goal', cutText(prompt, Math.max(200, limit - Buffer.byteLength(rest))))}\n\n${rest}`
}

function state(input: PacketInput, room: number, files: Set<string>): string[] {
  const { events, mode, form } = input
  const parts: string[] = []
  let left = room
  const add = (title: string, text: string, bytes: number): void => {
    if (text === '' || bytes < 80) return
    const made = section(title, text)
    parts.push(made)
    left -= Buffer.byteLength(made) + 2
  }
  const said = events.flatMap((event) => (event.type === 'said' ? [`- ${event.text.slice(0, saidCharacters)}`] : []))
  add('Said since', lastLines(said, Math.floor(left * 0.2)), left)
  if (input.addedChecks.length > 0) add('Checks of the plan', input.addedChecks.join('\n'), left)
  if (input.tree.length > 0) add('Files of the folder', cutText(input.tree.join('\n'), Math.floor(left * 0.4)), left)
  const failing = failingOutput(events)
  if (failing !== null) {
    const bytes = Math.floor(left * shares.failing)
    for (const path of pathsIn(`${failing.of}\n${failing.output}`)) files.add(path)
    add('Failing now', `${failing.of}\n${tail(failing.output, bytes)}`, bytes)
  }
  if (mode !== 'plan') {
    const bytes = Math.floor(left * shares.tried)
    const prints = fingerprints(events)
    add('Errors seen', lastLines(prints, Math.floor(bytes / 2)), bytes)
    const tried = triedLinesOf(events)
    for (const path of pathsIn(tried.join('\n'))) files.add(path)
    add('Tried so far', lastLines(tried, bytes), bytes)
    addDiff(input, Math.floor(left * (form === 'digest' ? 1 : shares.diff)), files, add)
  }
  if (form === 'digest') return parts
  const shown: string[] = []
  let bytes = left - 40
  for (const { path, fromLine, text } of input.slices) {
    const piece = `--- ${path}, from line ${fromLine}\n${text}`
    if (Buffer.byteLength(piece) + 1 > bytes) continue
    bytes -= Buffer.byteLength(piece) + 1
    files.add(path)
    shown.push(piece)
  }
  add('Files', shown.join('\n'), left)
  return parts
}

/** Whole patches as far as they fit; of the others, and in a digest of all, the name and the number of lines. */
function addDiff({ diff, events, form }: PacketInput, limit: number, files: Set<string>, add: (title: string, text: string, bytes: number) => void): void {
  if (diff === null) {
    const written = writtenFiles(events)
    for (const path of written) files.add(path)
    return add('Changed since the start', written.length === 0 ? 'nothing with write or edit' : `no diff is kept; written were: ${written.join(', ')}`, limit)
  }
  let left = limit - 40
  const told = diff.map(({ path, patch }) => {
    files.add(path)
    const size = Buffer.byteLength(patch) + 1
    if (form !== 'digest' && size <= left) {
      left -= size
      return patch.trimEnd()
    }
    const lines = patch.split('\n')
    const line = `${path}: +${lines.filter((one) => one.startsWith('+') && !one.startsWith('+++')).length} -${lines.filter((one) => one.startsWith('-') && !one.startsWith('---')).length} lines (not shown)`
    left -= Buffer.byteLength(line) + 1
    return left > 0 ? line : null
  })
  add('Changed since the start', told.length === 0 ? 'nothing' : told.filter((one) => one !== null).join('\n'), limit)
}

function transcript({ messages, events }: PacketInput, room: number, files: Set<string>): string[] {
  for (const event of events) if (event.type === 'tool_result' && event.file !== undefined) files.add(event.file.path)
  const text = messages.filter(({ role }) => role !== 'system').map((message) => {
    const calls = message.role === 'assistant' && message.toolCalls !== undefined ? message.toolCalls.map(({ name, arguments: args }) => `\n${name} ${JSON.stringify(args)}`).join('') : ''
    return `[${message.role}] ${message.text}${calls}`
  }).join('\n')
  for (const path of pathsIn(text)) files.add(path)
  return [section('What happened', tail(text, room - 40))]
}

/** The newest check or command, when it failed. */
export function failingOutput(events: readonly JobEventBody[]): { of: string; output: string } | null {
  const last = events.findLast(isRun)
  if (last === undefined || !hasFailed(last)) return null
  if (last.type === 'check') return { of: `check (${last.cause === 'exited' ? `exit ${last.exitCode ?? '?'}` : last.cause}): ${last.command}`, output: last.output }
  const planned = events.findLast((event) => event.type === 'tool_planned' && event.call.id === last.callId)
  const command = planned?.type === 'tool_planned' ? String(planned.call.arguments['command'] ?? '') : ''
  return { of: `command: ${command.slice(0, 400)}`, output: last.observation }
}

/** Each kind of failure once: how often, and its last line. */
function fingerprints(events: readonly JobEventBody[]): string[] {
  const seen = new Map<string, { count: number; line: string }>()
  for (const event of events) {
    const print = fingerprint(event)
    if (print === null) continue
    const text = event.type === 'check' ? event.output : event.type === 'tool_result' ? event.observation : ''
    const line = text.trimEnd().split('\n').findLast((one) => one.trim() !== '' && !/^\(exit \d+\)$/.test(one))?.trim().slice(0, 160) ?? ''
    seen.set(print, { count: (seen.get(print)?.count ?? 0) + 1, line })
  }
  return [...seen].map(([print, { count, line }]) => `${print.slice(0, 8)} ${count === 1 ? 'once' : `${count} times`}: ${line}`)
}

/** One line for each thing that was tried, the same one in a row counted; and what was bought before and came of it. */
function triedLinesOf(events: readonly JobEventBody[]): string[] {
  const lines: { text: string; count: number }[] = []
  let planned: EventOf<'tool_planned'> | null = null
  const say = (text: string): void => {
    const last = lines.at(-1)
    if (last?.text === text) last.count += 1
    else lines.push({ text, count: 1 })
  }
  for (const event of events) {
    if (event.type === 'tool_planned') planned = event
    else if (event.type === 'tool_result' && event.name !== 'finish') say(`${planned?.call.id === event.callId ? callLine(planned) : event.name}: ${callEnd(event)}`)
    else if (event.type === 'call_rejected') say(`an answer that was no call: ${event.problem.slice(0, 160)}`)
    else if (event.type === 'check') say(`check: ${event.passed ? 'passed' : 'failed'}`)
    else if (event.type === 'guard') say(`(harness) ${event.guard}: ${event.action}`)
    else if (event.type === 'effect') say(`(harness) what an expert said before (${event.id}): ${event.effect}`)
  }
  return lines.slice(-triedLines).map(({ text, count }) => (count === 1 ? text : `${text} (${count} times)`))
}

function writtenFiles(events: readonly JobEventBody[]): string[] {
  return [...new Set(events.flatMap((event) => {
    if (event.type !== 'tool_result' || !event.ok || !event.wrote || event.file === undefined) return []
    const path = inFolder(event.file.path)
    return path === null ? [] : [path]
  }))]
}

function section(title: string, text: string): string {
  return `## ${title}\n${text.trimEnd()}`
}

/** At most about `limit` bytes of the end, from a line's beginning. */
function tail(text: string, limit: number): string {
  const bytes = Buffer.from(text.trimEnd(), 'utf8')
  if (bytes.length <= limit) return bytes.toString('utf8')
  const kept = bytes.subarray(bytes.length - Math.max(0, limit - 40)).toString('utf8').replace(/^\ufffd+/, '')
  const start = kept.indexOf('\n')
  const whole = start !== -1 && start < kept.length / 2 ? kept.slice(start + 1) : kept
  return `[... ${bytes.length - Buffer.byteLength(whole)} bytes left out ...]\n${whole}`
}

/** The last lines that fit. */
function lastLines(lines: readonly string[], limit: number): string {
  const kept: string[] = []
  let left = limit
  for (const line of lines.toReversed()) {
    left -= Buffer.byteLength(line) + 1
    if (left < 0) break
    kept.unshift(line)
  }
  return kept.join('\n')
}
