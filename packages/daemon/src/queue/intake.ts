// Owns the door of the queue: what a request must be before it becomes a job. Nothing is stored for a request that is refused.
import { randomBytes } from 'node:crypto'
import { access, constants, cp, realpath, stat, statfs } from 'node:fs/promises'
import { isAbsolute, join, sep } from 'node:path'
import { fault, FaultError, JobRequest, networkProblem, Project, type Config, type Job, type JobEventBody, type Principal, type SubmitReply } from '@hearth/protocol'
import { lowerClass, mayUse } from '../auth/limits.ts'
import type { Parts } from '../parts.ts'
import type { Store } from '../store/store.ts'
import { parse } from '../parse.ts'
import { forkedPast } from './fork.ts'
import type { Runner } from './runner.ts'

/** A folder that tools must not reach, and what it is. `inside`: folders inside it are refused too. */
export type Guarded = { path: string; what: string; inside: boolean }

export type IntakeOptions = {
  store: Store; runner: Runner; parts: Parts; config: Config; stateDir: string
  guarded: readonly Guarded[]
  /** A provider sells this model: policy is asked when the job runs. */
  sells(id: string): boolean
  now?: () => number
}

/** What a job goes on from. `id`: its own, free until now; `job`: the other one. */
export type From = { id: string; job: string; past: readonly JobEventBody[] }

export class Intake {
  readonly #o: IntakeOptions
  readonly #underWay = new Map<string, Promise<Job>>()

  constructor(options: IntakeOptions) {
    this.#o = options
  }

  /** Makes a job of a request, or finds the job that the same idempotency key made. Resolves when it is on disk; rejects with FaultError. */
  async submit(body: unknown, principal: Principal): Promise<SubmitReply> {
    const request = parse(JobRequest, body, 'the job')
    if (request.idempotencyKey === null) return { job: await this.#make(request, principal), duplicate: false }
    const key = JSON.stringify([principal.id, request.idempotencyKey])
    const underWay = this.#underWay.get(key)
    if (underWay !== undefined) return { job: await underWay, duplicate: true }
    const known = this.#o.store.read.jobByKey(principal.id, request.idempotencyKey)
    if (known !== null) return { job: known, duplicate: true }
    const making = this.#make(request, principal).finally(() => this.#underWay.delete(key))
    this.#underWay.set(key, making)
    return { job: await making, duplicate: false }
  }

  /**
   * Makes a job that goes on from the past of another one: its folder and what is kept under its id are as that past left them. Resolves when it is on disk; rejects
   * with FaultError.
   */
  goOn(body: unknown, from: From, principal: Principal): Promise<Job> {
    return this.#make(parse(JobRequest, body, 'the job'), principal, from)
  }

  /** Makes a chat of what another job has done and heard up to a step. Resolves when it is on disk; rejects with FaultError. */
  async fork(source: Job, options: { step: number | null; model: string | null; approve: 'none' | 'writes' | null }, principal: Principal): Promise<Job> {
    const { store, runner } = this.#o
    if (runner.inLine(source.id)) throw new FaultError(fault('conflict', { problem: `Job ${source.id} is at work; it can be forked when it waits or is over.` }))
    this.#checkNetwork(source.request)
    await this.#checkDisk()
    const cwd = await usableFolder(source.request.cwd, this.#o.guarded)
    const model = await this.#chooseModel(options.model ?? source.model, principal)
    const id = newId()
    await this.#copyOutputs(source.id, id)
    const approve = options.approve ?? source.request.approve
    const { approve: _approve, ...request } = source.request
    const past = store.read.journal(source.id)
    // What its commands read is in what is taken over.
    const saw = past.some((event) => event.type === 'started' && event.localFiles === 'shown')
    await runner.open({
      id, principal, model, project: Project.parse({ id: cwd, path: cwd }), createdAt: (this.#o.now ?? Date.now)(),
      request: { ...request, cwd, model, kind: 'chat', checks: [], result: 'in_place', idempotencyKey: null, class: lowerClass(request.class, principal.class), ...(approve === undefined ? {} : { approve }), ...(saw ? { escalation: { ...request.escalation, dataClass: 'local-only' } } : {}) },
    }, [...forkedPast(past, options.step), { type: 'suspended', reason: `forked from ${source.id}${options.step === null ? '' : ` after step ${options.step}`}`, state: 'paused' }])
    return this.#stored(id)
  }

  /** The handles that the model was given name files of outputs. */
  async #copyOutputs(from: string, to: string): Promise<void> {
    const outputs = (job: string): string => join(this.#o.stateDir, 'outputs', job)
    await cp(outputs(from), outputs(to), { recursive: true, mode: constants.COPYFILE_FICLONE }).catch((error: unknown) => { if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error })
  }

  #stored(id: string): Job {
    const job = this.#o.store.read.job(id)
    if (job === null) throw new FaultError(fault('internal', { problem: `job ${id} was stored and cannot be read` }))
    return job
  }

  async #make(asked: JobRequest, principal: Principal, from: From | null = null): Promise<Job> {
    if (asked.kind === 'chat') checkChat(asked)
    // What it buys without need is the owner's to say.
    const appointed = (['askAt', 'untilTrigger'] as const).find((name) => asked.escalation?.[name] !== undefined)
    if (appointed !== undefined && !principal.scopes.includes('admin')) throw new FaultError(fault('not_allowed', { what: `say when a job asks for help (escalation.${appointed})` }))
    // Jobs with it count to that evaluation: for its money, and as left over when it is gone on with.
    if (asked.tags['eval'] !== undefined && !principal.scopes.includes('admin')) throw new FaultError(fault('not_allowed', { what: 'name a job as one of an evaluation (tags.eval)' }))
    this.#checkNetwork(asked)
    await this.#checkDisk()
    const cwd = await usableFolder(asked.cwd, this.#o.guarded)
    const model = await this.#chooseModel(asked.model, principal)
    const id = from?.id ?? newId()
    if (from !== null) await this.#copyOutputs(from.job, id)
    await this.#o.runner.accept({
      id, request: { ...asked, cwd, class: lowerClass(asked.class, principal.class), result: asked.result ?? (asked.kind === 'chat' ? 'in_place' : this.#o.config.jobs.result) }, principal, project: Project.parse({ id: cwd, path: cwd }), model, createdAt: (this.#o.now ?? Date.now)(),
    }, from?.past)
    return this.#stored(id)
  }

  #checkNetwork({ network = [] }: JobRequest): void {
    const problem = networkProblem(this.#o.config.sandbox.network.allow, network)
    if (problem !== null) throw new FaultError(problem)
  }

  async #checkDisk(): Promise<void> {
    const neededBytes = this.#o.config.storage.refuseBelowBytes
    const freeBytes = await freeDisk(this.#o.stateDir)
    if (freeBytes < neededBytes) throw new FaultError(fault('disk_low', { path: this.#o.stateDir, freeBytes, neededBytes }))
  }

  async #chooseModel(wanted: string | null, principal: Principal): Promise<string> {
    const { parts } = this.#o
    const id = wanted ?? await parts.defaultModel()
    if (id === null) throw new FaultError(fault('engine_unavailable', { why: 'no model is installed' }))
    if (!mayUse(principal, id)) throw new FaultError(fault('not_allowed', { what: `use the model '${id}' with this key` }))
    if (this.#o.sells(id)) return id
    const found = await parts.model(id)
    if (!found.ok) throw new FaultError(found.fault)
    return id
  }
}

/** A chat has no end at which a check could decide or a branch be made. */
function checkChat({ checks, result }: JobRequest): void {
  const refuse = (where: string, problem: string): never => { throw new FaultError(fault('bad_request', { where, problem })) }
  if (checks.length > 0) refuse('checks', 'a chat has none')
  if (result !== null && result !== 'in_place') refuse('result', 'a chat works in the folder itself')
}

/** Free bytes for this user on the disk of a folder. */
export async function freeDisk(path: string): Promise<number> {
  const disk = await statfs(path)
  return disk.bavail * disk.bsize
}

/** The real path of a folder a job may work in. Throws FaultError `bad_cwd`. */
export async function usableFolder(path: string, guarded: readonly Guarded[]): Promise<string> {
  const refuse = (problem: string): never => {
    throw new FaultError(fault('bad_cwd', { path, problem }))
  }
  if (!isAbsolute(path)) return refuse('it is not an absolute path')
  if (path.includes('\0')) return refuse('it holds a NUL byte')
  const real = await realpath(path).catch((error: unknown) => refuse(reasonOf(error as NodeJS.ErrnoException)))
  const info = await stat(real)
  if (!info.isDirectory()) return refuse('it is not a folder')
  if (real === '/') return refuse('it is the root of the file system')
  await access(real, constants.R_OK | constants.W_OK | constants.X_OK).catch(() => refuse('it cannot be read and written by the daemon'))
  for (const place of guarded) {
    const other = await realpath(place.path).catch(() => place.path)
    if (real === other) return refuse(`it is ${place.what}`)
    if (other.startsWith(real + sep)) return refuse(`it holds ${place.what} (${other})`)
    if (place.inside && real.startsWith(other + sep)) return refuse(`it lies inside ${place.what} (${other})`)
  }
  return real
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist', ENOTDIR: 'a part of the path is not a folder', EACCES: 'it cannot be reached by the daemon', ELOOP: 'its links go in a circle',
  ENAMETOOLONG: 'its name is too long', EISDIR: 'it is a folder',
}

/** Why a path cannot be used, as a sentence's end. */
export function reasonOf({ code, message }: NodeJS.ErrnoException): string {
  return reasons[code ?? ''] ?? message
}

// Crockford's base 32 in lower case: nothing that is mistaken for something else. 60 random bits; four characters usually name a job.
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'

export function newId(): string {
  return Array.from(randomBytes(12), (byte) => alphabet[byte % 32]).join('')
}
