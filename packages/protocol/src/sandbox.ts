// Owns the port through which every foreign program runs: Sandbox, RunSpec, RunResult. Knows no bubblewrap and no cgroup.
import type { Fault } from './fault.ts'
import type { NetworkGrant } from './network.ts'

/** Limits of one run; all are enforced or the run is refused. Bytes, counts, milliseconds. */
export type Limits = {
  memoryBytes: number
  pids: number
  wallMs: number
  /** Total of stdout and stderr; passing it ends the run with cause `output`. */
  outputBytes: number
  /** Size of the private /tmp; it counts as memory. */
  tmpBytes: number
  /** Largest file a program may write. */
  fileBytes: number
}

export type RunSpec = {
  /** Program and arguments as the sandbox sees them; no shell is added. */
  argv: readonly string[]
  /** Host folder, seen read-write as /work (read-only when `readOnly`). */
  workspace: string
  readOnly?: boolean
  /** Further host folders, seen at names of their own outside of /work. Only the daemon's own runs have any; a tool never does, but for objects it may read. */
  mounts?: readonly { from: string; to: string; writable: boolean }[]
  /**
   * Paths relative to the workspace that the program must not see: a folder is empty and takes nothing, a file cannot be opened, and neither they nor the folders around
   * them can be moved. A name at the root (`/objects`) is a further mount that is left out.
   */
  hidden?: readonly string[]
  /** The program sees the ids of the daemon's user and not those of the sandbox: git compares them with what its index remembers. Gives it no further right. */
  ownIds?: boolean
  /** Working directory, relative to the workspace. */
  cwd?: string
  stdin?: string | Uint8Array
  /** Fed to stdin piece by piece while the program runs, instead of `stdin`; its end closes stdin. */
  input?: AsyncIterable<Uint8Array>
  /** Extra environment, set by us, never by a workspace. */
  env?: Readonly<Record<string, string>>
  /** The program reaches these hosts by the proxy that its environment names (HTTPS_PROXY and its kin); absent = no network. */
  network?: NetworkGrant
  limits: Limits
  /** Bytes of each stream kept in memory: the first half and the last half of it when there was more. */
  captureBytes: number
  /** Full output (both streams as they came, or the one of `outputOf`) is also written here, when given. */
  outputFile?: string
  outputOf?: 'stdout' | 'stderr'
  /** Called with each piece of output as it comes. */
  onOutput?: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void
}

/** First cause wins. `exited` includes a non-zero exit and a program that died of its own signal. */
export type RunCause = 'exited' | 'timeout' | 'memory' | 'pids' | 'output' | 'cancelled'

export type Captured = {
  /** UTF-8 text, with a marker line where bytes were left out. */
  text: string
  totalBytes: number
  truncated: boolean
}

export type RunResult =
  | { ok: true; cause: RunCause; exitCode: number | null; signal: string | null; stdout: Captured; stderr: Captured; durationMs: number; /** Hosts that were refused to it, a sentence each; absent = none. */ refused?: readonly string[] }
  | { ok: false; fault: Fault }

/** How limits are enforced on this box, strongest first. */
export type LimitsKind = 'cgroup2' | 'cgroup1' | 'weak' | 'none'

export type SandboxReport = {
  available: boolean
  limits: LimitsKind
  /** One line: the version and what enforces the limits, or why it cannot start. */
  detail: string
  fault: Fault | null
}

/** The port. `run` never throws; it returns when the program and all its descendants are gone. */
export interface Sandbox {
  report(): Promise<SandboxReport>
  run(spec: RunSpec, signal: AbortSignal): Promise<RunResult>
}

/** A long-lived child of our own (the engine worker) to be confined: no network, no home, only the named files. */
export type ConfineSpec = {
  argv: readonly string[]
  /** Host paths seen read-only at the same path. */
  readOnly: readonly string[]
  /** Host paths seen read-write at the same path. */
  readWrite: readonly string[]
  /** GPU device nodes (/dev/dri, /dev/kfd) and /sys read-only. */
  gpu: boolean
  /** The whole environment of the child. */
  env: Readonly<Record<string, string>>
}

/** Turns a command into the command that runs it confined, without running it. File descriptors from 3 on pass through. */
export interface Confine {
  wrap(spec: ConfineSpec): { file: string; args: string[]; env: Record<string, string> } | { fault: Fault }
}
