// Owns one engine worker: performs what supervision.ts decides, carries messages between runs and the process, and is the only one who starts or kills it.
// Every run it accepts hears exactly one last word: `end`, `broke`, `refused`, or `lost` with the named cause.
import { fault, faultFrom, type Fault, type WorkerState } from '@hearth/protocol'
import type { Converse } from '../golden/check.ts'
import type { Trusted } from '../golden/trust.ts'
import { canary, canaryId } from './canary.ts'
import type { Launch, WorkerProcess } from './process.ts'
import { Runs, type RunMessage } from './runs.ts'
import { decide, defaultTiming, initialState, type Effect, type Event, type State, type Timing } from './supervision.ts'
import { isRunReply, isStateReply, type FromWorker, type Generate, type Load, type Ready, type RunReply, type StateReply, type StateWork } from './wire.ts'

export type ReadyAnswer = { ready: Ready } | { fault: Fault }

export type SupervisorOptions = {
  model: string
  launch: Launch
  load: Load
  timing?: Partial<Timing>
  log: (line: string) => void
  /** After each change of phase; `ready` was left when sequences hold nothing any more. */
  onState?: (phase: WorkerState) => void
  /** The last thing before an orderly end, while the worker still answers; the end waits for it, at most `drainMs`. */
  beforeEnd?: () => Promise<void>
  /**
   * A sequence for a question of our own while the worker serves: `use` is called once one is idle and nothing in it can be lost; `back` gives it back.
   * Absent: the first one is taken.
   */
  lend?: (use: (sequence: number, back: () => void) => void) => void
  /** Before each start: null at once, or after what a change of engine takes; a fault says that there is none to start. */
  prepare?: () => Promise<Fault | null> | null
  /** After each load, before anybody is served: whether its tokens can be trusted. */
  check?: (ready: Ready, converse: Converse) => Promise<Trusted>
}

export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #timing: Timing
  #state: State = initialState(performance.now())
  #process: WorkerProcess | null = null
  #ready: Ready | null = null
  #ticker: NodeJS.Timeout | null = null
  #retry: NodeJS.Timeout | null = null
  #pings = 0
  readonly #runs: Runs
  readonly #waiters = new Set<(answer: ReadyAnswer) => void>()
  readonly #atRest = new Set<() => void>()
  readonly #work = new Map<string, (reply: StateReply | null) => void>()
  #ending = false
  /** Gives the canary's sequence back. */
  #canaryOver: (() => void) | null = null

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#timing = { ...defaultTiming, ...options.timing }
    this.#runs = new Runs(options.load, (event) => this.#hear(event))
  }

  get phase(): WorkerState {
    return this.#state.phase
  }

  get status(): { state: WorkerState; pid: number | null; restarts: number; lastFault: Fault | null; ready: Ready | null; running: number } {
    const { phase, restarts, lastFault, running } = this.#state
    return { state: phase, pid: this.#process?.pid ?? null, restarts, lastFault, ready: this.#ready, running }
  }

  /** Waits until the worker is ready, starting it when needed; the fault says why it will not be. Aborting stops the waiting, not the start. */
  ready(signal: AbortSignal): Promise<ReadyAnswer | 'aborted'> {
    if (signal.aborted) return Promise.resolve('aborted')
    return new Promise((resolve) => {
      const answer = (value: ReadyAnswer): void => {
        signal.removeEventListener('abort', leave)
        resolve(value)
      }
      const leave = (): void => {
        if (!this.#waiters.delete(answer)) return
        this.#hear({ type: 'unwant' })
        resolve('aborted')
      }
      this.#waiters.add(answer)
      signal.addEventListener('abort', leave, { once: true })
      this.#hear({ type: 'want' })
    })
  }

  /** Hands a run to the ready worker. `listener` hears its messages in order; when there is no worker any more, it hears `lost` at once. */
  run(request: Generate, listener: (message: RunMessage) => void, why: Fault): void {
    if (this.#state.phase !== 'ready' || this.#process === null) {
      listener({ type: 'lost', fault: this.#state.lastFault ?? why })
      return
    }
    this.#runs.add(request.id, listener)
    this.#hear({ type: 'run_started' })
    this.#process.send(request)
  }

  cancel(id: string): void {
    if (this.#runs.has(id)) this.#process?.send({ type: 'cancel', id })
  }

  /** Saves or restores a sequence that no run uses. Null when the worker is gone before it answers. */
  work(message: StateWork): Promise<StateReply | null> {
    if (this.#process === null || (this.#state.phase !== 'ready' && this.#state.phase !== 'draining')) return Promise.resolve(null)
    // As a run it is watched for progress, and a worker that drains waits for it; one that ends already is bounded by its drain.
    const watched = this.#state.phase === 'ready'
    if (watched) this.#hear({ type: 'run_started' })
    this.#process.send(message)
    return new Promise((resolve) => {
      this.#work.set(message.operation, (reply) => {
        if (watched && reply !== null) this.#hear({ type: 'run_ended' })
        resolve(reply)
      })
    })
  }

  /** Takes nothing new and tells every run that the daemon shuts down; resolves when the worker is done with them, or after `patienceMs`. */
  async settle(patienceMs: number): Promise<void> {
    this.#hear({ type: 'settle' })
    const settled = this.#runs.settle(fault('shutting_down', {}), patienceMs)
    for (const id of this.#runs.ids) this.#process?.send({ type: 'cancel', id })
    await settled
  }

  /** Lets what runs finish, then ends the process. Resolves when there is none. */
  async unload(): Promise<void> {
    this.#hear({ type: 'unload' })
    await this.#rest()
  }

  /** How long it may be idle before it is unloaded by itself; 0 = for ever. */
  keepAlive(idleUnloadMs: number): void {
    this.#timing.idleUnloadMs = idleUnloadMs
  }

  /** Closes an open circuit: the next request starts the worker again. */
  reset(): void {
    this.#hear({ type: 'reset' })
  }

  /** Ends everything with `shutting_down`; no process is left when it resolves. */
  async close(): Promise<void> {
    this.#hear({ type: 'close' })
    await this.#rest()
  }

  #rest(): Promise<void> {
    if (this.#process === null) return Promise.resolve()
    return new Promise((resolve) => this.#atRest.add(resolve))
  }

  #hear(event: Event): void {
    const before = this.#state.phase
    const { state, effects } = decide(this.#options.model, this.#timing, this.#state, event, performance.now())
    this.#state = state
    if (state.phase !== before) this.#phaseChanged(before)
    for (const effect of effects) this.#perform(effect)
  }

  #phaseChanged(before: WorkerState): void {
    const { phase, lastFault } = this.#state
    const why = (phase === 'failed' || phase === 'broken') && lastFault !== null ? `: ${lastFault.message}` : ''
    this.#options.log(`engine worker '${this.#options.model}': ${before} -> ${phase}${why}`)
    const alive = phase === 'starting' || phase === 'ready' || phase === 'draining'
    if (alive) this.#ticker ??= setInterval(() => this.#hear({ type: 'tick' }), this.#timing.tickMs)
    else {
      if (this.#ticker !== null) clearInterval(this.#ticker)
      this.#ticker = null
    }
    if (phase !== 'failed' && this.#retry !== null) {
      clearTimeout(this.#retry)
      this.#retry = null
    }
    this.#options.onState?.(phase)
  }

  #perform(effect: Effect): void {
    switch (effect.type) {
      case 'launch':
        this.#launch()
        return
      case 'load':
        this.#process?.send(this.#options.load)
        return
      case 'canary':
        this.#canary()
        return
      case 'ping':
        this.#process?.send({ type: 'ping', n: ++this.#pings })
        return
      case 'shutdown':
        void this.#end()
        return
      case 'kill':
        this.#process?.kill()
        return
      case 'serve': {
        const ready = this.#ready
        if (ready !== null) this.#answer({ ready })
        return
      }
      case 'fail_runs':
        this.#runs.lose(this.#runs.ids, effect.fault)
        return
      case 'fail_waiters':
        this.#answer({ fault: effect.fault })
        return
      case 'retry_in':
        this.#retry = setTimeout(() => {
          this.#retry = null
          this.#hear({ type: 'retry' })
        }, effect.ms)
        return
      default:
        effect satisfies never
    }
  }

  #answer(answer: ReadyAnswer): void {
    const waiters = [...this.#waiters]
    this.#waiters.clear()
    for (const waiter of waiters) waiter(answer)
  }

  #launch(): void {
    const preparing = this.#options.prepare?.() ?? null
    if (preparing === null) return this.#start()
    void preparing.catch(faultFrom).then((why) => {
      if (this.#process !== null) return
      // Given up meanwhile: the end of what was not started is told as that of a process would be.
      if (this.#state.phase !== 'starting') this.#hear({ type: 'exited', exit: { how: 'it was not started', native: 'other' } })
      else if (why === null) this.#start()
      else this.#hear({ type: 'untrusted', fault: why })
    })
  }

  #start(): void {
    const launched = this.#options.launch({
      message: (message) => this.#message(message),
      exit: (exit) => {
        this.#process = null
        this.#endCanary()
        this.#ready = null
        const left = this.#runs.ids
        this.#hear({ type: 'exited', exit })
        // What a check asked is no run that a decision knows of; when a worker is unloaded in the middle of one, nobody else would tell it.
        this.#runs.lose(left, fault('worker_exited', { model: this.#options.model, how: exit.how }))
        for (const answer of this.#work.values()) answer(null)
        this.#work.clear()
        this.#runs.workerGone()
        for (const resolve of this.#atRest) resolve()
        this.#atRest.clear()
      },
      log: (line) => this.#options.log(`engine worker '${this.#options.model}': ${line}`),
    })
    if ('fault' in launched) this.#hear({ type: 'launch_refused', fault: launched.fault })
    else this.#process = launched
    this.#ending = false
  }

  async #end(): Promise<void> {
    if (this.#ending) return
    this.#ending = true
    const ending = this.#process
    try {
      await this.#options.beforeEnd?.()
    } catch (error) {
      this.#options.log(`engine worker '${this.#options.model}': ${error instanceof Error ? error.message : String(error)}`)
    }
    ending?.send({ type: 'shutdown' })
  }

  #canary(): void {
    const { lend } = this.#options
    // While it starts nobody holds a sequence; later one is asked for like anybody's.
    if (lend === undefined || this.#state.phase === 'starting') return this.#process?.send(canary(0))
    const asked = this.#process
    lend((sequence, back) => {
      if (asked === null || this.#process !== asked || this.#state.phase !== 'ready' || this.#canaryOver !== null) return back()
      this.#canaryOver = back
      asked.send(canary(sequence))
    })
  }

  #endCanary(): void {
    const over = this.#canaryOver
    this.#canaryOver = null
    over?.()
  }

  #message(message: FromWorker): void {
    if (isRunReply(message)) {
      if (message.id === canaryId) this.#canaryReply(message)
      else this.#runs.reply(message)
      return
    }
    if (isStateReply(message)) {
      const answer = this.#work.get(message.operation)
      this.#work.delete(message.operation)
      answer?.(message)
      return
    }
    switch (message.type) {
      case 'ready':
        this.#ready = message
        this.#hear({ type: 'loaded' })
        return
      case 'booted':
      case 'loading':
      case 'pong':
        this.#hear({ type: message.type })
        return
      case 'load_failed':
        this.#hear(message)
        return
      default:
        message satisfies never
    }
  }

  #canaryReply(message: RunReply): void {
    if (message.type === 'end' || message.type === 'broke' || message.type === 'refused') this.#endCanary()
    if (message.type === 'end') {
      // A model may answer with the end at once: that too is an evaluation.
      if (this.#state.phase === 'starting' && this.#options.check !== undefined) void this.#trust(this.#options.check)
      else this.#hear({ type: 'canary_ok' })
    } else if (message.type === 'broke') this.#hear({ type: 'canary_failed', problem: message.problem })
    else if (message.type === 'refused') this.#hear({ type: 'canary_failed', problem: message.cause })
  }

  /** What the check asks is no run of anybody: it is not counted, but its progress is. */
  async #trust(check: NonNullable<SupervisorOptions['check']>): Promise<void> {
    const asked = this.#process
    const ready = this.#ready
    if (asked === null || ready === null) return
    const trusted = await check(ready, (request, listener) => {
      if (this.#process !== asked) return listener({ type: 'lost', fault: fault('worker_exited', { model: this.#options.model, how: 'while its first words were checked' }) })
      this.#runs.add(request.id, listener)
      asked.send(request)
    }).catch((error: unknown): Trusted => ({ problem: error instanceof Error ? error.message : String(error) }))
    if (this.#process !== asked || trusted === 'gone') return
    if (trusted === 'trusted') this.#hear({ type: 'canary_ok' })
    else if ('distrusted' in trusted) this.#hear({ type: 'distrusted', fault: trusted.distrusted })
    else this.#hear({ type: 'canary_failed', problem: trusted.problem })
  }
}
