// Owns reading tool calls out of a streamed completion, per format. Pure: text in pieces in, events out; never loses and never invents a character.
//   hermes   text <tool_call>{"name":…,"arguments":{…}}</tool_call> …
//   mistral  text [TOOL_CALLS][{"name":…,"arguments":{…}}, …]   or   [TOOL_CALLS]name[ARGS]{…}   or   [TOOL_CALLS]name[CALL_ID]id[ARGS]{…}
//   llama3   {"name":…,"parameters":{…}}[; {…}]   or   <|python_tag|>{…}
//   qwen_xml text <tool_call><function=…><parameter=…>…</parameter></function></tool_call> …, also without the outer tag
//   glm      text <tool_call>name<arg_key>…</arg_key><arg_value>…</arg_value></tool_call> …
//   gemma4   text <|tool_call>call:name{key:<|"|>…<|"|>}<tool_call|> …
//   deepseek text <｜tool▁calls▁begin｜><｜tool▁call▁begin｜>name<｜tool▁sep｜>{…}<｜tool▁call▁end｜> … <｜tool▁calls▁end｜>
//   harmony  channels, see harmony.ts
import { randomBytes } from 'node:crypto'
import type { ToolFormat, ToolSpec } from '@hearth/protocol'
import { isObject } from '../../foreign.ts'
import { JsonEnd, overlap } from '../stop-scan.ts'
import type { CallEvent, CallReader } from './call-reader.ts'
import { HarmonyReader } from './harmony.ts'
import { gemmaCall, gemmaEnd, glmCall, glmEnd, qwenCall, qwenEnd, type Spelled, type TypeOf } from './tagged-calls.ts'

/** A reader for one completion with these tools. Text passes through at once unless it may be the beginning of a call. */
export function callReader(format: Exclude<ToolFormat, 'none'>, tools: readonly Pick<ToolSpec, 'name' | 'parameters'>[]): CallReader {
  const names = tools.map((tool) => tool.name)
  const typeOf: TypeOf = (name, key) => schemaOf(tools, name, key)
  const json = (source: string): CallEvent => readCall(source, names)
  const spelled = (source: string, read: (source: string, typeOf: TypeOf) => Spelled): CallEvent => callOf(read(source, typeOf), source, names)
  switch (format) {
    case 'hermes': return new TaggedReader(['<tool_call>'], [], closedBody, json)
    case 'mistral': return new TaggedReader(['[TOOL_CALLS]'], [], mistralBody, json)
    case 'llama3': return new Llama3Reader(names)
    case 'qwen_xml': return new TaggedReader(['<tool_call>', '<function='], [], qwenBody, (source) => (/^\s*\{/.test(source) ? json(source.replace(/<\/tool_call>\s*$/, '')) : spelled(source, qwenCall)))
    case 'glm': return new TaggedReader(['<tool_call>'], [], bodyOf(glmEnd), (source) => spelled(source, glmCall))
    case 'gemma4': return new TaggedReader(['<|tool_call>'], [], bodyOf(gemmaEnd), (source) => spelled(source, gemmaCall))
    case 'deepseek': return new TaggedReader(['<｜tool▁call▁begin｜>'], ['<｜tool▁calls▁begin｜>', '<｜tool▁calls▁end｜>'], deepseekBody, json)
    case 'harmony': return new HarmonyReader((name, source) => namedCall(name, source, names))
    default: return format satisfies never
  }
}

function schemaOf(tools: readonly Pick<ToolSpec, 'name' | 'parameters'>[], name: string, key: string): Record<string, unknown> | null {
  const properties = tools.find((tool) => tool.name === name)?.parameters['properties']
  const found = isObject(properties) && Object.hasOwn(properties, key) ? properties[key] : undefined
  return isObject(found) ? found : null
}

/** Where a call's body ends in `text` and what it holds; null while it is not complete. `tag` is what opened it. */
type Body = { length: number; sources: string[] }
type FindBody = (text: string, tag: string) => Body | null

const closing = '</tool_call>'

/** Up to the first closing tag that stands in no string of the JSON before it. */
function closedBody(text: string): Body | null {
  let inString = false
  for (let at = 0; at < text.length; at++) {
    const char = text[at]
    if (inString && char === '\\') at++
    else if (char === '"') inString = !inString
    else if (!inString && char === '<' && text.startsWith(closing, at)) return { length: at + closing.length, sources: [text.slice(0, at)] }
  }
  return null
}

function bodyOf(end: (text: string) => number): FindBody {
  return (text) => {
    const length = end(text)
    return length < 0 ? null : { length, sources: [text.slice(0, length)] }
  }
}

function qwenBody(text: string, tag: string): Body | null {
  const outer = tag === '<tool_call>'
  const whole = outer ? text : tag + text
  const length = qwenEnd(whole, outer)
  return length < 0 ? null : { length: length - (whole.length - text.length), sources: [whole.slice(0, length)] }
}

function deepseekBody(text: string): Body | null {
  const at = text.indexOf('<｜tool▁call▁end｜>')
  return at < 0 ? null : { length: at + '<｜tool▁call▁end｜>'.length, sources: [deepseekSource(text.slice(0, at))] }
}

/** The newer form is NAME SEP JSON, the older one `function` SEP NAME and a fence. */
function deepseekSource(text: string): string {
  const [first = '', ...more] = text.split('<｜tool▁sep｜>')
  const rest = more.join('<｜tool▁sep｜>')
  const fenced = first.trim() === 'function' ? /^\s*(\S+)\s*```(?:json)?\s*([\s\S]*?)\s*(?:```\s*)?$/.exec(rest) : null
  const [name, json] = fenced === null ? [first.trim(), rest] : [fenced[1] ?? '', fenced[2] ?? '']
  return `{"name":${JSON.stringify(name)},"arguments":${json}}`
}

function mistralBody(text: string): Body | null {
  const named = /^\s*([a-zA-Z0-9_-]+)\s*(?:\[CALL_ID\][\s\w-]*)?\[ARGS\]\s*/.exec(text)
  // Between the name and its arguments there are brackets too.
  if (named === null && /^\s*[a-zA-Z0-9_-]+\s*(?:\[|$)/.test(text)) return null
  const start = named?.[0].length ?? 0
  const end = new JsonEnd().push(text.slice(start))
  if (end < 0) return null
  const json = text.slice(start, start + end)
  const sources = named === null ? itemsOf(json) : [`{"name":${JSON.stringify(named[1])},"arguments":${json}}`]
  return { length: start + end, sources }
}

/** The items of a JSON array as texts; a thing that is no array is its own only item. */
function itemsOf(json: string): string[] {
  const parsed = parse(json)
  return Array.isArray(parsed) ? parsed.map((item) => JSON.stringify(item)) : [json]
}

class TaggedReader implements CallReader {
  readonly #opening: readonly string[]
  readonly #idle: readonly string[]
  readonly #find: FindBody
  readonly #read: (source: string) => CallEvent
  #held = ''
  #inside: string | null = null
  #called = false

  /** `opening`: tags that begin a call; `idle`: tags around calls that say nothing. */
  constructor(opening: readonly string[], idle: readonly string[], find: FindBody, read: (source: string) => CallEvent) {
    this.#opening = opening
    this.#idle = idle
    this.#find = find
    this.#read = read
  }

  push(text: string): CallEvent[] {
    this.#held += text
    const events: CallEvent[] = []
    // A long text is not searched again for each of its words: every body ends with a bracket or a quote.
    if (this.#inside !== null && !/[>\]}"]/.test(text) && !this.#held.slice(-64).includes('</function>')) return events
    for (;;) {
      if (this.#inside !== null) {
        const body = this.#find(this.#held, this.#inside)
        if (body === null) return events
        events.push(...body.sources.map((source) => this.#read(source)))
        this.#held = this.#held.slice(body.length)
        this.#inside = null
        this.#called = true
      } else {
        const tags = [...this.#opening, ...this.#idle]
        const first = tags.map((tag) => ({ tag, at: this.#held.indexOf(tag) })).filter((one) => one.at >= 0).toSorted((a, b) => a.at - b.at)[0]
        if (first !== undefined) {
          const before = this.#held.slice(0, first.at)
          this.#text(this.#called ? before.trimEnd() : before, events)
          this.#held = this.#held.slice(first.at + first.tag.length)
          if (this.#opening.includes(first.tag)) this.#inside = first.tag
        } else {
          const keep = Math.max(...tags.map((tag) => overlap(this.#held, tag)))
          // Blanks before a call belong to its layout, so they wait for what follows.
          const blanks = /\s*$/.exec(this.#held.slice(0, this.#held.length - keep))?.[0].length ?? 0
          const pass = this.#held.length - keep - blanks
          this.#text(this.#held.slice(0, pass), events)
          this.#held = this.#held.slice(pass)
          return events
        }
      }
    }
  }

  end(cut: boolean): CallEvent[] {
    const events: CallEvent[] = []
    if (this.#inside !== null) {
      // Models leave out the closing tag when they end, or tear a string so that none is seen; a whole call in it still counts.
      const call = this.#read(this.#opening.length > 1 && this.#inside !== this.#opening[0] ? this.#inside + this.#held : this.#held)
      events.push(call.type === 'malformed_call' && cut ? { ...call, problem: 'the call was cut off before its end' } : call)
    } else if (!(this.#called && this.#held.trim() === '')) this.#text(this.#held, events, true)
    this.#held = ''
    return events
  }

  #text(text: string, events: CallEvent[], last = false): void {
    if (text === '' || (!last && text.trim() === '' && (this.#called || this.#inside !== null))) return
    events.push({ type: 'text', text })
  }
}

class Llama3Reader implements CallReader {
  readonly #names: readonly string[]
  #held = ''
  #mode: 'open' | 'text' | 'call' = 'open'

  constructor(names: readonly string[]) {
    this.#names = names
  }

  push(text: string): CallEvent[] {
    if (this.#mode === 'text') return [{ type: 'text', text }]
    this.#held += text
    if (this.#mode === 'open') {
      const begun = this.#held.trimStart()
      if (begun === '' || overlap(begun, pythonTag) === begun.length) return []
      if (!begun.startsWith('{') && !begun.startsWith(pythonTag)) {
        this.#mode = 'text'
        const whole = this.#held
        this.#held = ''
        return [{ type: 'text', text: whole }]
      }
      this.#mode = 'call'
    }
    return []
  }

  end(cut: boolean): CallEvent[] {
    const text = this.#held
    this.#held = ''
    if (text === '') return []
    const tagged = text.trimStart().startsWith(pythonTag)
    const body = tagged ? text.trimStart().slice(pythonTag.length) : text
    // An answer that merely is JSON stays text; only what names a tool, or follows the tag, is a call.
    if (!tagged && !/^\s*\{\s*"(name|type)"\s*:/.test(body)) return [{ type: 'text', text }]
    return splitCalls(body).map((source) => {
      const call = readCall(source, this.#names)
      return call.type === 'malformed_call' && cut ? { ...call, problem: 'the call was cut off before its end' } : call
    })
  }
}

const pythonTag = '<|python_tag|>'

function splitCalls(text: string): string[] {
  const calls: string[] = []
  let rest = text.trim()
  while (rest !== '') {
    const end = new JsonEnd().push(rest)
    const call = end < 0 ? rest : rest.slice(0, end)
    calls.push(call)
    rest = rest.slice(call.length).replace(/^[\s;,]+/, '')
  }
  return calls
}

function readCall(source: string, names: readonly string[]): CallEvent {
  const text = source.trim()
  const bad = (problem: string): CallEvent => ({ type: 'malformed_call', text, problem })
  const parsed = parse(text)
  if (parsed === undefined) return bad('the call is not valid JSON')
  if (!isObject(parsed)) return bad('the call is not a JSON object')
  const name = parsed['name']
  if (typeof name !== 'string') return bad('the call has no name')
  const given = parsed['arguments'] ?? parsed['parameters'] ?? {}
  // Some models write the arguments as a string of JSON, as the OpenAI wire does.
  const read = typeof given === 'string' ? parse(given) : given
  return callOf(isObject(read) ? { name, arguments: read } : { problem: 'the arguments are not a JSON object' }, text, names)
}

/** A name that stands before its JSON. A call that cannot be read keeps both. */
function namedCall(name: string, source: string, names: readonly string[]): CallEvent {
  const read = parse(source.trim())
  return callOf(isObject(read) ? { name, arguments: read } : { problem: read === undefined ? 'the arguments are not valid JSON' : 'the arguments are not a JSON object' }, `${name} ${source.trim()}`, names)
}

function callOf(read: Spelled, source: string, names: readonly string[]): CallEvent {
  const text = source.trim()
  if ('problem' in read) return { type: 'malformed_call', text, problem: read.problem }
  if (!names.includes(read.name)) return { type: 'malformed_call', text, problem: `there is no tool '${read.name}'; there are: ${names.join(', ')}` }
  return { type: 'tool_call', call: { id: callId(), name: read.name, arguments: read.arguments } }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** Nine letters and digits: the only form that Mistral's templates accept. */
function callId(): string {
  return randomBytes(9).toString('hex').slice(0, 9)
}
