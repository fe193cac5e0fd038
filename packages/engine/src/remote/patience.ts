// Owns the two limits of a call to another machine: how long it may say nothing, and how long it may take in all. Aborts it, says why; sends nothing.

export class Patience {
  readonly #silenceMs: number
  readonly #leave = new AbortController()
  readonly #total: NodeJS.Timeout | null
  #quiet: NodeJS.Timeout
  /** Which limit passed, as the end of a sentence; null = none yet. */
  over: string | null = null

  constructor(silenceMs: number, totalMs: number | null = null) {
    this.#silenceMs = silenceMs
    this.#quiet = this.#wait()
    this.#total = totalMs === null ? null : setTimeout(() => this.#end(`it was not done after ${totalMs / 1000} s`), totalMs)
  }

  /** Aborted when a limit passes and when the call is left. */
  get signal(): AbortSignal {
    return this.#leave.signal
  }

  heard(): void {
    clearTimeout(this.#quiet)
    this.#quiet = this.#wait()
  }

  /** Leaving closes the connection, which is how such a server is told to stop. */
  leave(): void {
    clearTimeout(this.#quiet)
    if (this.#total !== null) clearTimeout(this.#total)
    this.#leave.abort()
  }

  #wait(): NodeJS.Timeout {
    return setTimeout(() => this.#end(`it said nothing for ${this.#silenceMs / 1000} s`), this.#silenceMs)
  }

  #end(why: string): void {
    this.over ??= why
    this.#leave.abort()
  }
}
