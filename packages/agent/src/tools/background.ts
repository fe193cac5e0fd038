// Owns the processes that outlive their call: started in a sandbox of their own, each under the limits of the job, all gone when the job's run ends.
import type { RunResult } from '@hearth/protocol'

/** Processes of one job at the same time; each has the whole limits of a tool call. */
export const mostProcesses = 4

/** Output of a process that was not looked at yet is kept up to this; the file has all of it. */
const keptBytes = 256 * 1024

export type Running = {
  handle: string
  command: string
  /** Call whose output file holds all that it writes. */
  callId: string
  begun: number
  /** Null while it runs. */
  result: RunResult | null
  ended: Promise<RunResult>
  /** What it wrote since this was asked last, and how much of that is lost. */
  news(): { text: string; lostBytes: number }
  stop(): Promise<RunResult>
}

export type Starter = (hooks: { signal: AbortSignal; onBytes(chunk: Uint8Array): void }) => Promise<RunResult>

export class Background {
  readonly #running = new Map<string, Running>()
  readonly #everHad: string[]
  #lost: readonly string[]

  /** `handles`: every handle that was ever given; `lost`: those that ran when an earlier run of the job was cut off. */
  constructor(handles: readonly string[], lost: readonly string[]) {
    this.#everHad = [...handles]
    this.#lost = lost
  }

  /** Handles whose process runs now. */
  get handles(): string[] {
    return [...this.#running.values()].filter((one) => one.result === null).map((one) => one.handle)
  }

  /** Handles that an earlier run of the job left behind, told once. */
  takeLost(): readonly string[] {
    const lost = this.#lost
    this.#lost = []
    return lost
  }

  get(handle: string): Running | null {
    return this.#running.get(handle) ?? null
  }

  /** Was it given in this job? Then its process is gone with an earlier run. */
  knew(handle: string): boolean {
    return this.#everHad.includes(handle)
  }

  start(command: string, callId: string, starter: Starter): Running {
    const handle = `p${1 + Math.max(0, ...this.#everHad.map((one) => Number(one.slice(1))))}`
    this.#everHad.push(handle)
    const abort = new AbortController()
    const decoder = new TextDecoder()
    let fresh = ''
    let lostBytes = 0
    const ended = starter({
      signal: abort.signal,
      onBytes(chunk) {
        fresh += decoder.decode(chunk, { stream: true })
        if (fresh.length <= keptBytes * 2) return
        lostBytes += fresh.length - keptBytes
        fresh = fresh.slice(-keptBytes)
      },
    }).then((result) => {
      running.result = result
      return result
    })
    const running: Running = {
      handle, command, callId, begun: performance.now(), result: null, ended,
      news() {
        const news = { text: fresh, lostBytes }
        fresh = ''
        lostBytes = 0
        return news
      },
      stop() {
        abort.abort()
        return ended
      },
    }
    this.#running.set(handle, running)
    return running
  }

  /** Ends them all; resolves when they and their descendants are gone. */
  async close(): Promise<void> {
    await Promise.all([...this.#running.values()].map((one) => one.stop()))
    this.#running.clear()
  }
}
