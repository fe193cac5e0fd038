// Owns finding a call in words: which part of a message is the call that was meant, and when it is none. Pure and linear; runs nothing, checks no schema.
//
// The rule. A call is rescued only when it is the whole message or ends it, reasoning aside; when it stands outside code fences, inline code and quoted
// lines, or is all there is in the fence that ends the message; when nothing before it is a call too; when it can be read in one way; and when its text
// does not stand in anything the job has read before: that would be a quotation. Nothing is added to what the model wrote.
import { looseValue } from './loose.ts'
import { masked, withoutReasoning, type Fence, type Masked } from './message.ts'
import { pythonCalls } from './pythonic.ts'
import { callSequence, firstMarker, valueCalls } from './sequence.ts'
import { isObject, nothingLost, type Known, type RawCall } from './shapes.ts'
import { match } from './xml.ts'

export type Found =
  | { type: 'calls'; format: string; calls: RawCall[]; /** The model's words before the calls. */ before: string; /** The calls as they were written. */ source: string }
  /** It looks like a call and cannot be one. `problem` is for the model. */
  | { type: 'refused'; problem: string }
  /** Words. */
  | { type: 'none' }

// Longer words are no call that anybody could have meant; they are judged by their length alone.
const longest = 2 * 2 ** 20
const unreadable = 'it looks like a tool call but cannot be read as one; write the call alone, as valid JSON, with nothing behind it'

export function findCalls(message: string, known: Known): Found {
  if (message.length > longest) return { type: 'refused', problem: 'the answer is too long to be a tool call' }
  const text = withoutReasoning(message)
  if (text === null) return { type: 'refused', problem: 'the answer is only reasoning; end it and call a tool' }
  if (text.trim() === '') return { type: 'none' }
  const shown = masked(text)
  const marker = firstMarker(shown.text)
  if (marker !== null) {
    const calls = callSequence(text, marker.at, known)
    if (calls === null) return { type: 'refused', problem: unreadable }
    // A bare call before the marked one: which of them was meant?
    if (bareValues(text.slice(0, marker.at), shown, known).length > 0) return { type: 'refused', problem: 'there are calls in different places; write the call alone' }
    return { type: 'calls', format: formatOf(marker.format, text), calls, before: text.slice(0, marker.at), source: text.slice(marker.at) }
  }
  return fenced(text, shown, known) ?? bare(text, shown, known) ?? react(text, shown) ?? (looksLikeCall(text, shown, known) ? { type: 'refused', problem: unreadable } : { type: 'none' })
}

/** `<tool_call>` stands before several kinds of body. */
function formatOf(format: string, text: string): string {
  if (format !== 'hermes') return format
  return /<tool_call>\s*<function[= ]/.test(text) ? 'qwen_xml' : text.includes('<arg_key>') ? 'glm_xml' : 'hermes'
}

const callLanguages = new Set(['', 'json', 'json5', 'jsonc', 'tool_call', 'tool_calls', 'tool_code', 'tool', 'function_call', 'function', 'xml', 'python', 'py', 'action', 'javascript', 'js'])

/** Calls in the fences that end the message. */
function fenced(text: string, shown: Masked, known: Known): Found | null {
  const last = shown.fences.at(-1)
  if (last === undefined || text.slice(last.to).trim() !== '') return null
  const read = shown.fences.map((fence) => fenceCalls(fence, known))
  const mine = read.at(-1) ?? null
  if (mine === null) return null
  // Several fences with calls are one turn only when nothing stands between them.
  let first = read.length - 1
  while (first > 0 && (read[first - 1] ?? null) !== null && text.slice(shown.fences[first - 1]?.to ?? 0, shown.fences[first]?.from ?? 0).trim() === '') first -= 1
  const from = shown.fences[first]?.from ?? 0
  if (read.slice(0, first).some((calls) => calls !== null) || bareValues(text.slice(0, from), shown, known).length > 0) return { type: 'refused', problem: 'there are calls in different places; write the call alone' }
  const calls = read.slice(first).flatMap((one) => one ?? [])
  return { type: 'calls', format: 'fenced', calls, before: text.slice(0, from), source: shown.fences.slice(first).map((fence) => fence.inner).join('\n') }
}

function fenceCalls(fence: Fence, known: Known): RawCall[] | null {
  if (!callLanguages.has(fence.language)) return null
  const inner = fence.inner.trim()
  if (firstMarker(inner)?.at === 0) return callSequence(inner, 0, known)
  const values = inner.startsWith('{') || inner.startsWith('[') ? allValues(inner, known) : null
  if (values !== null) return values
  const python = pythonCalls(inner, 0)
  return python !== null && python.end === inner.length && python.calls.every((call) => known(call.name)) ? python.calls : null
}

/** Values one behind the other, all of them calls of tools that there are. */
function allValues(text: string, known: Known): RawCall[] | null {
  const calls = callSequence(text, 0, known)
  return calls !== null && calls.every((call) => known(call.name)) ? calls : null
}

/** A JSON call that begins a line, up to the end; or a Python call that is the whole message. */
function bare(text: string, shown: Masked, known: Known): Found | null {
  const values = bareValues(text, shown, known)
  const [first] = values
  if (first !== undefined) {
    const calls = allValues(text.slice(first), known)
    if (calls === null) return { type: 'refused', problem: values.length > 1 ? 'there are calls in different places; write the call alone' : unreadable }
    const source = text.slice(first)
    return { type: 'calls', format: /"tool_calls"/.test(source) ? 'openai' : 'json', calls, before: text.slice(0, first), source }
  }
  const whole = text.trim()
  const python = pythonCalls(whole, 0)
  if (python === null || python.end !== whole.length || !python.calls.every((call) => known(call.name))) return null
  return { type: 'calls', format: 'pythonic', calls: python.calls, before: '', source: whole }
}

const attempts = 8

/** Where calls of known tools begin a line, outside of what is masked; at most so many places are tried. */
function bareValues(text: string, shown: Masked, known: Known): number[] {
  const found: number[] = []
  const begin = /^[ \t]*(?=[{[])/gm
  let tried = 0
  while (tried < attempts) {
    const place = begin.exec(shown.text)
    if (place === null || place.index >= text.length) return found
    const at = place.index + place[0].length
    tried += 1
    const group = valueCalls(looseValue(text, at), known)
    if (group !== null && group.calls.every((call) => known(call.name))) found.push(at)
    begin.lastIndex = Math.max(group?.end ?? 0, at + 1)
  }
  return found
}

/** Action and Action Input, once, at the end. */
function react(text: string, shown: Masked): Found | null {
  const actions = [...shown.text.matchAll(/^[ \t]*(?:\*\*)?Action(?:\*\*)?:(?:\*\*)?[ \t]*/gm)]
  const [only] = actions
  if (only === undefined) return null
  if (actions.length > 1) return { type: 'refused', problem: 'there is more than one Action; call one tool' }
  const head = match(/[ \t]*(?:\*\*)?Action(?:\*\*)?:(?:\*\*)?[ \t]*`?([\w.:/-]{1,80})`?[ \t]*\r?\n\s*(?:\*\*)?Action[ _]Input(?:\*\*)?:(?:\*\*)?\s*(?=\{)/y, text, only.index)
  const value = head === null ? null : looseValue(text, only.index + head[0].length)
  if (head === null || value === null) return { type: 'refused', problem: 'after Action and Action Input there must be one JSON object with the arguments, and nothing else' }
  if (!isObject(value.value) || !nothingLost(value.value, new Set(value.open)) || text.slice(value.end).trim() !== '') {
    return { type: 'refused', problem: 'the Action Input is not one whole JSON object at the end of the answer' }
  }
  return { type: 'calls', format: 'react', calls: [{ name: head[1] ?? '', arguments: value.value, changes: value.changes }], before: text.slice(0, only.index), source: text.slice(only.index) }
}

/** The message ends with something that names a tool as a call does. */
function looksLikeCall(text: string, shown: Masked, known: Known): boolean {
  const last = shown.fences.at(-1)
  const inFence = last !== undefined && text.slice(last.to).trim() === '' && callLanguages.has(last.language) ? last.inner.trimStart() : ''
  const begin = /^[ \t]*[{[]/m.exec(shown.text)
  const tail = /^[{[]/.test(inFence) ? inFence : begin === null ? '' : text.slice(begin.index)
  if (!/[}\]"'\u201d,:\w]\s*$/.test(tail.slice(-200))) return false
  const named = /["'\u201c]?(?:name|tool|tool_name|function|action)["'\u201d]?\s*:\s*["'\u201c]([\w.:/-]{1,80})/i.exec(tail.slice(0, 4000))
  return named !== null && known(named[1] ?? '')
}
