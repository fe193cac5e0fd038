// Owns the port between the daemon and the agent loop: what a run is given, what it may do, how it ends.
import type { EscalationMode, Expert } from './escalation.ts'
import { exitOf, fault, type Fault } from './fault.ts'
import type { EventOf, JobEventBody, JobRequest } from './job.ts'
import type { McpDoor, McpServer } from './mcp.ts'
import type { Model } from './model.ts'
import type { JobNetwork } from './network.ts'
import { outcomeTable, type Outcome, type WaitingState } from './outcome.ts'
import type { Limits, Sandbox } from './sandbox.ts'

export type AgentInput = {
  jobId: string
  request: JobRequest
  /** The request's own limits or the configured ones. */
  maxSteps: number
  maxTokens: number
  timeoutSeconds: number
  /** 1 for the first run of the job, one more for each resume. */
  attempt: number
  /** Base seed of the sampling; step n uses seed + n. */
  seed: number
  /** Limits of one tool call or check. */
  limits: Limits
  /** Events of earlier runs of this job, in order. Empty for a new job. History is rebuilt from them. */
  past: readonly JobEventBody[]
  /** Only shorten the history, if that is worth it, and wait again. */
  compact?: boolean
  /** How the agent asks for help outside; only read where there is an expert. */
  escalation?: EscalationSettings
  /** Existing folder for full outputs; not visible to the tools. */
  outputDir: string
  /** The owner's skill folders, outside of every workspace. */
  skillFolders?: readonly string[]
  /** The owner's MCP servers, and those of the folder that were approved. */
  mcpServers?: Readonly<Record<string, McpServer>>
  /** Servers that the folder names and that are not started, with why; people are told. */
  mcpProblems?: readonly { name: string; problem: string }[]
}

export type EscalationSettings = {
  /** What may be tried, cheapest first; the expert refuses what policy forbids. */
  modes: readonly EscalationMode[]
  /** Buy a plan before the first step, where `modes` has plan. */
  planFirst: boolean
  /** Help is asked for after these steps and never else, in place of the signals. Absent = when the signals act. */
  askAt?: readonly number[]
  /** The state of the work, only its head, or the whole transcript. */
  packet: 'packet' | 'digest' | 'full'
  packetTokens: number
  /** Turns of a step that is taken over. */
  stepTurns: number
  /** What jobs of this class usually take; null = not known. */
  medianSeconds: number | null
}

export type AgentPorts = {
  model: Model
  sandbox: Sandbox
  /** The way to MCP servers at an address. Absent = such servers cannot be used. */
  mcp?: McpDoor
  /** Resolves when the event is on disk; events of one moment (emitted without waiting in between) are stored together or not at all. `text`, `thought` and `tool_output` resolve at once and are stored soon. Rejects only when the store is broken. */
  emit(event: JobEventBody): Promise<void>
  /** Milliseconds since 1970. */
  now(): number
  /** Absent or null: no state of the folder is kept. */
  workspace?: Workspace | null
  /** Who may be asked when the local model is stuck. Absent or null = nobody, and nothing of escalation happens. */
  expert?: Expert | null
  /** Whether nothing else waits for the model now: only then is time spent on several tries. Absent = never. */
  idle?: () => boolean
  /** What was said to the job since this was asked last, in the order in which it is stored: before whatever is emitted after this call. Absent = nothing. */
  heard?: () => readonly EventOf<'said'>[]
  /** The hosts that the tools may reach; there exactly when the request names some. Absent = none. */
  network?: JobNetwork
  /** Tokens per second with so many tokens in the context, from the box profile; null = not measured. */
  speedAt?: (depthTokens: number) => { prefill: number; decode: number } | null
}

/** How the loop keeps the states of a job's folder. Nothing here throws. What was left out when the job began (large and ignored files) is never touched. */
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

/** Why a run was aborted; the signal's reason. `suspend` keeps the job for the next start of the daemon, `interrupt` for the next words of a person. */
export type AbortCause = { kind: 'interrupt'; by: string } | { kind: 'cancel'; by: string } | { kind: 'suspend'; reason: string } | { kind: 'timeout'; seconds: number }

export type AgentEnd =
  | { type: 'ended'; outcome: Outcome; verified: boolean | null; summary: string | null; fault: Fault | null }
  /** `state`: it waits for a person; absent = for the next start of the daemon. */
  | { type: 'suspended'; reason: string; state?: WaitingState; /** It cannot go on without buying, and a limit in money forbids it. */ lacks?: 'money' }

// The exit code of a cause (fault.ts) -> the outcome of the job that met it.
const outcomeOfExit: Readonly<Record<number, Outcome>> = {
  12: 'over_budget', 14: 'blocked_by_policy', 64: 'bad_input', 65: 'bad_input', 69: 'engine_down', 75: 'engine_down', 77: 'denied', 124: 'timed_out', 130: 'cancelled',
}

/** The end that a fault means; its exit code says whose it is. */
export function faultEnd(problem: Fault): Extract<AgentEnd, { type: 'ended' }> {
  const outcome = outcomeOfExit[exitOf(problem)] ?? 'failed'
  return { type: 'ended', outcome, verified: outcomeTable[outcome].verified, summary: null, fault: problem }
}

/** The end that an abort asks for. */
export function abortEnd(cause: AbortCause): AgentEnd {
  switch (cause.kind) {
    case 'cancel': return faultEnd(fault('cancelled', { by: cause.by }))
    case 'timeout': return faultEnd(fault('timed_out', { what: 'The job', seconds: cause.seconds }))
    case 'interrupt': return { type: 'suspended', reason: `interrupted by ${cause.by}`, state: 'paused' }
    case 'suspend': return { type: 'suspended', reason: cause.reason }
    default: return cause satisfies never
  }
}
