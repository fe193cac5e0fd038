// Owns the form of the task set: what a task's folder holds, read and checked. Runs nothing.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { EvalTask, outcomes, type Outcome } from '@hearth/protocol'
import { z } from 'zod'

/** What the recorded trajectory did when it was recorded. Its figures may get better; worse by more than the tolerance fails. */
export const Expected = z.strictObject({
  outcome: z.enum(outcomes as [Outcome, ...Outcome[]]),
  steps: z.int(),
  tools: z.array(z.string()).describe('names of the calls that were answered, in order; ! = not ok'),
  notes: z.array(z.string()).describe('what the harness did of itself, in order: nudges, guards, repairs, refusals, checks'),
  changed: z.array(z.string()).describe('files that were made or changed; they lie in solution/'),
  removed: z.array(z.string()),
  promptTokens: z.int().describe('sent, over all turns'),
  evaluatedTokens: z.int().describe('of these, not reused'),
})
export type Expected = z.infer<typeof Expected>

export type TaskFolder = EvalTask & {
  name: string
  folder: string
  /** What the agent is given. */
  start: string
  /** Seen only by the judge, as /check; `check.sh` decides. */
  hidden: string
  /** Files of the reference solution, laid over the start. */
  solution: string
  trajectory: string
  /** Null before it was recorded. */
  expected: Expected | null
}

export const tasksFolder = import.meta.dirname

/** All tasks, by name. Throws with the file's name when one does not fit its schema or lacks a part. */
export function readTasks(folder = tasksFolder): TaskFolder[] {
  return readdirSync(folder).sort().filter((name) => statSync(join(folder, name)).isDirectory()).map((name) => readTask(folder, name))
}

function readTask(root: string, name: string): TaskFolder {
  const folder = join(root, name)
  const at = (part: string): string => join(folder, part)
  for (const part of ['hidden/check.sh', 'trajectory.json']) if (!existsSync(at(part))) throw new Error(`The task ${name} has no ${part}.`)
  const expected = existsSync(at('expected.json')) ? parsed(Expected, at('expected.json')) : null
  return { ...parsed(EvalTask, at('task.json')), name, folder, start: at('start'), hidden: at('hidden'), solution: at('solution'), trajectory: at('trajectory.json'), expected }
}

function parsed<S extends z.ZodType>(schema: S, path: string): z.output<S> {
  const result = schema.safeParse(JSON.parse(readFileSync(path, 'utf8')))
  if (!result.success) throw new Error(`${path}: ${z.prettifyError(result.error)}`)
  return result.data
}
