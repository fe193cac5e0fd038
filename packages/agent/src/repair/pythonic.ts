// Owns calls written as Python: `bash(command="ls")`, lists of them, `bash.call(…)`, `print(default_api.bash(…))`; and Gemma's `call:bash{command:<|"|>ls<|"|>}`. Pure.
import { looseValue, pythonString } from './loose.ts'
import { match, put, skipBlanks, type Group } from './xml.ts'
import type { RawCall } from './shapes.ts'

/** A list of calls or a single call at `at`, or null. */
export function pythonCalls(text: string, at: number): Group | null {
  const printed = match(/print\(\s*(?!print\()/y, text, at)
  if (printed !== null) {
    const inner = pythonCall(text, at + printed[0].length)
    const end = inner === null ? -1 : skipBlanks(text, inner.end)
    return inner !== null && text[end] === ')' ? { calls: inner.calls, end: end + 1 } : null
  }
  if (text[at] !== '[') return pythonCall(text, at)
  const calls: RawCall[] = []
  let end = skipBlanks(text, at + 1)
  for (;;) {
    const call = pythonCall(text, end)
    if (call === null) return null
    calls.push(...call.calls)
    end = skipBlanks(text, call.end)
    if (text[end] === ']') return { calls, end: end + 1 }
    if (text[end] !== ',') return null
    end = skipBlanks(text, end + 1)
  }
}

function pythonCall(text: string, at: number): Group | null {
  const head = match(/([A-Za-z_][\w.]{0,79})\(/y, text, at)
  if (head === null) return null
  const given: Record<string, unknown> = {}
  let end = skipBlanks(text, at + head[0].length)
  while (text[end] !== ')') {
    const key = match(/([A-Za-z_]\w{0,63})\s*=\s*/y, text, end)
    if (key === null) return null
    const from = end + key[0].length
    const value = /["']/.test(text[from] ?? '') ? pythonString(text, from) : looseValue(text, from)
    const name = key[1] ?? ''
    if (value === null || Object.hasOwn(given, name) || ('open' in value && value.open.length > 0)) return null
    put(given, name, value.value)
    end = skipBlanks(text, value.end)
    if (text[end] === ',') end = skipBlanks(text, end + 1)
    else if (text[end] !== ')') return null
  }
  return { calls: [{ name: (head[1] ?? '').replace(/\.call$/, ''), arguments: given, changes: [] }], end: end + 1 }
}

const quote = '<|"|>'

/** Gemma: `call:NAME{key:value,…}` where texts stand between their own quote tokens. */
export function gemmaCall(text: string, at: number): Group | null {
  const head = match(/\s*call:([\w.:/-]{1,80})\s*(?=\{)/y, text, at)
  if (head === null) return null
  const value = gemmaValue(text, at + head[0].length, 0)
  if (value === null || typeof value.value !== 'object' || Array.isArray(value.value)) return null
  return { calls: [{ name: head[1] ?? '', arguments: value.value as Record<string, unknown>, changes: [] }], end: value.end }
}

function gemmaValue(text: string, at: number, depth: number): { value: unknown; end: number } | null {
  if (depth > 64) return null
  if (text.startsWith(quote, at)) {
    const end = text.indexOf(quote, at + quote.length)
    const value = text.slice(at + quote.length, end)
    return end < 0 ? null : { value, end: end + quote.length }
  }
  if (text[at] === '{') {
    const made: Record<string, unknown> = {}
    let end = skipBlanks(text, at + 1)
    while (text[end] !== '}') {
      const key = match(/(?:<\|"\|>)?([A-Za-z_][\w.-]{0,63})(?:<\|"\|>)?\s*:\s*/y, text, end)
      const value = key === null ? null : gemmaValue(text, end + key[0].length, depth + 1)
      if (key === null || value === null || Object.hasOwn(made, key[1] ?? '')) return null
      put(made, key[1] ?? '', value.value)
      end = skipBlanks(text, value.end)
      if (text[end] === ',') end = skipBlanks(text, end + 1)
      else if (text[end] !== '}') return null
    }
    return { value: made, end: end + 1 }
  }
  if (text[at] === '[') {
    const made: unknown[] = []
    let end = skipBlanks(text, at + 1)
    while (text[end] !== ']') {
      const value = gemmaValue(text, end, depth + 1)
      if (value === null) return null
      made.push(value.value)
      end = skipBlanks(text, value.end)
      if (text[end] === ',') end = skipBlanks(text, end + 1)
      else if (text[end] !== ']') return null
    }
    return { value: made, end: end + 1 }
  }
  const plain = looseValue(text, at)
  return plain === null || plain.open.length > 0 || (typeof plain.value === 'object' && plain.value !== null) ? null : { value: plain.value, end: plain.end }
}
