// Owns one chat request from its body to its last byte: which model, which class, the meter, streaming or not, and the end when the reader
// leaves or the key is revoked. The dialect itself is in request.ts and reply.ts.
import { randomBytes } from 'node:crypto'
import { fault, FaultError, jobClasses, ModelRequest, version, type Fault, type JobClass, type Model, type ModelEvent, type Principal, type Timings, type Usage } from '@hearth/protocol'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Context } from 'hono'
import { lowerClass } from '../../auth/limits.ts'
import { metered } from '../../meter/meter.ts'
import { waitWords } from '../../meter/waits.ts'
import { answer } from '../answer.ts'
import type { Api, Env } from '../api.ts'
import { bodyOf } from '../body.ts'
import { EventStream } from '../sse.ts'
import { modelFor } from './names.ts'
import { Chunks, completion, doneChunk, errorChunk, finishReason, logprobOf, timingsOf, usageOf, type Head, type Said } from './reply.ts'
import { refusalOf } from './refusal.ts'
import { readChat, type Chat } from './request.ts'

const bodyLimitBytes = 10 * 2 ** 20

export async function chatCompletions(c: Context<Env>, api: Api): Promise<Response> {
  const { outgoing } = c.env
  if (outgoing === undefined) throw new Error('a chat needs a connection')
  const leave = api.chats.enter()
  try {
    const read = readChat(await bodyOf(c, bodyLimitBytes))
    if (!read.ok) return answer(c.req.path, read.fault, read.param)
    const { chat } = read
    const principal = c.get('principal')
    const found = await modelFor(api, principal, chat.model)
    if (!found.ok) return answer(c.req.path, found.fault, 'model')
    const { sessionKey, tentative } = chat.cacheKey === null ? api.conversations.find([principal.id, found.model.info.id, chat.user, chat.request.tools], chat.request.messages)
      : { sessionKey: chat.cacheKey, tentative: false }
    const model = await api.outside.model(principal, found.model.info.id, sessionKey)
      ?? metered(found.model, { principal, jobId: null, step: () => null, energy: api.energy }, (entry) => api.store.ledger(entry))
    const request = ModelRequest.safeParse({
      ...chat.request, class: classOf(principal, c.req.header('x-hearth-class')), sessionKey: `${principal.id}/${sessionKey}`, tentative,
      maxTokens: chat.maxTokens ?? Math.min(model.info.contextTokens, 1_000_000),
    })
    if (!request.success) {
      const refusal = refusalOf(request.error.issues[0], chat.request)
      return answer(c.req.path, refusal.fault, refusal.param)
    }
    const stream = new EventStream(outgoing)
    c.get('cut').addEventListener('abort', () => stream.stop(), { once: true })
    const result = await new Answer(model, request.data, chat, chat.stream ? stream : null).run(stream.stopped)
    if (stream.gone) return RESPONSE_ALREADY_SENT
    const cause = c.get('cut').aborted ? c.get('cut').reason as Fault : 'fault' in result ? result.fault : null
    if (cause !== null && !stream.opened) {
      stream.release()
      return answer(c.req.path, cause)
    }
    if (!chat.stream) return Response.json('fault' in result ? {} : result.body)
    void stream.write(cause === null ? doneChunk : errorChunk(cause))
    stream.end()
    return RESPONSE_ALREADY_SENT
  } finally {
    leave()
  }
}

/** The lower of what the key may have and what the request asks for in `x-hearth-class`. */
function classOf(principal: Principal, asked: string | undefined): JobClass {
  if (asked === undefined) return principal.class
  const wanted = jobClasses.find((name) => name === asked)
  if (wanted === undefined) throw new FaultError(fault('bad_request', { where: 'x-hearth-class', problem: `it is one of ${jobClasses.join(', ')}` }))
  return lowerClass(wanted, principal.class)
}

type End = Extract<ModelEvent, { type: 'done' | 'failed' }>

/** All choices of one request, one after the other: the second finds the prompt of the first in the cache. */
class Answer {
  readonly #model: Model
  readonly #request: ModelRequest
  readonly #chat: Chat
  readonly #stream: EventStream | null
  readonly #head: Head
  readonly #chunks: Chunks

  constructor(model: Model, request: ModelRequest, chat: Chat, stream: EventStream | null) {
    this.#model = model
    this.#request = request
    this.#chat = chat
    this.#stream = stream
    this.#head = { id: `chatcmpl-${randomBytes(12).toString('hex')}`, created: Math.floor(Date.now() / 1000), model: model.info.id, fingerprint: `hearth-${version}` }
    this.#chunks = new Chunks(this.#head, chat.includeUsage)
  }

  /** The body of an answer that is not streamed (null for one that is), or why there is none. */
  async run(signal: AbortSignal): Promise<{ body: Record<string, unknown> | null } | { fault: Fault }> {
    this.#stream?.keepAlive()
    const said: Said[] = []
    const usages: Usage[] = []
    let timings: Timings | null = null
    for (let index = 0; index < this.#chat.choices; index += 1) {
      const { end, choice } = await this.#choice(index, signal)
      usages.push(end.usage)
      timings = end.timings
      if (end.type === 'failed') return { fault: end.fault }
      if (choice.finish === '') return { fault: fault('shutting_down', {}) }
      said.push(choice)
      void this.#stream?.write(this.#chunks.finish(index, choice.finish, timingsOf(end.usage, end.timings)))
    }
    const usage = usageOf(usages)
    if (this.#stream !== null) {
      if (this.#chat.includeUsage) void this.#stream.write(this.#chunks.usage(usage))
      return { body: null }
    }
    const only = usages.length === 1 ? usages[0] : undefined
    return { body: completion(this.#head, said, usage, only === undefined || timings === null ? null : timingsOf(only, timings)) }
  }

  /** One choice; `finish` is empty when it was cancelled from outside. */
  async #choice(index: number, signal: AbortSignal): Promise<{ end: End; choice: Said }> {
    const { topLogprobs, oneCall } = this.#chat
    const seed = this.#request.sampling.seed
    const request = seed === null || index === 0 ? this.#request : { ...this.#request, sampling: { ...this.#request.sampling, seed: (seed + index) % 2 ** 32 } }
    const enough = new AbortController()
    const choice: Said = { text: '', reasoning: '', calls: [], logprobs: topLogprobs === null ? null : [], finish: '' }
    const stream = this.#stream
    const begin = (): void => {
      if (stream === null || begun) return
      begun = true
      stream.waits('waiting')
      stream.open()
      void stream.write(this.#chunks.role(index))
    }
    let begun = false
    for await (const event of this.#model.generate(request, oneCall ? AbortSignal.any([signal, enough.signal]) : signal)) {
      switch (event.type) {
        case 'queued': stream?.waits(waitWords(event, this.#model.info.id)); break
        case 'started': case 'prefill': begin(); break
        case 'text': {
          begin()
          const logprobs = topLogprobs === null ? null : (event.probabilities ?? []).map((token) => logprobOf(token, topLogprobs))
          if (stream === null) {
            choice.text += event.text
            if (logprobs !== null) choice.logprobs?.push(...logprobs)
            break
          }
          const room = stream.write(this.#chunks.text(index, event.text, logprobs))
          if (room !== undefined) await room
          break
        }
        case 'reasoning': {
          begin()
          const room = stream?.write(this.#chunks.reasoning(index, event.text))
          if (stream === null) choice.reasoning += event.text
          if (room !== undefined) await room
          break
        }
        case 'malformed_call':
          begin()
          // What the model wrote, as it wrote it: no call is invented from it.
          if (stream === null) choice.text += event.text
          else void stream.write(this.#chunks.text(index, event.text, topLogprobs === null ? null : []))
          break
        case 'tool_call':
          begin()
          if (enough.signal.aborted) break
          void stream?.write(this.#chunks.call(index, choice.calls.length, event.call))
          choice.calls.push(event.call)
          if (oneCall) enough.abort()
          break
        case 'done':
          begin()
          choice.finish = enough.signal.aborted ? 'tool_calls' : event.stop === 'cancelled' ? '' : finishReason(event.stop)
          return { end: event, choice }
        case 'failed':
          return { end: event, choice }
        default: event satisfies never
      }
    }
    throw new Error(`the model '${this.#model.info.id}' ended without saying so`)
  }
}
