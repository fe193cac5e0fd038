// Owns what tools remember between calls, read off the job's events alone: so a resumed job knows what an uninterrupted one would. Pure.
import type { EventOf, JobEventBody } from '@hearth/protocol'

type Events = readonly JobEventBody[]

function lastResult<T>(events: Events, pick: (event: EventOf<'tool_result'>) => T | undefined): T | undefined {
  for (let index = events.length - 1; index >= 0; index -= 1) {
    const event = events[index]
    const found = event?.type === 'tool_result' ? pick(event) : undefined
    if (found !== undefined) return found
  }
  return undefined
}

/** Where a shell command begins, relative to the folder; '' = the folder itself. */
export function shellFolder(events: Events): string {
  return lastResult(events, (event) => event.cwd) ?? ''
}

/** sha256 of a file when the job last read or wrote it; null = it never did. */
export function seenHash(events: Events, path: string): string | null {
  return lastResult(events, (event) => (event.file?.path === path ? event.file.sha256 : undefined)) ?? null
}

/** Handles of the background processes that ran after the last call. */
export function runningHandles(events: Events): readonly string[] {
  return lastResult(events, (event) => event.processes) ?? []
}

/** Every handle that the events tell of. */
export function everyHandle(events: Events): string[] {
  return [...new Set(events.flatMap((event) => (event.type === 'tool_result' ? (event.processes ?? []) : [])))]
}

/** Why a background process that an earlier run of the job had is gone. A run that came to its own end, in a chat at each turn's end, ended it; else whatever ended the run did. */
export function whyGone(events: Events, handle: string): string {
  const last = events.findLastIndex((event) => event.type === 'tool_result' && event.processes?.includes(handle) === true)
  const end = events.slice(last + 1).find((event) => event.type === 'suspended')
  return end?.type === 'suspended' && end.state !== undefined ? 'it ended with the turn that it was started in' : 'the daemon was started again meanwhile'
}

/** The list that the plan tool answered last; null = there is none. */
export function currentPlan(events: Events): string | null {
  return lastResult(events, (event) => (event.name === 'plan' && event.ok ? event.observation : undefined)) ?? null
}

/** How often the model asked for an expert. */
export function expertQuestions(events: Events): number {
  return events.filter((event) => event.type === 'tool_result' && event.name === 'ask_expert').length
}
