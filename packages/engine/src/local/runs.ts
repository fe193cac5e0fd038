// Owns the runs that a worker has in hand: who hears each of them, and what their progress says about the next piece of a prompt. Sends nothing to the worker.
// A run that was added hears exactly one last word: `end`, `broke`, `refused`, or `lost` with the named cause.
import type { Fault } from '@hearth/protocol'
import type { Event } from './supervision.ts'
import type { Load, RunReply } from './wire.ts'

export type RunMessage = RunReply | { type: 'lost'; fault: Fault }
type Listener = (message: RunMessage) => void
type Sign = Extract<Event, { type: 'progress' | 'run_ended' }>

export class Runs {
  readonly #load: Pick<Load, 'batchTokens'>
  readonly #hear: (event: Sign) => void
  readonly #runs = new Map<string, { listener: Listener; prefill: { doneTokens: number; at: number } | null }>()
  #msPerPromptToken = 0
  #settled: (() => void) | null = null

  /** `hear` is told what a reply means for the worker, before the run's own listener hears the reply. */
  constructor(load: Pick<Load, 'batchTokens'>, hear: (event: Sign) => void) {
    this.#load = load
    this.#hear = hear
  }

  get ids(): string[] {
    return [...this.#runs.keys()]
  }

  has(id: string): boolean {
    return this.#runs.has(id)
  }

  add(id: string, listener: Listener): void {
    this.#runs.set(id, { listener, prefill: null })
  }

  /** A reply to a run that is not known any more is nobody's. */
  reply(message: RunReply): void {
    const run = this.#runs.get(message.id)
    if (run === undefined) return
    switch (message.type) {
      case 'end':
      case 'broke':
      case 'refused':
        this.#runs.delete(message.id)
        this.#hear({ type: 'run_ended' })
        if (this.#runs.size === 0) this.#settled?.()
        break
      case 'started':
        run.prefill = { doneTokens: message.reusedTokens, at: performance.now() }
        this.#hear({ type: 'progress' })
        break
      case 'prefill': {
        const last = run.prefill
        const at = performance.now()
        run.prefill = { doneTokens: message.doneTokens, at }
        if (last !== null && message.doneTokens > last.doneTokens) this.#msPerPromptToken = (at - last.at) / (message.doneTokens - last.doneTokens)
        // The next piece takes as long as this one did.
        this.#hear({ type: 'progress', forecastMs: this.#msPerPromptToken * this.#load.batchTokens })
        break
      }
      case 'tokens':
        this.#hear({ type: 'progress' })
        break
      default:
        message satisfies never
    }
    run.listener(message)
  }

  /** The last word of those that are still there. */
  lose(ids: readonly string[], why: Fault): void {
    for (const id of ids) {
      const run = this.#runs.get(id)
      this.#runs.delete(id)
      run?.listener({ type: 'lost', fault: why })
    }
  }

  /** Tells every run that it is lost; resolves when the worker has ended them or is gone, or after `patienceMs`. */
  async settle(why: Fault, patienceMs: number): Promise<void> {
    const ended = new Promise<void>((resolve) => { this.#settled = resolve })
    for (const run of [...this.#runs.values()]) {
      const { listener } = run
      run.listener = () => undefined
      listener({ type: 'lost', fault: why })
    }
    if (this.#runs.size === 0) return
    const timer = setTimeout(() => this.#settled?.(), patienceMs)
    await ended
    clearTimeout(timer)
  }

  workerGone(): void {
    this.#settled?.()
  }
}
