// Owns the tasks of an evaluation as the runner needs them: what a job is asked, its folder as it begins, and the hidden judge. A folder of tasks is read here.
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { EvalTask, fault, FaultError, type Limits, type RunSpec, type Sandbox } from '@hearth/protocol'
import type { Says } from '../egress/policy.ts'
import type { Projects } from '../projects.ts'
import { firstIssue } from '../parse.ts'
import { reasonOf } from '../queue/intake.ts'

export type Playable = {
  name: string
  prompt: string
  checks: string[]
  maxSteps: number | null
  /** Rules of the place that it comes from: they hold for its copies too. */
  says: readonly Says[]
  /** Fills an empty folder with the start. Throws FaultError. */
  lay(to: string, signal: AbortSignal): Promise<void>
  /** Whether the work that lies there is right. Throws FaultError when that cannot be told. */
  judge(folder: string, answer: string, signal: AbortSignal): Promise<boolean>
}

export type Skipped = { task: string; why: string }

export type Runs = { sandbox(): Promise<Sandbox>; limits: Limits; projects: Projects }

/** The tasks of a folder that holds task folders, or is one. `skipped`: names that lead to a task that is there already. Throws FaultError `bad_file` with the file. */
export async function tasksIn(folder: string, runs: Runs): Promise<{ tasks: Playable[]; skipped: Skipped[] }> {
  const root = await realpath(folder).catch(unusable(folder))
  if (!(await stat(root).catch(unusable(root))).isDirectory()) throw bad(root, 'it is a file; name a folder of tasks, or the folder of one')
  const says = saysAround(root, runs.projects)
  if (existsSync(join(root, 'task.json'))) return { tasks: [await taskIn(root, runs, says)], skipped: [] }
  const names = (await readdir(root).catch(unusable(root))).filter((name) => existsSync(join(root, name, 'task.json'))).sort()
  if (names.length === 0) throw bad(root, 'no folder in it has a task.json; docs/eval.md says what a task is')
  const tasks: Playable[] = []
  const skipped: Skipped[] = []
  const known = new Map<string, string>()
  // One after the other: thousands of files that are open at once are more than a process may have.
  for (const name of names) {
    const place = await realpath(join(root, name)).catch(unusable(join(root, name)))
    const other = known.get(place)
    if (other === undefined) tasks.push(await taskIn(join(root, name), runs, says))
    else skipped.push({ task: name, why: `it is the same folder as ${other}` })
    known.set(place, other ?? name)
  }
  return { tasks, skipped }
}

/** What the project around a folder forbids to its copies, which lie outside of it. Globs of files would not be found again there, so nothing leaves at all. */
export function saysAround(folder: string, projects: Projects): Says[] {
  const rules = projects.of(folder)?.rules
  return rules === undefined ? [] : [{ consent: rules.consent, modes: rules.modes, dataClass: rules.localOnly.length > 0 ? 'local-only' : rules.dataClass }]
}

async function taskIn(folder: string, runs: Runs, says: readonly Says[]): Promise<Playable> {
  const file = join(folder, 'task.json')
  const [start, hidden] = [join(folder, 'start'), join(folder, 'hidden')]
  const text = await readFile(file, 'utf8').catch(unusable(file))
  const parsed = EvalTask.safeParse(jsonOf(text, file))
  if (!parsed.success) {
    const { where, problem } = firstIssue(parsed.error)
    throw bad(file, where === null ? problem : `at ${where}: ${problem}`)
  }
  const judge = await stat(join(hidden, 'check.sh')).catch(() => null)
  if (judge?.isFile() !== true) throw bad(folder, 'it has no file hidden/check.sh, which decides whether the task is solved')
  if (existsSync(start) && !(await stat(start)).isDirectory()) throw bad(start, 'it is a file; it has to be the folder that the job is given')
  const { prompt, check, setup, maxSteps } = parsed.data
  return {
    name: basename(folder), prompt, checks: check === null ? [] : [check], maxSteps, says,
    async lay(to, signal) {
      if (existsSync(start)) await cp(start, to, { recursive: true, verbatimSymlinks: true })
      if (setup === undefined) return
      const made = await exitOf(runs, { argv: ['sh', '-c', setup], workspace: to }, signal)
      if (made !== 0) throw bad(file, `its setup ended with ${made ?? 'no exit code'}`)
    },
    judge: async (work, answer, signal) => await exitOf(runs, { argv: ['sh', '/check/check.sh'], workspace: work, env: { ANSWER: answer }, mounts: [{ from: hidden, to: '/check', writable: false }] }, signal) === 0,
  }
}

/** Runs a program of the judge in the sandbox; null = it did not exit by itself. Throws FaultError when there is no sandbox. */
export async function exitOf({ sandbox, limits }: Runs, spec: Pick<RunSpec, 'argv' | 'workspace' | 'env' | 'mounts'>, signal: AbortSignal): Promise<number | null> {
  const result = await (await sandbox()).run({ ...spec, limits, captureBytes: 4096 }, signal)
  if (!result.ok) throw new FaultError(result.fault)
  return result.cause === 'exited' ? result.exitCode : null
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw bad(path, `it is not JSON (${error instanceof Error ? error.message : String(error)})`)
  }
}

/** Turns what the file system says of a path into a sentence. */
function unusable(path: string): (error: unknown) => never {
  return (error) => { throw bad(path, reasonOf(error as NodeJS.ErrnoException)) }
}

function bad(path: string, problem: string): FaultError {
  return new FaultError(fault('bad_file', { path, problem }))
}
