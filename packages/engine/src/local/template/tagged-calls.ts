// Owns the bodies of calls that are no JSON: Qwen's `<function=…><parameter=…>`, GLM's `<arg_key>…<arg_value>…`, Gemma's `call:name{key:value}`. Pure.
// A value ends at its closing tag only where the format goes on behind it, so a text that holds such a tag is a text.
import type { JsonSchema } from '@hearth/protocol'

/** The schema of one argument of one tool; null when it is not described. */
export type TypeOf = (tool: string, key: string) => JsonSchema | null

export type Spelled = { name: string; arguments: Record<string, unknown> } | { problem: string }

/** Length of a complete Qwen body at the beginning of `text` (behind `<tool_call>` or at `<function=`), or -1. `outer`: it was opened by `<tool_call>`. */
export function qwenEnd(text: string, outer: boolean): number {
  // A model may fall back to the JSON of its forebears.
  if (outer && /^\s*\{/.test(text)) return endOf(text, /<\/tool_call>/g)
  const end = endOf(text, /(?:<\/parameter>|<function=[^<>\n]+>)\s*<\/function>/g)
  if (end < 0) return -1
  const rest = /^\s*<\/tool_call>/.exec(text.slice(end))
  if (rest !== null) return end + rest[0].length
  // Without the outer tag the call is over as soon as something else follows.
  return !outer && !'</tool_call>'.startsWith(text.slice(end).trimStart()) ? end : -1
}

export function glmEnd(text: string): number {
  return endOf(text, /(?:<\/arg_value>|^\s*[\w.-]+)\s*<\/tool_call>/g)
}

const gemmaQuote = '<|"|>'

export function gemmaEnd(text: string): number {
  const end = '<tool_call|>'
  for (let at = text.indexOf(end); at >= 0; at = text.indexOf(end, at + 1)) {
    // An odd number of quotes before it: it stands in a text.
    if ((text.slice(0, at).split(gemmaQuote).length - 1) % 2 === 0) return at + end.length
  }
  return -1
}

function endOf(text: string, pattern: RegExp): number {
  return pattern.exec(text) === null ? -1 : pattern.lastIndex
}

/** `source` may lack its last closing tag: models leave it out when they end. */
export function qwenCall(source: string, typeOf: TypeOf): Spelled {
  const head = /^\s*<function=([^<>\n]+)>\s*/.exec(source)
  if (head === null) return { problem: 'the call does not begin with <function=NAME>' }
  const name = (head[1] ?? '').trim()
  const body = pairs(source.slice(head[0].length), /<parameter=([^<>\n]+)>/y, '</parameter>', /\s*(?:<parameter=|<\/function>)/y, (key, text) => typed(unframed(text), typeOf(name, key)))
  if ('problem' in body) return body
  const torn = swallowed(body.arguments, /<parameter=([^<>\n]+)>/g, (key) => typeOf(name, key) !== null)
  if (torn !== null) return torn
  return /^\s*<\/function>\s*(?:<\/tool_call>\s*)?$/.test(body.rest) ? { name, arguments: body.arguments } : { problem: 'the call does not end with </function>' }
}

export function glmCall(source: string, typeOf: TypeOf): Spelled {
  const head = /^\s*([\w.:/-]+)\s*/.exec(source)
  if (head === null) return { problem: 'the call has no name' }
  const name = head[1] ?? ''
  const body = pairs(source.slice(head[0].length), /<arg_key>\s*([^<>\n]+?)\s*<\/arg_key>\s*<arg_value>/y, '</arg_value>', /\s*(?:<arg_key>|<\/tool_call>|$)/y, (key, text) => typed(text, typeOf(name, key)))
  if ('problem' in body) return body
  const torn = swallowed(body.arguments, /<arg_key>\s*([^<>\n]+?)\s*<\/arg_key>/g, (key) => typeOf(name, key) !== null)
  if (torn !== null) return torn
  return /^\s*(?:<\/tool_call>\s*)?$/.test(body.rest) ? { name, arguments: body.arguments } : { problem: 'something stands between the arguments of the call' }
}

type Pairs = { arguments: Record<string, unknown>; rest: string } | { problem: string }

function pairs(text: string, open: RegExp, close: string, next: RegExp, read: (key: string, value: string) => unknown): Pairs {
  const given: Record<string, unknown> = {}
  let at = 0
  for (;;) {
    open.lastIndex = at
    const key = open.exec(text)
    if (key === null) return { arguments: given, rest: text.slice(at) }
    const from = open.lastIndex
    let to = text.indexOf(close, from)
    for (; to >= 0; to = text.indexOf(close, to + 1)) {
      next.lastIndex = to + close.length
      if (next.test(text)) break
    }
    if (to < 0) return { problem: `the argument '${key[1] ?? ''}' does not end` }
    const name = key[1] ?? ''
    if (Object.hasOwn(given, name)) return { problem: `the argument '${name}' is there twice` }
    define(given, name, read(name, text.slice(from, to)))
    at = to + close.length
    while (/\s/.test(text[at] ?? '')) at += 1
  }
}

/** A text that holds the tag of an argument which the tool has and the call lacks: its own closing tag was torn. */
function swallowed(given: Record<string, unknown>, tag: RegExp, known: (key: string) => boolean): { problem: string } | null {
  for (const [name, value] of Object.entries(given)) {
    if (typeof value !== 'string') continue
    for (const found of value.matchAll(tag)) {
      const key = (found[1] ?? '').trim()
      if (known(key) && !Object.hasOwn(given, key)) return { problem: `the argument '${name}' does not end` }
    }
  }
  return null
}

/** The format frames a value with a line break on each side. */
function unframed(value: string): string {
  return value.replace(/^\r?\n/, '').replace(/\r?\n$/, '')
}

/** The value of a text whose format knows no types: text where the schema allows text, else what JSON (or Python's words) makes of it. */
function typed(text: string, schema: JsonSchema | null): unknown {
  if (schema === null || allowsText(schema)) return text
  const word: Readonly<Record<string, unknown>> = { True: true, False: false, None: null }
  const plain = text.trim()
  if (Object.hasOwn(word, plain)) return word[plain]
  try {
    return JSON.parse(plain) as unknown
  } catch {
    return text
  }
}

function allowsText(schema: JsonSchema): boolean {
  const type = schema['type']
  if (type === 'string' || (Array.isArray(type) && type.includes('string'))) return true
  const options = schema['enum'] ?? (schema['const'] === undefined ? undefined : [schema['const']])
  if (Array.isArray(options)) return options.some((option) => typeof option === 'string')
  return ['anyOf', 'oneOf', 'allOf'].some((key) => Array.isArray(schema[key]) && (schema[key] as unknown[]).some((part) => typeof part === 'object' && part !== null && allowsText(part as JsonSchema)))
}

export function gemmaCall(source: string): Spelled {
  const head = /^\s*call:([\w.:/-]+)\s*(?=\{)/.exec(source)
  if (head === null) return { problem: 'the call does not begin with call:NAME{' }
  const value = gemmaValue(source, head[0].length, 0)
  if (value === null || !/^\s*(?:<tool_call\|>\s*)?$/.test(source.slice(value.end))) return { problem: 'the arguments of the call cannot be read' }
  return { name: head[1] ?? '', arguments: value.value as Record<string, unknown> }
}

const deepest = 64

function gemmaValue(text: string, at: number, depth: number): { value: unknown; end: number } | null {
  if (depth > deepest) return null
  if (text.startsWith(gemmaQuote, at)) {
    const end = text.indexOf(gemmaQuote, at + gemmaQuote.length)
    return end < 0 ? null : { value: text.slice(at + gemmaQuote.length, end), end: end + gemmaQuote.length }
  }
  const open = text[at]
  if (open !== '{' && open !== '[') {
    const plain = /[^,{}[\]<]*/y
    plain.lastIndex = at
    const word = (plain.exec(text)?.[0] ?? '').trim()
    if (!/^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?)$/.test(word)) return null
    return { value: JSON.parse(word) as unknown, end: plain.lastIndex }
  }
  const list: unknown[] = []
  const object: Record<string, unknown> = {}
  const close = open === '{' ? '}' : ']'
  let end = blanks(text, at + 1)
  while (text[end] !== close) {
    let key = ''
    if (open === '{') {
      const named = /(?:<\|"\|>([^<]*)<\|"\|>|([^\s:{}[\],<]+))\s*:\s*/y
      named.lastIndex = end
      const found = named.exec(text)
      if (found === null) return null
      key = found[1] ?? found[2] ?? ''
      end = named.lastIndex
      if (Object.hasOwn(object, key)) return null
    }
    const value = gemmaValue(text, end, depth + 1)
    if (value === null) return null
    if (open === '{') define(object, key, value.value)
    else list.push(value.value)
    end = blanks(text, value.end)
    if (text[end] === ',') end = blanks(text, end + 1)
    else if (text[end] !== close) return null
  }
  return { value: open === '{' ? object : list, end: end + 1 }
}

function blanks(text: string, at: number): number {
  let end = at
  while (/\s/.test(text[end] ?? '')) end += 1
  return end
}

function define(made: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(made, key, { value, enumerable: true, configurable: true, writable: true })
}
