// Decides what an undo changes: pure set arithmetic over the differences between four states. Runs nothing.
import type { Difference, Path } from './records.ts'

export type UndoPlan = {
  /** From the folder as it is to what it shall be. */
  changes: Difference[]
  /** Paths among them that somebody changed after the job left them. */
  changedSince: Path[]
}

/**
 * `job`: from the state the job (or the last undo) left to the state that is wanted. `owner`: from the state it left to the folder as it is.
 * `back`: from the folder as it is to the state that is wanted. Only what the job changed is put back; what is already there (an undo that
 * was cut off) needs nothing.
 */
export function planUndo(job: readonly Difference[], owner: readonly Difference[], back: readonly Difference[]): UndoPlan {
  const ofJob = new Set(job.map(({ path }) => path))
  const ofOwner = new Set(owner.map(({ path }) => path))
  const changes = back.filter(({ path }) => ofJob.has(path))
  return { changes, changedSince: changes.map(({ path }) => path).filter((path) => ofOwner.has(path)) }
}
