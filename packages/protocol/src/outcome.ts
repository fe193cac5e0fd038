// Owns the one table outcome -> state, exit code, HTTP status, sentence. CLI, docs and (later) SSH and page are generated from it.

export const outcomeTable = {
  resolved: { exit: 0, http: 200, verified: true, means: 'a check passed' },
  done_unverified: { exit: 0, http: 200, verified: null, means: 'the model says it is done; no check was asked for' },
  failed: { exit: 1, http: 200, verified: false, means: 'an internal fault ended it' },
  check_failed: { exit: 10, http: 200, verified: false, means: 'the check ran and failed' },
  stuck: { exit: 11, http: 200, verified: false, means: 'a guard stopped it, or it ran out of steps' },
  over_budget: { exit: 12, http: 200, verified: false, means: 'its budget of tokens or money is used up' },
  blocked_by_policy: { exit: 14, http: 200, verified: false, means: 'policy forbade the escalation it needed' },
  denied: { exit: 15, http: 200, verified: false, means: 'a denied tool prevented the work' },
  bad_input: { exit: 65, http: 200, verified: false, means: 'its input cannot be used (model, check, file, prompt)' },
  engine_down: { exit: 69, http: 200, verified: false, means: 'no engine or no sandbox can serve it' },
  timed_out: { exit: 124, http: 200, verified: false, means: 'its time limit passed' },
  cancelled: { exit: 130, http: 200, verified: false, means: 'a person or a program cancelled it' },
} as const

export type Outcome = keyof typeof outcomeTable

/** Exit codes that belong to the command, not to a finished job. */
export const commandExits = {
  ok: 0, internal: 1, waitingApproval: 13, usage: 64, badInput: 65, unreachable: 69, cannotCreate: 73, tryLater: 75, notAllowed: 77, interrupted: 130,
} as const

/** States before the end. A finished job's state is its outcome. */
export const liveStates = ['queued', 'running', 'waiting_approval', 'paused', 'suspended'] as const
/** Of these: waits for a person, costs nothing and does not count as running. */
export const waitingStates = ['paused', 'waiting_approval'] as const
export type WaitingState = (typeof waitingStates)[number]
export type LiveState = (typeof liveStates)[number]
export type JobState = LiveState | Outcome

export const outcomes = Object.keys(outcomeTable) as Outcome[]

export function isEnded(state: JobState): state is Outcome {
  return state in outcomeTable
}
