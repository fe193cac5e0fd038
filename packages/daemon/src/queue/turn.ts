// Owns what a run is given and what its end is for its job: limits, its end, or a wait for a person. Pure.
import { outcomeTable, type AgentEnd, type Config, type EventOf, type Fault, type Job, type JobEvent, type JobState, type Limits } from '@hearth/protocol'

/** It waits for a person, and only that person's act brings it back into the line. */
export function isWaiting(state: JobState): boolean {
  return state === 'paused' || state === 'waiting_approval'
}

/**
 * A full disk of ours ends nothing: the job goes on when there is room. In a chat only a cancel is the end; every other one is the end of a turn, and its cause is told.
 */
export function turnEnd(job: Job, end: AgentEnd): AgentEnd {
  if (end.type === 'ended' && end.fault?.code === 'disk_full') return { type: 'suspended', reason: sentenceOf(end.fault) }
  if (job.request.kind !== 'chat' || end.type === 'suspended' || end.outcome === 'cancelled') return end
  const reason = end.fault === null ? end.summary ?? outcomeTable[end.outcome].means : sentenceOf(end.fault)
  return { type: 'suspended', reason, state: 'paused' }
}

/** Cause and remedy of a fault. */
export function sentenceOf({ message, remedy }: Fault): string {
  return `${message} ${remedy}`.trim()
}

/** Why this answer is none to what the job waits with, as the end of "it does not wait …"; null = it is one. A yes to a text must name the very text. */
export function notAsked(past: readonly JobEvent[], { callId, approved, sha256, text }: Omit<EventOf<'approval_given'>, 'type'>): string | null {
  const asked = past.findLast((event) => event.type === 'approval_asked')
  if (asked?.callId !== callId) return `with the call ${callId}`
  return approved && text === undefined && asked.sha256 !== undefined && asked.sha256 !== sha256 ? 'with the text that was approved' : null
}

/** Limits of one tool call or check. */
export function limitsOf({ memoryBytes, pids, wallSeconds, outputBytes, tmpBytes, fileBytes }: Config['sandbox']): Limits {
  return { memoryBytes, pids, wallMs: wallSeconds * 1000, outputBytes, tmpBytes, fileBytes }
}
