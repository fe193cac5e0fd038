// Owns the streams of events to those who follow a job. Each reads the database from the number it has; an announcement only wakes it.
// Nothing is kept per listener but that number, so a slow one costs nothing and can neither miss nor repeat an event.
import type { JobEvent } from '@hearth/protocol'
import type { Reads } from '../store/reads.ts'

const pageSize = 256

export class Feed {
  readonly #read: Reads
  readonly #sleepers = new Map<string, Set<() => void>>()
  #closed = false

  constructor(read: Reads) {
    this.#read = read
  }

  /** New events of this job are on disk. */
  announce(jobId: string): void {
    const sleepers = this.#sleepers.get(jobId)
    this.#sleepers.delete(jobId)
    for (const wake of sleepers ?? []) wake()
  }

  /** Ends all streams at their next turn. */
  close(): void {
    this.#closed = true
    for (const jobId of [...this.#sleepers.keys()]) this.announce(jobId)
  }

  /** Events after a number, in pages, until `ended` (or until there are no more, when not following) or the signal. */
  async *events(jobId: string, after: number, follow: boolean, signal: AbortSignal): AsyncGenerator<JobEvent[]> {
    let last = after
    while (!signal.aborted && !this.#closed) {
      // Asked before the page is read: the writing thread may commit between the two, and then `ended` must not be missed.
      const over = this.#read.job(jobId)?.endedAt !== null
      const page = this.#read.events(jobId, last, pageSize)
      const end = page.at(-1)
      if (end !== undefined) {
        last = end.seq
        yield page
        if (end.type === 'ended') return
        continue
      }
      if (!follow || over) return
      await this.#announced(jobId, signal)
    }
  }

  #announced(jobId: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const sleepers = this.#sleepers.get(jobId) ?? new Set()
      this.#sleepers.set(jobId, sleepers)
      const wake = (): void => {
        sleepers.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      sleepers.add(wake)
      signal.addEventListener('abort', wake)
    })
  }
}
