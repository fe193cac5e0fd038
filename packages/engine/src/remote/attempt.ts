// Owns the way of one request to its provider: to one address, with the key that belongs to it, through the port it is handed. What the official
// clients think of headers, keys, retries and redirects ends here. Bounds the answer and takes the key out of it, should it be repeated; decodes nothing.
import { fault, faultFrom, FaultError, type Door, type Fault } from '@hearth/protocol'
import { shown } from '../foreign.ts'
import { networkCode, networkFault } from './network-problem.ts'
import type { Patience } from './patience.ts'
import { faultOfRefusal, waitOf } from './provider-fault.ts'
import { Scrub } from './scrub.ts'

/**
 * Sends one POST through the daemon's door: what leaves is on record before its first byte, a redirect is not followed, and the answer streams.
 * Rejects with FaultError when it may not leave; then nothing left.
 */
export type Send = (post: { url: string; headers: Readonly<Record<string, string>>; body: string; signal: AbortSignal }) => Promise<Response>

/** The door as that port. */
export function throughDoor(door: Pick<Door, 'post'>, jobId: string | null): Send {
  return ({ url, ...post }) => door.post(url, { purpose: 'provider', jobId, ...post })
}

export type AttemptOptions = {
  provider: string
  model: string
  contextTokens: number
  url: string
  key: string | null
  headers: Readonly<Record<string, string>>
  send: Send
  signal: AbortSignal
  patience: Patience
  maxBytes: number
}

const refusalChars = 20_000
// Of a connection that never came about: nothing was read, and nothing is billed.
const neverArrived = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'])

export class Attempt {
  readonly #options: AttemptOptions
  /** Why there is no answer, or why it was given up. */
  fault: Fault | null = null
  /** With it: how long the provider asks to wait before it is asked again, milliseconds; null = it does not say, or waiting would not help. */
  waitMs: number | null = null
  /** The prompt left and nobody refused it. */
  billable = false
  #over = false
  #atEnd = true

  constructor(options: AttemptOptions) {
    this.#options = options
  }

  /** For the official client; throws when `fault` says why. */
  readonly fetch = async (input: string | URL | Request, init?: RequestInit): Promise<Response> => {
    const { url, key, headers, send, signal, patience } = this.#options
    const asked = input instanceof Request ? input.url : String(input)
    // Also what a later version of a client might do by itself: a second question, another host.
    if (asked !== url || typeof init?.body !== 'string') throw this.#failed(fault('internal', { problem: `a provider's client asked for ${shown(asked)}` }))
    let answer: Response
    try {
      this.billable = true
      answer = await send({
        url, body: init.body, signal,
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...headers, ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
      })
    } catch (error) {
      if (error instanceof FaultError || neverArrived.has(networkCode(error) ?? '')) this.billable = false
      throw this.#failed(error instanceof FaultError ? faultFrom(error) : fault('provider_failed', { provider: this.#options.provider, ...networkFault(error, new URL(url).host) }))
    }
    patience.heard()
    if (answer.status !== 200) throw await this.#refusal(answer)
    if (answer.body === null) throw this.#failed(this.#garbled('it answered with status 200 and nothing else'))
    const type = answer.headers.get('content-type') ?? ''
    if (!/event-stream/i.test(type)) {
      await answer.body.cancel()
      throw this.#failed(this.#garbled(`it answered with ${/html/i.test(type) ? 'a web page' : `'${shown(this.#clean(type))}'`} where a stream of events was asked for`))
    }
    return new Response(ReadableStream.from(this.#bounded(answer.body)), { status: 200, headers: { 'content-type': 'text/event-stream' } })
  }

  /** The answer's bytes ended in the middle of an event, or with their connection. */
  get torn(): boolean {
    return this.#over && !this.#atEnd
  }

  #clean(text: string): string {
    return this.#options.key === null ? text : text.replaceAll(this.#options.key, '***')
  }

  async #refusal(answer: Response): Promise<FaultError> {
    const { provider, model, contextTokens } = this.#options
    this.billable = false
    let text = ''
    const decoder = new TextDecoder()
    try {
      const parts: AsyncIterable<Uint8Array> | null = answer.body
      for await (const chunk of parts ?? []) {
        text += decoder.decode(chunk, { stream: true })
        if (text.length > refusalChars) break
      }
    } catch {
      // What came of its reasons is enough.
    }
    const waitMs = waitOf(answer.headers, Date.now())
    const why = faultOfRefusal({
      provider, model, contextTokens, url: this.#options.url, status: answer.status, text: this.#clean(text).slice(0, refusalChars), location: this.#clean(answer.headers.get('location') ?? '') || null, waitMs,
    })
    this.waitMs = why.code === 'provider_rate_limited' || why.code === 'provider_overloaded' ? waitMs : null
    return this.#failed(why)
  }

  async *#bounded(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, void> {
    const scrub = new Scrub(this.#options.key)
    let bytes = 0
    let tail = ''
    try {
      for await (const chunk of body) {
        this.#options.patience.heard()
        bytes += chunk.length
        if (bytes > this.#options.maxBytes) {
          this.fault = this.#garbled(`its answer is larger than ${(this.#options.maxBytes / 2 ** 20).toFixed(1)} MiB`)
          return
        }
        tail = (tail + Buffer.from(chunk.subarray(-4)).toString('latin1')).slice(-4)
        this.#atEnd = /\n\r?\n$/.test(tail)
        yield scrub.push(chunk)
      }
      yield scrub.rest()
    } catch {
      // A torn connection ends the answer as an end does; what it lacks tells them apart, and where it lacks all, this.
      this.#atEnd = false
    } finally {
      this.#over = true
    }
  }

  #garbled(how: string): Fault {
    return fault('provider_garbled', { provider: this.#options.provider, how })
  }

  #failed(why: Fault): FaultError {
    this.fault = why
    return new FaultError(why)
  }
}
