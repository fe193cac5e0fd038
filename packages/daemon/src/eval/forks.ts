// Owns forks: the folder as the local course of a task left it where help would first be asked for, and the job of an arm that goes on from there in a copy of its own.
import { existsSync } from 'node:fs'
import { cp, mkdir, rm } from 'node:fs/promises'
import { fault, FaultError, type EvalArm, type Job, type JobEvent, type JobRequestInput, type Principal } from '@hearth/protocol'
import { pastToTrigger, type Trigger } from '../queue/fork.ts'
import { newId, type Intake } from '../queue/intake.ts'
import type { Store } from '../store/store.ts'
import type { Workspaces } from '../workspace/workspaces.ts'
import { pastOf } from './arms.ts'
import type { Course } from './kept.ts'
import type { Runs } from './tasks.ts'

export type Forks = Runs & { intake: Pick<Intake, 'goOn'>; store: Pick<Store, 'read'>; workspaces: Workspaces }

const copyMs = 15 * 60_000
const largestFileBytes = 2 ** 40

/** What the course was stopped at; null = it came to its own end. */
export function triggerOf(events: readonly JobEvent[]): Trigger | null {
  return pastToTrigger(events, '')?.trigger ?? null
}

/** What of a course cannot be in a copy, as a sentence's end; null = the folder is all of it. */
export function lostInCopy(events: readonly JobEvent[]): string | null {
  const running = events.findLast((event) => event.type === 'tool_result' && event.processes !== undefined)
  if (running?.type === 'tool_result' && running.processes !== undefined && running.processes.length > 0) return `processes ran in the background there (${running.processes.join(', ')})`
  return events.some((event) => event.type === 'tool_result' && event.name === 'mcp') ? 'it had used an MCP server, which may remember it' : null
}

/** Copies a folder whole: ignored files, modes, times, links. What stops it, as a sentence's end, and then nothing is there; null = done. */
export async function copyFolder({ sandbox, limits }: Runs, from: string, to: string, signal: AbortSignal): Promise<string | null> {
  await rm(to, { recursive: true, force: true })
  await mkdir(to, { recursive: true, mode: 0o700 })
  const result = await (await sandbox()).run({
    argv: ['cp', '-a', '--reflink=auto', '--', '/work/.', '/copy/'], workspace: from, readOnly: true, ownIds: true, mounts: [{ from: to, to: '/copy', writable: true }],
    limits: { ...limits, wallMs: copyMs, fileBytes: largestFileBytes }, captureBytes: 4096,
  }, signal)
  if (!result.ok) throw new FaultError(result.fault)
  if (result.cause === 'exited' && result.exitCode === 0) return null
  await rm(to, { recursive: true, force: true })
  const said = result.stderr.text.trim().split('\n').at(-1) ?? ''
  return `its folder could not be copied (${said === '' ? result.cause : said})`
}

/** Why no arm can go on from this course, as a sentence's end; null = one can. `folder`: what was kept of it. */
export function cannotFork({ store, workspaces }: Forks, { jobId, cannot }: Course, folder: string): string | null {
  if (cannot !== null) return cannot
  const events = store.read.journal(jobId)
  const began = events.find((event) => event.type === 'workspace')
  const kept = triggerOf(events) !== null && existsSync(folder) && (began?.base == null || existsSync(workspaces.keeper.keptDir(jobId)))
  return kept ? null : `what was kept of job ${jobId} is gone`
}

/** The job of an arm that goes on from a course, in `cwd`, which becomes a copy of `folder`. Throws FaultError. */
export async function beginFork(of: Forks, arm: EvalArm, { jobId }: Course, folder: string, request: JobRequestInput, principal: Principal, signal: AbortSignal): Promise<Job> {
  const { keeper } = of.workspaces
  const found = pastToTrigger(of.store.read.journal(jobId), request.cwd)
  if (found === null) throw new FaultError(fault('internal', { problem: `job ${jobId} has no moment to fork at` }))
  const problem = await copyFolder(of, folder, request.cwd, signal)
  if (problem !== null) throw new FaultError(fault('bad_file', { path: folder, problem }))
  const id = newId()
  // The states that the course kept: what it changed is compared with its beginning, and it can go back to them. An index is no younger than it was.
  for (const end of ['', '.json']) {
    const from = keeper.keptDir(jobId) + end
    if (existsSync(from)) await cp(from, keeper.keptDir(id) + end, { recursive: true, preserveTimestamps: true })
  }
  const told = { type: 'warned', text: `Forked from job ${jobId} after step ${found.trigger.step}, where help would be asked for (${nameOf(found.trigger)}).` } as const
  return of.intake.goOn(request, { id, job: jobId, past: [...pastOf(arm, found.past, found.trigger), told] }, principal)
}

/** What asked for help there. */
export function nameOf({ mode, signals }: Trigger): string {
  return mode === 'review' ? 'done' : signals.map(({ name }) => name).join(', ')
}
