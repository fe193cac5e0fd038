// Owns what a play is compared with: its figures as they are stored beside the task, and how they are written anew.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Outcome } from '@hearth/protocol'
import type { Expected, TaskFolder } from './set.ts'
import type { Played } from './table.ts'

/** A cost may grow by this factor before a test says so. */
export const tolerance = 1.05

export function expectedOf({ outcome, steps, tools, notes, changed, removed, promptTokens, evaluatedTokens }: Played): Expected {
  // A course that somebody suspended is none; the schema refuses it when it is read.
  return { outcome: outcome as Outcome, steps, tools, notes, changed, removed, promptTokens, evaluatedTokens }
}

/** Writes expected.json, and the files that the course left as solution/. */
export function recordPlay(task: TaskFolder, played: Played): void {
  writeFileSync(join(task.folder, 'expected.json'), `${JSON.stringify(expectedOf(played), null, 2)}\n`)
  rmSync(task.solution, { recursive: true, force: true })
  for (const path of played.changed) {
    mkdirSync(dirname(join(task.solution, path)), { recursive: true })
    writeFileSync(join(task.solution, path), played.files.get(path) ?? '')
  }
}
