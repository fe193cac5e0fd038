// Owns the account of one streamed answer, whoever gives it: its events in order, its tokens and times, its one last word. Numbers are checked
// before they are believed. Opens no connection.
import { randomBytes } from 'node:crypto'
import { fault, noUsage, type Fault, type ModelEvent, type ModelRequest, type StopReason, type Timings, type TokenProbability, type Usage } from '@hearth/protocol'
import { JsonEnd, StopScan } from '../local/stop-scan.ts'
import { isObject, shown } from '../foreign.ts'

export type CallPart = { index: number; id: string | null; name: string; arguments: string }
/** `prompt` is everything that was read: `cached` of it came out of a cache, `written` was put into one. */
export type SaidUsage = { prompt: number; cached: number; written: number; completion: number }

/** One piece of a stream, in the words of no dialect. */
export type Chunk = {
  text: string
  reasoning: string
  calls: CallPart[]
  /** Why it stopped: `length`, `stop_sequence`, or any other word for a natural end. */
  finish: string | null
  usage: SaidUsage | null
  progress: { total: number; cache: number; processed: number } | null
  probabilities: TokenProbability[]
  error: string | null
  /** It declined to answer, and what it says about that. */
  refused: string | null
}

export const nothing: Chunk = { text: '', reasoning: '', calls: [], finish: null, usage: null, progress: null, probabilities: [], error: null, refused: null }

/** What came so far. `pieces`: parts of the stream that carried something; `chars`: of its text; `bytes`: of all it wrote, as UTF-8. */
export type Heard = { pieces: number; chars: number; bytes: number }

export type AnswerOptions = {
  /** Who answers, as a sentence names it: "the endpoint 'lan'". */
  who: string
  request: ModelRequest
  contextTokens: number
  /** The fault of an answer that is none (`garbled`), that has no end (`cut`) or that declines (`refused`). */
  fault: (kind: 'garbled' | 'cut' | 'refused', how: string) => Fault
  /** Tokens where nobody counts them, or nobody is to be believed. */
  count: { prompt: () => number; completion: (heard: Heard) => number }
  /** A complete JSON value ends the call; else it only ends the text, and the counts behind it are waited for. */
  leavesAtJson: boolean
  log: (line: string) => void
}

type Terminal = Extract<ModelEvent, { type: 'done' | 'failed' }>

/** The last word of a call that asked nobody. */
export function unasked(why: Fault): Terminal {
  return { type: 'failed', fault: why, usage: noUsage, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
}

export class Answer {
  readonly #options: AnswerOptions
  readonly #startedAt = performance.now()
  readonly #calls = new Map<number, CallPart>()
  readonly #stops: StopScan
  readonly #json: JsonEnd | null
  readonly #heard: Heard = { pieces: 0, chars: 0, bytes: 0 }
  #started: Usage | null = null
  #said: SaidUsage | null = null
  #finish: string | null = null
  #refused: string | null = null
  #firstAt: number | null = null
  #lastAt: number | null = null
  ended = false
  /** The prompt is on its way and nobody refused it: it may be billed though nothing is heard. */
  sent = false
  /** Milliseconds of the call that were spent waiting to be let in. */
  waitedMs = 0

  constructor(options: AnswerOptions) {
    this.#options = options
    this.#stops = new StopScan(options.request.stop)
    this.#json = options.request.responseFormat.type === 'json_schema' ? new JsonEnd() : null
  }

  take(chunk: Chunk): ModelEvent[] {
    const events: ModelEvent[] = []
    if (chunk.usage !== null) {
      this.#said = chunk.usage
      this.#start(events, chunk.usage)
    }
    if (chunk.progress !== null) {
      this.#start(events, { prompt: chunk.progress.total, cached: chunk.progress.cache, written: 0, completion: 0 })
      events.push({ type: 'prefill', doneTokens: Math.min(chunk.progress.processed, chunk.progress.total), totalTokens: chunk.progress.total })
    }
    if (chunk.text !== '' || chunk.reasoning !== '' || chunk.calls.length > 0 || chunk.probabilities.length > 0) this.#write(chunk, events)
    if (chunk.refused !== null) this.#refused = `${this.#refused ?? ''}${chunk.refused}`
    if (chunk.finish !== null) this.#finish = chunk.finish
    return events
  }

  /** The stream is over. `torn`: the connection was, so that silence is no answer of its own. */
  end(torn = false): ModelEvent[] {
    const { request, who } = this.#options
    if (this.#finish === null && this.#heard.pieces === 0 && this.#refused === null) {
      return [this.failed(this.#said === null && !torn ? this.#options.fault('garbled', 'it answered with status 200 and not one token') : this.#options.fault('cut', 'before its first piece'))]
    }
    const events: ModelEvent[] = []
    this.#start(events, this.#said)
    if (this.#refused !== null) return [...events, this.failed(this.#options.fault('refused', shown(this.#refused).replace(/\.$/, '') || 'it does not say why'))]
    if (this.#finish === null) return [...events, this.failed(this.#options.fault('cut', `after ${this.#heard.pieces} ${this.#heard.pieces === 1 ? 'piece' : 'pieces'}`))]
    const rest = this.#stops.rest()
    if (rest !== '') events.push({ type: 'text', text: rest })
    const read = [...this.#calls.values()].map((part) => callEvent(part, request.tools.map((tool) => tool.name), this.#finish === 'length'))
    events.push(...read)
    // Seen with llama-server and a template without tools: the wish is dropped in silence.
    if (read.length === 0 && request.toolChoice !== 'auto' && request.toolChoice !== 'none') {
      return [...events, this.failed(fault('unsupported', { what: `A required tool call, without which ${who} answered,` }))]
    }
    return [...events, this.done(read.some(({ type }) => type === 'tool_call') ? 'tool_calls' : this.#finish === 'length' ? 'max_tokens' : this.#finish === 'stop_sequence' ? 'stop_sequence' : 'end')]
  }

  done(stop: StopReason): Terminal {
    this.ended = true
    return { type: 'done', stop, usage: this.#usage(), timings: this.#timings() }
  }

  failed(why: Fault): Terminal {
    this.ended = true
    return { type: 'failed', fault: why, usage: this.#usage(), timings: this.#timings() }
  }

  #write(chunk: Chunk, events: ModelEvent[]): void {
    this.#start(events, this.#said)
    const now = performance.now()
    this.#firstAt ??= now
    this.#lastAt = now
    this.#heard.pieces += Math.max(1, chunk.probabilities.length)
    this.#heard.chars += chunk.text.length
    this.#heard.bytes += Buffer.byteLength(chunk.text) + Buffer.byteLength(chunk.reasoning) + chunk.calls.reduce((sum, part) => sum + Buffer.byteLength(part.name + part.arguments), 0)
    for (const part of chunk.calls) {
      const known = this.#calls.get(part.index)
      this.#calls.set(part.index, known === undefined ? part : { ...known, id: known.id ?? part.id, name: known.name + part.name, arguments: known.arguments + part.arguments })
    }
    if (chunk.reasoning !== '') events.push({ type: 'reasoning', text: chunk.reasoning })
    const passed = this.#stops.push(chunk.text)
    const wasComplete = this.#json?.complete === true
    const end = wasComplete ? 0 : this.#json?.push(passed.text) ?? -1
    const text = end >= 0 ? passed.text.slice(0, end) : passed.text
    if (text !== '' || chunk.probabilities.length > 0) events.push({ type: 'text', text, ...(chunk.probabilities.length > 0 ? { probabilities: chunk.probabilities } : {}) })
    // Stop strings are ours: the OpenAI dialect does not say whether one was hit.
    if (end >= 0 && this.#options.leavesAtJson) events.push(this.done('end'))
    else if (passed.hit) events.push(this.done('stop_sequence'))
  }

  /** The prompt's counts, said or counted; what is said later corrects the account, not this event. */
  #start(events: ModelEvent[], said: SaidUsage | null): void {
    if (this.#started !== null) return
    const known = said !== null && this.#problem({ ...said, completion: 0 }, 0) === null ? said : null
    this.#started = { promptTokens: known?.prompt ?? this.#options.count.prompt(), reusedTokens: known?.cached ?? 0, ...written(known), completionTokens: 0 }
    events.push({ type: 'started', promptTokens: this.#started.promptTokens, reusedTokens: this.#started.reusedTokens })
  }

  /** What it says, when that can be true; else what was heard. */
  #usage(): Usage {
    const { count, log, who } = this.#options
    if (this.#started === null) return this.sent ? { ...noUsage, promptTokens: count.prompt() } : noUsage
    // What is cut off has no last word; an answer that came to its end should have one.
    const counted: Usage = { ...this.#started, completionTokens: count.completion(this.#heard), ...(this.#finish === null ? {} : { estimated: true }) }
    if (this.#said === null) {
      if (this.#finish !== null) log(`${who} gives no usage; ${counted.completionTokens} completion tokens were counted instead`)
      return counted
    }
    const problem = this.#problem(this.#said, this.#heard.chars)
    if (problem !== null) {
      log(`${who} gives a usage that cannot be true (${problem}); ${counted.completionTokens} completion tokens were counted instead`)
      return counted
    }
    const { prompt, cached, completion } = this.#said
    // A call that did not come to its end has no last word about its length.
    return { promptTokens: prompt, reusedTokens: cached, ...written(this.#said), completionTokens: this.#finish === null ? Math.max(completion, counted.completionTokens) : completion }
  }

  #problem(said: SaidUsage, chars: number): string | null {
    return implausible(said, { chars, maxTokens: this.#options.request.maxTokens, contextTokens: this.#options.contextTokens })
  }

  #timings(): Timings {
    const now = performance.now()
    const firstAt = this.#firstAt
    return {
      queuedMs: this.waitedMs, prefillMs: (firstAt ?? now) - this.#startedAt - this.waitedMs, decodeMs: firstAt === null ? 0 : (this.#lastAt ?? now) - firstAt,
      ttftMs: firstAt === null ? null : firstAt - this.#startedAt, totalMs: now - this.#startedAt,
    }
  }
}

const written = (said: SaidUsage | null): { cacheWriteTokens?: number } => (said === null || said.written === 0 ? {} : { cacheWriteTokens: said.written })

/** Why a usage cannot be true for what was heard, or null. */
function implausible(said: SaidUsage, heard: { chars: number; maxTokens: number; contextTokens: number }): string | null {
  for (const [name, count] of Object.entries(said)) if (!Number.isInteger(count) || count < 0) return `${name} is ${count}`
  if (said.cached + said.written > said.prompt) return `${said.cached + said.written} of ${said.prompt} prompt tokens ${said.written === 0 ? 'reused' : 'reused or kept'}`
  if (said.prompt === 0) return 'a prompt of 0 tokens'
  if (said.prompt > heard.contextTokens) return `a prompt of ${said.prompt} tokens in a window of ${heard.contextTokens}`
  if (said.completion > heard.maxTokens) return `${said.completion} completion tokens where ${heard.maxTokens} were allowed`
  // The longest tokens of known vocabularies hold 128 blanks.
  if (said.completion * 128 < heard.chars) return `${said.completion} completion tokens for ${heard.chars} characters`
  return null
}

function callEvent(part: CallPart, names: readonly string[], cut: boolean): ModelEvent {
  const bad = (problem: string): ModelEvent => ({ type: 'malformed_call', text: `${part.name} ${part.arguments}`, problem: cut ? 'the call was cut off before its end' : problem })
  if (!names.includes(part.name)) return bad(`there is no tool '${shown(part.name)}'; there are: ${names.join(', ')}`)
  try {
    const given: unknown = JSON.parse(part.arguments === '' ? '{}' : part.arguments)
    if (!isObject(given)) return bad('the arguments are not a JSON object')
    return { type: 'tool_call', call: { id: part.id ?? randomBytes(9).toString('hex').slice(0, 9), name: part.name, arguments: given } }
  } catch {
    return bad('the arguments are not valid JSON')
  }
}
