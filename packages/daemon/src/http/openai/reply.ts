// Owns the writing of OpenAI's answers: completion, chunks, usage, timings and the error envelope. Pure: strings and plain values out.
import { httpOf, type Fault, type FaultCode, type StopReason, type Timings, type TokenProbability, type ToolCall, type Usage } from '@hearth/protocol'

// Their words for causes that clients look for; every other cause keeps ours.
const codes: Partial<Record<FaultCode, string>> = { context_overflow: 'context_length_exceeded', unknown_model: 'model_not_found', unauthorized: 'invalid_api_key' }
// Their clients take these statuses for a wrong request, not for a passing trouble.
const statuses: Partial<Record<FaultCode, number>> = { context_overflow: 400, unsupported: 400, script_mismatch: 400 }

export type OpenAiError = { error: { message: string; type: string; param: string | null; code: string; origin: string } }

/** The error envelope with its HTTP status. `param` is the field at fault. */
export function openAiError(cause: Fault, param: string | null): { status: number; body: OpenAiError } {
  const status = statuses[cause.code] ?? httpOf(cause)
  return { status, body: { error: { message: `${cause.message} ${cause.remedy}`.trim(), type: typeOf(status), param, code: codes[cause.code] ?? cause.code, origin: cause.origin } } }
}

function typeOf(status: number): string {
  switch (status) {
    case 401: return 'authentication_error'
    case 403: return 'permission_error'
    case 429: return 'rate_limit_error'
    default: return status < 500 ? 'invalid_request_error' : 'server_error'
  }
}

/** Sums of the calls behind one answer: each choice is a call of its own, and what it found in the cache is counted as cached. */
export function usageOf(calls: readonly Usage[]): Record<string, unknown> {
  const sum = (pick: (usage: Usage) => number): number => calls.reduce((total, usage) => total + pick(usage), 0)
  const prompt = sum((usage) => usage.promptTokens)
  const completion = sum((usage) => usage.completionTokens)
  return {
    prompt_tokens: prompt, completion_tokens: completion, total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: sum((usage) => usage.reusedTokens) },
  }
}

/** The `timings` of llama.cpp's server, from ours; milliseconds. `prompt_n` counts only what was evaluated. */
export function timingsOf(usage: Usage, timings: Timings): Record<string, number> {
  const evaluated = usage.promptTokens - usage.reusedTokens
  return {
    cache_n: usage.reusedTokens,
    prompt_n: evaluated, prompt_ms: timings.prefillMs, prompt_per_token_ms: per(timings.prefillMs, evaluated), prompt_per_second: per(evaluated * 1000, timings.prefillMs),
    predicted_n: usage.completionTokens, predicted_ms: timings.decodeMs, predicted_per_token_ms: per(timings.decodeMs, usage.completionTokens),
    predicted_per_second: per(usage.completionTokens * 1000, timings.decodeMs),
    queued_ms: timings.queuedMs,
  }
}

function per(amount: number, by: number): number {
  return by > 0 ? amount / by : 0
}

export function finishReason(stop: Exclude<StopReason, 'cancelled'>): string {
  switch (stop) {
    case 'end': case 'stop_sequence': return 'stop'
    case 'max_tokens': return 'length'
    case 'tool_calls': return 'tool_calls'
    default: return stop satisfies never
  }
}

/** One token of `logprobs.content`. A probability of 0 is written as -9999, as they do. */
export function logprobOf({ text, probability, top }: TokenProbability, count: number): Record<string, unknown> {
  const one = (token: string, p: number) => ({ token, logprob: p > 0 ? Math.log(p) : -9999, bytes: [...Buffer.from(token, 'utf8')] })
  return { ...one(text, probability), top_logprobs: top.slice(0, count).map((other) => one(other.text, other.probability)) }
}

export function callOf(call: ToolCall): { id: string; type: 'function'; function: { name: string; arguments: string } } {
  return { id: call.id, type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } }
}

export type Said = { text: string; /** The model's thoughts, under the name that llama.cpp's and other servers use. */ reasoning: string; calls: ToolCall[]; logprobs: Record<string, unknown>[] | null; finish: string }

/** The whole answer of a request that did not stream. */
export function completion(head: Head, choices: readonly Said[], usage: Record<string, unknown>, timings: Record<string, number> | null): Record<string, unknown> {
  return {
    id: head.id, object: 'chat.completion', created: head.created, model: head.model, system_fingerprint: head.fingerprint,
    choices: choices.map(({ text, reasoning, calls, logprobs, finish }, index) => ({
      index, finish_reason: finish, logprobs: logprobs === null ? null : { content: logprobs, refusal: null },
      message: { role: 'assistant', content: calls.length > 0 && text === '' ? null : text, refusal: null, ...(reasoning === '' ? {} : { reasoning_content: reasoning }), ...(calls.length === 0 ? {} : { tool_calls: calls.map(callOf) }) },
    })),
    usage, ...(timings === null ? {} : { timings }),
  }
}

/** What all chunks of one answer share. */
export type Head = { id: string; created: number; model: string; fingerprint: string }

/** Writes the events of one streamed answer. What never changes is written once: a text chunk costs one small JSON string. */
export class Chunks {
  readonly #begin: string
  readonly #end: string

  constructor(head: Head, includeUsage: boolean) {
    const fixed = { id: head.id, object: 'chat.completion.chunk', created: head.created, model: head.model, system_fingerprint: head.fingerprint }
    this.#begin = `data: ${JSON.stringify(fixed).slice(0, -1)},"choices":[`
    this.#end = includeUsage ? '],"usage":null}\n\n' : ']}\n\n'
  }

  role(index: number): string {
    return this.#choice(index, '{"role":"assistant","content":""}')
  }

  text(index: number, text: string, logprobs: readonly Record<string, unknown>[] | null): string {
    return this.#choice(index, `{"content":${JSON.stringify(text)}}`, logprobs === null ? 'null' : JSON.stringify({ content: logprobs, refusal: null }))
  }

  reasoning(index: number, text: string): string {
    return this.#choice(index, `{"reasoning_content":${JSON.stringify(text)}}`)
  }

  call(index: number, position: number, call: ToolCall): string {
    return this.#choice(index, JSON.stringify({ tool_calls: [{ index: position, ...callOf(call) }] }))
  }

  finish(index: number, reason: string, timings: Record<string, number>): string {
    return `${this.#begin}{"index":${index},"delta":{},"logprobs":null,"finish_reason":${JSON.stringify(reason)}}],"timings":${JSON.stringify(timings)}${this.#end.slice(1)}`
  }

  usage(usage: Record<string, unknown>): string {
    return `${this.#begin}],"usage":${JSON.stringify(usage)}}\n\n`
  }

  #choice(index: number, delta: string, logprobs = 'null'): string {
    return `${this.#begin}{"index":${index},"delta":${delta},"logprobs":${logprobs},"finish_reason":null}${this.#end}`
  }
}

export function errorChunk(cause: Fault): string {
  return `data: ${JSON.stringify(openAiError(cause, null).body)}\n\n`
}

export const doneChunk = 'data: [DONE]\n\n'
