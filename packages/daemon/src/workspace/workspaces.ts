// Owns where each run of a job works, what of its folder is kept while it runs, and what is handed over at its end. The runner asks here.
import { existsSync } from 'node:fs'
import { lstat, mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, type EventOf, type Fault, type Job, type JobEventBody, type JobResult, type Sandbox, type Workspace } from '@hearth/protocol'
import { Afterwards } from './afterwards.ts'
import { makeCopy, withObjects } from './copy.ts'
import { addBranch } from './deliver.ts'
import { gitMissing, hasGit } from './git.ts'
import { Keeper, type KeeperOptions, type Memo } from './keeper.ts'
import { linesOf, type Count } from './records.ts'
import { headOf, sourceOf, type Plain, type Repository } from './source.ts'
import type { Failed, States, Taken } from './states.ts'
import { textDiff } from './text-diff.ts'

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

export class Workspaces {
  readonly keeper: Keeper
  /** Diff and undo. */
  readonly after: Afterwards
  readonly #o: KeeperOptions
  /** Jobs whose copy holds nothing that is not handed over. */
  readonly #spent = new Set<string>()

  constructor(options: KeeperOptions) {
    this.#o = options
    this.keeper = new Keeper(options)
    this.after = new Afterwards(this.keeper)
  }

  /** The place of a job's run, made when it has none yet. A fault only when it was to have a copy. */
  async open(job: Job, past: readonly JobEventBody[], signal: AbortSignal): Promise<Place | { fault: Fault }> {
    const known = past.find((event) => event.type === 'workspace')
    const made = known === undefined ? await this.keeper.inFolder(job.request.cwd, () => this.#make(job, signal)) : await this.#again(job, known, past, signal)
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
    const states = await this.keeper.statesAt(job.id, cwd, source)
    await mkdir(join(states.shadow.dir, '..'), { recursive: true, mode: 0o700 })
    const memo: Memo = { head: source.kind === 'git' ? (await headOf(source)).commit : null, current: null }
    const why = await cannotKeep(cwd)
    if (result === 'in_place') {
      const first: Taken | Failed = why !== null ? { why } : await states.begin(source, 'before the job', signal)
      if ('why' in first) {
        await this.keeper.forget(job.id)
        if (!signal.aborted) this.#o.log('warn', 'no states of a folder are kept', { job: job.id, problem: first.why })
        const event: EventOf<'workspace'> = { type: 'workspace', kind: 'in_place', path: cwd, base: null, detail: `no diff and no undo: ${first.why}` }
        return { event, states: null, events: [event] }
      }
      const event: EventOf<'workspace'> = { type: 'workspace', kind: 'in_place', path: cwd, base: first.commit, detail: detailOf(source, first.leftOut) }
      await this.keeper.remember(job.id, memo)
      return { event, states, events: [event] }
    }
    if (why !== null) return { fault: fault('workspace_failed', { path: cwd, why, remedy: "Run it with '--result in-place'." }) }
    const path = this.keeper.copyDir(job.id)
    await mkdir(join(path, '..'), { recursive: true, mode: 0o700 })
    const copied = await makeCopy(states, cwd, path, source, this.#o.config.workspace, signal)
    if ('fault' in copied) {
      await this.keeper.forget(job.id)
      return copied
    }
    await this.keeper.remember(job.id, memo)
    const event: EventOf<'workspace'> = { type: 'workspace', kind: source.kind === 'git' ? 'worktree' : 'copy', path, base: copied.base, detail: copied.detail }
    return { event, states, events: [event] }
  }

  /** A run that goes on: the same folder, the same states. */
  async #again(job: Job, event: EventOf<'workspace'>, past: readonly JobEventBody[], signal: AbortSignal): Promise<{ event: EventOf<'workspace'>; states: States | null; events: JobEventBody[] } | { fault: Fault }> {
    if (!existsSync(event.path)) return { fault: fault('workspace_failed', { path: job.request.cwd, why: `${event.path} is gone`, remedy: 'Run the job again.' }) }
    // Where an undo left the folder counts only until the job goes on from there.
    const memo = await this.keeper.memo(job.id)
    if (memo.current !== null) await this.keeper.remember(job.id, { ...memo, current: null })
    const states = event.base === null ? null : await this.keeper.statesOf(job, event)
    if (states === null || event.base === null) return { event, states: null, events: [] }
    const last = past.findLast((one) => one.type === 'committed')?.commit ?? event.base
    const missed = await states.unknown(last, signal)
    if (missed === null) return { event, states, events: [] }
    if ('why' in missed) {
      this.#o.log('warn', 'the kept states of a job do not fit its events', { job: job.id, problem: missed.why })
      return { event, states, events: [] }
    }
    const step = /^step (\d+):/.exec(missed.message)?.[1]
    // Any other one was made while the folder was put back, which begins again.
    return { event, states, events: step === undefined ? [] : [committedOf(Number(step), missed.commit, missed.counts)] }
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
      diff: (limitBytes) => textDiff(states, base, limitBytes, signal),
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
    const memo = await this.keeper.memo(job.id)
    await this.keeper.remember(job.id, { ...memo, current: newest.commit })
    if (work.length === 0) {
      if (result !== 'in_place') this.#spent.add(job.id)
      return events
    }
    if (result === 'in_place') return [...events, { type: 'delivered', how: 'in_place', to: job.request.cwd, files: work.length }]
    const file = this.keeper.patchFile(job.id)
    const patched = await states.patch(base, newest.commit, file, signal)
    if (patched !== null) this.#o.log('error', 'the patch of a job could not be written', { job: job.id, problem: patched.why })
    const delivered = await this.#handOver(job, states, { base, final: newest.commit, head: memo.head, result, file, files: work.length }, signal)
    if (patched === null) this.#spent.add(job.id)
    return [...events, delivered]
  }

  /** The job's end is on disk: what nobody needs any more goes. Before that a crash would leave a job that has to go on without its folder. Never throws. */
  async over(jobId: string): Promise<void> {
    if (!this.#spent.delete(jobId)) return
    await rm(this.keeper.copyDir(jobId), { recursive: true, force: true }).catch((error: unknown) => this.#o.log('warn', 'the copy of a job could not be removed', { job: jobId, problem: String(error) }))
  }

  async #handOver(job: Job, states: States, work: { base: string; final: string; head: string | null; result: JobResult; file: string; files: number }, signal: AbortSignal): Promise<EventOf<'delivered'>> {
    const asPatch: EventOf<'delivered'> = { type: 'delivered', how: 'diff', to: work.file, files: work.files }
    if (work.result !== 'branch') return asPatch
    const source = await sourceOf(job.request.cwd)
    const title = (job.request.prompt.split('\n').find((line) => line.trim() !== '') ?? 'Work of a job').replace(/\p{Cc}+/gu, ' ').trim().slice(0, 72)
    const made = source.kind === 'plain' ? { why: source.why === '' ? 'the folder is no git repository' : source.why }
      : await addBranch(states, source, { id: job.id, title, base: work.base, final: work.final, head: work.head }, signal)
    if (!('why' in made)) return { type: 'delivered', how: 'branch', to: made.branch, files: made.files }
    this.#o.log('warn', 'a branch could not be added; the work is a patch', { job: job.id, problem: made.why })
    return { ...asPatch, why: `no branch: ${made.why}` }
  }

}

export function resultOf(job: Pick<Job, 'request'>): JobResult {
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
  return { type: 'committed', step, commit, files: counts.length, ...linesOf(counts) }
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
