// Owns what was measured of a worker's speed and what it lets us expect of the next run. Times and counts only; no clock of its own.
import type { RunFigures } from './wire.ts'

// Weight of the newest run: fast enough to follow a changed load, slow enough not to jump with each prompt.
const newest = 0.3
// A run must evaluate this much before its speed means anything.
const leastTokens = 8

export class Forecast {
  #prefillMsPerToken: number | null = null
  #decodeMsPerToken: number | null = null
  #completionTokens: number | null = null
  #charsPerToken = 4

  /** Milliseconds to evaluate one prompt token; null before the first prompt. */
  get prefillMsPerToken(): number | null {
    return this.#prefillMsPerToken
  }

  measured(figures: RunFigures, promptChars: number): void {
    const evaluated = figures.promptTokens - figures.reusedTokens
    if (evaluated >= leastTokens && figures.prefillMs > 0) this.#prefillMsPerToken = blend(this.#prefillMsPerToken, figures.prefillMs / evaluated)
    if (figures.completionTokens >= leastTokens && figures.decodeMs > 0) this.#decodeMsPerToken = blend(this.#decodeMsPerToken, figures.decodeMs / figures.completionTokens)
    if (figures.completionTokens > 0) this.#completionTokens = blend(this.#completionTokens, figures.completionTokens)
    if (figures.promptTokens >= leastTokens) this.#charsPerToken = blend(this.#charsPerToken, promptChars / figures.promptTokens)
  }

  /** How long a run will take, without anything reused; null before both speeds were measured. */
  runMs(promptChars: number, maxTokens: number): number | null {
    if (this.#prefillMsPerToken === null || this.#decodeMsPerToken === null) return null
    const completion = Math.min(maxTokens, this.#completionTokens ?? maxTokens)
    return (promptChars / this.#charsPerToken) * this.#prefillMsPerToken + completion * this.#decodeMsPerToken
  }
}

function blend(before: number | null, now: number): number {
  return before === null ? now : before + newest * (now - before)
}
