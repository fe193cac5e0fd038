// Performs what the scheduler decides: stores, starts, stops and ends jobs. Owns the running jobs and the journals of all jobs that are not over.
import { setTimeout as delay } from 'node:timers/promises'
import { fault, faultEnd, FaultError, faultFrom, outcomeTable, type AbortCause, type AgentEnd, type EventOf, type Fault, type Job, type JobEvent, type JobEventBody, type JobState } from '@hearth/protocol'
import type { NewJob } from '../store/rows.ts'
import { resultOf } from '../workspace/workspaces.ts'
import { attempt, type AttemptOptions, type AttemptPorts } from './attempt.ts'
import type { Feed } from './feed.ts'
import { Journal } from './journal.ts'
import { ranMs, receiptOf } from './receipt.ts'
import { decide, emptyQueue, overlaps, type Folder, type QueueEffect, type QueueEvent } from './scheduler.ts'
import { isWaiting, notAsked, sentenceOf, turnEnd } from './turn.ts'

export type RunnerOptions = AttemptOptions & { feed: Feed; now?: () => number }

/** `inbox`: said, and not yet heard by the run. `over`: the run has heard all that it will. */
type Active = { abort: AbortController; done: Promise<void>; inbox: EventOf<'said'>[]; over: boolean }
type End = Extract<AgentEnd, { type: 'ended' }>

function conflict(problem: string): FaultError {
  return new FaultError(fault('conflict', { problem }))
}

function firstEvents(job: NewJob, past: readonly JobEventBody[]): JobEvent[] {
  return [{ type: 'accepted' as const, request: job.request, principal: job.principal, model: job.model }, ...past].map((body, index) => ({ ...body, seq: index + 1, jobId: job.id, at: job.createdAt }))
}

export class Runner {
  readonly #o: RunnerOptions
  readonly #now: () => number
  readonly #journals = new Map<string, Journal>()
  readonly #active = new Map<string, Active>()
  readonly #background = new Set<Promise<void>>()
  /** Jobs that are kept from going on for a moment, and jobs whose end is being stored. */
  readonly #held = new Map<string, Promise<unknown>>()
  readonly #ending = new Set<string>()
  /** Chats whose next run is only to shorten their history; a wish that a crash may take away. */
  readonly #compacting = new Set<string>()
  /** Jobs that were suspended because the disk is full, in that order. */
  readonly #aside = new Set<string>()
  #full: Fault | null = null
  #queue
  #stopping = false

  constructor(options: RunnerOptions) {
    this.#o = options
    this.#now = options.now ?? Date.now
    this.#queue = emptyQueue(options.config.jobs.running, options.config.jobs.maxQueued)
  }

  get running(): number {
    return this.#queue.running.length
  }

  get waiting(): number {
    return this.#queue.waiting.length
  }

  /** Jobs that go on by themselves when the disk has room again. */
  get suspended(): number {
    return this.#aside.size
  }

  /**
   * The disk of the state folder is full (the fault says so), or has room again (null). While it is full no job starts and none is taken; those at work are suspended
   * at their next step edge, with what they have done, and then go on before all others.
   */
  room(full: Fault | null): void {
    this.#full = full
    if (full === null) return this.#backIn()
    const reason = sentenceOf(full)
    this.#apply({ type: 'full', why: reason }, { kind: 'suspend', reason })
  }

  /** Whoever was suspended and has not come back another way takes its place in the line. */
  #backIn(): void {
    const back = [...this.#aside].filter((id) => this.#journals.has(id) && !this.inLine(id) && !this.#ending.has(id))
    this.#aside.clear()
    this.#apply({ type: 'room', back: back.flatMap((id) => { const job = this.#o.store.read.job(id); return job === null ? [] : [{ id, ...this.#folderOf(job) }] }) })
  }

  /** The job that works now in this folder itself or copies it; also one inside it or around it. */
  runningIn(folder: string): string | null {
    return this.#queue.running.find(({ workspace, hold }) => hold !== 'nothing' && overlaps(workspace, folder))?.id ?? null
  }

  /** Picks up every job that is not over, as the rows have it. The same path serves a clean start and a start after a crash. */
  recover(): void {
    for (const job of this.#o.store.read.unfinished()) {
      this.#journals.set(job.id, this.#journal(job.id, this.#o.store.read.lastSeq(job.id)))
      if (job.cancelledBy !== null) this.#inBackground(this.#end(job.id, [], 0, faultEnd(fault('cancelled', { by: job.cancelledBy }))))
      // Who waits for a person is not taken up by a start.
      else if (isWaiting(job.state)) continue
      else if (this.#full !== null) this.#aside.add(job.id)
      else this.#apply({ type: 'recovered', id: job.id, ...this.#folderOf(job) })
    }
  }

  /** Stores the job with its `accepted` event, and what came before it where it goes on from another one's past, and puts it in the line. Resolves when all is on disk; rejects with FaultError. */
  async accept(job: NewJob, past: readonly JobEventBody[] = []): Promise<void> {
    this.#mayBegin()
    const refused = this.#apply({ type: 'ask', id: job.id, ...this.#folderOf(job) }).find((effect) => effect.type === 'refuse')
    if (refused !== undefined) throw new FaultError(fault('queue_full', { queued: refused.queued, limit: refused.limit }))
    const events = firstEvents(job, past)
    try {
      await this.#o.store.accept(job, ...events)
    } catch (error) {
      this.#apply({ type: 'lost', id: job.id })
      throw error
    }
    this.#journals.set(job.id, this.#journal(job.id, events.length))
    this.#apply({ type: 'stored', id: job.id })
  }

  /** Asks a job to stop; it is over at the latest when its tool call has been killed. Nothing happens to a job that is over. */
  async cancel(id: string, by: string): Promise<void> {
    if (!this.#journals.has(id)) return
    await this.#o.store.cancelled(id, by)
    while (this.#busy(id) !== null) await this.#busy(id)
    const ending = this.endWaiting(id, faultEnd(fault('cancelled', { by })))
    if (ending === null) this.#apply({ type: 'cancel', id }, { kind: 'cancel', by })
    await ending
  }

  /** Ends a job that waits for a person. Null, and nothing is done, for one that works, waits in the line or is over. */
  endWaiting(id: string, end: End): Promise<void> | null {
    if (this.inLine(id) || this.#busy(id) !== null || !this.#journals.has(id) || this.#ending.has(id)) return null
    this.#ending.add(id)
    return this.#end(id, this.#past(id), 0, end).finally(() => this.#ending.delete(id))
  }

  /** A person's words to a chat. Resolves when they are on disk; one that waits goes on with them. Throws FaultError `conflict` or `shutting_down`. */
  async say(id: string, text: string, by: string): Promise<void> {
    while (this.#busy(id) !== null) await this.#busy(id)
    this.#mayGoOn(id)
    const said = { type: 'said', text, by } as const
    const active = this.#active.get(id)
    if (active === undefined && this.#state(id) === 'waiting_approval') throw conflict(`Job ${id} waits for an approval; answer that first.`)
    // In the same moment as the event gets its place in the journal: what the run puts after it has heard it stands behind it.
    active?.inbox.push(said)
    await this.#emit(id, said)
    if (active === undefined) this.#goOn(id)
  }

  /** A person's answer to the call that a job waits with. Resolves when it is on disk. Throws FaultError `conflict` or `shutting_down`. */
  approve(id: string, answer: Omit<EventOf<'approval_given'>, 'type'>): Promise<void> {
    return this.#answer(id, { type: 'approval_given', ...answer }, (past) => (this.#state(id) === 'waiting_approval' ? notAsked(past, answer) : 'for an approval'))
  }

  /** Lets a job go on that waits for money. Resolves when that is on disk. Throws FaultError `conflict` or `shutting_down`. */
  resume(id: string, answer: Omit<EventOf<'resumed'>, 'type'>): Promise<void> {
    return this.#answer(id, { type: 'resumed', ...answer }, (past) => {
      const last = past.at(-1)
      return last?.type === 'suspended' && last.lacks === 'money' ? null : 'for money'
    })
  }

  /** `lacks`: what it does not wait for, so that this is no answer. */
  async #answer(id: string, answer: JobEventBody, lacks: (past: readonly JobEvent[]) => string | null): Promise<void> {
    while (this.#busy(id) !== null) await this.#busy(id)
    this.#mayGoOn(id)
    const not = lacks(this.#past(id))
    if (not !== null) throw conflict(`Job ${id} does not wait ${not}.`)
    await this.aside(id, (emit) => emit(answer))
    this.#goOn(id)
  }

  /** Stops the turn of a chat; it then waits for the next words. Nothing happens to one that waits already. Throws FaultError `conflict`. */
  async interrupt(id: string, by: string): Promise<void> {
    while (this.#busy(id) !== null) await this.#busy(id)
    if (this.#active.has(id)) return void this.#active.get(id)?.abort.abort({ kind: 'interrupt', by } satisfies AbortCause)
    if (!this.inLine(id)) return
    this.#apply({ type: 'lost', id })
    await this.#emit(id, { type: 'suspended', reason: `interrupted by ${by}`, state: 'paused' })
  }

  /** Has the history of a chat that waits shortened; it then waits again. Throws FaultError `job_not_over` for one that works. */
  async compact(id: string): Promise<void> {
    while (this.#busy(id) !== null) await this.#busy(id)
    this.#mayGoOn(id)
    if (this.inLine(id) || this.#state(id) !== 'paused') throw new FaultError(fault('job_not_over', { id }))
    this.#compacting.add(id)
    this.#goOn(id)
  }

  /** Does something with a job that waits for a person, which cannot go on meanwhile. Throws FaultError `job_not_over` for one that works. */
  async aside<T>(id: string, work: (emit: (body: JobEventBody) => Promise<void>) => Promise<T>): Promise<T> {
    while (this.#busy(id) !== null) await this.#busy(id)
    if (this.inLine(id) || !isWaiting(this.#state(id))) throw new FaultError(fault('job_not_over', { id }))
    const done = work((body) => this.#emit(id, body))
    this.#held.set(id, done.catch(() => undefined))
    return done.finally(() => this.#held.delete(id))
  }

  /** Stores a job that waits for a person, with what came before it. Resolves when it is on disk. */
  async open(job: NewJob, bodies: readonly JobEventBody[]): Promise<void> {
    this.#mayBegin()
    const events = firstEvents(job, bodies)
    await this.#o.store.accept(job, ...events)
    this.#journals.set(job.id, this.#journal(job.id, events.length))
  }

  /** Suspends what runs at its next step edge; resolves when all is stored or `graceMs` has passed. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    this.#apply({ type: 'stop' }, { kind: 'suspend', reason: 'the daemon was stopped' })
    const all = Promise.allSettled([...[...this.#active.values()].map((job) => job.done), ...this.#background])
    const timer = new AbortController()
    await Promise.race([all, delay(graceMs, null, { signal: timer.signal }).catch(() => null)])
    timer.abort()
    for (const id of this.#active.keys()) this.#o.log('warn', 'a job did not reach a step edge in time; it is continued at the next start', { job: id })
  }

  #apply(event: QueueEvent, cause: AbortCause = { kind: 'cancel', by: 'the daemon' }): QueueEffect[] {
    const [state, effects] = decide(this.#queue, event)
    this.#queue = state
    for (const effect of effects) this.#perform(effect, cause)
    return effects
  }

  #perform(effect: QueueEffect, cause: AbortCause): void {
    switch (effect.type) {
      case 'admit': case 'refuse': return
      case 'start': return this.#start(effect.id)
      case 'wait': return this.#inBackground(this.#emit(effect.id, { type: 'queued', position: effect.position, reason: effect.reason }))
      case 'drop': return this.#inBackground(this.#end(effect.id, this.#past(effect.id), 0, faultEnd(fault('cancelled', { by: cause.kind === 'cancel' ? cause.by : 'the daemon' }))))
      case 'abort': return this.#active.get(effect.id)?.abort.abort(cause)
      default: effect satisfies never
    }
  }

  #start(id: string): void {
    const active: Active = { abort: new AbortController(), done: Promise.resolve(), inbox: [], over: false }
    this.#active.set(id, active)
    active.done = this.#run(id, active)
      .catch((error: unknown) => this.#o.log('error', 'a job could not be ended; it is continued at the next start', { job: id, problem: faultFrom(error).message }))
      .finally(() => {
        this.#active.delete(id)
        this.#apply({ type: 'ended', id })
        // There was room again before it had stopped.
        if (this.#full === null && this.#aside.has(id)) this.#backIn()
      })
  }

  async #run(id: string, active: Active): Promise<void> {
    const journal = this.#journals.get(id)
    do await journal?.drained()
    while (journal?.idle === false)
    // All that was said by now is on disk, so it is in the past; from here on it is heard from the inbox.
    const past = this.#past(id)
    active.inbox.length = 0
    const job = this.#o.store.read.job(id)
    if (job === null) throw new Error(`job ${id} has no row`)
    const before = ranMs(past)
    const startedAt = this.#now()
    const found = await attempt(job, past, before, this.#o, this.#portsOf(id, active)).catch((error: unknown): AgentEnd => {
      const problem = faultFrom(error)
      if (problem.code === 'internal') this.#o.log('error', 'a job met an internal fault', { job: id, problem: error instanceof Error ? error.stack ?? error.message : String(error) })
      return faultEnd(problem)
    })
    const end = turnEnd(job, found)
    // Said after the run had heard for the last time: it goes on at once.
    if (end.type === 'suspended' && end.state === 'paused' && active.inbox.length > 0 && !active.abort.signal.aborted) return this.#run(id, active)
    active.over = true
    if (end.type === 'suspended') {
      if (end.state === undefined && !this.#stopping) this.#aside.add(id)
      await this.#emit(id, end).catch((error: unknown) => {
        if (!this.#aside.has(id)) throw error
        this.#o.log('warn', 'that a job is suspended could not be stored; it goes on when there is room', { job: id, problem: faultFrom(error).message })
      })
    } else {
      await this.#end(id, past, before + this.#now() - startedAt, end)
      await this.#o.workspaces.over(id)
    }
  }

  #portsOf(id: string, { abort, inbox }: Active): AttemptPorts {
    return {
      abort, now: this.#now, compact: () => this.#compacting.delete(id), heard: () => inbox.splice(0), emit: (body) => this.#emit(id, body), tell: (body) => this.#inBackground(this.#emit(id, body)),
      copied: () => void this.#apply({ type: 'copied', id }), idle: () => this.waiting === 0 && this.running <= 1,
    }
  }

  /** Stores the end with its receipt. A job that is over must not look alive, so a store that fails (a full disk) is asked again until it can. */
  async #end(id: string, past: readonly JobEvent[], runMs: number, end: End): Promise<void> {
    const journal = this.#journals.get(id)
    if (journal === undefined) return
    const total = runMs > 0 ? runMs : ranMs(past)
    for (let waitMs = 500; ; waitMs = Math.min(waitMs * 2, 10_000)) {
      try {
        await journal.drained()
        await journal.emit({
          type: 'ended', outcome: end.outcome, verified: end.verified, summary: end.summary, fault: end.fault,
          receipt: receiptOf(this.#o.store.read.sums(id), total), exitCode: outcomeTable[end.outcome].exit,
        })
        this.#journals.delete(id)
        return
      } catch (error) {
        this.#o.log('error', "a job's end could not be stored", { job: id, problem: faultFrom(error).message })
        if (this.#stopping) throw error
        await delay(waitMs)
      }
    }
  }

  /** What has to be waited for before a person's act counts: the job is held, or its run hears no more. Null = nothing, in this very moment. */
  #busy(id: string): Promise<unknown> | null {
    const active = this.#active.get(id)
    return this.#held.get(id) ?? (active?.over === true ? active.done : null)
  }

  /** It runs or waits for its turn to. */
  inLine(id: string): boolean {
    return [...this.#queue.running, ...this.#queue.waiting].some((job) => job.id === id)
  }

  #state(id: string): JobState {
    const job = this.#o.store.read.job(id)
    if (job === null) throw new FaultError(fault('unknown_job', { id }))
    return job.state
  }

  #mayBegin(): void {
    if (this.#stopping) throw new FaultError(fault('shutting_down', {}))
    if (this.#full !== null) throw new FaultError(this.#full)
  }

  #mayGoOn(id: string): void {
    if (this.#stopping) throw new FaultError(fault('shutting_down', {}))
    if (!this.#journals.has(id) || this.#ending.has(id)) throw conflict(`Job ${id} is over.`)
  }

  /** What it waited for is on disk: it takes its place in the line, which is never refused. */
  #goOn(id: string): void {
    const job = this.#o.store.read.job(id)
    if (job === null || this.inLine(id) || this.#ending.has(id) || !this.#journals.has(id)) return
    this.#apply({ type: 'recovered', id, ...this.#folderOf(job) })
  }

  #folderOf(job: Pick<Job, 'id' | 'request'>): Folder {
    const hold = resultOf(job) === 'in_place' ? 'alone' : this.#past(job.id).some(({ type }) => type === 'workspace') ? 'nothing' : 'unchanged'
    return { workspace: job.request.cwd, hold }
  }

  #emit(id: string, body: JobEventBody): Promise<void> {
    const journal = this.#journals.get(id)
    return journal === undefined ? Promise.reject(new Error(`job ${id} is over`)) : journal.emit(body)
  }

  #journal(id: string, lastSeq: number): Journal {
    return new Journal(id, lastSeq, this.#o.store, (jobId) => this.#o.feed.announce(jobId), this.#now)
  }

  #past(id: string): JobEvent[] {
    return this.#o.store.read.journal(id)
  }

  #inBackground(work: Promise<void>): void {
    const guarded = work.catch((error: unknown) => this.#o.log('error', 'an event could not be stored', { problem: faultFrom(error).message }))
      .finally(() => this.#background.delete(guarded))
    this.#background.add(guarded)
  }
}
