// Owns a call that waits for somebody's yes: which one it is by the events, how it reads, the question on a terminal, and the answer. Decides nothing.
import { readFile, realpath, stat } from 'node:fs/promises'
import { resolve, sep } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import type { Client } from '@hearth/protocol/client'
import { faultFrom } from '@hearth/protocol/fault'
import type { EventOf, Job, ToolCall } from '@hearth/protocol'
import { answerOf } from './chat/words.ts'
import type { Context, Out } from './context.ts'
import { stored } from './follow.ts'
import { lookOf } from './live.ts'
import { callLines, overwriteLines, type Look } from './render.ts'
import { offerReasons, offerWords, signalWords } from './escalation-text.ts'
import { nothingDropped, oneLine, visible, wrap } from './text.ts'

/** `text`: what shall be sent instead of what was shown. */
export type Answer = { approved: boolean; note: string; text?: string }

/** `seq`: of the event that says that the job waits. `folder`: where it works. `call`: null when its turn cannot be found, or when it is no call but `offered`: what would leave the box. */
export type Question = { seq: number; askedAt: number; step: number; folder: string | null; callId: string; call: ToolCall | null; offered: EventOf<'escalation_offered'> | null; question: string }

/** The call that a job waits with now; null = it waits for no answer. */
export async function openQuestion(client: Client, jobId: string): Promise<Question | null> {
  let calls: readonly ToolCall[] = []
  let asked: EventOf<'approval_asked'> | null = null
  let open: Question | null = null
  let folder: string | null = null
  let offer: EventOf<'escalation_offered'> | null = null
  for await (const event of stored(client, jobId, 0)) {
    if (event.type === 'turn') calls = event.toolCalls
    else if (event.type === 'workspace') folder = event.path
    else if (event.type === 'approval_asked') asked = event
    else if (event.type === 'escalation_offered') offer = event
    else if (event.type === 'approval_given' || event.type === 'ended') open = null
    else if (event.type === 'suspended' && event.state === 'waiting_approval' && asked !== null) {
      const { step, callId, question, sha256 } = asked
      const offered = offer !== null && offer.offer.sha256 === sha256 ? offer : null
      open = { seq: event.seq, askedAt: event.at, step, folder, callId, call: calls.find(({ id }) => id === callId) ?? null, offered, question }
    }
  }
  return open
}

/** The whole call: the command, or what a file gets and loses. Nothing is cut: what is not seen is not allowed. */
export async function questionLines({ call, offered, question, folder }: Question, out: Out): Promise<string[]> {
  if (offered !== null) return offeredLines(offered, out)
  if (call === null) return wrap(visible(question), out.width)
  const { path, content } = call.arguments
  const before = call.name === 'write' && folder !== null && typeof path === 'string' && typeof content === 'string' ? await textIn(folder, path) : null
  return before === null ? wholeCall(call, out) : overwriteLines(nothingDropped(String(path)), nothingDropped(before), nothingDropped(String(content)), wholeLook(out))
}

/** What would leave, word for word, and where to. */
function offeredLines(offered: EventOf<'escalation_offered'>, { ink, width }: Out): string[] {
  const { offer, packet, signals } = offered
  return [
    ...wrap(offerWords(offered), width), ...(signals.length === 0 ? [] : wrap(`because: ${signalWords(signals)}`, width)), ...offerReasons(offer).flatMap((line) => wrap(line, width)),
    ...(packet.files.length === 0 ? [] : wrap(`something of ${packet.files.map(oneLine).join(', ')}`, width)),
    ...visible(nothingDropped(offer.preview)).split('\n').map((line) => `${ink.dim('│')} ${line}`),
  ]
}

/** What the card of a call says of its arguments; other tools show all of them. */
const onTheCard: Readonly<Record<string, readonly string[]>> = { bash: ['command'], write: ['path', 'content'], edit: ['path', 'old', 'new', 'edits'] }

export function wholeCall(given: ToolCall, out: Out): string[] {
  const call = { ...given, arguments: inSight(given.arguments) as ToolCall['arguments'] }
  const shown = onTheCard[call.name]
  const rest = shown === undefined ? [] : Object.entries(call.arguments).filter(([name]) => !shown.includes(name))
  return [...callLines(call, wholeLook(out)), ...(rest.length === 0 ? [] : [`  with ${oneLine(JSON.stringify(Object.fromEntries(rest)))}`])]
}

function inSight(value: unknown): unknown {
  if (typeof value === 'string') return nothingDropped(value)
  if (Array.isArray(value)) return value.map(inSight)
  return typeof value === 'object' && value !== null ? Object.fromEntries(Object.entries(value).map(([name, one]) => [nothingDropped(name), inSight(one)])) : value
}

function wholeLook(out: Out): Look {
  return { ...lookOf(out, false), width: Infinity, cardLines: Infinity }
}

const shownBytes = 2 ** 20

/** The text of a file of the job's folder as the tools name it; null when there is none that can be shown: it is new, no text, large, elsewhere or not ours to read. */
async function textIn(folder: string, path: string): Promise<string | null> {
  try {
    const file = await realpath(resolve(folder, path.replace(/^\/work(\/|$)/, './')))
    const info = await stat(file)
    if (!file.startsWith(await realpath(folder) + sep) || !info.isFile() || info.size > shownBytes) return null
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
  } catch {
    return null
  }
}

/** Throws FaultError `conflict` when the job does not wait with this call any more. */
export function answer(client: Client, jobId: string, { callId, offered }: Pick<Question, 'callId' | 'offered'>, given: Answer): Promise<Job> {
  return client.call<Job>('POST', `/api/jobs/${encodeURIComponent(jobId)}/approve`, { callId, ...given, ...(offered === null ? {} : { sha256: offered.offer.sha256 }) })
}

/** How to answer from another terminal. */
export function howToAnswer(jobId: string): string {
  const id = oneLine(jobId)
  return `allow it with 'hearth approve ${id}', refuse it with 'hearth approve ${id} --refuse --why TEXT'; 'hearth attach ${id}' then watches on`
}

/** Somebody sits there and can be asked. */
export function canAsk(ctx: Context): boolean {
  return ctx.stdin.isTTY && ctx.err.tty
}

/**
 * Shows the call and asks until there is an answer, and gives it to the daemon. Aborting takes the question back; the reason says why, for the terminal ('' = nothing).
 * 'left': the input ended. Faults of the daemon are said and asked over again, never thrown.
 */
export async function askHere(ctx: Context, client: Client, jobId: string, question: Question, signal: AbortSignal): Promise<'answered' | 'left' | 'taken back'> {
  const { err } = ctx
  for (const line of await questionLines(question, err)) err.line(line)
  for (;;) {
    const text = await lineOf(ctx, err.ink.yellow('allow? y, n, or why not: '), signal)
    if (signal.aborted) {
      if (signal.reason !== '') err.line(err.ink.yellow(String(signal.reason)))
      return 'taken back'
    }
    if (text === null) return 'left'
    const given = answerOf(text)
    if (given === null) continue
    try {
      await answer(client, jobId, question, given)
      return 'answered'
    } catch (error) {
      const { code, message } = faultFrom(error)
      err.line(err.ink.yellow(code === 'conflict' ? 'somebody else was faster; this answer does not count' : `hearth: ${visible(message)}`))
      if (code === 'conflict') return 'taken back'
    }
  }
}

/** What was typed before the question was there is no answer to it. */
const typedAheadMs = 100

/** One line of the terminal, edited by the terminal itself; null = its end, or aborted. */
async function lineOf(ctx: Context, prompt: string, signal: AbortSignal): Promise<string | null> {
  const reader = createInterface({ input: ctx.stdin, terminal: false })
  let asked = false
  const close = (): void => reader.close()
  signal.addEventListener('abort', close)
  try {
    const line = new Promise<string | null>((resolve) => {
      reader.on('line', (text) => { if (asked) resolve(text) })
      reader.once('close', () => resolve(null))
    })
    await pause(typedAheadMs)
    if (signal.aborted) return null
    asked = true
    ctx.err.write(prompt)
    const text = await line
    if (text === null) ctx.err.line()
    return text
  } finally {
    signal.removeEventListener('abort', close)
    reader.close()
  }
}
