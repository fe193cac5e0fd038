// Turns schemas of the protocol into Markdown tables for the documents. Pure: text in the same order every time.
import { z } from 'zod'

type Json = {
  type?: string | string[]; description?: string; default?: unknown; const?: unknown; enum?: unknown[]; pattern?: string; format?: string
  properties?: Record<string, Json>; required?: string[]; items?: Json; anyOf?: Json[]; oneOf?: Json[]; allOf?: Json[]
  minimum?: number; maximum?: number; exclusiveMinimum?: number; minLength?: number; maxLength?: number; additionalProperties?: unknown
  propertyNames?: unknown; minItems?: number; maxItems?: number; $ref?: string
}

export type FieldRow = { path: string; type: string; defaultText: string; meaning: string }

/** One row for each leaf of an object schema; `engine.threads` is a leaf of an inner object. */
export function fieldRows(schema: z.ZodType): FieldRow[] {
  return rowsOf(jsonOf(schema), '')
}

/** A table of the leaves of an object schema. `defaults` adds the column of default values. */
export function fieldTable(schema: z.ZodType, defaults: boolean): string {
  return table(fieldRows(schema), defaults)
}

/** For a union tagged by `tag`: a heading with a table for each member. */
export function unionTables(schema: z.ZodType, tag: string): string {
  const members = jsonOf(schema).oneOf ?? jsonOf(schema).anyOf ?? []
  return members.map((member) => {
    const { [tag]: name, ...rest } = member.properties ?? {}
    const rows = rowsOf({ ...member, properties: rest }, '')
    return `### \`${String(name?.const)}\`\n\n${rows.length === 0 ? 'No further fields.' : table(rows, false)}`
  }).join('\n\n')
}

function table(rows: readonly FieldRow[], defaults: boolean): string {
  const cells = rows.map((row) => [`\`${row.path}\``, escaped(row.type), ...(defaults ? [row.defaultText] : []), escaped(row.meaning)])
  return markdownTable(['key', 'type', ...(defaults ? ['default'] : []), 'meaning'], cells)
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

function jsonOf(schema: z.ZodType): Json {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as Json
}

function rowsOf(schema: Json, prefix: string): FieldRow[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, value]) => {
    const path = `${prefix}${name}`
    if (value.properties !== undefined && value.oneOf === undefined) {
      return [...(value.description === undefined ? [] : [{ path, type: 'object', defaultText: '', meaning: value.description }]), ...rowsOf(value, `${path}.`)]
    }
    const optional = schema.required?.includes(name) !== true && value.default === undefined
    return [
      { path, type: typeText(value) + (optional ? ', optional' : ''), defaultText: value.default === undefined ? '' : `\`${JSON.stringify(value.default)}\``, meaning: value.description ?? '' },
      ...itemRows(value, path),
    ]
  })
}

/** Leaves of the objects inside an array, a map or a nullable field: `files[].name`, `models.NAME.pinned`, `profile.fewShot.bank`. */
function itemRows(value: Json, path: string): FieldRow[] {
  const named = value.additionalProperties as Json | boolean | undefined
  if (value.propertyNames !== undefined && typeof named === 'object') return named.properties === undefined ? unionRows(named, `${path}.NAME`) : rowsOf(named, `${path}.NAME.`)
  if (value.items !== undefined) return value.items.properties === undefined ? unionRows(value.items, `${path}[]`) : rowsOf(value.items, `${path}[].`)
  return unionRows(value, path)
}

function unionRows(value: Json, path: string): FieldRow[] {
  const members = (value.oneOf ?? value.anyOf ?? []).filter((member) => member.properties !== undefined)
  return members.flatMap((member) => rowsOf(member, `${path}.`).map((row) => {
    const tag = Object.values(member.properties ?? {}).find((field) => field.const !== undefined)
    return tag === undefined || row.type === JSON.stringify(tag.const) ? row : { ...row, meaning: `${row.meaning}${row.meaning === '' ? '' : ' '}(${String(tag.const)})` }
  }))
}

function typeText(value: Json): string {
  if (value.const !== undefined) return JSON.stringify(value.const)
  if (value.enum !== undefined) return value.enum.map((one) => JSON.stringify(one)).join(' or ')
  const members = value.anyOf ?? value.oneOf
  if (members !== undefined) return [...new Set(members.map(typeText))].join(' or ')
  if (value.type === 'array') return `list of ${value.items === undefined ? 'anything' : typeText(value.items)}${value.minItems !== undefined && value.minItems > 0 ? `, at least ${value.minItems}` : ''}`
  if (value.type === 'object') return value.properties === undefined && value.propertyNames !== undefined ? 'map' : 'object'
  if (value.type === 'integer' || value.type === 'number') return `${value.type}${bounds(value)}`
  if (value.type === undefined) return 'object'
  return Array.isArray(value.type) ? value.type.join(' or ') : value.type
}

function bounds(value: Json): string {
  const low = value.minimum === undefined || value.minimum === Number.MIN_SAFE_INTEGER ? undefined : value.minimum
  const high = value.maximum === undefined || value.maximum === Number.MAX_SAFE_INTEGER ? undefined : value.maximum
  if (value.exclusiveMinimum !== undefined) return high === undefined ? ` above ${value.exclusiveMinimum}` : ` above ${value.exclusiveMinimum}, up to ${high}`
  if (low !== undefined && high !== undefined) return ` ${low} to ${high}`
  return low !== undefined ? ` from ${low}` : high !== undefined ? ` up to ${high}` : ''
}

function escaped(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('\n', ' ')
}
