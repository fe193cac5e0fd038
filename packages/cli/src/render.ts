// Owns how one JobEvent reads on a terminal or in a pipe: event -> lines. Pure: no stream, no clock, no state.
import type { Fault } from '@hearth/protocol/fault'
import type { Job, JobEvent, Receipt, ToolCall } from '@hearth/protocol'
import type { Outcome } from '@hearth/protocol/outcome'
import { escalationLines, resumedWords } from './escalation-text.ts'
import { bytes, count, counted, duration, usd, type Ink } from './print.ts'
import { cut, oneLine, visible, wrap } from './text.ts'

export type Look = {
  ink: Ink
  /** Columns; Infinity leaves lines whole. */
  width: number
  /** Lines of one tool output, check output or written file at most. */
  cardLines: number
  /** Show the model's closing words with the end; false where they go to stdout. */
  summary: boolean
}

/** The lines of one event, without a newline at their end. Pieces (`text`, `tool_output`) have none: the whole follows in `turn` and `tool_result`. */
export function eventLines(event: JobEvent, look: Look): string[] {
  const { ink } = look
  switch (event.type) {
    case 'accepted': {
      const { request } = event
      return [
        `${ink.dim('model')} ${oneLine(event.model)}  ${ink.dim('folder')} ${oneLine(request.cwd)}`,
        ...promptLines(request.prompt, look),
        ...((request.network ?? []).length === 0 ? [] : [`${ink.dim('network')} ${cut(oneLine((request.network ?? []).join(', ')), look.width - 8)}`]),
        ...request.checks.map((check) => `${ink.dim('check')} ${cut(oneLine(check), look.width - 6)}`),
      ]
    }
    case 'queued': return [ink.dim(cut(`waiting, position ${event.position}: ${oneLine(event.reason)}`, look.width))]
    case 'started': return event.attempt > 1 ? [ink.yellow(`resumed (attempt ${event.attempt})`)] : []
    case 'suspended': return [ink.yellow(`suspended: ${oneLine(event.reason)}`)]
    case 'resumed': return [ink.yellow(`${oneLine(event.by)} let it go on${resumedWords(event)}`)]
    case 'loading': return [ink.dim(cut(`loading ${oneLine(event.model)}: ${oneLine(event.detail)}`, look.width))]
    case 'waiting': return [ink.dim(cut(`waiting for ${oneLine(event.model)}, number ${event.position} in line: ${oneLine(event.reason)}${event.etaMs === null ? '' : ` (about ${duration(event.etaMs)})`}`, look.width))]
    case 'step': return ['', ink.bold(`step ${event.step}`)]
    case 'text': case 'thought': return []
    case 'warned': return wrapped(visible(event.text), '! ', ink.yellow, look)
    case 'turn': return turnLines(event, look)
    case 'turn_failed': return wrapped(`the model failed: ${visible(event.fault.message)}${event.retry ? ' It is asked again.' : ''}`, '! ', ink.red, look)
    case 'call_rejected': return wrapped(`not a valid call: ${visible(event.problem)}`, '! ', ink.yellow, look)
    case 'tool_planned': return callLines(event.call, look)
    case 'tool_started': return []
    case 'tool_output': return []
    case 'tool_result': return resultLines(event, look)
    case 'tool_unknown': return wrapped(`${oneLine(event.name)}: ${visible(event.observation)}`, '? ', ink.yellow, look)
    case 'check': {
      const how = event.cause !== 'exited' ? event.cause : event.passed ? '' : `exit ${event.exitCode ?? '?'}`
      const head = `${event.passed ? ink.green('✓ check') : ink.red('✗ check')}  ${cut(oneLine(event.command), look.width - 30)}`
      return [`${head}  ${ink.dim([how, duration(event.durationMs)].filter((word) => word !== '').join(', '))}`, ...(event.passed ? [] : card(event.output, look))]
    }
    case 'nudge': return wrapped(`told the model: ${visible(event.text)}`, '→ ', ink.yellow, look)
    case 'guard': return wrapped(`guard ${oneLine(event.guard)}${guardDoes[event.action]}: ${visible(event.evidence)}`, '! ', event.action === 'stop' ? ink.red : ink.yellow, look)
    case 'workspace': case 'opened': case 'call_repaired': case 'committed': case 'reverted': case 'delivered': case 'rewritten': case 'sub_step': case 'sampled':
    case 'said': case 'approval_asked': case 'approval_given': return sideLines(event, look)
    case 'network_refused': return wrapped(visible(`${event.fault.message} ${event.fault.remedy}`), '! ', ink.yellow, look)
    case 'signals': case 'escalation_offered': case 'escalation_denied': case 'remote': case 'handed_back': case 'effect': return escalationLines(event, look)
    case 'ended': return endLines(event, look)
    default: return unknownLines(event satisfies never)
  }
}

const guardDoes = { nudge: '', replan: ' begins anew', sample: ' tries several answers', escalate: ' asks for help', stop: ' stops the job' } as const

type Side = 'workspace' | 'opened' | 'call_repaired' | 'committed' | 'reverted' | 'delivered' | 'rewritten' | 'sub_step' | 'sampled' | 'said' | 'approval_asked' | 'approval_given'

/** What the harness does beside the turns: mostly one quiet line. */
function sideLines(event: Extract<JobEvent, { type: Side }>, look: Look): string[] {
  const { ink } = look
  const quiet = (text: string): string[] => [ink.dim(cut(text, look.width))]
  switch (event.type) {
    case 'workspace': return event.kind === 'in_place' && event.detail === '' ? [] : quiet(`works in ${event.kind === 'in_place' ? 'the folder itself' : `a ${event.kind}, ${oneLine(event.path)}`}${event.detail === '' ? '' : `; ${oneLine(event.detail)}`}`)
    case 'opened': {
      const found = [
        ...event.instructions.map(({ path }) => path), ...(event.skills.length === 0 ? [] : [counted(event.skills.length, 'skill')]),
        ...event.servers.map(({ name, tools, problem }) => `MCP ${name} (${problem === null ? counted(tools.length, 'tool') : problem})`),
      ]
      return [
        ...(found.length === 0 ? [] : quiet(`knows ${oneLine(found.join(', '))}`)),
        ...(event.guessedCheck === null ? [] : quiet(`the project's tests seem to be: ${oneLine(event.guessedCheck)}`)),
      ]
    }
    case 'call_repaired': return quiet(`  mended the call (${oneLine([event.format, ...event.changes].join('; '))})`)
    case 'committed': return quiet(`  kept as ${event.commit.slice(0, 10)}: ${counted(event.files, 'file')}, +${event.added} -${event.removed}`)
    case 'reverted': return wrapped(`the folder is back at ${event.toStep === 0 ? 'its state before the job' : `step ${event.toStep}`} (${oneLine(event.by)})`, '↶ ', ink.yellow, look)
    case 'delivered': return deliveredLines(event, look)
    case 'rewritten': {
      const price = `${count(event.refillTokens)} tokens are read again${event.refillMs === null ? '' : `, about ${duration(event.refillMs)}`}`
      return wrapped(`${event.reason === 'replan' ? 'begins anew' : 'shortened the history'}: ${count(event.beforeTokens)} -> ${count(event.afterTokens)} tokens; ${price}`, '≡ ', ink.yellow, look)
    }
    case 'sub_step': return quiet(`  ${event.n}  ${oneLine(event.call)}`)
    case 'sampled': return quiet(`tried ${counted(event.candidates.length, 'answer')}, ${event.candidates.filter(({ passed }) => passed).length} pass; ${event.chosen === null ? 'none is taken' : `number ${event.chosen + 1} goes on`}`)
    case 'said': return wrapped(visible(event.text), '> ', ink.bold, look)
    case 'approval_asked': return wrapped(visible(event.question), '? ', ink.yellow, look)
    case 'approval_given': return quiet(`${event.approved ? 'approved' : 'refused'} by ${oneLine(event.by)}${event.note === '' ? '' : `: ${oneLine(event.note)}`}`)
    default: return unknownLines(event satisfies never)
  }
}

/** What became of the work, and the command that takes it or takes it back. */
function deliveredLines(event: Extract<JobEvent, { type: 'delivered' }>, look: Look): string[] {
  const files = counted(event.files, 'file')
  const job = oneLine(event.jobId)
  const text = {
    in_place: `result: ${files} in ${oneLine(event.to)}; 'hearth undo ${job}' puts them back`,
    branch: `result: ${files} on the branch ${oneLine(event.to)}`,
    diff: `result: ${files} as a patch${event.why === undefined ? '' : ` (${oneLine(event.why)})`}; 'hearth diff ${job} | git apply' takes it`,
  }[event.how]
  return wrap(text, look.width).map((line) => look.ink.dim(line))
}

/** An event of a newer daemon. */
function unknownLines(event: unknown): string[] {
  const type = typeof event === 'object' && event !== null && 'type' in event ? event.type : '?'
  return [`(${oneLine(String(type))})`]
}

function promptLines(prompt: string, look: Look): string[] {
  const lines = wrap(visible(prompt).trim(), look.width - 7)
  const shown = lines.slice(0, 4)
  if (lines.length > shown.length) shown.push(`… ${counted(lines.length - shown.length, 'line')} more`)
  return shown.map((line, i) => `${i === 0 ? look.ink.dim('prompt') : '      '} ${line}`)
}

function wrapped(text: string, mark: string, ink: (text: string) => string, look: Look): string[] {
  const lines = wrap(text.trimEnd(), look.width - 2)
  const shown = lines.slice(0, look.cardLines)
  return shown.map((line, i) => ink((i === 0 ? mark : '  ') + line))
}

function turnLines(event: Extract<JobEvent, { type: 'turn' }>, look: Look): string[] {
  const words = isBareCall(event.text) ? '' : visible(event.text).trim()
  const { usage, timings } = event
  const speed = timings.decodeMs > 0 && usage.completionTokens > 0 ? `, ${(usage.completionTokens / (timings.decodeMs / 1000)).toFixed(1)} tokens/s` : ''
  const reused = usage.reusedTokens > 0 ? ` (${count(usage.reusedTokens)} reused)` : ''
  const cost = `${count(usage.promptTokens)} prompt${reused} + ${counted(usage.completionTokens, 'token')} in ${duration(timings.totalMs)}${speed}`
  const stop = event.stop === 'max_tokens' ? look.ink.yellow('; cut off at the limit of one turn') : ''
  return [...thoughtLines(event, look), ...(words === '' ? [] : wrap(words, look.width - 2).map((line) => `  ${line}`)), `  ${look.ink.dim(cut(cost, look.width - 2))}${stop}`]
}

/** What the model thought: its beginning and where it led. */
export function thoughtLines({ reasoning }: Extract<JobEvent, { type: 'turn' }>, look: Look): string[] {
  return reasoning === undefined ? [] : card(wrap(visible(reasoning).trim(), look.width - 6).join('\n'), look, '~ ', look.ink.dim)
}

/** In json mode the completion is nothing but the call, which is shown as a card. */
function isBareCall(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'tool' in value
  } catch {
    return false
  }
}

/** A call as a card: the command, the file with its content. */
export function callLines(call: ToolCall, look: Look): string[] {
  const { ink } = look
  const text = (name: string): string | null => {
    const value = call.arguments[name]
    return typeof value === 'string' ? value : null
  }
  const path = oneLine(text('path') ?? '')
  switch (call.name) {
    case 'bash': {
      const lines = visible(text('command') ?? '').trimEnd().split('\n')
      const shown = lines.slice(0, look.cardLines)
      if (lines.length > shown.length) shown.push(`… ${counted(lines.length - shown.length, 'line')} more`)
      return shown.map((line, i) => `${i === 0 ? ink.cyan('$') : ' '} ${i < look.cardLines ? ink.bold(cut(line, look.width - 2)) : ink.dim(line)}`)
    }
    case 'read': {
      const offset = call.arguments['offset']
      return [`${ink.cyan('read')} ${cut(path, look.width - 20)}${typeof offset === 'number' ? ink.dim(` from line ${offset}`) : ''}`]
    }
    case 'write': {
      const content = text('content') ?? ''
      return [`${ink.cyan('write')} ${cut(path, look.width - 24)} ${ink.dim(bytes(Buffer.byteLength(content)))}`, ...card(content, look, '+ ', ink.green)]
    }
    case 'edit': return [
      `${ink.cyan('edit')} ${cut(path, look.width - 6)}`,
      ...editsOf(call).flatMap((edit) => [...card(edit.old, look, '- ', ink.red), ...card(edit.new, look, '+ ', ink.green)]),
    ]
    case 'grep':
    case 'glob': return [`${ink.cyan(call.name)} ${cut([oneLine(text('pattern') ?? ''), path].filter((word) => word !== '').join('  '), look.width - 6)}`]
    case 'finish': return [ink.cyan('finish')]
    default: return [cut(`${ink.cyan(oneLine(call.name))} ${oneLine(JSON.stringify(call.arguments))}`, look.width)]
  }
}

/** A write over a file that is there: what it takes away and puts there, between the lines that stay at the beginning and at the end. */
export function overwriteLines(path: string, before: string, after: string, look: Look): string[] {
  const [old, fresh] = [before.split('\n'), after.split('\n')]
  const shorter = Math.min(old.length, fresh.length)
  let head = 0
  while (head < shorter && old[head] === fresh[head]) head += 1
  let tail = 0
  while (tail < shorter - head && old.at(-1 - tail) === fresh.at(-1 - tail)) tail += 1
  const between = (lines: readonly string[]): string => lines.slice(head, lines.length - tail).join('\n')
  return [
    `${look.ink.cyan('write')} ${oneLine(path)} ${look.ink.dim(`${bytes(Buffer.byteLength(after))} over ${bytes(Buffer.byteLength(before))}; ${counted(head + tail, 'line')} of ${old.length} stay${head + tail === 1 ? 's' : ''}`)}`,
    ...card(between(old), look, '- ', look.ink.red), ...card(between(fresh), look, '+ ', look.ink.green),
  ]
}

/** Each place of an edit; what is no text there is nothing to show, and the tool refuses it. */
function editsOf({ arguments: { edits, ...own } }: ToolCall): { old: string; new: string }[] {
  const text = (value: unknown): string => (typeof value === 'string' ? value : '')
  return [own, ...(Array.isArray(edits) ? edits as unknown[] : [])].flatMap((edit) =>
    (typeof edit === 'object' && edit !== null && 'old' in edit && 'new' in edit ? [{ old: text(edit.old), new: text(edit.new) }] : []))
}

/** An output that lost no more than this on its way to the model lost colour codes, not lines. */
const colourBytes = 200

function resultLines(event: Extract<JobEvent, { type: 'tool_result' }>, look: Look): string[] {
  const { ink } = look
  // The loop's answer to "done": there was no call to show, and a failed check stands above with its output.
  if (event.name === 'finish') return wrapped(`not done yet: ${visible(event.observation).split('\n')[0] ?? ''}`, '→ ', ink.yellow, look)
  const quiet = event.ok && (event.name === 'write' || event.name === 'edit')
  const how = event.cause === 'exited' ? (event.exitCode === null || event.exitCode === 0 ? '' : `exit ${event.exitCode}`) : event.cause
  const mark = event.ok ? ink.green('✓') : ink.red('✗')
  const shown = event.observation.trimEnd().split('\n').length <= look.cardLines && event.totalBytes <= Buffer.byteLength(event.observation) + colourBytes
  const kept = event.outputFile === null || shown ? '' : `${bytes(event.totalBytes)} in ${oneLine(event.outputFile)}`
  const foot = [how, duration(event.durationMs), kept].filter((word) => word !== '').join(', ')
  return [...(quiet ? [] : card(event.observation, look)), `  ${mark} ${ink.dim(cut(foot, look.width - 4))}`]
}

/** Foreign text behind a bar: the first and last lines when there are too many. */
function card(text: string, look: Look, mark = '', paint: (text: string) => string = (line) => line): string[] {
  const { ink } = look
  const clean = visible(text).replace(/\n+$/, '')
  if (clean === '') return []
  const lines = clean.split('\n')
  const bar = ink.dim('│ ')
  const room = look.width - 4
  const shown = (some: string[]): string[] => some.map((line) => `  ${bar}${paint(cut(mark + line, room))}`)
  if (lines.length <= look.cardLines) return shown(lines)
  const head = Math.ceil((look.cardLines - 1) / 2)
  const tail = Math.floor((look.cardLines - 1) / 2)
  const middle = `  ${bar}${ink.dim(`… ${counted(lines.length - head - tail, 'line')} more`)}`
  return [...shown(lines.slice(0, head)), middle, ...(tail === 0 ? [] : shown(lines.slice(-tail)))]
}

const endWords: Readonly<Record<Outcome, string>> = {
  resolved: 'resolved: the check passed',
  done_unverified: 'done, unverified: the model says so and no check was asked for',
  failed: 'failed: something went wrong inside Hearth',
  check_failed: 'check failed: it ran and did not pass',
  stuck: 'stuck: a guard stopped it, or it ran out of steps',
  over_budget: 'over budget: its tokens or its money are used up',
  blocked_by_policy: 'blocked: policy forbade the escalation it needed',
  denied: 'denied: a tool it needed was not allowed',
  bad_input: 'bad input: it could not be used',
  engine_down: 'no engine or no sandbox could serve it',
  timed_out: 'timed out',
  cancelled: 'cancelled',
}

/** What became of a job, in a few words. */
export function outcomeWords(outcome: Outcome): string {
  return endWords[outcome] ?? outcome
}

/** The colour of a state: green = verified, yellow = not over or not verified, red = not done. */
export function stateInk(state: Job['state'], ink: Ink): (text: string) => string {
  if (state === 'resolved') return ink.green
  if (state === 'running') return ink.cyan
  return state === 'done_unverified' || state === 'queued' || state === 'paused' || state === 'suspended' || state === 'waiting_approval' ? ink.yellow : ink.red
}

function endLines(event: Extract<JobEvent, { type: 'ended' }>, look: Look): string[] {
  const { ink } = look
  const mark = event.outcome === 'resolved' ? '✓' : event.outcome === 'done_unverified' ? '•' : '✗'
  const words = event.summary !== null && look.summary ? visible(event.summary).trim() : ''
  return [
    '', ...(words === '' ? [] : [...wrap(words, look.width), '']),
    stateInk(event.outcome, ink)(ink.bold(`${mark} ${outcomeWords(event.outcome)}`)),
    ...(event.fault === null ? [] : faultLines(event.fault, look)),
    ...receiptLines(event.receipt, look),
  ]
}

export function faultLines(value: Fault, look: Look): string[] {
  return [...wrap(visible(value.message), look.width - 2), ...wrap(visible(value.remedy), look.width - 2)].filter((line) => line !== '').map((line) => `  ${line}`)
}

/** The receipt block: what was done and what it cost. */
export function receiptLines(receipt: Receipt, look: Look): string[] {
  const { ink } = look
  const reused = receipt.reusedTokens > 0 ? ` (${count(receipt.reusedTokens)} reused)` : ''
  const speed = receipt.tokensPerSecond === null ? '' : `, ${receipt.tokensPerSecond.toFixed(1)} tokens/s`
  const money = receipt.usdMicros > 0 ? `, ${usd(receipt.usdMicros)}` : ''
  const energy = receipt.joules === null ? '' : `, ${count(receipt.joules)} J`
  const rows: [string, string][] = [
    ['work', `${counted(receipt.steps, 'step')}, ${counted(receipt.toolCalls, 'tool call')}, ${counted(receipt.modelCalls, 'model call')}`],
    ['tokens', `${count(receipt.promptTokens)} prompt${reused}, ${count(receipt.completionTokens)} generated${speed}`],
    ['time', `${duration(receipt.seconds * 1000)}, ${duration(receipt.modelSeconds * 1000)} of it in the model${energy}${money}`],
    ['left the box', bytes(receipt.bytesLeftBox)],
    ...(receipt.network ?? []).map(({ host, connections, bytes: sent }): [string, string] => ['', `${bytes(sent)} to ${oneLine(host)} in ${counted(connections, 'connection')}`]),
  ]
  return rows.map(([name, value]) => `  ${ink.dim(name.padEnd(12))}  ${value}`)
}
