// Owns what an evaluation of so many rows costs on this machine, and the choice that follows: all generating sequences in one batch, or each alone.
// Pure: is told times, asks no clock. One batch is right on a GPU; on a CPU with quantised weights two to six rows in one batch were 7 to 30 % slower than the same rows
// one after the other, and eight were 15 % faster (docs/log.md), so it is measured, never believed.

const kept = 8
const needed = 4
const probed = 6
// Looking again at the loser may cost this part of the time.
const probeBudget = 0.01

/** The best of the last eight times: whatever else a shared machine does only ever adds. */
class Recent {
  readonly #values: number[] = []

  add(value: number): void {
    this.#values.push(value)
    if (this.#values.length > kept) this.#values.shift()
  }

  get best(): number | null {
    return this.#values.length < needed ? null : Math.min(...this.#values)
  }
}

export class RowCosts {
  readonly #recent = new Map<number, Recent>()
  readonly #rounds = new Map<number, { untilProbe: number; probing: number }>()
  #lastRows = 0

  /** An evaluation of `rows` rows took `ms`. The first of a run of equal ones is not counted: the library builds its graph anew for it. */
  note(rows: number, ms: number): void {
    if (rows === this.#lastRows) {
      const recent = this.#recent.get(rows) ?? new Recent()
      this.#recent.set(rows, recent)
      recent.add(ms)
    }
    this.#lastRows = rows
  }

  /** Milliseconds of an evaluation of `rows` rows; null while unknown. */
  ms(rows: number): number | null {
    return this.#recent.get(rows)?.best ?? null
  }

  /** Whether `sequences` generating sequences are best evaluated one by one; asked before each evaluation, because now and then the answer is a second look. */
  apart(sequences: number): boolean {
    if (sequences < 2) return false
    const together = this.ms(sequences)
    if (together === null) return false
    const alone = this.ms(1)
    if (alone === null) return true
    const apart = alone * sequences
    const best = apart < together
    const state = this.#rounds.get(sequences) ?? { untilProbe: rest(sequences, apart, together), probing: 0 }
    this.#rounds.set(sequences, state)
    if (state.probing > 0) {
      if (--state.probing === 0) state.untilProbe = rest(sequences, apart, together)
      return !best
    }
    if (--state.untilProbe <= 0) state.probing = probed
    return best
  }
}

/** Evaluations until the slower way is looked at again. */
function rest(sequences: number, apart: number, together: number): number {
  const [fast, slow] = apart < together ? [apart, together] : [together, apart]
  const perToken = (slow - fast) / sequences
  const loss = perToken * probed * (slow === together ? sequences : 1)
  const evaluationMs = slow === together ? fast / sequences : fast
  return Math.max(200, Math.ceil(loss / probeBudget / evaluationMs))
}
