// Owns the arithmetic of one call's money: the most it can cost, what is held for it, what it cost in the end. Integers in micro-dollars; pure.
import type { ModelRequest, Price, Usage } from '@hearth/protocol'
import { usdMicrosOf } from '@hearth/protocol/price'

/** What pays first for a call. `held`: the most it draws, in tokens (throughput always) or micro-dollars. `packages:` names several, each with what it holds of that. */
export type Cover = { source: 'throughput' | `package:${string}` | `packages:${string}`; unit: 'tokens' | 'usdMicros'; held: number }

/** What is held until the call is settled. `usdMicros`: the most it can cost; `listUsdMicros`: the same, were nothing of it paid for already. */
export type Hold = {
  /** Moment that it is booked at, milliseconds since 1970. */
  at: number
  price: Price
  promptTokens: number
  completionTokens: number
  usdMicros: number
  listUsdMicros: number
  /** What pays first; null = money does. */
  cover: Cover | null
}

/** What a call cost: new money, its value at the dated price, and what was drawn from the cover, in its unit. */
export type Cost = { usdMicros: number; listUsdMicros: number; covered: number }

// A role, separators and an id: no provider adds more to a message. The words that some put around tools came to 700 tokens at most.
const messageTokens = 32
const frameTokens = 64
const toolFrameTokens = 1024

/**
 * Prompt tokens that a provider can count at most: one for each byte. Every tokenizer in use falls back to bytes, so none makes more of a text; as JSON it is
 * longer still. English has about a quarter of that: what is held too much is free again when the call ends.
 */
export function promptTokensAtMost({ messages, tools, responseFormat }: Pick<ModelRequest, 'messages' | 'tools' | 'responseFormat'>): number {
  return Buffer.byteLength(JSON.stringify([messages, tools, responseFormat])) + messages.length * messageTokens + (tools.length === 0 ? frameTokens : toolFrameTokens)
}

/** Every prompt token at the dearest of its three prices: whether it is read anew, from the cache or into it is not known before. Rounded up. */
export function worstUsdMicros(price: Price, { promptTokens, completionTokens }: { promptTokens: number; completionTokens: number }): number {
  return Math.ceil((promptTokens * Math.max(price.input, price.cacheRead, price.cacheWrite) + completionTokens * price.output) / 1e6)
}

/** What a cover leaves to be paid of a call: of tokens the share that it does not hold, of money the difference. Grows with both, so the worst call leaves the most. */
export function moneyBeyond({ unit, held }: Cover, listUsdMicros: number, tokens: number): number {
  if (unit === 'usdMicros') return Math.max(0, listUsdMicros - held)
  return tokens <= held ? 0 : Math.ceil(listUsdMicros * (tokens - held) / tokens)
}

/** The cost of what was used; null = nobody knows what was, and all that is held counts. */
export function costOf(hold: Hold, usage: Usage | null): Cost {
  if (usage === null) return { usdMicros: hold.usdMicros, listUsdMicros: hold.listUsdMicros, covered: hold.cover?.held ?? 0 }
  const listUsdMicros = usdMicrosOf(hold.price, usage)
  if (hold.cover === null) return { usdMicros: listUsdMicros, listUsdMicros, covered: 0 }
  const tokens = usage.promptTokens + usage.completionTokens
  return { usdMicros: moneyBeyond(hold.cover, listUsdMicros, tokens), listUsdMicros, covered: Math.min(hold.cover.held, hold.cover.unit === 'tokens' ? tokens : listUsdMicros) }
}

export const dayMs = 86_400_000

/** UTC day of a moment, YYYY-MM-DD. */
export function dayOf(at: number): string {
  return new Date(at).toISOString().slice(0, 10)
}

export function dollars(micros: number): string {
  return `$${(micros / 1e6).toFixed(micros % 10_000 === 0 ? 2 : 6)}`
}
