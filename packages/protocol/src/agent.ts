// Owns the port between the daemon and the agent loop: what a run is given, what it may do, how it ends.
import type { Fault } from './fault.ts'
import type { JobEventBody, JobRequest } from './job.ts'
import type { Model } from './model.ts'
import type { Outcome } from './outcome.ts'
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
  /** Existing folder for full outputs; not visible to the tools. */
  outputDir: string
}

export type AgentPorts = {
  model: Model
  sandbox: Sandbox
  /** Resolves when the event is on disk; `text` and `tool_output` resolve at once and are stored soon. Rejects only when the store is broken. */
  emit(event: JobEventBody): Promise<void>
  /** Milliseconds since 1970. */
  now(): number
}

/** Why a run was aborted; the signal's reason. `suspend` keeps the job for the next start of the daemon. */
export type AbortCause = { kind: 'cancel'; by: string } | { kind: 'suspend'; reason: string } | { kind: 'timeout'; seconds: number }

export type AgentEnd =
  | { type: 'ended'; outcome: Outcome; verified: boolean | null; summary: string | null; fault: Fault | null }
  | { type: 'suspended'; reason: string }
