// Owns the port `Model` for an endpoint on the local network that speaks the OpenAI chat dialect. Every byte goes through the Door; its numbers are
// checked before they are believed; its key is read from a private file for each call and stands in no message. Never throws.
import { randomBytes } from 'node:crypto'
import { fault, faultFrom, FaultError, noUsage, type Door, type EndpointConfig, type Fault, type Model, type ModelEvent, type ModelInfo, type ModelRequest, type StopReason, type Timings, type Usage } from '@hearth/protocol'
import { JsonEnd, StopScan } from '../local/stop-scan.ts'
import { checkRequest } from '../request.ts'
import { isObject, shown } from '../foreign.ts'
import { eventData } from '../server/sse.ts'
import { readKey } from './key-file.ts'
import { chatBody, faultOfAnswer, implausible, readChunk, unsendable, type CallPart, type Chunk, type SaidUsage } from './compatible-wire.ts'

export type CompatibleOptions = {
  endpoint: EndpointConfig
  door: Door
  log: (line: string) => void
  /** Longest silence, in milliseconds; a long prompt on a slow machine says nothing for minutes. */
  silenceMs?: number
}

type Terminal = Extract<ModelEvent, { type: 'done' | 'failed' }>

export class CompatibleModel implements Model {
  readonly #options: CompatibleOptions
  /** It refused what lies beside the dialect; it is not asked for it again. */
  #plain = false

  constructor(options: CompatibleOptions) {
    this.#options = options
  }

  get info(): ModelInfo {
    const { id, contextTokens, profile, local } = this.#options.endpoint
    return { id, place: 'lan', contextTokens, profile, countsAsLocal: local }
  }

  async *generate(input: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, void> {
    const call = new Call(this.#options)
    const checked = checkRequest(input)
    const refused = checked.ok ? unsendable(checked.request) : checked.fault
    if (refused !== null || !checked.ok) {
      yield call.failed(refused ?? fault('internal', { problem: 'a request was refused without a reason' }))
      return
    }
    const leave = new AbortController()
    const quiet = new Silence(this.#options.silenceMs ?? 600_000, leave)
    try {
      if (signal.aborted) return yield call.done('cancelled')
      const answer = await this.#send(checked.request, AbortSignal.any([signal, leave.signal]), quiet)
      if ('fault' in answer) return yield call.failed(answer.fault)
      for await (const data of eventData(answer.body)) {
        quiet.heard()
        if (data === '[DONE]') break
        for (const event of call.hear(data, checked.request)) yield event
        if (call.ended) return
      }
      for (const event of call.end(checked.request)) yield event
    } catch (error) {
      if (call.ended) return
      if (signal.aborted) yield call.done('cancelled')
      else yield call.failed(quiet.over ? this.#fault(`it said nothing for ${quiet.seconds} s`) : error instanceof FaultError ? faultFrom(error) : this.#fault(networkProblem(error)))
    } finally {
      quiet.stop()
      // Leaving closes the connection, which is how such a server is told to stop.
      leave.abort()
    }
  }

  async #send(request: ModelRequest, signal: AbortSignal, quiet: Silence): Promise<{ body: AsyncIterable<Uint8Array> } | { fault: Fault }> {
    const { endpoint, door } = this.#options
    const key = await readKey(endpoint)
    if (typeof key === 'object' && key !== null) return key
    for (;;) {
      const plain = this.#plain
      const answer = await door.post(`${endpoint.url.replace(/\/+$/, '')}/chat/completions`, {
        purpose: 'lan-endpoint', jobId: request.purpose === 'agent' ? request.sessionKey : null, signal, body: JSON.stringify(chatBody(request, endpoint.model, plain)),
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
      })
      quiet.heard()
      if (answer.status === 200) return answer.body === null ? { fault: this.#fault('it answered with status 200 and nothing else') } : { body: answer.body }
      const text = (await answer.text()).slice(0, 10_000)
      const refused = faultOfAnswer(endpoint.id, { status: answer.status, text: key === null ? text : text.replaceAll(key, '***'), location: answer.headers.get('location') }, endpoint.contextTokens)
      if (plain || refused.code !== 'endpoint_refused' || (answer.status !== 400 && answer.status !== 422)) return { fault: refused }
      this.#plain = true
    }
  }

  #fault(how: string): Fault {
    return fault('endpoint_failed', { endpoint: this.#options.endpoint.id, how })
  }
}

/** Ends a call that heard nothing for too long. */
class Silence {
  readonly #ms: number
  readonly #leave: AbortController
  #timer: NodeJS.Timeout
  over = false

  constructor(ms: number, leave: AbortController) {
    this.#ms = ms
    this.#leave = leave
    this.#timer = this.#start()
  }

  get seconds(): number {
    return this.#ms / 1000
  }

  heard(): void {
    clearTimeout(this.#timer)
    this.#timer = this.#start()
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  #start(): NodeJS.Timeout {
    return setTimeout(() => {
      this.over = true
      this.#leave.abort()
    }, this.#ms)
  }
}

/** The account of one call: events in order, tokens, times, the one terminal event. */
class Call {
  readonly #options: CompatibleOptions
  readonly #startedAt = performance.now()
  readonly #calls = new Map<number, CallPart>()
  #stops: StopScan | null = null
  #json: JsonEnd | null = null
  #started: Usage | null = null
  #said: SaidUsage | null = null
  #finish: string | null = null
  #pieces = 0
  #chars = 0
  #firstAt: number | null = null
  #lastAt: number | null = null
  ended = false

  constructor(options: CompatibleOptions) {
    this.#options = options
  }

  hear(data: string, request: ModelRequest): ModelEvent[] {
    const chunk = readChunk(data, request.probabilities)
    if (typeof chunk === 'string') return [this.failed(this.#fault(chunk))]
    if (chunk.error !== null) return [this.failed(this.#fault(`it stopped with the error '${chunk.error}'`))]
    const events: ModelEvent[] = []
    if (chunk.usage !== null) this.#said = chunk.usage
    if (chunk.progress !== null) {
      this.#start(events, { prompt: chunk.progress.total, cached: chunk.progress.cache, completion: 0 }, request)
      events.push({ type: 'prefill', doneTokens: Math.min(chunk.progress.processed, chunk.progress.total), totalTokens: chunk.progress.total })
    }
    if (chunk.text !== '' || chunk.reasoning !== '' || chunk.calls.length > 0 || chunk.probabilities.length > 0) this.#take(chunk, request, events)
    if (chunk.finish !== null) this.#finish = chunk.finish
    return events
  }

  /** The stream is over. */
  end(request: ModelRequest): ModelEvent[] {
    if (this.#finish === null && this.#pieces === 0) return [this.failed(this.#fault('it answered with status 200 and not one token'))]
    const events: ModelEvent[] = []
    this.#start(events, this.#said, request)
    if (this.#finish === null) return [...events, this.failed(this.#fault(`its answer broke off after ${this.#pieces} pieces`))]
    const rest = this.#stops?.rest() ?? ''
    if (rest !== '') events.push({ type: 'text', text: rest })
    const read = [...this.#calls.values()].map((part) => callEvent(part, request.tools.map((tool) => tool.name), this.#finish === 'length'))
    events.push(...read)
    const called = read.some((event) => event.type === 'tool_call')
    // Seen with llama-server and a template without tools: the wish is dropped in silence.
    if (read.length === 0 && request.toolChoice !== 'auto' && request.toolChoice !== 'none') {
      return [...events, this.failed(fault('unsupported', { what: `A required tool call, without which the endpoint '${this.#options.endpoint.id}' answered,` }))]
    }
    return [...events, this.done(called ? 'tool_calls' : this.#finish === 'length' ? 'max_tokens' : 'end', request)]
  }

  done(stop: StopReason, request?: ModelRequest): Terminal {
    this.ended = true
    return { type: 'done', stop, usage: this.#usage(request), timings: this.#timings() }
  }

  failed(why: Fault): Terminal {
    this.ended = true
    return { type: 'failed', fault: why, usage: this.#usage(), timings: this.#timings() }
  }

  #take(chunk: Chunk, request: ModelRequest, events: ModelEvent[]): void {
    this.#start(events, this.#said, request)
    const now = performance.now()
    this.#firstAt ??= now
    this.#lastAt = now
    this.#pieces += Math.max(1, chunk.probabilities.length)
    this.#chars += chunk.text.length
    for (const part of chunk.calls) {
      const known = this.#calls.get(part.index)
      this.#calls.set(part.index, known === undefined ? part : { ...known, name: known.name + part.name, arguments: known.arguments + part.arguments })
    }
    if (chunk.reasoning !== '') events.push({ type: 'reasoning', text: chunk.reasoning })
    this.#stops ??= new StopScan(request.stop)
    const passed = this.#stops.push(chunk.text)
    if (request.responseFormat.type === 'json_schema') this.#json ??= new JsonEnd()
    const end = this.#json?.push(passed.text) ?? -1
    const text = end >= 0 ? passed.text.slice(0, end) : passed.text
    if (text !== '' || chunk.probabilities.length > 0) events.push({ type: 'text', text, ...(chunk.probabilities.length > 0 ? { probabilities: chunk.probabilities } : {}) })
    // Stop strings are ours: the dialect does not say whether one was hit.
    if (end >= 0) events.push(this.done('end', request))
    else if (passed.hit) events.push(this.done('stop_sequence', request))
  }

  /** Counts come with the first progress or usage; where an endpoint sends neither before its text, four characters count as a token until it does. */
  #start(events: ModelEvent[], said: SaidUsage | null, request: ModelRequest): void {
    if (this.#started !== null) return
    const known = said !== null && this.#problem({ ...said, completion: 0 }, request, 0) === null ? said : null
    const promptTokens = known?.prompt ?? Math.ceil(request.messages.reduce((sum, message) => sum + message.text.length, 0) / 4)
    this.#started = { promptTokens, reusedTokens: known?.cached ?? 0, completionTokens: 0 }
    events.push({ type: 'started', promptTokens, reusedTokens: this.#started.reusedTokens })
  }

  /** What it says, when that can be true; else what was heard. */
  #usage(request?: ModelRequest): Usage {
    if (this.#started === null) return noUsage
    const counted = { ...this.#started, completionTokens: this.#pieces }
    if (this.#said === null || request === undefined) return counted
    const problem = this.#problem(this.#said, request, this.#chars)
    if (problem !== null) {
      this.#options.log(`the endpoint '${this.#options.endpoint.id}' gives a usage that cannot be true (${problem}); ${this.#pieces} completion tokens were counted instead`)
      return counted
    }
    // A call that we ended ourselves has no last word about its length.
    return { promptTokens: this.#said.prompt, reusedTokens: this.#said.cached, completionTokens: this.#finish === null ? this.#pieces : this.#said.completion }
  }

  #problem(said: SaidUsage, request: ModelRequest, chars: number): string | null {
    return implausible(said, { pieces: this.#pieces, chars, maxTokens: request.maxTokens, contextTokens: this.#options.endpoint.contextTokens })
  }

  #fault(how: string): Fault {
    return fault('endpoint_failed', { endpoint: this.#options.endpoint.id, how })
  }

  #timings(): Timings {
    const now = performance.now()
    const firstAt = this.#firstAt
    return {
      queuedMs: 0, prefillMs: (firstAt ?? now) - this.#startedAt, decodeMs: firstAt === null ? 0 : (this.#lastAt ?? now) - firstAt,
      ttftMs: firstAt === null ? null : firstAt - this.#startedAt, totalMs: now - this.#startedAt,
    }
  }
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

function networkProblem(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code
  const words: Record<string, string> = { ECONNREFUSED: 'nobody listens there', ENOTFOUND: 'its name is not known', EHOSTUNREACH: 'it cannot be reached', ECONNRESET: 'it closed the connection', ETIMEDOUT: 'it does not answer' }
  return (code === undefined ? undefined : words[code]) ?? shown(error instanceof Error ? error.message : String(error))
}
