// Owns the folder STATE/kept: the kept states of each job, a note beside them, and what becomes of them when they are old.
import { existsSync } from 'node:fs'
import { readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config, EventOf, Job, Sandbox } from '@hearth/protocol'
import type { Log } from '../log.ts'
import { folderBytes } from './git.ts'
import { sourceOf, type Plain, type Repository } from './source.ts'
import { States } from './states.ts'

export type KeeperOptions = { config: Config; stateDir: string; sandbox(): Promise<Sandbox>; log: Log }

/** Beside the kept states: what events do not say. `head`: the owner's commit when the job began. `current`: the state that the job or the last undo left in the folder. */
export type Memo = { head: string | null; current: string | null }

const dayMs = 86_400_000

export class Keeper {
  readonly options: KeeperOptions
  readonly #states = new Map<string, States>()
  readonly #folders = new Map<string, Promise<unknown>>()

  constructor(options: KeeperOptions) {
    this.options = options
  }

  keptDir(jobId: string): string {
    return join(this.options.stateDir, 'kept', jobId)
  }

  copyDir(jobId: string): string {
    return join(this.options.stateDir, 'workspaces', jobId)
  }

  patchFile(jobId: string): string {
    return join(this.options.stateDir, 'outputs', jobId, 'result.patch')
  }

  /** The states that are kept of a job; null when they are gone. */
  async statesOf(job: Job, event: EventOf<'workspace'>): Promise<States | null> {
    const known = this.#states.get(job.id)
    if (known !== undefined) return known
    if (!existsSync(join(this.keptDir(job.id), 'git/HEAD'))) return null
    return this.statesAt(job.id, event.path, await sourceOf(job.request.cwd))
  }

  async statesAt(jobId: string, folder: string, source: Repository | Plain): Promise<States> {
    const { config } = this.options
    const dir = this.keptDir(jobId)
    const borrows = source.kind === 'git' && existsSync(join(dir, 'git/objects/info/alternates'))
    const states = new States({ shadow: { dir, objects: borrows ? source.objects : null }, folder, sandbox: await this.options.sandbox(), limits: config.sandbox, bounds: config.workspace })
    this.#states.set(jobId, states)
    return states
  }

  async memo(jobId: string): Promise<Memo> {
    const none: Memo = { head: null, current: null }
    try {
      return { ...none, ...JSON.parse(await readFile(`${this.keptDir(jobId)}.json`, 'utf8')) as Partial<Memo> }
    } catch {
      return none
    }
  }

  async remember(jobId: string, memo: Memo): Promise<void> {
    const path = `${this.keptDir(jobId)}.json`
    try {
      // Whole or not at all: a crash in between leaves the old one.
      await writeFile(`${path}.new`, JSON.stringify(memo), { mode: 0o600 })
      await rename(`${path}.new`, path)
    } catch (error) {
      this.options.log('warn', 'a note beside the kept states could not be written', { job: jobId, problem: String(error) })
    }
  }

  async forget(jobId: string): Promise<void> {
    this.#states.delete(jobId)
    await Promise.all([rm(this.keptDir(jobId), { recursive: true, force: true }), rm(`${this.keptDir(jobId)}.json`, { force: true })])
  }

  /** First states and undos of one folder come one after the other. */
  inFolder<T>(folder: string, work: () => Promise<T>): Promise<T> {
    const before = this.#folders.get(folder) ?? Promise.resolve()
    const mine = before.then(work, work)
    const settled = mine.catch(() => undefined).then(() => {
      if (this.#folders.get(folder) === settled) this.#folders.delete(folder)
    })
    this.#folders.set(folder, settled)
    return mine
  }

  /**
   * Removes what is kept of jobs that ended more than workspace.keepDays ago, then of the oldest until workspace.keepBytes hold the rest, and what belongs to no
   * job. `endedAt`: null = it is not over, undefined = there is no such job.
   */
  async prune(endedAt: (jobId: string) => number | null | undefined, now: number): Promise<void> {
    const { keepDays, keepBytes } = this.options.config.workspace
    const ids = new Set([...await names(join(this.options.stateDir, 'kept')), ...await names(join(this.options.stateDir, 'workspaces'))].map((name) => name.split('.')[0] ?? ''))
    const rest: { id: string; ended: number; bytes: number }[] = []
    for (const id of ids) {
      const ended = endedAt(id)
      if (ended === null) continue
      if (ended === undefined || now - ended > keepDays * dayMs) await this.#remove(id)
      else rest.push({ id, ended, bytes: await folderBytes(this.keptDir(id)) + await folderBytes(this.copyDir(id)) })
    }
    let total = rest.reduce((sum, { bytes }) => sum + bytes, 0)
    for (const { id, bytes } of rest.toSorted((a, b) => a.ended - b.ended)) {
      if (total <= keepBytes) return
      await this.#remove(id)
      total -= bytes
    }
  }

  async #remove(jobId: string): Promise<void> {
    await this.forget(jobId)
    await rm(this.copyDir(jobId), { recursive: true, force: true })
  }
}

function names(folder: string): Promise<string[]> {
  return readdir(folder).catch(() => [])
}
