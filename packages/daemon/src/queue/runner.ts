// Performs what the scheduler decides: stores, starts, stops and ends jobs. Owns the running jobs and the journals of all jobs that are not over.
import { mkdir } from 'node:fs/promises'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  abortEnd, fault, faultEnd, FaultError, faultFrom, outcomeTable, type AbortCause, type AgentEnd, type Config, type Job, type JobEvent, type JobEventBody,
} from '@hearth/protocol'
import type { Log } from '../log.ts'
import { metered } from '../meter/meter.ts'
import type { Parts } from '../parts.ts'
import type { NewJob } from '../store/rows.ts'
import type { Store } from '../store/store.ts'
import type { Workspaces } from '../workspace/workspaces.ts'
import type { Feed } from './feed.ts'
import { Journal } from './journal.ts'
import { ranMs, receiptOf } from './receipt.ts'
import { decide, emptyQueue, overlaps, type QueueEffect, type QueueEvent } from './scheduler.ts'

export type RunnerOptions = {
  store: Store; feed: Feed; parts: Parts; config: Config; log: Log; outputs: string
  /** The real path of a folder that a job may work in. Throws FaultError `bad_cwd`. */
  usable(path: string): Promise<string>
  workspaces: Workspaces
  now?: () => number
}

type Active = { abort: AbortController; done: Promise<void> }
type End = Extract<AgentEnd, { type: 'ended' }>

const longestTimerMs = 2 ** 31 - 1

export class Runner {
  readonly #o: RunnerOptions
  readonly #now: () => number
  readonly #journals = new Map<string, Journal>()
  readonly #active = new Map<string, Active>()
  readonly #background = new Set<Promise<void>>()
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

  /** The job that works in this folder now, in one inside it or in one around it. */
  runningIn(folder: string): string | null {
    return this.#queue.running.find(({ workspace }) => overlaps(workspace, folder))?.id ?? null
  }

  /** Picks up every job that is not over, as the rows have it. The same path serves a clean start and a start after a crash. */
  recover(): void {
    for (const job of this.#o.store.read.unfinished()) {
      this.#journals.set(job.id, this.#journal(job.id, this.#o.store.read.lastSeq(job.id)))
      if (job.cancelledBy !== null) this.#inBackground(this.#end(job.id, [], 0, faultEnd(fault('cancelled', { by: job.cancelledBy }))))
      else this.#apply({ type: 'recovered', id: job.id, workspace: job.workspace })
    }
  }

  /** Stores the job with its `accepted` event and puts it in the line. Resolves when both are on disk; rejects with FaultError. */
  async accept(job: NewJob): Promise<void> {
    if (this.#stopping) throw new FaultError(fault('shutting_down', {}))
    const refused = this.#apply({ type: 'ask', id: job.id, workspace: job.project.path }).find((effect) => effect.type === 'refuse')
    if (refused !== undefined) throw new FaultError(fault('queue_full', { queued: refused.queued, limit: refused.limit }))
    const first: JobEvent = { type: 'accepted', request: job.request, principal: job.principal, model: job.model, seq: 1, jobId: job.id, at: job.createdAt }
    try {
      await this.#o.store.accept(job, first)
    } catch (error) {
      this.#apply({ type: 'lost', id: job.id })
      throw error
    }
    this.#journals.set(job.id, this.#journal(job.id, 1))
    this.#apply({ type: 'stored', id: job.id })
  }

  /** Asks a job to stop; it is over at the latest when its tool call has been killed. Nothing happens to a job that is over. */
  async cancel(id: string, by: string): Promise<void> {
    if (!this.#journals.has(id)) return
    await this.#o.store.cancelled(id, by)
    this.#apply({ type: 'cancel', id }, { kind: 'cancel', by })
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
    const abort = new AbortController()
    const done = this.#run(id, abort)
      .catch((error: unknown) => this.#o.log('error', 'a job could not be ended; it is continued at the next start', { job: id, problem: faultFrom(error).message }))
      .finally(() => {
        this.#active.delete(id)
        this.#apply({ type: 'ended', id })
      })
    this.#active.set(id, { abort, done })
  }

  async #run(id: string, abort: AbortController): Promise<void> {
    const past = this.#past(id)
    const job = this.#o.store.read.job(id)
    if (job === null) throw new Error(`job ${id} has no row`)
    const before = ranMs(past)
    const startedAt = this.#now()
    const end = await this.#attempt(job, past, before, abort).catch((error: unknown): AgentEnd => {
      const problem = faultFrom(error)
      if (problem.code === 'internal') this.#o.log('error', 'a job met an internal fault', { job: id, problem: error instanceof Error ? error.stack ?? error.message : String(error) })
      return faultEnd(problem)
    })
    if (end.type === 'suspended') await this.#emit(id, { type: 'suspended', reason: end.reason })
    else await this.#end(id, past, before + this.#now() - startedAt, end)
  }

  async #attempt(job: Job, past: readonly JobEvent[], beforeMs: number, abort: AbortController): Promise<AgentEnd> {
    const { parts, config, store } = this.#o
    await this.#sameFolder(job.request.cwd)
    const found = await parts.model(job.model)
    if (!found.ok) return faultEnd(found.fault)
    const sandbox = await parts.sandbox()
    const report = await sandbox.report()
    if (!report.available) return faultEnd(report.fault ?? fault('sandbox_unavailable', { why: report.detail, remedy: "Run 'hearth doctor'." }))
    const runAgent = await parts.agent()
    const outputDir = join(this.#o.outputs, job.id)
    await mkdir(outputDir, { recursive: true, mode: 0o700 })

    const seed = past.find((event) => event.type === 'started')?.seed ?? job.request.seed ?? randomInt(2 ** 32)
    const attempt = past.filter((event) => event.type === 'started').length + 1
    if (abort.signal.aborted) return abortEnd(abort.signal.reason as AbortCause)
    await this.#emit(job.id, { type: 'started', attempt, seed, sandbox: report.detail })
    const worker = parts.workers().find((status) => status.model === job.model)
    if (worker !== undefined && worker.state !== 'ready') await this.#emit(job.id, { type: 'loading', model: job.model, detail: 'it was not in memory' })

    const place = await this.#o.workspaces.open(job, past, abort.signal)
    if (abort.signal.aborted) return abortEnd(abort.signal.reason as AbortCause)
    if ('fault' in place) return faultEnd(place.fault)
    for (const event of place.events) await this.#emit(job.id, event)

    const timeoutSeconds = job.request.timeoutSeconds ?? config.jobs.timeoutSeconds
    const timeout: AbortCause = { kind: 'timeout', seconds: timeoutSeconds }
    const timer = setTimeout(() => abort.abort(timeout), Math.min(longestTimerMs, Math.max(0, timeoutSeconds * 1000 - beforeMs)))
    let step: number | null = past.findLast((event) => event.type === 'step')?.step ?? null
    const emit = (body: JobEventBody): Promise<void> => {
      if (body.type === 'step') step = body.step
      return this.#emit(job.id, body)
    }
    const speedAt = await parts.tuning.speedAt(job.model)
    const model = metered(found.model, { principal: job.principal, jobId: job.id, step: () => step }, (entry) => store.ledger(entry), this.#now)
    try {
      const end = await runAgent({
        jobId: job.id, request: { ...job.request, cwd: place.path }, attempt, seed, past: [...past, ...place.events], outputDir, timeoutSeconds, skillFolders: config.agent.skillFolders, mcpServers: config.agent.mcpServers,
        maxSteps: job.request.maxSteps ?? config.jobs.maxSteps, maxTokens: job.request.maxTokens ?? config.jobs.maxTokens,
        limits: {
          memoryBytes: config.sandbox.memoryBytes, pids: config.sandbox.pids, wallMs: config.sandbox.wallSeconds * 1000,
          outputBytes: config.sandbox.outputBytes, tmpBytes: config.sandbox.tmpBytes, fileBytes: config.sandbox.fileBytes,
        },
      }, { model, sandbox: place.sandbox, emit, now: this.#now, workspace: place.port, idle: () => this.waiting === 0 && this.running <= 1, ...(speedAt === null ? {} : { speedAt }) }, abort.signal)
      if (end.type === 'ended') for (const event of await place.deliver(step ?? 0)) await this.#emit(job.id, event)
      return end
    } finally {
      clearTimeout(timer)
    }
  }

  /** The folder was judged when the job was accepted. While it waited, another job's tools may have put a link in its place, or it is gone. */
  async #sameFolder(path: string): Promise<void> {
    const real = await this.#o.usable(path)
    if (real !== path) throw new FaultError(fault('bad_cwd', { path, problem: `it leads to ${real} now` }))
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
