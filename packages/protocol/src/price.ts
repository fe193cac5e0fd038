// Owns what tokens cost at a price. Without the schemas, so that the store's thread can use it: with them it grew by 25 MiB.
import type { Price } from './provider.ts'

/** Price of these tokens in micro-dollars, rounded up: a bill is never smaller than what was used. */
export function usdMicrosOf(price: Price, usage: { promptTokens: number; reusedTokens: number; cacheWriteTokens?: number | undefined; completionTokens: number }): number {
  const written = usage.cacheWriteTokens ?? 0
  const anew = Math.max(0, usage.promptTokens - usage.reusedTokens - written)
  return Math.ceil((anew * price.input + usage.reusedTokens * price.cacheRead + written * price.cacheWrite + usage.completionTokens * price.output) / 1e6)
}
