// Owns the numbers of one job's events: one batch in flight, numbers given when a batch is made and kept only when it is on disk.
// Stored, then announced; nobody sees an event that a crash could take back.
import type { JobEvent, JobEventBody } from '@hearth/protocol'
import type { Store } from '../store/store.ts'

type Pending = { body: JobEventBody; at: number; resolve: (() => void) | null; reject: ((error: unknown) => void) | null }

/** Pieces of text wait this long for more of their kind, so that a token costs no commit. */
export const coalesceMs = 250

export class Journal {
  readonly jobId: string
  readonly #store: Store
  readonly #announce: (jobId: string) => void
  readonly #now: () => number
  #lastSeq: number
  #pending: Pending[] = []
  #writing: Promise<void> | null = null
  #timer: NodeJS.Timeout | null = null

  constructor(jobId: string, lastSeq: number, store: Store, announce: (jobId: string) => void, now: () => number = Date.now) {
    this.jobId = jobId
    this.#lastSeq = lastSeq
    this.#store = store
    this.#announce = announce
    this.#now = now
  }

  /**
   * Resolves when the event is on disk; events emitted without waiting in between are stored together or not at all. `text`, `thought` and `tool_output` resolve at once and are stored within `coalesceMs`, or with the next event.
   * Rejects when the store does; the number is then free again.
   */
  emit(body: JobEventBody): Promise<void> {
    if (body.type === 'text' || body.type === 'thought' || body.type === 'tool_output') {
      this.#addPiece(body)
      this.#timer ??= setTimeout(() => this.#flush(), coalesceMs)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ body, at: this.#now(), resolve, reject })
      // Not at once: what is emitted in the same moment shall be in the same batch.
      queueMicrotask(() => this.#flush())
    })
  }

  /** Nothing is waiting or in flight: every event that was emitted is on disk. */
  get idle(): boolean {
    return this.#writing === null && this.#pending.length === 0
  }

  /** Resolves when nothing is waiting or in flight. */
  async drained(): Promise<void> {
    while (this.#writing !== null || this.#pending.length > 0) {
      this.#flush()
      await this.#writing
    }
  }

  #addPiece(body: Extract<JobEventBody, { type: 'text' | 'thought' | 'tool_output' }>): void {
    const last = this.#pending.at(-1)?.body
    const grown = last === undefined ? null : joined(last, body)
    if (grown === null) this.#pending.push({ body, at: this.#now(), resolve: null, reject: null })
    else this.#pending[this.#pending.length - 1] = { body: grown, at: this.#now(), resolve: null, reject: null }
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#writing !== null || this.#pending.length === 0) return
    const batch = this.#pending.splice(0)
    const events = batch.map(({ body, at }, index): JobEvent => ({ ...body, seq: this.#lastSeq + 1 + index, jobId: this.jobId, at }))
    this.#writing = this.#store.append(events).then(
      () => {
        this.#lastSeq += events.length
        this.#announce(this.jobId)
        for (const entry of batch) entry.resolve?.()
      },
      (error: unknown) => {
        // Lost pieces of text are in the `turn` and `tool_result` that follow; whoever waits is told.
        for (const entry of batch) entry.reject?.(error)
      },
    ).finally(() => {
      this.#writing = null
      if (this.#pending.some((entry) => entry.resolve !== null)) this.#flush()
      else if (this.#pending.length > 0) this.#timer ??= setTimeout(() => this.#flush(), coalesceMs)
    })
  }
}

function joined(last: JobEventBody, next: JobEventBody): JobEventBody | null {
  if ((last.type === 'text' || last.type === 'thought') && next.type === last.type && last.step === next.step) return { ...last, text: last.text + next.text }
  if (last.type === 'tool_output' && next.type === 'tool_output' && last.callId === next.callId) return { ...last, text: last.text + next.text }
  return null
}
