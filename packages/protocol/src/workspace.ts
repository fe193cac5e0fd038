// Owns the port through which the loop keeps the states of a job's folder: Workspace. Knows no git; the daemon is behind it.
import type { Fault } from './fault.ts'
import type { EventOf } from './job.ts'

/** Where a job works and what becomes of it. `in_place`: the folder itself. `branch`, `diff`: a copy; a branch of the repository or a patch is made of it. */
export const jobResults = ['in_place', 'branch', 'diff'] as const
export type JobResult = (typeof jobResults)[number]

/** Answer to an undo. */
export type UndoReply = {
  /** The step whose state the folder is in now; 0 = before the job. */
  toStep: number
  commit: string
  /** Paths that were put back, with what is not UTF-8 replaced; at most 1000 of them. */
  files: string[]
  count: number
}

/** The port. Nothing here throws. What was left out when the job began (large and ignored files) is never touched. */
export interface Workspace {
  /** The state before the job; null when no state is kept at all, and then `keep` gives null and `restore` a fault. */
  readonly base: string | null
  /** Keeps the folder as it is after a step that may have written; null when nothing changed or it could not be kept (which is logged). */
  keep(step: number, what: string): Promise<EventOf<'committed'> | null>
  /**
   * What the job changed so far, as the patches of its files in their order (`diff --git` first), within about so many bytes: a binary file is its name, and what
   * does not fit is left out whole. Null = it cannot be told. Absent = the same.
   */
  diff?(limitBytes: number): Promise<{ path: string; patch: string }[] | null>
  /** Puts a kept state back, exactly: content, modes, links, deletions. Null = done. */
  restore(commit: string): Promise<Fault | null>
}
