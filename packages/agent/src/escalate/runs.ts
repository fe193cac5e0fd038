// Owns what counts as a run whose end says how the work stands: a check, or a command of the model. Pure.
import type { EventOf, JobEventBody } from '@hearth/protocol'

export type WorkRun = EventOf<'check'> | EventOf<'tool_result'>

export function isRun(event: JobEventBody): event is WorkRun {
  return event.type === 'check' || isCommand(event)
}

/** A command of the model that was run. */
export function isCommand(event: JobEventBody): event is EventOf<'tool_result'> {
  return event.type === 'tool_result' && event.name === 'bash' && event.cause !== 'refused' && event.cause !== 'denied'
}

/** A look that found nothing (grep, diff -q, test) says so with exit 1 and not a word; that is no failure. */
export function hasFailed(event: WorkRun): boolean {
  return event.type === 'check' ? !event.passed : !event.ok && !(event.exitCode === 1 && event.totalBytes === 0)
}
