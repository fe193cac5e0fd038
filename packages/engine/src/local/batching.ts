// Owns what goes into the next evaluation: which queued rows, in which order, and the pause that lets a sequence's memory be changed.
// Knows the library only by the shape of its batch items; lives in the worker.

type Item = { readonly tokens: readonly unknown[]; readonly evaluationPriority: number }

// The library's dispatch loop runs as soon as anything is queued, so k sequences ran in batches of k-1 (two never shared one). An empty answer makes it
// ask again after a round of microtasks; the last sequence is back after about four rounds, so 64 never stalls and never loops for ever.
const askAgainLimit = 64

export class Batching {
  #expected = 0
  #asked = 0
  #exclusives = 0
  #opened: PromiseWithResolvers<void> | null = null

  /** A run is about to queue rows, and after each evaluation will queue more at once. */
  enter(): void {
    this.#expected++
  }

  leave(): void {
    this.#expected--
  }

  /** True while somebody waits for the memory: runs then call `pass` before they queue again. */
  get closed(): boolean {
    return this.#opened !== null
  }

  /** Parks a run (that has entered) until the memory is free again. */
  async pass(): Promise<void> {
    while (this.#opened !== null) {
      this.leave()
      await this.#opened.promise
      this.enter()
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

  /** The library's `itemPrioritizationStrategy`: strictly by class, decoding before prefill inside a class, each all it wants while there is room. */
  readonly strategy = <T extends Item>({ items, size }: { items: readonly T[]; size: number }): { item: T; processAmount: number }[] => {
    if (items.length < this.#expected && this.#asked < askAgainLimit) {
      this.#asked++
      return []
    }
    this.#asked = 0
    const ordered = items.toSorted((a, b) => b.evaluationPriority - a.evaluationPriority || a.tokens.length - b.tokens.length)
    const chosen: { item: T; processAmount: number }[] = []
    let room = size
    for (const item of ordered) {
      const processAmount = Math.min(item.tokens.length, room)
      if (processAmount <= 0) break
      chosen.push({ item, processAmount })
      room -= processAmount
    }
    return chosen
  }
}
