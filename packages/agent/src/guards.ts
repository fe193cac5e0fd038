// Owns the guards: pure functions from events to evidence that the model is stuck. They decide nothing; ladder.ts says what follows.
import { createHash } from 'node:crypto'
import type { EventOf, JobEventBody } from '@hearth/protocol'

export type GuardName = 'repeat' | 'ping_pong' | 'same_error' | 'refused' | 'no_progress' | 'malformed' | 'candidate' | 'overflow'
export type Evidence = { guard: GuardName; evidence: string; nudge: string }

// The same thresholds as most agent harnesses use.
const repeatWindow = 6
const repeatLimit = 3
const pingPongRounds = 3
const sameErrorLimit = 3
const malformedLimit = 3
const refusedLimit = 3
/** Turns in which nothing was written, nothing new was looked at and no check changed. */
const idleTurns = 8
/** Turns without a single write, however much was read: small models spend every step exploring. */
const readingTurns = 15
/** The same once that was said: an honest question about many files takes its time, and is not begun anew for it. */
const readingTurnsAfter = 30

// A tool that is made for asking again: its repetition says nothing.
const pollers = new Set(['process'])

/** The first guard that sees something in the events since the history was last begun anew. Asked after the results of a turn. */
export function watch(all: readonly JobEventBody[]): Evidence | null {
  const events = sinceFresh(all)
  const kept = statesKept(all)
  return pingPong(events) ?? repeatedCall(events, kept) ?? refusedCalls(sinceGuard(events, 'refused')) ?? sameError(sinceGuard(events, 'same_error')) ?? noProgress(events, kept)
}

/** Where states are kept, `committed` says what a command changed; elsewhere any command may have changed something. */
export function statesKept(all: readonly JobEventBody[]): boolean {
  return all.some((event) => event.type === 'workspace' && event.base !== null)
}

/** Events since the last re-plan, the last words of a person or of an expert: what was seen before belongs to a history that the model no longer has, or to another try. */
export function sinceFresh(events: readonly JobEventBody[]): readonly JobEventBody[] {
  const at = events.findLastIndex((event) => (event.type === 'rewritten' && event.reason === 'replan') || event.type === 'said' || (event.type === 'handed_back' && event.mode !== 'review'))
  return at < 0 ? events : events.slice(at + 1)
}

function sinceGuard(events: readonly JobEventBody[], guard: GuardName): readonly JobEventBody[] {
  const at = events.findLastIndex((event) => event.type === 'guard' && event.guard === guard)
  return at < 0 ? events : events.slice(at + 1)
}

/** The newest call three times in the last six, and no other call changed a file in between: a test after each edit is no repetition. `finish` has its own count (see done.ts). */
function repeatedCall(events: readonly JobEventBody[], kept: boolean): Evidence | null {
  const calls = callsOf(events)
  const newest = calls.at(-1)
  if (newest === undefined || pollers.has(newest.name)) return null
  const changers = new Set(changingCalls(events, kept))
  const changed = calls.findLastIndex(({ id, hash }) => hash !== newest.hash && changers.has(id))
  const same = calls.slice(Math.max(changed + 1, calls.length - repeatWindow)).filter(({ hash }) => hash === newest.hash).length
  // A-B-A-B-A is three of a kind too; the next call tells whether it is the other guard's.
  if (same < repeatLimit || alternates(calls.slice(1 - 2 * pingPongRounds), 2 * pingPongRounds - 1)) return null
  return {
    guard: 'repeat',
    evidence: `the same ${newest.name} call ${same} times in the last ${Math.min(calls.length, repeatWindow)}`,
    nudge: `You made the same ${newest.name} call ${same} times. It will not help again. Do something else, or call finish.`,
  }
}

/** Two calls in turn, three times. */
function pingPong(events: readonly JobEventBody[]): Evidence | null {
  const calls = callsOf(events).slice(-2 * pingPongRounds)
  const [a, b] = calls
  if (a === undefined || b === undefined || !alternates(calls, 2 * pingPongRounds) || pollers.has(a.name) || pollers.has(b.name)) return null
  return {
    guard: 'ping_pong', evidence: `${a.name} and ${b.name} in turn, ${pingPongRounds} times with the same arguments`,
    nudge: `You go back and forth between two calls. Nothing changes by it. Do something else, or call finish.`,
  }
}

function alternates(calls: readonly { hash: string }[], length: number): boolean {
  const [a, b] = calls
  return calls.length === length && a?.hash !== b?.hash && calls.every(({ hash }, index) => hash === (index % 2 === 0 ? a : b)?.hash)
}

/** Calls that were no calls: an unknown tool, arguments that do not fit, an edit that found no place. */
function refusedCalls(events: readonly JobEventBody[]): Evidence | null {
  const results = events.filter((event) => event.type === 'tool_result' && event.name !== 'finish').slice(-refusedLimit) as EventOf<'tool_result'>[]
  if (results.length < refusedLimit || !results.every(({ cause }) => cause === 'refused')) return null
  const edits = results.every(({ name }) => name === 'edit')
  return {
    guard: 'refused', evidence: `${refusedLimit} calls in a row were refused: ${results.at(-1)?.observation.split('\n')[0]?.slice(0, 200) ?? ''}`,
    nudge: edits ? 'Three edits in a row found no place. Read the file again, then write it whole or edit a shorter piece of it.' : 'Three calls in a row were refused. Read the last answer: it says what is missing.',
  }
}

/** The newest failure three times, whatever was done in between. */
function sameError(events: readonly JobEventBody[]): Evidence | null {
  const failures = events.flatMap((event) => {
    const print = fingerprint(event)
    return print === null ? [] : [print]
  })
  const newest = failures.at(-1)
  const lastRun = events.findLast((event) => (event.type === 'check' && event.when === 'after_edit') || (event.type === 'tool_result' && event.name === 'bash'))
  if (newest === undefined || lastRun === undefined || fingerprint(lastRun) !== newest) return null
  const same = failures.filter((print) => print === newest).length
  if (same < sameErrorLimit) return null
  const text = lastRun.type === 'check' ? lastRun.output : lastRun.type === 'tool_result' ? lastRun.observation : ''
  return {
    guard: 'same_error', evidence: `the same error ${same} times: ${text.trimEnd().split('\n').findLast((line) => line.trim() !== '' && !line.startsWith('(exit'))?.trim().slice(0, 200) ?? ''}`,
    nudge: `The same error came ${same} times. What you change does not touch its cause. Read the error word by word, look at the place it names, and try something different.`,
  }
}

// How many tests failed is no mere number: one less is progress.
const tally = /\b\d+ (?:tests? )?(?:pass|fail|error)\w*|\b(?:pass|fail|error)\w*[ =:]+\d+\b/gi

/** Failing tests as the tally of a test run tells them; 0 for a check that passes, null where there is no tally. */
export function failingTests(event: JobEventBody): number | null {
  if (event.type === 'check' && event.passed) return 0
  const text = event.type === 'check' ? event.output : event.type === 'tool_result' && event.name === 'bash' && event.cause !== 'refused' ? event.observation : ''
  const found = text.trimEnd().split('\n').slice(-tallyLines).join('\n').match(tally)?.filter((part) => /fail|error/i.test(part)) ?? []
  return found.length === 0 ? null : found.reduce((sum, part) => sum + Number(/\d+/.exec(part)?.[0] ?? 0), 0)
}

// A tally stands at the end; what counts otherwise stands anywhere.
const tallyLines = 12

/**
 * What makes two failures the same: the last lines without numbers (but for the tally of a test run), addresses, times and paths. Null for what did not fail,
 * and for a command that failed without a word: that says nothing of the next one. A check at "done" has its own count.
 */
export function fingerprint(event: JobEventBody): string | null {
  const text = event.type === 'check' && event.when === 'after_edit' && !event.passed ? event.output
    : event.type === 'tool_result' && event.name === 'bash' && !event.ok && event.cause !== 'refused' ? event.observation : null
  if (text === null) return null
  const last = text.trimEnd().split('\n').filter((line) => line.trim() !== '' && !/^\(exit \d+\)$/.test(line)).slice(-6)
  if (last.length === 0 && event.type !== 'check') return null
  const lines = last.map((line) => line.replace(/0x[0-9a-f]+/gi, '#').replace(/(\/[\w.@-]+)+/g, '/').replace(/\d+([.,:]\d+)*/g, '#').replace(/\s+/g, ' ').trim())
  return createHash('sha256').update([...lines, ...last.flatMap((line) => line.match(tally) ?? [])].join('\n')).digest('hex')
}

/** Reading without end: nothing written, nothing new, no check that changed for some turns; or no write at all for many. */
function noProgress(fresh: readonly JobEventBody[], kept: boolean): Evidence | null {
  const events = sinceGuard(fresh, 'no_progress')
  const readingLimit = events.length < fresh.length ? readingTurnsAfter : readingTurns
  const { turns, idle, reading } = paceOf(events, kept)
  if (idle < idleTurns && reading < readingLimit) return null
  return {
    guard: 'no_progress', evidence: idle >= idleTurns ? `${idle} turns without a change, a new look or a check that changed` : `${reading} turns without a change to any file, of ${turns}`,
    nudge: 'You have looked for long enough. If the task is to change something, change it now. If it is a question, call finish with the answer.',
  }
}

/**
 * Turns in these events, and of the last ones those without: a change, a new look or a check that changed (`idle`); a change to a file (`reading`); a change to a
 * file or a check that changed (`still`). `kept`: `committed` says what a command changed.
 */
export function paceOf(events: readonly JobEventBody[], kept: boolean): { turns: number; idle: number; reading: number; still: number } {
  let [turns, idle, reading, still] = [0, 0, 0, 0]
  const seen = new Set<string>()
  let verdict = ''
  let moved = false
  let wrote = false
  let judged = false
  for (const event of events) {
    // Waiting for a process is neither looking nor standing still.
    const waits = event.type === 'turn' && event.toolCalls.length > 0 && event.toolCalls.every(({ name }) => pollers.has(name))
    if (event.type === 'turn' && !waits) {
      turns += 1
      idle = moved ? 1 : idle + 1
      reading = wrote ? 1 : reading + 1
      still = wrote || judged ? 1 : still + 1
      moved = wrote = judged = false
    }
    if (event.type === 'committed' || (event.type === 'tool_result' && event.ok && (kept ? event.name === 'write' || event.name === 'edit' : event.wrote))) moved = wrote = true
    if (event.type === 'tool_planned' && !seen.has(event.argsHash)) {
      seen.add(event.argsHash)
      moved = true
    }
    if (event.type === 'check') {
      const now = `${event.passed} ${fingerprint(event) ?? ''}`
      if (now !== verdict) moved = judged = true
      verdict = now
    }
  }
  if (moved) idle = 0
  if (wrote) reading = 0
  if (wrote || judged) still = 0
  return { turns, idle, reading, still }
}

/** Three answers in a row that were no call. */
export function malformedTurns(all: readonly JobEventBody[]): Evidence | null {
  let row = 0
  for (const event of sinceFresh(all)) {
    if (event.type === 'call_rejected') row += 1
    if (event.type === 'tool_planned') row = 0
  }
  return row < malformedLimit ? null : { guard: 'malformed', evidence: `${row} answers in a row were no tool call`, nudge: '' }
}

function callsOf(events: readonly JobEventBody[]): { id: string; name: string; hash: string }[] {
  return events.flatMap((event) => (event.type === 'tool_planned' ? [{ id: event.call.id, name: event.call.name, hash: `${event.call.name} ${event.argsHash}` }] : []))
}

/** Ids of the calls that changed a file: by the kept states where there are some, else as write and edit say. */
function changingCalls(events: readonly JobEventBody[], kept: boolean): string[] {
  let ofTurn: string[] = []
  return events.flatMap((event) => {
    if (event.type === 'turn') ofTurn = event.toolCalls.map(({ id }) => id)
    if (kept) return event.type === 'committed' ? ofTurn : []
    return event.type === 'tool_result' && event.ok && (event.name === 'write' || event.name === 'edit') ? [event.callId] : []
  })
}

/** Prompt tokens that were evaluated plus completion tokens, over all turns, failed ones and those of sub-agents included. */
export function spentTokens(events: readonly JobEventBody[]): number {
  let sum = 0
  for (const event of events) {
    if (event.type === 'turn' || event.type === 'turn_failed' || event.type === 'sub_step') sum += event.usage.promptTokens - event.usage.reusedTokens + event.usage.completionTokens
  }
  return sum
}
