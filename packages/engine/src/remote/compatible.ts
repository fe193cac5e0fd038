// Owns the port `Model` for an endpoint on the local network that speaks the OpenAI chat dialect. Every byte goes through the Door; its numbers are
// checked before they are believed; its key is read from a private file for each call and stands in no message. Never throws.
import { fault, faultFrom, FaultError, type Door, type EndpointConfig, type Fault, type Model, type ModelEvent, type ModelInfo, type ModelRequest } from '@hearth/protocol'
import { eventData } from '../server/sse.ts'
import { Answer, unasked } from './answer.ts'
import { networkProblem } from './network-problem.ts'
import { Patience } from './patience.ts'
import { readKey } from './key-file.ts'
import { chatBody, faultOfAnswer, readChunk, sendable } from './compatible-wire.ts'

export type CompatibleOptions = {
  endpoint: EndpointConfig
  door: Door
  log: (line: string) => void
  /** Longest silence, in milliseconds; a long prompt on a slow machine says nothing for minutes. */
  silenceMs?: number
}

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
    const checked = sendable(input)
    if (!checked.ok) return yield unasked(checked.fault)
    const { request } = checked
    const answer = this.#answer(request)
    const patience = new Patience(this.#options.silenceMs ?? 600_000)
    try {
      if (signal.aborted) return yield answer.done('cancelled')
      const came = await this.#send(request, AbortSignal.any([signal, patience.signal]), patience)
      if ('fault' in came) return yield answer.failed(came.fault)
      for await (const data of eventData(came.body)) {
        patience.heard()
        if (data === '[DONE]') break
        const chunk = readChunk(data, request.probabilities)
        if (typeof chunk === 'string') return yield answer.failed(this.#fault(chunk))
        if (chunk.error !== null) return yield answer.failed(this.#fault(`it stopped with the error '${chunk.error}'`))
        yield* answer.take(chunk)
        if (answer.ended) return
      }
      yield* answer.end()
    } catch (error) {
      if (answer.ended) return
      if (signal.aborted) yield answer.done('cancelled')
      else yield answer.failed(patience.over !== null ? this.#fault(patience.over) : error instanceof FaultError ? faultFrom(error) : this.#fault(networkProblem(error)))
    } finally {
      patience.leave()
    }
  }

  #answer(request: ModelRequest): Answer {
    const { endpoint, log } = this.#options
    return new Answer({
      who: `the endpoint '${endpoint.id}'`, request, contextTokens: endpoint.contextTokens, log, leavesAtJson: true,
      fault: (kind, how) => (kind === 'refused' ? fault('endpoint_refused', { endpoint: endpoint.id, how: `it declines to answer: ${how}` }) : this.#fault(kind === 'cut' ? `its answer broke off ${how}` : how)),
      // Where an endpoint counts nothing before its text, four characters count as a token until it does.
      count: { prompt: () => Math.ceil(request.messages.reduce((sum, message) => sum + message.text.length, 0) / 4), completion: ({ pieces }) => pieces },
    })
  }

  async #send(request: ModelRequest, signal: AbortSignal, patience: Patience): Promise<{ body: AsyncIterable<Uint8Array> } | { fault: Fault }> {
    const { endpoint, door } = this.#options
    const read = await readKey(endpoint.keyFile)
    if ('how' in read) return { fault: fault('endpoint_auth', { endpoint: endpoint.id, how: read.how }) }
    const { key } = read
    for (;;) {
      const plain = this.#plain
      const answer = await door.post(`${endpoint.url.replace(/\/+$/, '')}/chat/completions`, {
        purpose: 'lan-endpoint', jobId: request.purpose === 'agent' ? request.sessionKey : null, signal, body: JSON.stringify(chatBody(request, endpoint.model, plain)),
        headers: { 'content-type': 'application/json', accept: 'text/event-stream', ...(key === null ? {} : { authorization: `Bearer ${key}` }) },
      })
      patience.heard()
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
