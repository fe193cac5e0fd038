// Owns the tasks of an evaluation as the runner needs them: what a job is asked, its folder as it begins, and the hidden judge. A folder of tasks is read here.
import { existsSync } from 'node:fs'
import { cp, readdir, readFile, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { EvalTask, fault, FaultError, type Limits, type RunSpec, type Sandbox } from '@hearth/protocol'
import { z } from 'zod'
import type { Says } from '../egress/policy.ts'
import type { Projects } from '../projects.ts'

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

/** The tasks of a folder that holds task folders, or is one. Throws FaultError `bad_file` with the file. */
export async function tasksIn(folder: string, runs: Runs): Promise<Playable[]> {
  const root = await realpath(folder).catch((error: unknown) => { throw bad(folder, error instanceof Error ? error.message : String(error)) })
  const says = saysAround(root, runs.projects)
  if (existsSync(join(root, 'task.json'))) return [await taskIn(root, runs, says)]
  const names = (await readdir(root, { withFileTypes: true })).filter((entry) => entry.isDirectory() && existsSync(join(root, entry.name, 'task.json'))).map(({ name }) => name).sort()
  if (names.length === 0) throw bad(root, 'no folder in it has a task.json; docs/eval.md says what a task is')
  return Promise.all(names.map((name) => taskIn(join(root, name), runs, says)))
}

/** What the project around a folder forbids to its copies, which lie outside of it. Globs of files would not be found again there, so nothing leaves at all. */
export function saysAround(folder: string, projects: Projects): Says[] {
  const rules = projects.of(folder)?.rules
  return rules === undefined ? [] : [{ consent: rules.consent, modes: rules.modes, dataClass: rules.localOnly.length > 0 ? 'local-only' : rules.dataClass }]
}

async function taskIn(folder: string, runs: Runs, says: readonly Says[]): Promise<Playable> {
  const file = join(folder, 'task.json')
  const [start, hidden] = [join(folder, 'start'), join(folder, 'hidden')]
  const text = await readFile(file, 'utf8')
  const parsed = EvalTask.safeParse(jsonOf(text, file))
  if (!parsed.success) throw bad(file, z.prettifyError(parsed.error).replace(/\s+/g, ' '))
  if (!existsSync(join(hidden, 'check.sh'))) throw bad(folder, 'it has no hidden/check.sh, which decides whether the task is solved')
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

function bad(path: string, problem: string): FaultError {
  return new FaultError(fault('bad_file', { path, problem }))
}
