// Owns what a new conversation takes over from the stream of another job: all that its history is made of, up to the end of a step. Pure.
import type { JobEvent, JobEventBody, ToolCall } from '@hearth/protocol'

// What is not here belongs to the other job's runs, folder or people.
const taken: ReadonlySet<JobEvent['type']> = new Set([
  'opened', 'step', 'turn', 'call_rejected', 'call_repaired', 'tool_planned', 'tool_started', 'tool_result', 'tool_unknown', 'check', 'nudge', 'rewritten', 'said', 'sub_step',
])

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
