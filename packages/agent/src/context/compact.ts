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
  const { messages, openingMessages, events, contextTokens, maxCallTokens } = input
  // After a rewriting nothing was sent yet: no figure of a turn says how long the new history is, and a job that was cut off there builds the same prompt.
  if (lastMeasured(events)?.type !== 'turn') return null
  const scale = bytesPerToken(messages, events)
  const now = estimateTokens(messages, scale)
  // A call may ask for more tokens than any answer has; a quarter of the window is kept for it at most.
  const limit = contextTokens - Math.min(maxCallTokens, Math.floor(contextTokens / 4)) - marginTokens
  const why: Why = input.asked === true ? 'asked' : now > limit ? 'full' : now > Math.max(shortTokens, limit / 3) && planStepDone(events) ? 'plan' : 'pays'
  const keptMessages = lastTurns(messages, openingMessages, limit * keptShare * scale)
  const openingTokens = estimateTokens(messages.slice(0, openingMessages), scale)
  const keptTokens = estimateTokens(messages.slice(messages.length - keptMessages), scale)
  // What a receipt of no length would save is looked at first: making one reads every event.
  const worth = (refillTokens: number): string | null => worthIt(why, input, { now, limit, afterTokens: openingTokens + refillTokens, refillTokens })
  const droppedMessages = messages.length - openingMessages - keptMessages
  if (droppedMessages <= 1 || worth(keptTokens) === null) return null
  const text = `Your earlier steps were shortened to this:\n${receipt(events, Math.max(1000, Math.floor(limit * keptShare * scale)))}\nGo on from here; do not repeat what is done.`
  const refillTokens = Math.ceil(Buffer.byteLength(text) / scale) + keptTokens
  const evidence = worth(refillTokens)
  if (evidence === null) return null
  return {
    type: 'rewritten', step: input.step, reason: 'compaction', text, keptMessages, droppedMessages, beforeTokens: now, afterTokens: openingTokens + refillTokens,
    refillTokens, refillMs: refillMs(events, refillTokens), evidence,
  }
}

/** Who wants it shortened: a person, the window, the plan, or the speeds of this box. */
type Why = 'asked' | 'full' | 'plan' | 'pays'
type Sizes = { now: number; limit: number; afterTokens: number; refillTokens: number }

/** The evidence for a shortening to `afterTokens`; null = it is not worth it. */
function worthIt(why: Why, input: CompactInput, sizes: Sizes): string | null {
  const { now, limit, afterTokens } = sizes
  if (afterTokens > now * worthShare) return null
  switch (why) {
    case 'asked': return 'a person asked for it'
    case 'full': return `the next prompt has about ${now} tokens, and ${limit} fit beside an answer`
    case 'plan': return afterTokens < now / 2 ? `a step of the plan is done; the next one begins with about ${afterTokens} tokens instead of ${now}` : null
    case 'pays': return paying(input, sizes)
    default: return why satisfies never
  }
}

/** A shorter prompt decodes and reads faster; is that worth reading it once more? Needs curves: without them only the window decides. */
function paying({ speedAt, stepsLeft, events }: CompactInput, { now, afterTokens, refillTokens }: Sizes): string | null {
  const [deep, short] = [speedAt?.(now) ?? null, speedAt?.(afterTokens) ?? null]
  if (deep === null || short === null || afterTokens > now / 2) return null
  const turns = events.filter((event) => event.type === 'turn')
  const mean = (of: (turn: EventOf<'turn'>) => number): number => turns.reduce((sum, turn) => sum + of(turn), 0) / turns.length
  const [read, written] = [mean(({ usage }) => usage.promptTokens - usage.reusedTokens), mean(({ usage }) => usage.completionTokens)]
  const seconds = (speed: { prefill: number; decode: number }): number => read / speed.prefill + written / speed.decode
  const saved = (seconds(deep) - seconds(short)) * Math.min(stepsLeft, horizonSteps)
  const price = refillTokens / short.prefill
  if (saved < price * surplus) return null
  return `a step takes ${seconds(deep).toFixed(1)} s at ${now} tokens and ${seconds(short).toFixed(1)} s at ${afterTokens}; reading them takes ${price.toFixed(1)} s`
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
  const now = events.findLast((event) => event.type === 'tool_result')
  if (now?.name !== 'plan' || !now.ok) return false
  const before = events.findLast((event) => event.type === 'tool_result' && event.name === 'plan' && event.ok && event !== now)
  return before?.type === 'tool_result' && doneSteps(now.observation) > doneSteps(before.observation)
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
  if (message.role !== 'assistant') return Buffer.byteLength(message.text) + messageBytes
  const calls = message.toolCalls === undefined ? 0 : JSON.stringify(message.toolCalls).length
  return Buffer.byteLength(message.text) + Buffer.byteLength(message.reasoning ?? '') + calls + messageBytes
}

/** The last turn, or what changed the history since. */
function lastMeasured(events: readonly JobEventBody[]): EventOf<'turn'> | EventOf<'rewritten'> | undefined {
  return events.findLast((event) => event.type === 'turn' || event.type === 'rewritten')
}

// Of English text and code, where no turn tells.
const usualBytesPerToken = 4

/** Bytes a token has in this very conversation: the model counted its last prompt. Tool schemas are in that count, so it errs to the safe side. */
export function bytesPerToken(messages: readonly Message[], events: readonly JobEventBody[]): number {
  const last = lastMeasured(events)
  if (last?.type !== 'turn' || last.usage.promptTokens === 0) return usualBytesPerToken
  const at = messages.findLastIndex((message) => message.role === 'assistant')
  const sent = messages.slice(0, at).reduce((sum, message) => sum + bytesOf(message), 0)
  return Math.min(6, Math.max(1, sent / last.usage.promptTokens))
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
