// Owns prompt lookup: what followed the last time these tokens were there, and whether to bet on it. Pure: knows no model and no clock.

const gram = 3
const radix = 65_599

/** The tokens of one sequence so far, and the earlier place that reads the same as their end. */
export class Lookup {
  readonly #tokens: number[] = []
  readonly #behind = new Map<number, number>()
  #source: number | null = null
  #matched = 0

  constructor(prompt: readonly number[]) {
    for (const token of prompt) this.push(token)
  }

  /** How many tokens before the end are the same as at the earlier place; 0 = there is none. */
  get matched(): number {
    return this.#source === null ? 0 : this.#matched
  }

  push(token: number): void {
    const follows = this.#source !== null && this.#tokens[this.#source] === token
    const length = this.#tokens.push(token)
    if (length < gram) return
    const key = (this.#at(length - 3) * radix + this.#at(length - 2)) * radix + token
    const earlier = this.#behind.get(key)
    this.#behind.set(key, length)
    if (follows && this.#source !== null) {
      this.#source++
      this.#matched++
      return
    }
    this.#matched = earlier === undefined ? 0 : this.#common(earlier)
    this.#source = earlier === undefined || this.#matched < gram ? null : earlier
  }

  /** The next `count` tokens, if all goes on as it did there; a text that repeats itself goes on repeating. */
  next(count: number): number[] {
    const draft: number[] = []
    if (this.#source === null) return draft
    for (let i = 0; i < count; i++) draft.push(this.#tokens[this.#source + i] ?? draft[this.#source + i - this.#tokens.length] ?? 0)
    return draft
  }

  #at(index: number): number {
    return this.#tokens[index] ?? 0
  }

  #common(end: number): number {
    let length = 0
    while (length < 64 && length < end && this.#at(end - 1 - length) === this.#at(this.#tokens.length - 1 - length)) length++
    return length
  }
}

/** Draft lengths that are tried. One row more is evaluated: the token before the draft. */
export const lengths = [3, 7, 15, 31, 63]
const leastValue = 1.05
const keptTimes = 8
const neededPlain = 4
// What an evaluation of so many rows costs is forgotten after this many questions, or one bad moment would rule a length out for ever.
const forgetAfter = 512

/**
 * What is known of this machine: how many plain tokens a check of so many rows takes. Shared by all runs of a worker. Medians of ratios taken close together,
 * so that a machine that is slow at the moment is slow on both sides.
 */
export class CheckCosts {
  readonly #plain: number[] = []
  readonly #ratios = new Map<number, number[]>()
  #asked = 0

  /** One plain token took `ms`. */
  plain(ms: number): void {
    this.#plain.push(ms)
    if (this.#plain.length > keptTimes) this.#plain.shift()
  }

  /** Milliseconds of one plain token; null before enough were seen. */
  get plainMs(): number | null {
    return this.#plain.length < neededPlain ? null : median(this.#plain)
  }

  /** A check of `rows` rows took `ms`. */
  note(rows: number, ms: number): void {
    const plainMs = this.plainMs
    if (plainMs === null) return
    const ratios = this.#ratios.get(rows) ?? []
    this.#ratios.set(rows, ratios)
    ratios.push(ms / plainMs)
    if (ratios.length > keptTimes) ratios.shift()
  }

  /**
   * The number of tokens worth drafting behind `matched` equal ones; 0 = none. After n tokens that agreed, the next one agrees with probability
   * (n + 1/2) / (n + 1) (Krichevsky and Trofimov).
   */
  draftLength(matched: number, atMost: number): number {
    return this.bestLength((matched + 0.5) / (matched + 1), atMost)
  }

  /** The number of tokens worth drafting when each agrees with probability `agrees` and costs `guessRatio` of a plain token to guess; 0 = none. */
  bestLength(agrees: number, atMost: number, guessRatio = 0): number {
    if (++this.#asked % forgetAfter === 0) this.#ratios.clear()
    let best = { length: 0, value: leastValue }
    for (const length of lengths) {
      if (length > atMost) break
      const expected = agrees >= 1 ? length + 1 : (1 - agrees ** (length + 1)) / (1 - agrees)
      const value = expected / (this.#ratio(length + 1) + length * guessRatio)
      if (value > best.value) best = { length, value }
    }
    return best.length
  }

  /** Plain tokens that a check of `rows` rows takes: measured, else half a token a row, or what the next smaller number that was measured lets expect when that is less. */
  #ratio(rows: number): number {
    const known = this.#ratios.get(rows)
    if (known !== undefined) return median(known)
    let below: [rows: number, ratio: number] = [1, 1]
    for (const [other, ratios] of this.#ratios) if (other < rows && other > below[0]) below = [other, median(ratios)]
    const supposed = 1 + (rows - 1) / 2
    return below[0] === 1 ? supposed : Math.min(supposed, below[1] + (rows - below[0]) * (below[1] - 1) / (below[0] - 1))
  }
}

/** The middle one; of an even number the upper of the two. */
export function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN
}

const firstRest = 64

/** Whether drafting has paid in one run. A loss of two tokens and 2 % of the time turns it off for 64 tokens, then for twice as many. */
export class Balance {
  #balanceMs = 0
  #spentMs = 0
  #rest = 0
  #resting = 0

  /** One plain token. True when drafting may be tried. */
  plain(ms: number): boolean {
    this.#spentMs += ms
    if (this.#resting > 0) this.#resting--
    return this.#resting === 0
  }

  /** One checked draft that gave `tokens` tokens in `ms`. */
  drafted(tokens: number, ms: number, plainMs: number): void {
    this.#spentMs += ms
    this.#balanceMs += tokens * plainMs - ms
    if (this.#balanceMs > -(2 * plainMs + 0.02 * this.#spentMs)) return
    this.#rest = Math.max(firstRest, this.#rest * 2)
    this.#resting = this.#rest
    this.#balanceMs = 0
  }

  get resting(): boolean {
    return this.#resting > 0
  }
}
