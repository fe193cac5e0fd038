// Owns fitting a call to its tool: the name, the keys, the types of the arguments. Pure. It changes how a thing is written, never what it says;
// what does not fit is told to the model with the shape that is expected.
import type { ToolCall } from '@hearth/protocol'
import { z } from 'zod'
import type { Tool } from '../tools/tool.ts'
import { idleKeys, keyNamed, toolNamed } from './names.ts'
import { isObject, type RawCall } from './shapes.ts'

/** What of a tool decides whether a call fits it. */
export type Fitting = Pick<Tool, 'name' | 'parameters'>

export type Fitted = { call: Omit<ToolCall, 'id'>; changes: string[] } | { problem: string }

type Schema = Record<string, unknown>

const schemas = new WeakMap<Fitting, Schema>()

function schemaOf(tool: Fitting): Schema {
  const known = schemas.get(tool)
  if (known !== undefined) return known
  const made: Schema = z.toJSONSchema(tool.parameters)
  schemas.set(tool, made)
  return made
}

/** The call as its tool takes it, with a line for each change; or what the model should be told. */
export function fitCall(raw: RawCall, tools: readonly Fitting[]): Fitted {
  const name = toolNamed(raw.name, tools.map((tool) => tool.name), true)
  const tool = tools.find((candidate) => candidate.name === name)
  if (tool === undefined) {
    // A tool of a server is listed as server__tool and called through mcp: models call it directly.
    const server = raw.name !== 'mcp' && /^[\w-]+__[\w-]+$/.test(raw.name) && tools.some((one) => one.name === 'mcp')
    if (server) return fitCall({ name: 'mcp', arguments: { name: raw.name, arguments: raw.arguments }, changes: [...raw.changes, `${short(raw.name)} called through mcp`] }, tools)
    return { problem: unknownTool(raw.name, tools) }
  }
  const changes = [...raw.changes, ...(tool.name === raw.name ? [] : [`tool ${short(raw.name)} -> ${tool.name}`])]
  const keyed = fitKeys(tool, raw.arguments, changes)
  if (typeof keyed === 'string') return { problem: wrong(tool, keyed) }
  const schema = schemaOf(tool)
  const given: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(keyed)) {
    const fitted = fitValue(value, propertyOf(schema, key), key, raw.texts === true, changes)
    Object.defineProperty(given, key, { value: fitted, enumerable: true, configurable: true, writable: true })
  }
  const problem = argumentsProblem(tool, given)
  return problem === null ? { call: { name: tool.name, arguments: given }, changes } : { problem }
}

/** Why these arguments cannot be given to the tool, as a sentence for the model; null when they can. */
export function argumentsProblem(tool: Fitting, given: Record<string, unknown>): string | null {
  const parsed = tool.parameters.safeParse(given)
  if (parsed.success) return null
  const [issue] = parsed.error.issues
  const where = issue === undefined || issue.path.length === 0 ? 'the arguments' : issue.path.join('.')
  const missing = issue?.code === 'invalid_type' && valueAt(given, issue.path) === undefined
  const said = `${where}: ${missing ? 'it is missing' : issue?.message ?? 'not valid'}`
  // A value that is refused for what it says needs no lesson about shapes.
  return issue?.code === 'custom' || issue?.code === 'too_big' || issue?.code === 'too_small' ? `${tool.name} was not run: ${said}` : wrong(tool, said)
}

export function unknownTool(name: string, tools: readonly Fitting[]): string {
  return `there is no tool ${name.slice(0, 60)}; use one of ${tools.map((tool) => tool.name).join(', ')}`
}

/** `{"path": string, "offset"?: integer}` */
export function expectedShape(tool: Fitting): string {
  const schema = schemaOf(tool)
  const required = Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : []
  const properties = isObject(schema['properties']) ? schema['properties'] : {}
  return `{${Object.entries(properties).map(([key, value]) => `"${key}"${required.includes(key) ? '' : '?'}: ${typeName(value)}`).join(', ')}}`
}

function typeName(schema: unknown): string {
  if (!isObject(schema)) return 'any'
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value: unknown) => JSON.stringify(value)).join('|')
  if (schema['type'] === 'array') return `[${typeName(schema['items'])}]`
  if (schema['type'] === 'object' && isObject(schema['properties'])) {
    return `{${Object.entries(schema['properties']).map(([key, value]) => `"${key}": ${typeName(value)}`).join(', ')}}`
  }
  return typeof schema['type'] === 'string' ? schema['type'] : 'any'
}

function wrong(tool: Fitting, said: string): string {
  return `${tool.name} was not run: ${said}. It takes ${expectedShape(tool)}`
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  return path.reduce<unknown>((at, key) => (typeof at === 'object' && at !== null ? (at as Record<PropertyKey, unknown>)[key] : undefined), value)
}

/** The arguments under the tool's own keys, or what is wrong with them. */
function fitKeys(tool: Fitting, given: Record<string, unknown>, changes: string[]): Record<string, unknown> | string {
  const schema = schemaOf(tool)
  const keys = Object.keys(isObject(schema['properties']) ? schema['properties'] : {})
  const required = Array.isArray(schema['required']) ? (schema['required'] as unknown[]) : []
  const open = schema['additionalProperties'] !== false
  const made: Record<string, unknown> = {}
  const put = (key: string, value: unknown): void => { Object.defineProperty(made, key, { value, enumerable: true, configurable: true, writable: true }) }
  for (const [written, value] of Object.entries(given)) if (keys.includes(written)) put(written, value)
  for (const [written, value] of Object.entries(given)) {
    if (keys.includes(written)) continue
    const key = keyNamed(tool.name, written, keys)
    if (key !== null) {
      if (!Object.hasOwn(made, key)) {
        put(key, value)
        changes.push(`${short(written)} -> ${key}`)
      } else if (JSON.stringify(made[key]) !== JSON.stringify(value)) return `${short(written)} and ${key} say different things`
      else changes.push(`${short(written)} dropped, the same as ${key}`)
    } else if (open) put(written, value)
    else if (value === null || idleKeys.has(written.toLowerCase())) changes.push(`${short(written)} dropped`)
    else return `it has no argument ${short(written)}`
  }
  for (const key of keys) {
    if (made[key] !== null || required.includes(key) || allowsNull(propertyOf(schema, key))) continue
    delete made[key]
    changes.push(`${key}: null left out`)
  }
  return made
}

function allowsNull(schema: Schema | null): boolean {
  if (schema === null) return true
  const type = schema['type']
  return type === 'null' || (Array.isArray(type) && type.includes('null')) || ['anyOf', 'oneOf'].some((key) => Array.isArray(schema[key]))
}

function propertyOf(schema: Schema, key: string): Schema | null {
  const properties = schema['properties']
  const found = isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
  return isObject(found) ? found : null
}

const number = /^\s*-?(?:0|[1-9][0-9]{0,14})(?:\.[0-9]{1,15})?\s*$/

/** The value in the type that the schema names, where it says the same; else as it is. `text`: it was written in a format without types. */
function fitValue(value: unknown, schema: Schema | null, where: string, text: boolean, changes: string[]): unknown {
  if (schema === null) return value
  const noted = (to: unknown): unknown => {
    // In a format without types a number has to be a text first: nothing is mended there.
    if (!text) changes.push(`${where}: ${typeOf(value)} -> ${typeOf(to)}`)
    return to
  }
  const options = schema['enum']
  if (Array.isArray(options) && typeof value === 'string' && !options.includes(value)) {
    const same = options.filter((option): option is string => typeof option === 'string' && option.toLowerCase() === value.trim().toLowerCase())
    if (same.length === 1) changes.push(`${where}: ${short(value)} -> ${String(same[0])}`)
    return same.length === 1 ? same[0] : value
  }
  switch (schema['type']) {
    case 'integer':
    case 'number':
      return typeof value === 'string' && number.test(value) ? noted(Number(value)) : value
    case 'boolean':
      return typeof value === 'string' && /^\s*(?:true|false)\s*$/i.test(value) ? noted(value.trim().toLowerCase() === 'true') : value
    case 'string':
      // 3.10 and 12345678901234567890 are other numbers by the time they are read: what was written is not known any more.
      return Number.isSafeInteger(value) ? noted(String(value)) : value
    case 'array': {
      const items = isObject(schema['items']) ? schema['items'] : null
      const list = Array.isArray(value) ? value : typeof value === 'string' && (text || items?.['type'] !== 'string') ? parsed(value, Array.isArray) : null
      if (list !== null) {
        if (!Array.isArray(value)) noted(list)
        return (list as unknown[]).map((item, index) => fitValue(item, items, `${where}.${index}`, false, changes))
      }
      if (value === null || value === undefined || (typeof value === 'string' && items?.['type'] !== 'string')) return value
      changes.push(`${where}: one value -> a list of one`)
      return [fitValue(value, items, where, false, changes)]
    }
    case 'object': {
      const object = isObject(value) ? value : typeof value === 'string' ? parsed(value, isObject) : null
      if (!isObject(object)) return value
      if (object !== value) noted(object)
      return Object.fromEntries(Object.entries(object).map(([key, inner]) => [key, fitValue(inner, propertyOf(schema, key), `${where}.${key}`, false, changes)]))
    }
    default: return value
  }
}

function parsed(text: string, fits: (value: unknown) => boolean): unknown {
  try {
    const value: unknown = JSON.parse(text)
    return fits(value) ? value : null
  } catch {
    return null
  }
}

function typeOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'list' : typeof value
}

function short(text: string): string {
  return text.length <= 40 ? text : `${text.slice(0, 40)}...`
}
