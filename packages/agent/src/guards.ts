// Owns the guards: pure functions from events to evidence. They decide nothing; the loop nudges first, then stops.
import type { JobEventBody } from '@hearth/protocol'

export type Evidence = { guard: 'repeat' | 'malformed'; evidence: string; nudge: string }

const repeatWindow = 6
const repeatLimit = 3
const malformedLimit = 3

/**
 * The newest call three times in the last six. The same threshold as most agent harnesses use.
 * Asked after each result; `finish` has its own count (see checks.ts).
 */
export function repeatedCall(events: readonly JobEventBody[]): Evidence | null {
  const calls: string[] = []
  for (const event of events) if (event.type === 'tool_planned') calls.push(`${event.call.name} ${event.argsHash}`)
  const newest = calls.at(-1)
  if (newest === undefined) return null
  const same = calls.slice(-repeatWindow).filter((call) => call === newest).length
  if (same < repeatLimit) return null
  const name = newest.split(' ')[0] ?? ''
  return {
    guard: 'repeat',
    evidence: `the same ${name} call ${same} times in the last ${Math.min(calls.length, repeatWindow)}`,
    nudge: `You made the same ${name} call ${same} times. It will not help again. Do something else, or call finish.`,
  }
}

/** Three answers in a row that were no call. */
export function malformedTurns(events: readonly JobEventBody[]): Evidence | null {
  let row = 0
  for (const event of events) {
    if (event.type === 'call_rejected') row += 1
    if (event.type === 'tool_planned') row = 0
  }
  return row < malformedLimit ? null
    : { guard: 'malformed', evidence: `${row} answers in a row were no tool call`, nudge: '' }
}

/** How often this guard has nudged. */
export function nudgesOf(events: readonly JobEventBody[], guard: Evidence['guard']): number {
  return events.filter((event) => event.type === 'guard' && event.guard === guard && event.action === 'nudge').length
}

/** Prompt tokens that were evaluated plus completion tokens, over all turns, failed ones included. */
export function spentTokens(events: readonly JobEventBody[]): number {
  let sum = 0
  for (const event of events) {
    if (event.type === 'turn' || event.type === 'turn_failed') sum += event.usage.promptTokens - event.usage.reusedTokens + event.usage.completionTokens
  }
  return sum
}
