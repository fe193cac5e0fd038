// Owns when and how a history is shortened: rarely, by much, at a step edge, with its price. Pure: figures and events in, a `rewritten` event or null out.
import type { EventOf, JobEventBody, Message } from '@hearth/protocol'
import { receipt } from './receipt.ts'

/** Tokens per second at a depth of so many tokens; from the box profile, or null where nothing was measured. */
export type SpeedAt = (depthTokens: number) => { prefill: number; decode: number } | null

export type CompactInput = {
  step: number
  messages: readonly Message[]
  /** Of these the first so many are the opening, which stays. */
  openingMessages: number
  events: readonly JobEventBody[]
  contextTokens: number
  /** Completion tokens that the next turn may need. */
  maxCallTokens: number
  /** Steps that may still come. */
  stepsLeft: number
  speedAt: SpeedAt | null
  /** A person asked for it. */
  asked?: boolean
}

// Room for what a template puts around a turn.
const marginTokens = 128
// After a compaction the prompt must be at most this part of the limit, or the next one would come too soon to pay.
const keptShare = 0.25
// Less than this saved is not worth a broken prefix, not even at the window's end: the next turn would be there again.
const worthShare = 0.7
// A plan's step that is done is a good place to begin with a short context; below this a compaction is not worth its price.
const shortTokens = 12_000
// Nobody knows how many steps a job still takes: a compaction that only pays after more than these does not pay.
const horizonSteps = 15
// A saving is a forecast and the price is sure.
const surplus = 1.5

/** The event that shortens the history before the next turn, or null. */
export function compaction(input: CompactInput): EventOf<'rewritten'> | null {
  // After a rewriting nothing was sent yet: no figure of a turn says how long the new history is, and a job that was cut off there builds the same prompt.
  const last = input.events.findLast((event) => event.type === 'turn' || event.type === 'rewritten')
  if (last?.type !== 'turn') return null
  const scale = bytesPerToken(input, last)
  const now = estimateTokens(input.messages, scale)
  // A call may ask for more tokens than any answer has; a quarter of the window is kept for it at most.
  const limit = input.contextTokens - Math.min(input.maxCallTokens, Math.floor(input.contextTokens / 4)) - marginTokens
  const made = rewritten(input, scale, now, limit)
  if (made === null || made.afterTokens > now * worthShare) return null
  if (input.asked === true) return { ...made, evidence: 'a person asked for it' }
  if (now > limit) return { ...made, evidence: `the next prompt has about ${now} tokens, and ${limit} fit beside an answer` }
  if (planStepDone(input.events) && now > Math.max(shortTokens, limit / 3) && made.afterTokens < now / 2) {
    return { ...made, evidence: `a step of the plan is done; the next one begins with about ${made.afterTokens} tokens instead of ${now}` }
  }
  return paying(input, made, now)
}

/** What the harness puts in place of everything between the opening and the last turns. */
function rewritten(input: CompactInput, scale: number, now: number, limit: number): EventOf<'rewritten'> | null {
  const { messages, openingMessages, events } = input
  const keptMessages = lastTurns(messages, openingMessages, limit * keptShare * scale)
  const droppedMessages = messages.length - openingMessages - keptMessages
  if (droppedMessages <= 1) return null
  const bytes = Math.max(1000, Math.floor(limit * keptShare * scale))
  const text = `Your earlier steps were shortened to this:\n${receipt(events, bytes)}\nGo on from here; do not repeat what is done.`
  const opening = estimateTokens(messages.slice(0, openingMessages), scale)
  const refillTokens = Math.ceil(Buffer.byteLength(text) / scale) + estimateTokens(messages.slice(messages.length - keptMessages), scale)
  return {
    type: 'rewritten', step: input.step, reason: 'compaction', text, keptMessages, droppedMessages, beforeTokens: now, afterTokens: opening + refillTokens,
    refillTokens, refillMs: refillMs(events, refillTokens), evidence: '',
  }
}

/** A shorter prompt decodes and reads faster; is that worth reading it once more? Needs curves: without them only the window decides. */
function paying({ speedAt, stepsLeft, events }: CompactInput, made: EventOf<'rewritten'>, now: number): EventOf<'rewritten'> | null {
  const [deep, short] = [speedAt?.(now) ?? null, speedAt?.(made.afterTokens) ?? null]
  if (deep === null || short === null || made.afterTokens > now / 2) return null
  const turns = events.filter((event) => event.type === 'turn')
  const mean = (of: (turn: EventOf<'turn'>) => number): number => turns.reduce((sum, turn) => sum + of(turn), 0) / turns.length
  const [read, written] = [mean(({ usage }) => usage.promptTokens - usage.reusedTokens), mean(({ usage }) => usage.completionTokens)]
  const seconds = (speed: { prefill: number; decode: number }): number => read / speed.prefill + written / speed.decode
  const saved = (seconds(deep) - seconds(short)) * Math.min(stepsLeft, horizonSteps)
  const price = made.refillTokens / short.prefill
  if (saved < price * surplus) return null
  return { ...made, evidence: `a step takes ${seconds(deep).toFixed(1)} s at ${now} tokens and ${seconds(short).toFixed(1)} s at ${made.afterTokens}; reading them takes ${price.toFixed(1)} s` }
}

/** How many of the last messages stay: whole turns (an answer and all that followed it), two at most, within `bytes`. */
function lastTurns(messages: readonly Message[], openingMessages: number, bytes: number): number {
  let kept = 0
  let turns = 0
  let size = 0
  for (let at = messages.length - 1; at >= openingMessages && turns < 2; at -= 1) {
    const message = messages[at]
    if (message === undefined) break
    size += bytesOf(message)
    if (size > bytes) break
    if (message.role === 'assistant') {
      turns += 1
      kept = messages.length - at
    }
  }
  return kept
}

/** Whether the newest call was a plan with one more step done than the plan before it. */
export function planStepDone(events: readonly JobEventBody[]): boolean {
  const results = events.filter((event) => event.type === 'tool_result')
  if (results.at(-1)?.name !== 'plan') return false
  const [now, before] = results.filter(({ name, ok }) => name === 'plan' && ok).toReversed()
  return now !== undefined && before !== undefined && doneSteps(now.observation) > doneSteps(before.observation)
}

function doneSteps(text: string): number {
  return text.match(/^\s*\[x\]/gim)?.length ?? 0
}

export function estimateTokens(messages: readonly Message[], scale: number): number {
  return Math.ceil(messages.reduce((sum, message) => sum + bytesOf(message), 0) / scale)
}

// Around each message a template writes a role and its marks.
const messageBytes = 16

function bytesOf(message: Message): number {
  const calls = message.role === 'assistant' && message.toolCalls !== undefined ? JSON.stringify(message.toolCalls).length : 0
  return Buffer.byteLength(message.text) + calls + messageBytes
}

/** Bytes a token has in this very conversation: the model counted its last prompt. Tool schemas are in that count, so it errs to the safe side. */
function bytesPerToken({ messages }: CompactInput, last: EventOf<'turn'>): number {
  const at = messages.findLastIndex((message) => message.role === 'assistant')
  const sent = messages.slice(0, at).reduce((sum, message) => sum + bytesOf(message), 0)
  return Math.min(6, Math.max(1, sent / Math.max(1, last.usage.promptTokens)))
}

/** Milliseconds to read so many tokens at the speed of this job's own turns; null when none of them read enough to tell. */
export function refillMs(events: readonly JobEventBody[], tokens: number): number | null {
  let [read, ms] = [0, 0]
  for (const event of events) {
    if (event.type !== 'turn' || event.usage.promptTokens - event.usage.reusedTokens < 32) continue
    read += event.usage.promptTokens - event.usage.reusedTokens
    ms += event.timings.prefillMs
  }
  return read === 0 || ms === 0 ? null : Math.round(tokens * ms / read)
}
