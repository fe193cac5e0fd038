// Owns reading tool calls out of a streamed completion, per format. Pure: text in pieces in, events out; never loses and never invents a character.
//   hermes   text <tool_call>{"name":…,"arguments":{…}}</tool_call> …
//   mistral  text [TOOL_CALLS][{"name":…,"arguments":{…}}, …]   or   [TOOL_CALLS]name[ARGS]{…}
//   llama3   {"name":…,"parameters":{…}}[; {…}]   or   <|python_tag|>{…}
import { randomBytes } from 'node:crypto'
import type { ToolCall, ToolFormat } from '@hearth/protocol'
import { JsonEnd, overlap } from '../stop-scan.ts'

export type CallEvent =
  | { type: 'text'; text: string }
  | { type: 'tool_call'; call: ToolCall }
  | { type: 'malformed_call'; text: string; problem: string }

export interface CallReader {
  push(text: string): CallEvent[]
  /** The completion is over (`cut`: by a limit or a stop string, so an unfinished call is not the model's fault). */
  end(cut: boolean): CallEvent[]
}

/** A reader for one completion; `names` are the offered tools. Text passes through at once unless it may be the beginning of a call. */
export function callReader(format: Exclude<ToolFormat, 'none'>, names: readonly string[]): CallReader {
  switch (format) {
    case 'hermes': return new TaggedReader('<tool_call>', names, closedBody)
    case 'mistral': return new TaggedReader('[TOOL_CALLS]', names, mistralBody)
    case 'llama3': return new Llama3Reader(names)
    default: return format satisfies never
  }
}

/** Where a call's body ends in `text` and what it holds; null while it is not complete. */
type Body = { length: number; sources: string[] }
type FindBody = (text: string) => Body | null

function closedBody(text: string): Body | null {
  const at = text.indexOf('</tool_call>')
  return at < 0 ? null : { length: at + '</tool_call>'.length, sources: [text.slice(0, at)] }
}

function mistralBody(text: string): Body | null {
  const named = /^\s*([a-zA-Z0-9_-]+)\s*\[ARGS\]\s*/.exec(text)
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
  readonly #tag: string
  readonly #names: readonly string[]
  readonly #find: FindBody
  #held = ''
  #inside = false
  #called = false

  constructor(tag: string, names: readonly string[], find: FindBody) {
    this.#tag = tag
    this.#names = names
    this.#find = find
  }

  push(text: string): CallEvent[] {
    this.#held += text
    const events: CallEvent[] = []
    for (;;) {
      if (this.#inside) {
        const body = this.#find(this.#held)
        if (body === null) return events
        events.push(...body.sources.map((source) => readCall(source, this.#names)))
        this.#held = this.#held.slice(body.length)
        this.#inside = false
        this.#called = true
      } else {
        const at = this.#held.indexOf(this.#tag)
        if (at >= 0) {
          this.#text(this.#held.slice(0, at), events)
          this.#held = this.#held.slice(at + this.#tag.length)
          this.#inside = true
        } else {
          const keep = overlap(this.#held, this.#tag)
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
    if (this.#inside) {
      // Models leave out the closing tag when they end; a whole call in it still counts.
      const call = readCall(this.#held, this.#names)
      events.push(call.type === 'malformed_call' && cut ? { ...call, problem: 'the call was cut off before its end' } : call)
    } else if (!(this.#called && this.#held.trim() === '')) this.#text(this.#held, events, true)
    this.#held = ''
    return events
  }

  #text(text: string, events: CallEvent[], last = false): void {
    if (text === '' || (!last && text.trim() === '' && (this.#called || this.#inside))) return
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
  if (!names.includes(name)) return bad(`there is no tool '${name}'; there are: ${names.join(', ')}`)
  const given = parsed['arguments'] ?? parsed['parameters'] ?? {}
  // Some models write the arguments as a string of JSON, as the OpenAI wire does.
  const read = typeof given === 'string' ? parse(given) : given
  if (!isObject(read)) return bad('the arguments are not a JSON object')
  return { type: 'tool_call', call: { id: callId(), name, arguments: read } }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
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
