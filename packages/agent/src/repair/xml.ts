// Owns calls written as tags: Qwen `<function=…><parameter=…>`, `<invoke name="…"><parameter name="…">`, GLM `<arg_key>…<arg_value>…`. Pure.
// A value is taken as it stands. Tags of the format inside a value are a torn value, so the call is no call.
import type { RawCall } from './shapes.ts'

export type Group = { calls: RawCall[]; end: number }

type Dialect = { call: RegExp; endCall: string; parameter: RegExp; endParameter: string; torn: RegExp }

const tags = {
  function: {
    call: /<function=([\w.:/-]{1,80})>\s*/y, endCall: '</function>', parameter: /<parameter=([\w.-]{1,64})>/y, endParameter: '</parameter>',
    torn: /<\/?(?:function|parameter|tool_call)\b/i,
  },
  invoke: {
    call: /<(?:invoke|function) name=["']([\w.:/-]{1,80})["']>\s*/y, endCall: '</', parameter: /<parameter name=["']([\w.-]{1,64})["'](?: string=["'](?:true|false)["'])?>/y, endParameter: '</parameter>',
    torn: /<\/?(?:invoke|function|parameter|tool_call)\b/i,
  },
} satisfies Record<string, Dialect>

/** One call at `at`, or null. */
export function taggedCall(text: string, at: number): Group | null {
  return tagged(text, at, tags.function) ?? tagged(text, at, tags.invoke)
}

function tagged(text: string, at: number, dialect: Dialect): Group | null {
  const head = match(dialect.call, text, at)
  if (head === null) return null
  const given: Record<string, unknown> = {}
  let end = at + head[0].length
  for (;;) {
    const key = match(dialect.parameter, text, end)
    if (key === null) break
    const from = end + key[0].length
    const to = text.indexOf(dialect.endParameter, from)
    if (to < 0) return null
    const value = text.slice(from, to)
    const name = key[1] ?? ''
    if (dialect.torn.test(value) || Object.hasOwn(given, name)) return null
    put(given, name, unframed(value))
    end = skipBlanks(text, to + dialect.endParameter.length)
  }
  const close = match(dialect.endCall === '</' ? /<\/(?:invoke|function)>/y : /<\/function>/y, text, end)
  if (close === null) return null
  return { calls: [{ name: head[1] ?? '', arguments: given, texts: true, changes: [] }], end: end + close[0].length }
}

const glmTorn = /<\/?(?:arg_key|arg_value|tool_call)\b/i

/** GLM: a name, then pairs of key and value. `at` is behind the opening tag. */
export function pairedCall(text: string, at: number): Group | null {
  const head = match(/\s*([\w.:/-]{1,80})\s*(?=<arg_key>|<\/tool_call>)/y, text, at)
  if (head === null) return null
  const given: Record<string, unknown> = {}
  let end = at + head[0].length
  for (;;) {
    const key = match(/<arg_key>\s*([\w.-]{1,64})\s*<\/arg_key>\s*<arg_value>/y, text, end)
    if (key === null) break
    const from = end + key[0].length
    const to = text.indexOf('</arg_value>', from)
    const name = key[1] ?? ''
    if (to < 0 || glmTorn.test(text.slice(from, to)) || Object.hasOwn(given, name)) return null
    put(given, name, text.slice(from, to))
    end = skipBlanks(text, to + '</arg_value>'.length)
  }
  if (!text.startsWith('</tool_call>', end)) return null
  return { calls: [{ name: head[1] ?? '', arguments: given, texts: true, changes: [] }], end }
}

export function put(given: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(given, key, { value, enumerable: true, configurable: true, writable: true })
}

/** The format puts one line break before and behind a value. */
function unframed(value: string): string {
  const from = value.startsWith('\r\n') ? 2 : value.startsWith('\n') ? 1 : 0
  const rest = value.slice(from)
  return rest.endsWith('\r\n') ? rest.slice(0, -2) : rest.endsWith('\n') ? rest.slice(0, -1) : rest
}

export function match(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

export function skipBlanks(text: string, at: number): number {
  let end = at
  while (/\s/.test(text[end] ?? '')) end += 1
  return end
}
