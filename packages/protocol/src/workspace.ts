// Owns the port through which the loop keeps the states of a job's folder: Workspace. Knows no git; the daemon is behind it.
import type { Fault } from './fault.ts'
import type { EventOf } from './job.ts'

/** The port. Nothing here throws. What was left out when the job began (large and ignored files) is never touched. */
export interface Workspace {
  /** The state before the job; null when no state is kept at all, and then `keep` gives null and `restore` a fault. */
  readonly base: string | null
  /** Keeps the folder as it is after a step that may have written; null when nothing changed or it could not be kept (which is logged). */
  keep(step: number, what: string): Promise<EventOf<'committed'> | null>
  /** Puts a kept state back, exactly: content, modes, links, deletions. Null = done. */
  restore(commit: string): Promise<Fault | null>
}
