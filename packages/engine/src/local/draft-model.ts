// Owns drafting by a second, smaller model: what it is asked, how often it was right, and whether that pays on this machine. Pure but for what it is handed:
// knows neither the library nor a clock. A draft model that does not pay is asked once in a while, ever more seldom.
import { lengths, median, type CheckCosts } from './lookup.ts'
import type { Drafter, Round } from './speculation.ts'

/** The draft model's own memory of one sequence. */
export type Guesser = {
  /** Tokens of `text` that it has not read yet. */
  behind(text: readonly number[]): number
  /** Reads what it has not of `text` and says the likeliest next tokens, one after the other; `readMs` of the reading. */
  guess(text: readonly number[], count: number): Promise<{ tokens: number[]; readMs: number }>
}

const firstRest = 64
const longestRest = 4096
// What is known beforehand counts as so many tokens; an older token counts less by so much with each newer one.
const prior = { agrees: 0.7, tokens: 4 }
const keep = 0.97
const keptRatios = 8
// What trials may cost of the time: the reading before one, and what it loses. A draft model as dear as the model, read on after each rest, cost a third of the speed.
const trialBudget = 0.02
// Plain tokens that reading one takes, before it was measured.
const supposedReadRatio = 0.05
// A shorter text is not worth a measurement: the first guess is part of it.
const leastRead = 16

/** What is known of a draft model on this machine. Shared by all runs of a worker. */
export class DraftGain {
  readonly #costs: CheckCosts
  readonly #ratios: number[] = []
  readonly #readRatios: number[] = []
  #tested = prior.tokens
  #agreed = prior.tokens * prior.agrees
  #rest = firstRest
  #resting = 0
  #trials = 0
  #trying = false
  #plainSince = 0

  constructor(costs: CheckCosts) {
    this.#costs = costs
  }

  /** The part of its tokens that agree, newer ones counting more. */
  get agrees(): number {
    return this.#agreed / this.#tested
  }

  /**
   * Tokens to draft; 0 = none. A length is tried when nothing pays, each time another one: first at once, then after a rest that doubles and when reading the `behind` tokens
   * before it is cheap beside what was said since.
   */
  length(atMost: number, behind: number): number {
    const ratio = this.#ratios.length === 0 ? null : median(this.#ratios)
    const best = ratio === null ? 0 : this.#costs.bestLength(this.agrees, atMost, ratio)
    if (best > 0) {
      this.#rest = firstRest
      return best
    }
    const trial = lengths[this.#trials % 3] ?? 0
    const readTokens = behind * (this.#readRatios.length === 0 ? supposedReadRatio : median(this.#readRatios))
    if (this.#resting > 0 || trial > atMost || (this.#trials > 0 && readTokens > trialBudget * this.#plainSince)) return 0
    this.#trials++
    this.#trying = true
    this.#plainSince = 0
    this.#resting = this.#rest
    this.#rest = Math.min(longestRest, this.#rest * 2)
    return trial
  }

  plain(): void {
    this.#plainSince++
    if (this.#resting > 0) this.#resting--
  }

  /** It read so many tokens before its first guess. */
  read(tokens: number, ms: number, plainMs: number): void {
    if (tokens < leastRead) return
    this.#readRatios.push(ms / tokens / plainMs)
    if (this.#readRatios.length > keptRatios) this.#readRatios.shift()
  }

  /** `guessMs` without the reading. */
  judged({ drafted, agreed, said, guessMs, checkMs, plainMs }: Round): void {
    if (this.#trying) this.#resting = Math.max(this.#resting, Math.ceil(((guessMs + checkMs) / plainMs - said) / trialBudget))
    this.#trying = false
    const tested = Math.min(drafted, agreed + 1)
    const old = keep ** tested
    this.#tested = this.#tested * old + tested
    this.#agreed = this.#agreed * old + agreed
    this.#ratios.push(guessMs / drafted / plainMs)
    if (this.#ratios.length > keptRatios) this.#ratios.shift()
  }
}

export class ModelDrafter implements Drafter {
  readonly #guesser: Guesser
  readonly #gain: DraftGain
  readonly #text: number[]
  #readMs = 0
  #readTokens = 0

  constructor(prompt: readonly number[], guesser: Guesser, gain: DraftGain) {
    this.#text = [...prompt]
    this.#guesser = guesser
    this.#gain = gain
  }

  length(atMost: number): number {
    return this.#gain.length(atMost, this.#guesser.behind(this.#text))
  }

  async guess(length: number): Promise<number[]> {
    this.#readTokens = this.#guesser.behind(this.#text)
    const { tokens, readMs } = await this.#guesser.guess(this.#text, length)
    this.#readMs = readMs
    return tokens
  }

  judged(round: Round): void {
    if (this.#readMs > 0) this.#gain.read(this.#readTokens, this.#readMs, round.plainMs)
    this.#gain.judged({ ...round, guessMs: Math.max(0, round.guessMs - this.#readMs) })
  }

  push(token: number): void {
    this.#text.push(token)
  }

  plain(): void {
    this.#gain.plain()
  }
}
