// Owns what a value must look like to be a call: name and arguments under the keys that models use. Pure; knows no text and no schema.

/** A call as it was written: nothing of it is checked against a tool yet. */
export type RawCall = {
  name: string
  arguments: Record<string, unknown>
  /** Arguments that are texts by their format (XML): a schema decides whether `5` is a number. */
  texts?: boolean
  changes: string[]
}

/** Which objects the end of the text left open; none by default. */
export type Open = ReadonlySet<object>
const closed: Open = new Set()

export type Known = (name: string) => boolean

const nameKeys = ['name', 'tool', 'tool_name', 'toolname', 'function_name', 'function', 'action']
const argumentKeys = ['arguments', 'parameters', 'args', 'input', 'tool_input', 'action_input', 'params', 'kwargs']
// What may stand beside them without meaning anything.
const idle = new Set(['id', 'type', 'index', 'call_id', 'tool_call_id', 'thought', 'thoughts', 'reasoning', 'explanation', 'description'])

/**
 * The calls of a value: one call, a list of them, or an OpenAI message with `tool_calls`; null when it is anything else. `known` decides only
 * where a shape could be an ordinary object: arguments beside the name, or a name as the only key.
 */
export function callsOf(value: unknown, known: Known, open: Open = closed): RawCall[] | null {
  if (Array.isArray(value)) {
    // Behind an open list there may have been more calls.
    if (open.has(value)) return null
    const calls = value.map((item: unknown) => (isObject(item) ? callOf(item, known, open) : null))
    return calls.length > 0 && calls.every((call) => call !== null) ? calls : null
  }
  if (!isObject(value)) return null
  for (const key of ['tool_calls', 'tool_call', 'function_call']) {
    const inner = value[key]
    if (inner === undefined) continue
    if (!Object.keys(value).every((other) => other === key || idle.has(other) || other === 'role' || other === 'content')) return null
    return Array.isArray(inner) || isObject(inner) ? changed(callsOf(inner, known, open), `unwrapped ${key}`) : null
  }
  const call = callOf(value, known, open)
  return call === null ? null : [call]
}

function callOf(value: Record<string, unknown>, known: Known, open: Open): RawCall | null {
  const inner = value['function']
  if (isObject(inner)) return Object.keys(value).every((key) => key === 'function' || idle.has(key)) ? changed1(callOf(inner, known, open), 'unwrapped function') : null
  const keys = Object.keys(value)
  const named = keys.filter((key) => nameKeys.includes(key.toLowerCase()) && typeof value[key] === 'string')
  const given = keys.filter((key) => argumentKeys.includes(key.toLowerCase()))
  const [nameKey] = named
  if (nameKey === undefined) return onlyKey(value, known, open)
  const name = String(value[nameKey])
  // Two names or two sets of arguments are two calls.
  if (given.length > 1 || (named.length > 1 && given.length === 1)) return null
  const [key] = given
  if (key !== undefined) {
    if (!keys.every((other) => other === key || other === nameKey || idle.has(other.toLowerCase()))) return null
    const read = argumentsOf(value[key])
    if (read === null || !nothingLost(value[key], open)) return null
    const changes = [...(nameKey === 'name' ? [] : [`"${nameKey}" read as "name"`]), ...(key === 'arguments' ? [] : [`"${key}" read as "arguments"`]), ...read.changes]
    return { name, arguments: read.arguments, changes }
  }
  // Arguments beside the name: only under the first name key, and only for a tool that there is.
  if (!/^(tool|name)$/.test(nameKey) || !known(name) || open.size > 0) return null
  const rest = Object.fromEntries(keys.filter((other) => other !== nameKey).map((other) => [other, value[other]]))
  return { name, arguments: rest, changes: ['arguments beside the name'] }
}

/** {"bash": {"command": "ls"}} */
function onlyKey(value: Record<string, unknown>, known: Known, open: Open): RawCall | null {
  const [name, ...more] = Object.keys(value)
  if (name === undefined || more.length > 0 || !known(name)) return null
  const inner = value[name]
  return isObject(inner) && nothingLost(inner, open) ? { name, arguments: inner, changes: ['the tool as the only key'] } : null
}

/**
 * Closing brackets may be missing behind the arguments, never inside them: there an argument may be missing too. And only when the arguments hold
 * no objects, since a bracket that is missing further in moves what follows into the wrong one.
 */
export function nothingLost(given: unknown, open: Open): boolean {
  if (open.size === 0) return true
  if (!isObject(given) || open.has(given)) return false
  const values: unknown[] = Object.values(given).flat(1)
  const last = values.at(-1)
  // A bracket that slipped in front of the last quote is missing behind it: nobody knows which.
  if (typeof last === 'string' && /[}\]]\s*$/.test(last.slice(-100))) return false
  return !values.some((value) => typeof value === 'object' && value !== null)
}

/** An object, or an object written as a string of strict JSON (as on the OpenAI wire). */
export function argumentsOf(value: unknown): { arguments: Record<string, unknown>; changes: string[] } | null {
  if (isObject(value)) return { arguments: value, changes: [] }
  if (value === null || value === '') return { arguments: {}, changes: ['no arguments'] }
  if (typeof value !== 'string') return null
  try {
    const parsed: unknown = JSON.parse(value)
    return isObject(parsed) ? { arguments: parsed, changes: ['arguments as a JSON string'] } : null
  } catch {
    return null
  }
}

function changed(calls: RawCall[] | null, change: string): RawCall[] | null {
  return calls === null ? null : calls.map((call) => ({ ...call, changes: [change, ...call.changes] }))
}

function changed1(call: RawCall | null, change: string): RawCall | null {
  return call === null ? null : { ...call, changes: [change, ...call.changes] }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
