// Owns what goes into the next evaluation: which queued rows, in which order, and the pause that lets a sequence's memory be changed.
// Knows the library only by the shape of its batch items; lives in the worker.

import { RowCosts } from './row-cost.ts'

type Item = { readonly tokens: readonly unknown[]; readonly evaluationPriority: number }

// The library's dispatch loop runs as soon as anything is queued, so k sequences ran in batches of k-1 (two never shared one). An empty answer makes it
// ask again after a round of microtasks; the last sequence is back after about four rounds, so 64 never stalls and never loops for ever.
const askAgainLimit = 64

// The strategy is not told which sequence a row belongs to, and llama.cpp joins only rows of rising neighbours (0, 1, 2, ...) into one evaluation: in the order in
// which sequences happen to come back, eight rows ran as several small ones, 23 % slower on a CPU. The number travels behind the point of the priority.
const sequencesAtMost = 1024

// What a prompt of a lower class may add to an evaluation in which a higher one is read: a full piece would take the higher one as long as its own.
const rowsBesideHigher = 16

// One at a time, a class may take all evaluations but this part of them, as long as a lower one waits too: its clients must not time out.
const oneInLower = 8

/** What to give the library as `evaluationPriority`: the class's priority, a whole number, and the sequence. */
export function rowKey(priority: 1 | 3 | 5, sequence: number): number {
  return priority + sequence / sequencesAtMost
}

export class Batching {
  readonly costs = new RowCosts()
  #running: { rows: number; at: number } | null = null
  /** Runs that queue rows, by class. */
  readonly #runs = new Map<number, number>()
  #expected = 0
  #overLower = 0
  #asked = 0
  #apart = false
  #exclusives = 0
  #opened: PromiseWithResolvers<void> | null = null

  /** A run is about to queue rows, and after each evaluation will queue more at once. */
  enter(priority: 1 | 3 | 5 = 3): void {
    this.#count(priority, 1)
  }

  /** It queues no more; `priority` as it entered. */
  leave(priority: 1 | 3 | 5 = 3): void {
    this.#count(priority, -1)
  }

  #count(priority: number, change: 1 | -1): void {
    this.#expected += change
    this.#runs.set(priority, (this.#runs.get(priority) ?? 0) + change)
    this.#running = null
  }

  /** Runs that queue rows at this moment. */
  get active(): number {
    return this.#expected
  }

  /** True while somebody waits for the memory: runs then call `pass` before they queue again. */
  get closed(): boolean {
    return this.#opened !== null
  }

  /** Parks a run (that has entered) until the memory is free again. */
  async pass(priority: 1 | 3 | 5 = 3): Promise<void> {
    while (this.#opened !== null) {
      this.leave(priority)
      await this.#opened.promise
      this.enter(priority)
    }
  }

  /**
   * Work on a sequence's memory (erase, checkpoint). The library does it under the lock of its dispatch loop, and that loop keeps the lock as long as
   * two or more sequences generate; so all runs are parked at their next token until the work is done.
   */
  async exclusive<T>(work: () => Promise<T>): Promise<T> {
    this.#exclusives++
    this.#opened ??= Promise.withResolvers()
    try {
      return await work()
    } finally {
      if (--this.#exclusives === 0) {
        const opened = this.#opened
        this.#opened = null
        opened.resolve()
      }
    }
  }

  /**
   * The library's `itemPrioritizationStrategy`. Prompts: strictly by class, decoding before prefill inside a class, each all it wants while there is room; a
   * prompt of a lower class goes on in small pieces while one of a higher class is read.
   * Rows of generating sequences only: all in one batch, or one alone, whichever was measured to be faster.
   */
  readonly strategy = <T extends Item>({ items, size }: { items: readonly T[]; size: number }): { item: T; processAmount: number }[] => {
    const now = performance.now()
    if (this.#running !== null) this.costs.note(this.#running.rows, now - this.#running.at)
    this.#running = null
    const generating = items.every((item) => item.tokens.length === 1)
    const [oldest] = items
    if (generating && oldest !== undefined && this.#asked === 0) this.#apart = this.costs.apart(this.#expected)
    if (generating && oldest !== undefined && this.#apart) {
      // The run that was just served comes back some microtasks later; without waiting for it every second evaluation would go to a lower class.
      if (this.#asked < askAgainLimit && this.#higherAwaited(items)) {
        this.#asked++
        return []
      }
      this.#asked = 0
      this.#running = { rows: 1, at: performance.now() }
      return [{ item: this.#alone(items, oldest), processAmount: 1 }]
    }
    if (items.length < this.#expected && this.#asked < askAgainLimit) {
      this.#asked++
      return []
    }
    this.#asked = 0
    const ordered = items.toSorted((a, b) => classOf(b) - classOf(a) || a.tokens.length - b.tokens.length)
    const reading = items.reduce((highest, item) => (item.tokens.length > 1 ? Math.max(highest, classOf(item)) : highest), 0)
    const chosen: { item: T; processAmount: number }[] = []
    let room = size
    for (const item of ordered) {
      const processAmount = Math.min(item.tokens.length, room, classOf(item) < reading ? rowsBesideHigher : Infinity)
      if (processAmount <= 0) break
      chosen.push({ item, processAmount })
      room -= processAmount
    }
    if (generating) this.#running = { rows: chosen.length, at: performance.now() }
    return chosen.toSorted((a, b) => sequenceOf(a.item) - sequenceOf(b.item))
  }

  /** The one row of the next evaluation: of the highest class the one that waits longest (the library queues in order of arrival); one in eight of those below it. */
  #alone<T extends Item>(items: readonly T[], oldest: T): T {
    const highest = items.reduce((best, item) => (classOf(item) > classOf(best) ? item : best), oldest)
    const lower = items.find((item) => classOf(item) < classOf(highest))
    if (lower === undefined || ++this.#overLower < oneInLower) {
      if (lower === undefined) this.#overLower = 0
      return highest
    }
    this.#overLower = 0
    return lower
  }

  /** Whether a run of a higher class than any of these is active and not back yet. */
  #higherAwaited(items: readonly Item[]): boolean {
    const highest = items.reduce((most, item) => Math.max(most, classOf(item)), 0)
    return this.#runs.entries().some(([priority, count]) => priority > highest && count > 0)
  }
}

function classOf(item: Item): number {
  return Math.floor(item.evaluationPriority)
}

function sequenceOf(item: Item): number {
  return item.evaluationPriority - classOf(item)
}
