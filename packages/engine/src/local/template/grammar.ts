// Owns JSON schema -> GBNF. What it cannot enforce it refuses (`bad_schema`); nothing is ignored but annotations. Pure.
// Written for one purpose: every text the grammar accepts is valid under the schema. It may accept less (fixed key order, bounded blanks and numbers).
import { fault, FaultError, type Fault, type JsonSchema } from '@hearth/protocol'
import { integerRange } from './integer-range.ts'

// Keywords that assert nothing.
const annotations = new Set(['$schema', '$id', '$comment', '$anchor', 'title', 'description', 'default', 'examples', 'deprecated', 'readOnly', 'writeOnly', '$defs', 'definitions'])
// llama.cpp refuses a repetition of 2000 and more; longer strings and arrays are put together from blocks.
const block = 1000
const longest = 20_000
const deepest = 64

const lexical: Record<string, string> = {
  // One blank, or a new line with some indentation, and none before a comma or colon: enough for every usual style, too little to spin in.
  ws: '| " " | "\\n" [ \\t]{0,20}',
  // Surrogates are left out, so one alternative is always one character of the length.
  char: '[^"\\\\\\x00-\\x1F\\x7F] | "\\\\" (["\\\\/bfnrt] | "u" ([0-9a-cA-Ce-fE-F] [0-9a-fA-F]{3} | [dD] [0-7] [0-9a-fA-F]{2}))',
  string: '"\\"" char* "\\""',
  integer: '"-"? ("0" | [1-9] [0-9]{0,14})',
  number: '"-"? ("0" | [1-9] [0-9]{0,14}) ("." [0-9]{1,15})? ([eE] [-+]? [0-9]{1,2})?',
  boolean: '"true" | "false"',
  null: '"null"',
  value: 'string | number | boolean | null | anyobject | anyarray',
  anyobject: '"{" ws (string ":" ws value ("," ws string ":" ws value)*)? ws "}"',
  anyarray: '"[" ws (value ("," ws value)*)? ws "]"',
}
const needs: Record<string, readonly string[]> = {
  string: ['char'], value: ['string', 'number', 'boolean', 'null', 'anyobject', 'anyarray'], anyobject: ['ws', 'string', 'value'], anyarray: ['ws', 'value'],
}

/** A grammar whose root is one JSON value under the schema, without blanks before or after it. */
export function schemaGrammar(schema: JsonSchema): { gbnf: string } | { fault: Fault } {
  return grammarOf(schema, (value) => value)
}

/**
 * A grammar whose root is made by `around` from the name of the rule for the schema; `ws` (bounded blanks) may be used in it too.
 */
export function grammarOf(schema: JsonSchema, around: (value: string) => string): { gbnf: string } | { fault: Fault } {
  return grammarWith(schema, (parts) => around(parts.value(schema, '#')))
}

/** What a format is put together from: rules for JSON values, for anything, and for a text up to its end. */
export type Parts = {
  /** The rule for a JSON value under the schema; `at` is its place for a refusal. */
  value(schema: unknown, at: string): string
  rule(body: string): string
  /** Any text up to the first `end`, and that. */
  until(end: string): string
  refuse(problem: string, at: string): never
}

/** A grammar whose root is what `build` makes of its parts. References start at `root`. */
export function grammarWith(root: JsonSchema, build: (parts: Parts) => string): { gbnf: string } | { fault: Fault } {
  try {
    const writer = new Writer(root)
    const made = build({ value: (schema, at) => writer.schema(schema, at, 0), rule: (body) => writer.rule(body), until: (end) => writer.until(end), refuse })
    return { gbnf: writer.text(made) }
  } catch (error) {
    if (error instanceof FaultError) return { fault: error.fault }
    throw error
  }
}

export function literal(text: string): string {
  const escaped = text.replace(/["\\]/g, '\\$&').replace(/\n/g, '\\n').replace(/\r/g, '\\r').replace(/\t/g, '\\t')
    .replace(/[\x00-\x1F\x7F]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
  return `"${escaped}"`
}

function refuse(problem: string, at: string): never {
  throw new FaultError(fault('bad_schema', { problem: `${problem} at ${at}` }))
}

type Node = Record<string, unknown>

class Writer {
  readonly #root: JsonSchema
  readonly #rules = new Map<string, string>()
  readonly #refs = new Map<string, { rule: string; open: boolean }>()
  #count = 0

  constructor(root: JsonSchema) {
    this.#root = root
  }

  text(root: string): string {
    if (/\bws\b/.test(root)) this.#lexical('ws')
    return [`root ::= ${root}`, ...[...this.#rules].map(([name, body]) => `${name} ::= ${body}`)].join('\n') + '\n'
  }

  /** The name of a rule (or a literal) for the schema at `at`. */
  schema(schema: unknown, at: string, depth: number): string {
    if (schema === true) return this.#lexical('value')
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return refuse('a schema must be an object', at)
    if (depth > deepest) return refuse(`schemas nested deeper than ${deepest} levels`, at)
    const node = schema as Node
    if ('$ref' in node) return this.#ref(node, at)
    if ('const' in node) return this.#values(node, [node['const']], 'const', at)
    if ('enum' in node) return this.#values(node, node['enum'], 'enum', at)
    for (const key of ['oneOf', 'anyOf', 'allOf'] as const) if (key in node) return this.#choice(node, key, at, depth)
    const type = node['type']
    if (Array.isArray(type)) {
      this.#only(node, ['type'], at)
      return this.#rule(type.map((one, i) => this.schema({ type: one as unknown }, `${at}/type/${i}`, depth + 1)).join(' | '))
    }
    switch (type) {
      case undefined:
        this.#only(node, [], at)
        return this.#lexical('value')
      case 'object': return this.#object(node, at, depth)
      case 'array': return this.#array(node, at, depth)
      case 'string': return this.#string(node, at)
      case 'integer': return this.#integer(node, at)
      case 'number':
      case 'boolean':
      case 'null':
        this.#only(node, ['type'], at)
        return this.#lexical(type)
      default: return refuse(`the type ${JSON.stringify(type)} is unknown`, at)
    }
  }

  rule(body: string): string {
    return this.#rule(body)
  }

  /** One rule for each beginning of `end` that has been read (Knuth, Morris, Pratt): the text can hold none of it whole. */
  until(end: string): string {
    const chars = Array.from(end)
    const base = `u${this.#count++}`
    const distinct = [...new Set(chars)]
    const others = `[^${distinct.map(inClass).join('')}]`
    for (let read = 0; read < chars.length; read++) {
      const ways = distinct.map((char) => {
        const next = longestBeginning(chars, [...chars.slice(0, read), char])
        return next === chars.length ? literal(char) : `${literal(char)} ${base}s${next}`
      })
      this.#rules.set(`${base}s${read}`, `${ways.join(' | ')} | ${others} ${base}s0`)
    }
    return `${base}s0`
  }

  #rule(body: string): string {
    const name = `r${this.#count++}`
    this.#rules.set(name, body)
    return name
  }

  #lexical(name: string): string {
    const body = lexical[name]
    if (body === undefined || this.#rules.has(name)) return name
    this.#rules.set(name, body)
    for (const other of needs[name] ?? []) this.#lexical(other)
    return name
  }

  #only(node: Node, allowed: readonly string[], at: string): void {
    for (const key of Object.keys(node)) {
      if (!annotations.has(key) && !allowed.includes(key)) refuse(`the keyword '${key}' is not supported here`, at)
    }
  }

  #ref(node: Node, at: string): string {
    this.#only(node, ['$ref'], at)
    const pointer = node['$ref']
    if (typeof pointer !== 'string' || !pointer.startsWith('#')) return refuse('only references inside the schema are supported', at)
    const known = this.#refs.get(pointer)
    if (known !== undefined) {
      if (known.open) refuse(`the reference ${pointer} leads to itself without a step`, at)
      return known.rule
    }
    let target: unknown = this.#root
    for (const part of pointer.slice(1).split('/').slice(1)) {
      const key = decodeURIComponent(part).replace(/~1/g, '/').replace(/~0/g, '~')
      if (typeof target !== 'object' || target === null || !Object.hasOwn(target, key)) return refuse(`the reference ${pointer} leads nowhere`, at)
      target = (target as Node)[key]
    }
    const entry = { rule: this.#rule(''), open: true }
    this.#refs.set(pointer, entry)
    // Its name exists before its body, so a reference inside it is a recursive rule. Only a chain of references and choices keeps it `open`.
    this.#rules.set(entry.rule, this.schema(target, pointer, 0))
    entry.open = false
    return entry.rule
  }

  /** Compiles what stands behind a consumed character: references that are open may be used there. */
  #inside<T>(work: () => T): T {
    const opened = [...this.#refs.values()].filter((entry) => entry.open)
    for (const entry of opened) entry.open = false
    const done = work()
    for (const entry of opened) entry.open = true
    return done
  }

  #values(node: Node, values: unknown, keyword: 'const' | 'enum', at: string): string {
    this.#only(node, [keyword, 'type'], at)
    if (!Array.isArray(values) || values.length === 0) return refuse('an enum needs at least one value', at)
    const type = node['type']
    const types: unknown[] = type === undefined ? [] : Array.isArray(type) ? type : [type]
    const fitting = values.filter((value) => types.length === 0 || types.some((one) => isOf(value, one)))
    if (fitting.length === 0) return refuse(`no value of the ${keyword} has the type ${JSON.stringify(type)}`, at)
    return this.#rule(fitting.map((value) => literal(JSON.stringify(value))).join(' | '))
  }

  #choice(node: Node, key: 'oneOf' | 'anyOf' | 'allOf', at: string, depth: number): string {
    this.#only(node, [key, 'type'], at)
    const parts = node[key]
    if (!Array.isArray(parts) || parts.length === 0) return refuse(`${key} needs at least one schema`, at)
    if (key === 'allOf' && parts.length > 1) return refuse('allOf of more than one schema is not supported', at)
    const type = node['type']
    if (type !== undefined && !parts.every((part) => typeof part === 'object' && part !== null && (part as Node)['type'] === type)) {
      return refuse(`a type beside ${key} must be the type of each part`, at)
    }
    return this.#rule(parts.map((part, i) => this.schema(part, `${at}/${key}/${i}`, depth + 1)).join(' | '))
  }

  #object(node: Node, at: string, depth: number): string {
    this.#only(node, ['type', 'properties', 'required', 'additionalProperties'], at)
    const properties = node['properties'] ?? {}
    if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) return refuse('properties must be an object', at)
    const required = node['required'] ?? []
    if (!Array.isArray(required)) return refuse('required must be a list', at)
    const entries = Object.entries(properties)
    for (const name of required as unknown[]) if (!entries.some(([key]) => key === name)) refuse(`the required property ${JSON.stringify(name)} is not described`, at)
    const more = node['additionalProperties'] ?? (entries.length === 0 ? true : false)
    if (more === true && entries.length === 0) return this.#lexical('anyobject')
    if (more !== false) return refuse("additionalProperties other than false is not supported beside properties", at)
    this.#lexical('ws')
    if (entries.length === 0) return this.#rule('"{" ws "}"')
    const members = this.#inside(() => entries.map(([key, value]) => ({
      text: `${literal(JSON.stringify(key) + ':')} ws ${this.schema(value, `${at}/properties/${key}`, depth + 1)}`,
      required: (required as unknown[]).includes(key),
    })))
    return this.#rule(`"{" ws ${this.#members(members)} ws "}"`)
  }

  /** Members in their order; an optional one may be left out. `tail` is what may follow when something stands before it, `head` when nothing does. */
  #members(members: readonly { text: string; required: boolean }[]): string {
    let tail = '""'
    let head = '""'
    for (const member of members.toReversed()) {
      const here = `${member.text} ${tail}`
      const after = `"," ws ${here}`
      head = member.required ? here : this.#rule(`${here} | ${head}`)
      tail = this.#rule(member.required ? after : `${after} | ${tail}`)
    }
    return head
  }

  #array(node: Node, at: string, depth: number): string {
    this.#only(node, ['type', 'items', 'minItems', 'maxItems'], at)
    const [least, most] = this.#bounds(node, 'minItems', 'maxItems', at)
    this.#lexical('ws')
    if (most === 0) return this.#rule('"[" ws "]"')
    const item = this.#inside(() => this.schema(node['items'] ?? true, `${at}/items`, depth + 1))
    const next = this.#rule(`"," ws ${item}`)
    const filled = `${item} ${this.#times(next, Math.max(0, least - 1), most === null ? null : most - 1)}`
    return this.#rule(`"[" ws ${least === 0 ? `(${filled})?` : filled} ws "]"`)
  }

  #string(node: Node, at: string): string {
    this.#only(node, ['type', 'minLength', 'maxLength'], at)
    const [least, most] = this.#bounds(node, 'minLength', 'maxLength', at)
    if (least === 0 && most === null) return this.#lexical('string')
    return this.#rule(`"\\"" ${this.#times(this.#lexical('char'), least, most)} "\\""`)
  }

  #integer(node: Node, at: string): string {
    this.#only(node, ['type', 'minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum'], at)
    const bound = (key: string): number | null => {
      const value = node[key]
      if (value === undefined) return null
      return typeof value === 'number' && Number.isFinite(value) ? value : refuse(`${key} must be a number`, at)
    }
    const lows = [bound('minimum'), above(bound('exclusiveMinimum'))].filter((low) => low !== null).map(Math.ceil)
    const highs = [bound('maximum'), below(bound('exclusiveMaximum'))].filter((high) => high !== null).map(Math.floor)
    const low = lows.length === 0 ? null : Math.max(...lows)
    const high = highs.length === 0 ? null : Math.min(...highs)
    if (low !== null && high !== null && low > high) return refuse('the range holds no integer', at)
    const text = integerRange(low, high)
    return text === null ? this.#lexical('integer') : this.#rule(text)
  }

  #bounds(node: Node, leastKey: string, mostKey: string, at: string): [number, number | null] {
    const read = (key: string): number | null => {
      const value = node[key]
      if (value === undefined) return null
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : refuse(`${key} must be a whole number from 0`, at)
    }
    const least = read(leastKey) ?? 0
    const most = read(mostKey)
    if (most !== null && least > most) return refuse(`${leastKey} is larger than ${mostKey}`, at)
    if (least > longest || (most ?? 0) > longest) return refuse(`${leastKey} and ${mostKey} above ${longest} are not supported`, at)
    return [least, most]
  }

  /** `what` repeated between `least` and `most` times, in blocks that llama.cpp accepts. */
  #times(what: string, least: number, most: number | null): string {
    if (least >= block) return `${what}{${block}} ${this.#times(what, least - block, most === null ? null : most - block)}`
    if (most === null) return `${what}{${least},}`
    if (most < block) return `${what}{${least},${most}}`
    return this.#rule(`${what}{${least},${block - 1}} | ${what}{${block}} ${this.#times(what, 0, most - block)}`)
  }
}

function inClass(char: string): string {
  return `\\x${(char.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`
}

/** How many characters of `whole` stand at the end of `read`, at most. */
function longestBeginning(whole: readonly string[], read: readonly string[]): number {
  for (let length = Math.min(whole.length, read.length); length > 0; length--) {
    if (whole.slice(0, length).join('') === read.slice(read.length - length).join('')) return length
  }
  return 0
}

function above(value: number | null): number | null {
  return value === null ? null : Math.floor(value) + 1
}

function below(value: number | null): number | null {
  return value === null ? null : Math.ceil(value) - 1
}

function isOf(value: unknown, type: unknown): boolean {
  switch (type) {
    case 'null': return value === null
    case 'array': return Array.isArray(value)
    case 'object': return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'integer': return Number.isInteger(value)
    default: return typeof value === type
  }
}
