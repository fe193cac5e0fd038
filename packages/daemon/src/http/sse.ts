// Owns one event stream to one reader: its head, its pace, its keep-alive, and the moment the reader is gone. Writes to Node's own response,
// because a web stream in between cost more than everything else of an event. Knows no dialect.
import type { ServerResponse } from 'node:http'

const keepAliveMs = 10_000
// A reader that takes nothing for so long holds a slot of the engine for nobody.
const stuckMs = 30_000

export class EventStream {
  readonly #out: ServerResponse
  readonly #left = new AbortController()
  #timer: NodeJS.Timeout | null = null
  #written = true

  constructor(out: ServerResponse) {
    this.#out = out
    if (out.destroyed) this.#left.abort()
    else out.once('close', () => this.#gone())
  }

  /** Aborts when the connection is closed, by whomever. */
  get left(): AbortSignal {
    return this.#left.signal
  }

  get opened(): boolean {
    return this.#out.headersSent
  }

  /** Sends the head, once; from then on a comment is sent when nothing else was for a while. */
  open(): void {
    if (this.opened || this.#left.signal.aborted) return
    this.#out.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    this.#out.flushHeaders()
  }

  /** Begins the comments that keep a connection alive while nothing is said; they open the stream if need be. */
  keepAlive(): void {
    this.#timer ??= setInterval(() => {
      if (!this.#written) {
        this.open()
        void this.write(': waiting\n\n')
      }
      this.#written = false
    }, keepAliveMs)
  }

  /** Writes events. Resolves when there is room for more; undefined means at once. A reader who takes nothing for 30 s is cut off. */
  write(text: string): Promise<void> | undefined {
    if (this.#left.signal.aborted) return undefined
    this.#written = true
    return this.#out.write(text) ? undefined : this.#room()
  }

  end(): void {
    this.#stop()
    if (!this.#left.signal.aborted) this.#out.end()
  }

  /** Gives the connection back unopened: somebody else answers. */
  release(): void {
    this.#stop()
  }

  #room(): Promise<void> {
    return new Promise((resolve) => {
      const over = (): void => {
        clearTimeout(stuck)
        this.#out.off('drain', over)
        this.#out.off('close', over)
        resolve()
      }
      const stuck = setTimeout(() => this.#out.destroy(), stuckMs)
      this.#out.once('drain', over)
      this.#out.once('close', over)
    })
  }

  #gone(): void {
    this.#stop()
    this.#left.abort()
  }

  #stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
