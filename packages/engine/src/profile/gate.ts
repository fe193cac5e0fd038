// Owns the way to the models: everybody may pass, or one who measures alone. Knows no model and no process.
import type { Waits } from '../local/line.ts'
import type { Hold } from '../local/residency.ts'

export class Gate {
  #inside = 0
  #outside = 0
  #closed: PromiseWithResolvers<void> | null = null
  readonly #emptied = new Set<() => void>()

  /** Requests that hold a model now. */
  get inside(): number {
    return this.#inside
  }

  get closed(): boolean {
    return this.#closed !== null
  }

  /** Takes a hold behind the gate: waits while it is closed, which `waits` hears, and counts as inside until the hold is given back. */
  async pass<F>(signal: AbortSignal, take: () => Promise<Hold | 'aborted' | F>, waits?: Waits): Promise<Hold | 'aborted' | F> {
    while (this.#closed !== null) {
      this.#outside++
      waits?.(this.#outside, 'waiting until this box is measured')
      try {
        if (await unlessAborted(this.#closed.promise, signal) === 'aborted') return 'aborted'
      } finally {
        this.#outside--
      }
    }
    this.#inside++
    let held: Hold | 'aborted' | F
    try {
      held = await take()
    } catch (error) {
      this.#leave()
      throw error
    }
    if (typeof held !== 'object' || held === null || !('release' in held)) {
      this.#leave()
      return held
    }
    const hold = held
    let left = false
    return {
      release: () => {
        hold.release()
        if (left) return
        left = true
        this.#leave()
      },
    }
  }

  /** Lets nobody in any more and waits until all are out; the returned function opens it again. Null: it is closed already. */
  async close(signal: AbortSignal): Promise<(() => void) | 'aborted' | null> {
    if (this.#closed !== null) return null
    const closed = Promise.withResolvers<void>()
    this.#closed = closed
    const open = (): void => {
      if (this.#closed !== closed) return
      this.#closed = null
      closed.resolve()
    }
    while (this.#inside > 0) {
      const emptied = new Promise<void>((resolve) => this.#emptied.add(resolve))
      if (await unlessAborted(emptied, signal) === 'aborted') {
        open()
        return 'aborted'
      }
    }
    return open
  }

  #leave(): void {
    this.#inside--
    if (this.#inside > 0) return
    for (const resolve of this.#emptied) resolve()
    this.#emptied.clear()
  }
}

async function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<'aborted' | void> {
  if (signal.aborted) return 'aborted'
  const aborted = Promise.withResolvers<'aborted'>()
  const leave = (): void => aborted.resolve('aborted')
  signal.addEventListener('abort', leave, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', leave)
  }
}
