// Owns the port `Model` for a provider: one call through its official client, with the account, the limits and the waits that are ours. Asks no
// second model, and asks the same one again only when the provider says when. Never throws.
import { fault, faultFrom, FaultError, providerUrl, type Fault, type Model, type ModelEvent, type ModelInfo, type ModelRequest, type ProviderConfig, type RemoteModelConfig, type ToolCall } from '@hearth/protocol'
import { setTimeout as sleep } from 'node:timers/promises'
import { shown } from '../foreign.ts'
import { Answer, unasked } from './answer.ts'
import { anthropic } from './anthropic.ts'
import { Attempt, type Send } from './attempt.ts'
import { chat } from './chat.ts'
import { sendable } from './compatible-wire.ts'
import type { Dialect } from './dialect.ts'
import { readKey } from './key-file.ts'
import { responses } from './openai.ts'
import { Patience } from './patience.ts'
import { faultOfEvent } from './provider-fault.ts'
import { KeptThoughts } from './thoughts.ts'

export type RemoteLimits = {
  /** Longest silence of an answer. A model that thinks without showing it may say nothing for minutes. */
  silenceMs: number
  /** Longest call, waits not counted. */
  totalMs: number
  /** What may be waited in all when the provider says when to ask again. */
  patienceMs: number
}

export type RemoteModelOptions = {
  provider: ProviderConfig
  model: RemoteModelConfig
  send: Send
  log: (line: string) => void
  limits?: Partial<RemoteLimits>
  /** Handed in where a conversation outlives this model; absent = kept as long as it. */
  thoughts?: KeptThoughts
}

const usualLimits: RemoteLimits = { silenceMs: 300_000, totalMs: 1_800_000, patienceMs: 30_000 }
// A provider that says "again at once" for ever is not asked for ever.
const leastWaitMs = 1000

export function createRemoteModel(options: RemoteModelOptions): Model {
  switch (options.provider.kind) {
    case 'anthropic': return new RemoteModel(options, anthropic)
    case 'openai': return new RemoteModel(options, responses)
    case 'compatible': return new RemoteModel(options, chat)
    default: return options.provider.kind satisfies never
  }
}

type Said = { text: string; calls: ToolCall[] }

/** Passes the events on, and remembers what the model said. */
function* heard(events: readonly ModelEvent[], said: Said): Generator<ModelEvent, void, void> {
  for (const event of events) {
    if (event.type === 'text') said.text += event.text
    if (event.type === 'tool_call') said.calls.push(event.call)
    yield event
  }
}

class RemoteModel<Body> implements Model {
  readonly #options: RemoteModelOptions
  readonly #dialect: Dialect<Body>
  readonly #limits: RemoteLimits
  readonly #baseUrl: string
  readonly #thoughts: KeptThoughts

  constructor(options: RemoteModelOptions, dialect: Dialect<Body>) {
    this.#options = options
    this.#dialect = dialect
    this.#limits = { ...usualLimits, ...options.limits }
    this.#baseUrl = providerUrl(options.provider)
    this.#thoughts = options.thoughts ?? new KeptThoughts()
  }

  get info(): ModelInfo {
    const { id, contextTokens, profile } = this.#options.model
    return { id, place: 'remote', contextTokens, profile }
  }

  async *generate(input: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, void> {
    const { provider, model, log } = this.#options
    const checked = sendable(input)
    if (!checked.ok) return yield unasked(checked.fault)
    if (checked.request.probabilities > 0) return yield unasked(fault('unsupported', { what: 'Probabilities of tokens' }))
    const request = { ...checked.request, maxTokens: Math.min(checked.request.maxTokens, model.maxOutputTokens) }
    let body: Body
    try {
      body = await this.#dialect.body(request, model, this.#dialect.takesThoughts(request) ? this.#thoughts.of(request) : new Map())
    } catch (error) {
      return yield unasked(faultFrom(error))
    }
    const answer = this.#answer(request, body)
    if (signal.aborted) return yield answer.done('cancelled')
    const read = await readKey(provider.keyFile)
    if ('how' in read) return yield answer.failed(fault('provider_auth', { provider: provider.id, how: read.how }))
    if (read.key === null && provider.kind !== 'compatible') return yield answer.failed(fault('provider_auth', { provider: provider.id, how: 'its entry names no keyFile' }))
    for (let left = this.#limits.patienceMs; ; ) {
      const attempt = yield* this.#ask(request, body, read.key, answer, signal)
      if (answer.ended) return
      // Refused, and told when to come again.
      const waitMs = Math.max(leastWaitMs, attempt.waitMs ?? 0)
      if (attempt.waitMs === null || waitMs > left || attempt.fault === null) return yield answer.failed(attempt.fault ?? fault('internal', { problem: 'a call ended without a last word' }))
      left -= waitMs
      log(`${attempt.fault.message} It is asked again in ${waitMs / 1000} s.`)
      yield { type: 'queued', position: 1, etaMs: waitMs, reason: `the provider '${provider.id}' asks for ${waitMs / 1000} s` }
      try {
        await sleep(waitMs, undefined, { signal })
      } catch {
        return yield answer.done('cancelled')
      }
      answer.waitedMs += waitMs
    }
  }

  /** Ends the answer, but for one that was refused with a time to come again. */
  async *#ask(request: ModelRequest, body: Body, key: string | null, answer: Answer, signal: AbortSignal): AsyncGenerator<ModelEvent, Attempt, void> {
    const { provider, model, send } = this.#options
    const patience = new Patience(this.#limits.silenceMs, this.#limits.totalMs)
    const stop = AbortSignal.any([signal, patience.signal])
    const attempt = new Attempt({
      provider: provider.id, model: model.model, contextTokens: model.contextTokens, url: `${this.#baseUrl}${this.#dialect.path}`, key, headers: this.#dialect.headers, send, patience, signal: stop,
      // An event of one token takes some 250 bytes on the wire, and all of it may be said twice.
      maxBytes: 2 ** 20 + request.maxTokens * 1024,
    })
    const reading = this.#dialect.reading()
    const said: Said = { text: '', calls: [] }
    let thrown: unknown = null
    try {
      for await (const event of await this.#dialect.open(body, { baseUrl: this.#baseUrl, fetch: attempt.fetch, signal: stop })) {
        const chunk = reading.read(event)
        if (typeof chunk === 'string') attempt.fault = fault('provider_garbled', { provider: provider.id, how: chunk })
        else yield* heard(answer.take(chunk), said)
        if (answer.ended || attempt.fault !== null) break
      }
    } catch (error) {
      thrown = error
    } finally {
      patience.leave()
    }
    answer.sent = attempt.billable
    if (answer.ended) return attempt
    if (signal.aborted) yield answer.done('cancelled')
    else if (patience.over !== null) yield answer.failed(fault('provider_silent', { provider: provider.id, how: patience.over }))
    else if (attempt.fault !== null) {
      if (attempt.waitMs === null) yield answer.failed(attempt.fault)
    } else if (thrown === null || (thrown instanceof SyntaxError && attempt.torn)) {
      // Half an event at the end of the stream is an answer that broke off, not a senseless one.
      const rest = answer.end(attempt.torn)
      const last = rest.at(-1)
      const events = [...heard(rest, said)]
      // Before its last word: who hears that may ask on at once.
      if (last?.type === 'done' && this.#dialect.takesThoughts(request)) this.#thoughts.keep(request, said, reading.turn(), last.usage.completionTokens)
      yield* events
    } else yield answer.failed(this.#faultOf(thrown))
    return attempt
  }

  #faultOf(thrown: unknown): Fault {
    const { provider, model } = this.#options
    if (thrown instanceof FaultError) return faultFrom(thrown)
    if (thrown instanceof SyntaxError) return fault('provider_garbled', { provider: provider.id, how: 'an event of its stream is no JSON' })
    if (thrown instanceof Error && 'error' in thrown && thrown.error !== undefined) return faultOfEvent(thrown.error, { provider: provider.id, model: model.model, contextTokens: model.contextTokens })
    return fault('provider_failed', { provider: provider.id, how: shown(thrown instanceof Error ? thrown.message : String(thrown)) })
  }

  #answer(request: ModelRequest, body: Body): Answer {
    const { provider, model, log } = this.#options
    const kinds = { garbled: 'provider_garbled', cut: 'provider_cut', refused: 'provider_refused' } as const
    return new Answer({
      who: `the provider '${provider.id}'`, request, contextTokens: model.contextTokens, log, leavesAtJson: false,
      fault: (kind, how) => fault(kinds[kind], { provider: provider.id, how }),
      // Two bytes a token is more than any tokenizer makes of prose or code: what nobody counted is never counted too low.
      count: {
        prompt: () => Math.min(model.contextTokens, Math.ceil(Buffer.byteLength(JSON.stringify(body)) / 2)),
        completion: ({ pieces, bytes }) => Math.min(request.maxTokens, Math.max(pieces, Math.ceil(bytes / 2))),
      },
    })
  }
}
