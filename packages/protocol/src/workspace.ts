// Owns the words of where a job works and of putting its folder back. A command loads it alone, so it loads nothing. The port is in agent.ts.

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
