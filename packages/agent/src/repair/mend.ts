// Owns what one answer of a model comes to: calls that fit their tools, or one clear sentence back. Pure; runs nothing and knows no job but what it is given.
import type { ToolCall } from '@hearth/protocol'
import type { Answer, Understood } from '../modes/mode.ts'
import { fitCall, type Fitted, type Fitting } from './fit.ts'
import { toolNamed } from './names.ts'
import { findCalls } from './rescue.ts'
import { callSequence } from './sequence.ts'
import { argumentsOf, type RawCall } from './shapes.ts'

export type Malformed = { text: string; problem: string }

export type MendInput = {
  answer: Answer
  /** Calls that the engine could not read, in order. */
  malformed: readonly Malformed[]
  understood: Understood
  tools: readonly Fitting[]
  /** json: one call a turn, and the turn's text is that call. */
  mode: 'json' | 'native'
  /** Texts that the job has read (results of tools, instructions of the folder): a call that stands in them is a quotation. */
  read: () => readonly string[]
  /** An id that no call of the job has. */
  id: (taken: readonly string[]) => string
}

export type Repair = { callId: string; format: string; changes: string[]; text?: string }

export type Mended = {
  understood: Understood
  /** The turn's words when calls were taken out of them; null = as they were. */
  words: string | null
  repairs: Repair[]
}

const shownText = 2000

export function mend(input: MendInput): Mended {
  const { understood, malformed } = input
  switch (understood.type) {
    case 'calls': return mendCalls(input, understood.calls)
    case 'said':
    case 'malformed': return malformed.length > 0 ? mendUnread(input, []) : mendWords(input)
    default: return understood satisfies never
  }
}

/** Calls that were read as calls: each is fitted; one that does not fit stays as it is and is refused when its turn comes. */
function mendCalls(input: MendInput, calls: readonly ToolCall[]): Mended {
  const repairs: Repair[] = []
  const made = calls.map((call): ToolCall => {
    const fitted = fitCall({ name: call.name, arguments: call.arguments, changes: [] }, input.tools)
    if ('problem' in fitted || fitted.changes.length === 0) return call
    repairs.push({ callId: call.id, format: input.mode, changes: fitted.changes })
    return { id: call.id, ...fitted.call }
  })
  if (input.malformed.length > 0) return mendUnread(input, made, repairs)
  const [first] = made
  const words = input.mode === 'json' && repairs.length > 0 && first !== undefined ? jsonWords(first) : null
  return { understood: { type: 'calls', calls: made }, words, repairs }
}

/** Calls that the engine saw and could not read, beside `good` ones. All of them or none: half a turn is not what was meant. */
function mendUnread(input: MendInput, good: readonly ToolCall[], repairs: Repair[] = []): Mended {
  const calls = [...good]
  const names = input.tools.map((tool) => tool.name)
  for (const one of input.malformed) {
    const raw = unread(one.text, (name) => toolNamed(name, names, true) !== null)
    if (raw === null || (input.answer.cut && lostAnything(raw))) return rejected(one.problem, good.length)
    for (const call of raw) {
      const fitted = fitCall(call, input.tools)
      if ('problem' in fitted) return rejected(fitted.problem, good.length)
      const id = input.id(calls.map((known) => known.id))
      calls.push({ id, ...fitted.call })
      repairs.push({ callId: id, format: input.mode, changes: fitted.changes.length > 0 ? fitted.changes : [one.problem], text: one.text.slice(0, shownText) })
    }
  }
  return { understood: { type: 'calls', calls }, words: input.answer.text.trimEnd(), repairs }
}

/** The engine hands over what stood behind its format's marker: a body of that format, or a name and its arguments. */
function unread(text: string, known: (name: string) => boolean): RawCall[] | null {
  const whole = text.trim()
  const calls = callSequence(whole, 0, known) ?? callSequence(`<tool_call>${whole}</tool_call>`, 0, known) ?? callSequence(`<|tool_call>${whole}`, 0, known) ?? callSequence(`<|python_tag|>${whole}`, 0, known)
  if (calls !== null) return calls
  const named = /^([\w.:/-]{1,80})\s+(?=[{"])/.exec(whole)
  const read = named === null ? null : argumentsOf(whole.slice(named[0].length))
  return named === null || read === null ? null : [{ name: named[1] ?? '', arguments: read.arguments, changes: read.changes }]
}

function rejected(problem: string, good: number): Mended {
  const beside = good === 0 ? '' : good === 1 ? '. The other call of this answer was not run either.' : `. The other ${good} calls of this answer were not run either.`
  return { understood: { type: 'malformed', problem: `${problem}${beside}` }, words: null, repairs: [] }
}

/** Words: is there a call in them? */
function mendWords(input: MendInput): Mended {
  const { answer, understood, tools } = input
  const asItWas: Mended = { understood, words: null, repairs: [] }
  const names = tools.map((tool) => tool.name)
  const found = findCalls(answer.text, (name) => toolNamed(name, names, false) !== null)
  if (found.type === 'none') return asItWas
  if (found.type === 'refused') return understood.type === 'malformed' ? asItWas : { ...asItWas, understood: { type: 'malformed', problem: found.problem } }
  if (isQuoted(found.source, input.read())) return asItWas
  if (answer.cut && lostAnything(found.calls)) return asItWas
  if (input.mode === 'json' && found.calls.length > 1) return { ...asItWas, understood: { type: 'malformed', problem: 'these are several calls; give one JSON tool call' } }
  const fitted: Fitted[] = found.calls.map((call) => fitCall(call, tools))
  const calls: ToolCall[] = []
  const repairs: Repair[] = []
  for (const one of fitted) {
    if ('problem' in one) return rejected(one.problem, fitted.length - 1)
    const id = input.id(calls.map((call) => call.id))
    calls.push({ id, ...one.call })
    repairs.push({ callId: id, format: found.format, changes: ['taken out of the words', ...one.changes], text: found.source.slice(0, shownText) })
  }
  const [first] = calls
  return { understood: { type: 'calls', calls }, words: input.mode === 'json' && first !== undefined ? jsonWords(first) : found.before.trimEnd(), repairs }
}

/** After a cut nobody knows what would have followed: only what is whole counts. */
function lostAnything(calls: readonly RawCall[]): boolean {
  return calls.some((call) => call.changes.includes('missing closing brackets'))
}

function jsonWords(call: ToolCall): string {
  return JSON.stringify({ tool: call.name, ...call.arguments })
}

/** Blanks, quotes and escapes aside, does it stand in something that was read? */
function isQuoted(source: string, read: readonly string[]): boolean {
  const sought = stripped(source)
  return sought.length >= 12 && read.some((text) => stripped(text).includes(sought))
}

function stripped(text: string): string {
  return text.replace(/[\s\\"'`\u201c\u201d]+/g, '')
}
