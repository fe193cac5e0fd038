// Owns the line between the MCP client and a server program in the sandbox: JSON lines over its stdin and stdout, within bounds. Knows no tool.
import { ReadBuffer, serializeMessage, type JSONRPCMessage } from '@modelcontextprotocol/client'
import type { RunResult } from '@hearth/protocol'
import { messageBytes, messagesPerSecond, type Line, type Place } from './line.ts'

const stderrCharacters = 2000

/** Starts the program with the first message and ends it, with all its descendants, when it is closed. */
export class SandboxTransport implements Line {
  onclose?: () => void
  onerror?: (error: Error) => void
  onmessage?: (message: JSONRPCMessage) => void
  readonly #place: Place
  readonly #argv: readonly string[]
  readonly #env: Readonly<Record<string, string>>
  readonly #abort = new AbortController()
  readonly #buffer = new ReadBuffer({ maxBufferSize: messageBytes })
  readonly #out = new Outbox()
  #ended: Promise<RunResult> | null = null
  #second = 0
  #messages = 0
  #over = false
  problem: string | null = null
  stderr = ''

  constructor(place: Place, argv: readonly string[], env: Readonly<Record<string, string>>) {
    this.#place = place
    this.#argv = argv
    this.#env = env
  }

  start(): Promise<void> {
    const { sandbox, workspace, limits } = this.#place
    this.#ended = sandbox.run({
      argv: this.#argv, workspace, limits, env: this.#env, captureBytes: 4096, input: this.#out,
      onOutput: (stream, chunk) => {
        if (stream === 'stderr') this.stderr = (this.stderr + Buffer.from(chunk).toString('utf8')).slice(-stderrCharacters)
        else this.#heard(Buffer.from(chunk))
      },
    }, this.#abort.signal)
    void this.#ended.then((result) => {
      this.problem ??= !result.ok ? result.fault.message : result.cause === 'exited' ? `it ended with ${result.signal ?? `exit ${result.exitCode ?? '?'}`}` : `it was stopped (${result.cause})`
      this.#finish()
    })
    return Promise.resolve()
  }

  send(message: JSONRPCMessage): Promise<void> {
    if (this.#over) return Promise.reject(new Error(this.problem ?? 'it is closed'))
    this.#out.put(Buffer.from(serializeMessage(message)))
    return Promise.resolve()
  }

  /** Resolves when the program and its descendants are gone. */
  async close(): Promise<void> {
    this.problem ??= 'it was closed'
    this.#out.end()
    this.#abort.abort()
    await this.#ended
    this.#finish()
  }

  #heard(chunk: Buffer): void {
    if (this.#over || this.problem !== null) return
    try {
      this.#buffer.append(chunk)
    } catch {
      return this.#drop(`it wrote a message of more than ${messageBytes / 2 ** 20} MiB`)
    }
    for (;;) {
      let message: JSONRPCMessage | null
      try {
        message = this.#buffer.readMessage()
      } catch {
        // A line that is no message: programs print banners. The next line may be one.
        if (this.#flooded()) return
        continue
      }
      if (message === null || this.#flooded()) return
      this.onmessage?.(message)
    }
  }

  #flooded(): boolean {
    const second = Math.floor(performance.now() / 1000)
    if (second !== this.#second) this.#messages = 0
    this.#second = second
    this.#messages += 1
    if (this.#messages <= messagesPerSecond) return false
    this.#drop(`it wrote more than ${messagesPerSecond} messages in a second`)
    return true
  }

  #drop(problem: string): void {
    this.problem ??= problem
    this.#buffer.clear()
    this.#abort.abort()
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#out.end()
    this.onclose?.()
  }
}

/** What is to be written, piece by piece. */
class Outbox implements AsyncIterable<Uint8Array> {
  readonly #pieces: Uint8Array[] = []
  #wake: (() => void) | null = null
  #over = false

  put(piece: Uint8Array): void {
    this.#pieces.push(piece)
    this.#wake?.()
  }

  end(): void {
    this.#over = true
    this.#wake?.()
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    for (;;) {
      const piece = this.#pieces.shift()
      if (piece !== undefined) yield piece
      else if (this.#over) return
      else await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }
}
