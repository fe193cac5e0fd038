// Owns the folders of jobs: where each works, which states of it are kept, what is delivered, undone and thrown away. The runner and the routes ask here.
import { existsSync } from 'node:fs'
import { lstat, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type Config, type EventOf, type Fault, type Job, type JobEvent, type JobEventBody, type JobResult, type Sandbox, type UndoReply, type Workspace } from '@hearth/protocol'
import type { Log } from '../log.ts'
import { makeCopy, withObjects } from './copy.ts'
import { addBranch } from './deliver.ts'
import { gitMissing, hasGit } from './git.ts'
import { shown, type Count } from './records.ts'
import { headOf, sourceOf, type Plain, type Repository } from './source.ts'
import { States, type Failed, type Taken } from './states.ts'
import { planUndo } from './undo.ts'

export type WorkspacesOptions = { config: Config; stateDir: string; sandbox(): Promise<Sandbox>; log: Log }

/** Where one run of a job works. */
export type Place = {
  /** The folder that the tools see as /work. */
  path: string
  sandbox: Sandbox
  port: Workspace | null
  /** What a resumed job has to be told first: its place when it is new, a state that was kept and never written down. */
  events: JobEventBody[]
  /** What became of the work; to be stored before the job's end. */
  deliver(lastStep: number): Promise<JobEventBody[]>
}

export type DiffStat = { files: { path: string; added: number | null; removed: number | null }[]; added: number; removed: number }

/** Beside the kept states: what events do not say. */
type Memo = { head: string | null; current: string | null }

const namedFiles = 8
const listedFiles = 1000

export class Workspaces {
  readonly #o: WorkspacesOptions
  readonly #states = new Map<string, States>()
  readonly #folders = new Map<string, Promise<unknown>>()

  constructor(options: WorkspacesOptions) {
    this.#o = options
  }

  keptDir(jobId: string): string {
    return join(this.#o.stateDir, 'kept', jobId)
  }

  copyDir(jobId: string): string {
    return join(this.#o.stateDir, 'workspaces', jobId)
  }

  /** The place of a job's run, made when it has none yet. A fault only when it was to have a copy. */
  async open(job: Job, past: readonly JobEventBody[], signal: AbortSignal): Promise<Place | { fault: Fault }> {
    const known = past.find((event) => event.type === 'workspace')
    const made = known === undefined ? await this.#inFolder(job.request.cwd, () => this.#make(job, signal)) : await this.#again(job, known, past, signal)
    if ('fault' in made) return made
    const { event, states, events } = made
    const tools = event.kind === 'in_place' ? await this.#o.sandbox() : withObjects(await this.#o.sandbox(), states?.shadow.objects ?? null)
    return {
      path: event.path, sandbox: tools, events, port: states === null || event.base === null ? null : this.#port(job, states, event.base),
      deliver: async (lastStep) => (states === null || event.base === null ? [] : this.#deliver(job, states, event.base, lastStep)),
    }
  }

  async #make(job: Job, signal: AbortSignal): Promise<{ event: EventOf<'workspace'>; states: States | null; events: JobEventBody[] } | { fault: Fault }> {
    const { cwd } = job.request
    const result = resultOf(job)
    const source = await sourceOf(cwd)
    const states = await this.#statesAt(job, cwd, source)
    await mkdir(join(states.shadow.dir, '..'), { recursive: true, mode: 0o700 })
    const memo: Memo = { head: source.kind === 'git' ? (await headOf(source)).commit : null, current: null }
    const why = await cannotKeep(cwd)
    if (result === 'in_place') {
      const first: Taken | Failed = why !== null ? { why } : await states.begin(source, 'before the job', signal)
      if ('why' in first) {
        await this.#forget(job.id)
        if (!signal.aborted) this.#o.log('warn', 'no states of a folder are kept', { job: job.id, problem: first.why })
        const event: EventOf<'workspace'> = { type: 'workspace', kind: 'in_place', path: cwd, base: null, detail: `no diff and no undo: ${first.why}` }
        return { event, states: null, events: [event] }
      }
      const event: EventOf<'workspace'> = { type: 'workspace', kind: 'in_place', path: cwd, base: first.commit, detail: detailOf(source, first.leftOut) }
      await this.#remember(job.id, memo)
      return { event, states, events: [event] }
    }
    if (why !== null) return { fault: fault('workspace_failed', { path: cwd, why, remedy: "Run it with '--result in-place'." }) }
    const path = this.copyDir(job.id)
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    const copied = await makeCopy(states, cwd, path, source, this.#o.config.workspace, signal)
    if ('fault' in copied) {
      await this.#forget(job.id)
      return copied
    }
    await this.#remember(job.id, memo)
    const event: EventOf<'workspace'> = { type: 'workspace', kind: source.kind === 'git' ? 'worktree' : 'copy', path, base: copied.base, detail: copied.detail }
    return { event, states, events: [event] }
  }

  /** A run that goes on: the same folder, the same states. */
  async #again(job: Job, event: EventOf<'workspace'>, past: readonly JobEventBody[], signal: AbortSignal): Promise<{ event: EventOf<'workspace'>; states: States | null; events: JobEventBody[] } | { fault: Fault }> {
    if (!existsSync(event.path)) return { fault: fault('workspace_failed', { path: job.request.cwd, why: `${event.path} is gone`, remedy: 'Run the job again.' }) }
    const states = event.base === null ? null : await this.#statesOf(job, event)
    if (states === null || event.base === null) return { event, states: null, events: [] }
    const last = past.findLast((one) => one.type === 'committed')?.commit ?? event.base
    const missed = await states.unknown(last, signal)
    if (missed === null) return { event, states, events: [] }
    if ('why' in missed) {
      this.#o.log('warn', 'the kept states of a job do not fit its events', { job: job.id, problem: missed.why })
      return { event, states, events: [] }
    }
    const step = Number(/^step (\d+)/.exec(missed.message)?.[1] ?? past.findLast((one) => one.type === 'step')?.step ?? 0)
    return { event, states, events: [committedOf(step, missed.commit, missed.counts)] }
  }

  #port(job: Job, states: States, base: string): Workspace {
    const signal = new AbortController().signal
    return {
      base,
      keep: async (step, what) => {
        const taken = await states.take(`step ${step}: ${what}`, signal)
        if (!('why' in taken)) return taken.isNew ? committedOf(step, taken.commit, taken.counts) : null
        this.#o.log('warn', 'a step could not be kept', { job: job.id, step, problem: taken.why })
        return null
      },
      restore: async (commit) => {
        const why = await goTo(states, commit, signal)
        return why === null ? null : fault('not_put_back', { path: states.folder, why })
      },
    }
  }

  async #deliver(job: Job, states: States, base: string, lastStep: number): Promise<JobEventBody[]> {
    const signal = new AbortController().signal
    const events: JobEventBody[] = []
    const result = resultOf(job)
    const last = await states.take(`step ${lastStep}: the end`, signal)
    if ('why' in last) this.#o.log('warn', 'the last state of a job could not be kept', { job: job.id, problem: last.why })
    else if (last.isNew) events.push(committedOf(lastStep, last.commit, last.counts))
    const newest = 'why' in last ? await states.newest(signal) : last
    const work = 'why' in newest ? newest : await states.differences(base, newest.commit, signal)
    if ('why' in newest || 'why' in work) {
      this.#o.log('error', 'the work of a job could not be compared', { job: job.id, problem: 'why' in work ? work.why : '' })
      return events
    }
    const memo = await this.#memo(job.id)
    await this.#remember(job.id, { ...memo, current: newest.commit })
    if (work.length === 0) {
      if (result !== 'in_place') await rm(this.copyDir(job.id), { recursive: true, force: true })
      return events
    }
    if (result === 'in_place') return [...events, { type: 'delivered', how: 'in_place', to: job.request.cwd, files: work.length }]
    const file = join(this.#o.stateDir, 'outputs', job.id, 'result.patch')
    const patched = await states.patch(base, newest.commit, file, signal)
    if (patched !== null) this.#o.log('error', 'the patch of a job could not be written', { job: job.id, problem: patched.why })
    const delivered = await this.#handOver(job, states, { base, final: newest.commit, head: memo.head, result, file, files: work.length }, signal)
    if (patched === null) await rm(this.copyDir(job.id), { recursive: true, force: true })
    return [...events, delivered]
  }

  async #handOver(job: Job, states: States, work: { base: string; final: string; head: string | null; result: JobResult; file: string; files: number }, signal: AbortSignal): Promise<EventOf<'delivered'>> {
    const asPatch: EventOf<'delivered'> = { type: 'delivered', how: 'diff', to: work.file, files: work.files }
    if (work.result !== 'branch') return asPatch
    const source = await sourceOf(job.request.cwd)
    const title = (job.request.prompt.split('\n').find((line) => line.trim() !== '') ?? 'Work of a job').trim().slice(0, 72)
    const made = source.kind === 'plain' ? { why: source.why === '' ? 'the folder is no git repository' : source.why }
      : await addBranch(states, source, { id: job.id, title, base: work.base, final: work.final, head: work.head }, signal)
    if (!('why' in made)) return { type: 'delivered', how: 'branch', to: made.branch, files: made.files }
    this.#o.log('warn', 'a branch could not be added; the work is a patch', { job: job.id, problem: made.why })
    return { ...asPatch, why: `no branch: ${made.why}` }
  }

  /** The lines changed by the job, or by one step. Throws FaultError. */
  async stat(job: Job, events: readonly JobEvent[], step: number | null): Promise<DiffStat> {
    const { states, from, to } = await this.#range(job, events, step)
    const counts = await states.counts(from, to, new AbortController().signal)
    if ('why' in counts) throw new FaultError(fault('nothing_kept', { id: job.id, why: counts.why }))
    const { added, removed } = sum(counts)
    return { files: counts.map((count) => ({ ...count, path: shown(count.path) })), added, removed }
  }

  /** The patch of the job, or of one step, as a file that has no name any more. Throws FaultError. */
  async patch(job: Job, events: readonly JobEvent[], step: number | null): Promise<ReadableStream<Uint8Array>> {
    const kept = join(this.#o.stateDir, 'outputs', job.id, 'result.patch')
    if (step === null && !existsSync(this.keptDir(job.id)) && existsSync(kept)) return fileStream(kept)
    const { states, from, to } = await this.#range(job, events, step)
    const file = join(states.shadow.dir, '..', `${job.id}.${Math.random().toString(36).slice(2)}.patch`)
    try {
      const failed = await states.patch(from, to, file, new AbortController().signal)
      if (failed !== null) throw new FaultError(fault('nothing_kept', { id: job.id, why: failed.why }))
      return await fileStream(file)
    } finally {
      await rm(file, { force: true })
    }
  }

  async #range(job: Job, events: readonly JobEvent[], step: number | null): Promise<{ states: States; from: string; to: string }> {
    const { event, base } = keptOf(job, events)
    const states = await this.#statesOf(job, event)
    if (states === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'they were removed (workspace.keepDays, workspace.keepBytes)' }))
    if (step !== null) {
      checkStep(job, events, step, 1)
      return { states, from: stateAfter(events, base, step - 1), to: stateAfter(events, base, step) }
    }
    const current = (await this.#memo(job.id)).current ?? stateAfter(events, base, Infinity)
    return { states, from: base, to: current }
  }

  /**
   * Puts the owner's folder back to the state after a step (0 = before the job). The present state is kept first, so an undo can be undone
   * by going to a later step. `appended` stores the event. Throws FaultError.
   */
  undo(job: Job, events: readonly JobEvent[], options: { toStep: number; force: boolean; by: string }, append: (event: EventOf<'reverted'>) => Promise<void>): Promise<UndoReply> {
    return this.#inFolder(job.request.cwd, async () => {
      const { event, base } = keptOf(job, events)
      if (event.kind !== 'in_place') throw new FaultError(fault('conflict', { problem: `Job ${job.id} worked in a copy, so there is nothing to undo in the folder.` }))
      checkStep(job, events, options.toStep, 0)
      const states = await this.#statesOf(job, event)
      if (states === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'they were removed (workspace.keepDays, workspace.keepBytes)' }))
      const signal = new AbortController().signal
      const must = <T>(value: T | Failed): T => {
        if (typeof value === 'object' && value !== null && 'why' in value) throw new FaultError(fault('not_put_back', { path: job.request.cwd, why: value.why }))
        return value
      }
      const memo = await this.#memo(job.id)
      const left = memo.current ?? must(await states.newest(signal)).commit
      const target = stateAfter(events, base, options.toStep)
      const here = must(await states.take(`before an undo to step ${options.toStep}`, signal)).commit
      const [ofJob, ofOwner, back] = [must(await states.differences(left, target, signal)), must(await states.differences(left, here, signal)), must(await states.differences(here, target, signal))]
      const plan = planUndo(ofJob, ofOwner, back)
      if (plan.changedSince.length > 0 && !options.force) {
        throw new FaultError(fault('changed_since', { files: plan.changedSince.slice(0, namedFiles).map(shown), count: plan.changedSince.length }))
      }
      const { commit } = plan.changes.length === 0 ? { commit: here } : must(await states.change(plan.changes, `undo to step ${options.toStep}`, signal))
      await this.#remember(job.id, { ...memo, current: target })
      await append({ type: 'reverted', step: events.findLast((one) => one.type === 'step')?.step ?? 0, toStep: options.toStep, commit, by: options.by })
      return { toStep: options.toStep, commit, files: plan.changes.slice(0, listedFiles).map(({ path }) => shown(path)), count: plan.changes.length }
    })
  }

  /** Removes all that is kept of a job. */
  async remove(jobId: string): Promise<void> {
    await this.#forget(jobId)
    await rm(this.copyDir(jobId), { recursive: true, force: true })
  }

  async #forget(jobId: string): Promise<void> {
    this.#states.delete(jobId)
    await Promise.all([rm(this.keptDir(jobId), { recursive: true, force: true }), rm(`${this.keptDir(jobId)}.json`, { force: true })])
  }

  async #statesOf(job: Job, event: EventOf<'workspace'>): Promise<States | null> {
    const known = this.#states.get(job.id)
    if (known !== undefined) return known
    if (!existsSync(join(this.keptDir(job.id), 'git/HEAD'))) return null
    return this.#statesAt(job, event.path, await sourceOf(job.request.cwd))
  }

  async #statesAt(job: Job, folder: string, source: Repository | Plain): Promise<States> {
    const dir = this.keptDir(job.id)
    const borrows = source.kind === 'git' && existsSync(join(dir, 'git/objects/info/alternates'))
    const states = new States({
      shadow: { dir, objects: borrows ? source.objects : null }, folder, sandbox: await this.#o.sandbox(), limits: this.#o.config.sandbox, bounds: this.#o.config.workspace,
    })
    this.#states.set(job.id, states)
    return states
  }

  async #memo(jobId: string): Promise<Memo> {
    const text = await readFile(`${this.keptDir(jobId)}.json`, 'utf8').catch(() => '{}')
    return { head: null, current: null, ...JSON.parse(text) as Partial<Memo> }
  }

  async #remember(jobId: string, memo: Memo): Promise<void> {
    await writeFile(`${this.keptDir(jobId)}.json`, JSON.stringify(memo), { mode: 0o600 }).catch((error: unknown) => {
      this.#o.log('warn', 'a note beside the kept states could not be written', { job: jobId, problem: String(error) })
    })
  }

  /** First states and undos of one folder come one after the other. */
  #inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const before = this.#folders.get(folder) ?? Promise.resolve()
    const mine = before.then(work, work)
    const settled = mine.catch(() => undefined).then(() => {
      if (this.#folders.get(folder) === settled) this.#folders.delete(folder)
    })
    this.#folders.set(folder, settled)
    return mine
  }
}

export function resultOf(job: Job): JobResult {
  // Rows of an older Hearth have no such field.
  return (job.request.result as JobResult | null | undefined) ?? 'in_place'
}

/** What makes keeping impossible at all, as a sentence's end. */
async function cannotKeep(folder: string): Promise<string | null> {
  if (!hasGit()) return gitMissing
  const { uid } = await lstat(folder)
  return process.getuid?.() === 0 && uid !== 0 ? `the folder belongs to another user (uid ${uid}) and the daemon is root` : null
}

function detailOf(source: Repository | Plain, leftOut: readonly string[]): string {
  return [...(source.kind === 'plain' && source.why !== '' ? [source.why] : []), ...(leftOut.length === 0 ? [] : [`not kept: ${leftOut.join('; ')}`])].join('; ')
}

function committedOf(step: number, commit: string, counts: readonly Count[]): EventOf<'committed'> {
  return { type: 'committed', step, commit, files: counts.length, ...sum(counts) }
}

function sum(counts: readonly Count[]): { added: number; removed: number } {
  return { added: counts.reduce((total, { added }) => total + (added ?? 0), 0), removed: counts.reduce((total, { removed }) => total + (removed ?? 0), 0) }
}

/** Puts a kept state back whole; what was there is kept first. Null = done. */
async function goTo(states: States, commit: string, signal: AbortSignal): Promise<string | null> {
  const here = await states.take('before going back', signal)
  if ('why' in here) return here.why
  const back = await states.differences(here.commit, commit, signal)
  if ('why' in back) return back.why
  const changed = back.length === 0 ? null : await states.change(back, `back at ${commit.slice(0, 10)}`, signal)
  return changed !== null && 'why' in changed ? changed.why : null
}

function keptOf(job: Job, events: readonly JobEvent[]): { event: EventOf<'workspace'>; base: string } {
  const event = events.find((one) => one.type === 'workspace')
  if (event === undefined) throw new FaultError(fault('nothing_kept', { id: job.id, why: 'it did not begin to work' }))
  if (event.base === null) throw new FaultError(fault('nothing_kept', { id: job.id, why: event.detail.replace(/^no diff and no undo: /, '') }))
  return { event, base: event.base }
}

function checkStep(job: Job, events: readonly JobEvent[], step: number, least: number): void {
  const last = events.findLast((one) => one.type === 'step')?.step ?? 0
  if (step < least || step > last) throw new FaultError(fault('bad_request', { where: 'the step', problem: `job ${job.id} has the steps ${least} to ${last}` }))
}

/** The newest state that was kept up to the end of a step. */
function stateAfter(events: readonly JobEvent[], base: string, step: number): string {
  let commit = base
  for (const event of events) if (event.type === 'committed' && event.step <= step) ({ commit } = event)
  return commit
}

async function fileStream(path: string): Promise<ReadableStream<Uint8Array>> {
  const handle = await open(path, 'r')
  return handle.readableWebStream({ autoClose: true }) as ReadableStream<Uint8Array>
}
