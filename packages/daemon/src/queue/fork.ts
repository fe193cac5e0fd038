// Owns what a new job takes over from the stream of another one: a conversation all that its history is made of, up to the end of a step; a task that goes on in a copy of the
// folder also all that it decides by, up to where help would be asked for. Pure.
import type { EventOf, JobEvent, JobEventBody, ToolCall } from '@hearth/protocol'

// What is not here belongs to the other job's runs, folder or people.
const taken: ReadonlySet<JobEvent['type']> = new Set([
  'opened', 'step', 'turn', 'call_rejected', 'call_repaired', 'tool_planned', 'tool_started', 'tool_result', 'tool_unknown', 'check', 'nudge', 'rewritten', 'said', 'sub_step',
])

// Besides: what was kept of the folder, what guards and signals saw, what was tried.
const takenByTask: ReadonlySet<JobEvent['type']> = new Set([...taken, 'workspace', 'committed', 'reverted', 'guard', 'signals', 'sampled', 'turn_failed'])

/** The moment at which help was first asked for, before anything was sent. */
export type Trigger = Pick<EventOf<'escalation_offered'>, 'step' | 'mode' | 'signals'>

/** A task's events up to its first trigger, for a job that works in `folder`; null = it has none. */
export function pastToTrigger(events: readonly JobEvent[], folder: string): { past: JobEventBody[]; trigger: Trigger } | null {
  const at = events.findIndex(({ type }) => type === 'escalation_offered')
  const offered = events[at]
  if (offered?.type !== 'escalation_offered') return null
  const past = events.slice(0, at).filter(({ type }) => takenByTask.has(type)).map(bodyOf).map((body) => (body.type === 'workspace' ? { ...body, path: folder } : body))
  return { past, trigger: { step: offered.step, mode: offered.mode, signals: offered.signals } }
}

/** The events for a fork after `step` (null = all of it; 0 = only what stood before the first). The last turn is whole: calls that were never done get an answer. */
export function forkedPast(events: readonly JobEvent[], step: number | null): JobEventBody[] {
  const next = step === null ? -1 : events.findIndex((event) => event.type === 'step' && event.step > step)
  const past = events.slice(0, next < 0 ? events.length : next).filter(({ type }) => taken.has(type)).map(bodyOf)
  // Words that were said before the step that is left out belong to it.
  while (next >= 0 && past.at(-1)?.type === 'said') past.pop()
  const lastStep = past.findLastIndex(({ type }) => type === 'step')
  const lastTurn = past.findLastIndex(({ type }) => type === 'turn')
  const whole = lastTurn < lastStep ? past.filter((event, index) => index < lastStep || event.type === 'said') : past
  return [...whole, ...answers(whole)]
}

/** One answer for each call of the last turn that has none; `finish` needs none. */
function answers(past: readonly JobEventBody[]): JobEventBody[] {
  const at = past.findLastIndex(({ type }) => type === 'turn')
  const turn = past[at]
  if (turn?.type !== 'turn') return []
  const done = new Set(past.slice(at).flatMap((event) => (event.type === 'tool_result' || event.type === 'tool_unknown' ? [event.callId] : [])))
  const begun = new Set(past.slice(at).flatMap((event) => (event.type === 'tool_planned' ? [event.call.id] : [])))
  return turn.toolCalls.filter((call) => !done.has(call.id) && call.name !== 'finish').map((call) => answer(call, turn.step, begun.has(call.id)))
}

function answer(call: ToolCall, step: number, begun: boolean): JobEventBody {
  return {
    type: 'tool_unknown', step, callId: call.id, name: call.name,
    observation: begun ? 'It was stopped while it ran; its outcome is unknown.' : 'It was not run: the work was stopped before it.',
  }
}

function bodyOf({ seq: _seq, jobId: _jobId, at: _at, ...body }: JobEvent): JobEventBody {
  return body
}
