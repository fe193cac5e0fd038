// Owns what was measured of a worker's speed and what it lets us expect of the next run. Times and counts only; no clock of its own.
import type { Expectation } from '../profile/forecast.ts'
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
  readonly #prior: () => Expectation | null

  /** `prior`: what is known of this model before its first run here. */
  constructor(prior: () => Expectation | null = () => null) {
    this.#prior = prior
  }

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

  /** How long a run will take, without anything reused, by the runs so far or else by the profile of this box; null when neither tells. */
  runMs(promptChars: number, maxTokens: number): number | null {
    return this.atMostMs(promptChars, Math.min(maxTokens, this.#completionTokens ?? maxTokens))
  }

  /** The same for the longest answer. */
  atMostMs(promptChars: number, completionTokens: number): number | null {
    const promptTokens = promptChars / this.#charsPerToken
    if (this.#prefillMsPerToken !== null && this.#decodeMsPerToken !== null) return promptTokens * this.#prefillMsPerToken + completionTokens * this.#decodeMsPerToken
    const prior = this.#prior()
    return prior === null ? null : prior.prefillMs(promptTokens) + completionTokens * prior.decodeMsPerToken
  }
}

function blend(before: number | null, now: number): number {
  return before === null ? now : before + newest * (now - before)
}
