// Owns one event stream to one reader: its head, its pace, its keep-alive, and the moment the reader is gone. Writes to Node's own response,
// because a web stream in between cost more than everything else of an event. Knows no dialect.
import type { ServerResponse } from 'node:http'

const keepAliveMs = 10_000
// A reader that takes nothing for so long holds a slot of the engine for nobody.
const stuckMs = 30_000

export class EventStream {
  readonly #out: ServerResponse
  readonly #stopped = new AbortController()
  #timer: NodeJS.Timeout | null = null
  #written = true
  #waiting = 'waiting'
  #left = false

  constructor(out: ServerResponse) {
    this.#out = out
    if (out.destroyed) this.#leave()
    else out.once('close', () => this.#leave())
  }

  /** Aborts when nothing more should be made for this reader: the connection is closed, by whomever, or `stop` was called. */
  get stopped(): AbortSignal {
    return this.#stopped.signal
  }

  /** The connection is closed. */
  get gone(): boolean {
    return this.#left
  }

  /** Says that nothing more should be made; what is said now can still be sent. */
  stop(): void {
    this.#stopped.abort()
  }

  get opened(): boolean {
    return this.#out.headersSent
  }

  /** Sends the head, once; from then on a comment is sent when nothing else was for a while. */
  open(): void {
    if (this.opened || this.#left) return
    this.#out.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store', 'x-accel-buffering': 'no' })
    this.#out.flushHeaders()
  }

  /** What is waited for: the words of the comments from now on, said at once where the stream is open. Standard clients pass over comments; a person with curl reads them. */
  waits(words: string): void {
    if (words === this.#waiting) return
    this.#waiting = words
    if (this.opened) void this.write(this.#comment())
  }

  /** Begins the comments that keep a connection alive while nothing is said; they open the stream if need be. */
  keepAlive(): void {
    this.#timer ??= setInterval(() => {
      if (!this.#written) {
        this.open()
        void this.write(this.#comment())
      }
      this.#written = false
    }, keepAliveMs)
  }

  /** Writes events. Resolves when there is room for more; undefined means at once. A reader who takes nothing for 30 s is cut off. */
  write(text: string): Promise<void> | undefined {
    if (this.#left) return undefined
    this.#written = true
    return this.#out.write(text) ? undefined : this.#room()
  }

  end(): void {
    this.#quiet()
    if (!this.#left) this.#out.end()
  }

  /** Gives the connection back unopened: somebody else answers. */
  release(): void {
    this.#quiet()
  }

  #comment(): string {
    return `: ${this.#waiting.replaceAll(/[\r\n]+/g, ' ')}\n\n`
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

  #leave(): void {
    this.#left = true
    this.#quiet()
    this.#stopped.abort()
  }

  #quiet(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }
}
