// Owns the internal port of limits: what each kind of limits must do for a run. Knows no kind and no control file.
import type { Config, Limits, LimitsKind } from '@hearth/protocol'

/** Which limit a run passed. */
export type Excess = 'memory' | 'pids'

/** The limits of one run. All methods are cheap and never throw. */
export interface Group {
  /** Files into which the launcher writes its own pid before it becomes bubblewrap. */
  readonly enter: readonly string[]
  /** Further arguments of prlimit(1), applied inside the sandbox right before the program. */
  readonly rlimits: readonly string[]
  /** Told once, when the sandbox's first process is known. */
  started(init: number): void
  /** Asked about every 100 ms while the run lives: a limit that was passed, so that the run must be killed now. `init` is the sandbox's first process. */
  excess(init: number): Excess | null
  /** Asked once after the end: a limit that explains why the run failed. */
  verdict(failed: boolean): Excess | null
  /** SIGKILL to every process that is in the group, if the kind has one. */
  kill(): void
  /** Gives the group back; resolves when it is gone. */
  remove(): Promise<void>
}

/** One way of enforcing limits on this box. */
export interface Limiter {
  readonly kind: Exclude<LimitsKind, 'none'>
  /** For the report: what enforces. */
  readonly detail: string
  /** Makes the group of one run. Throws when the kernel refuses. */
  open(limits: Limits): Group
  close(): Promise<void>
}

export type LimiterOptions = {
  config: Config['sandbox']
  /** Where cgroups are mounted, normally /sys/fs/cgroup. */
  cgroupRoot: string
  /** Names this daemon's groups among those of others. */
  key: string
  log(line: string): void
}

/** Processes that bubblewrap itself needs beside the program: the watcher outside and the first process inside. */
export const bwrapTasks = 2
