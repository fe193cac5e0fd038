// Owns the OpenAI chat dialect towards an endpoint: the request body, and one streamed chunk read with suspicion. Pure; opens no connection.
import { fault, type Fault, type Message, type ModelRequest, type TokenProbability } from '@hearth/protocol'
import { isObject, objects, saidError, shown, tokenProbabilities } from '../foreign.ts'

/** `plain`: only what the dialect itself has; else what llama.cpp and vLLM understand beside it. */
export function chatBody(request: ModelRequest, model: string, plain: boolean): Record<string, unknown> {
  const { temperature, topK, topP, minP, repeatPenalty, seed } = request.sampling
  return {
    model, stream: true, stream_options: { include_usage: true, ...(plain ? {} : { continuous_usage_stats: true }) },
    messages: request.messages.map(messageOf), temperature, top_p: topP, max_tokens: request.maxTokens, ...(seed === null ? {} : { seed }),
    ...(request.probabilities > 0 ? { logprobs: true, top_logprobs: request.probabilities } : {}),
    ...(request.tools.length === 0 ? {} : {
      tools: request.tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } })),
      tool_choice: typeof request.toolChoice === 'object' ? { type: 'function', function: { name: request.toolChoice.name } } : request.toolChoice,
    }),
    ...(request.responseFormat.type === 'json_schema' ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: request.responseFormat.schema } } } : {}),
    ...(plain ? {} : { top_k: topK, min_p: minP, repeat_penalty: repeatPenalty, repetition_penalty: repeatPenalty, return_progress: true, cache_prompt: true }),
  }
}

function messageOf(message: Message): Record<string, unknown> {
  switch (message.role) {
    case 'system':
    case 'user': return { role: message.role, content: message.text }
    case 'assistant': return {
      role: 'assistant', content: message.text,
      ...(message.toolCalls === undefined || message.toolCalls.length === 0 ? {} : {
        tool_calls: message.toolCalls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } })),
      }),
    }
    case 'tool': return { role: 'tool', tool_call_id: message.callId, content: message.text }
    default: return message satisfies never
  }
}

/** What the dialect cannot say. Null when the request can be sent. */
export function unsendable(request: ModelRequest): Fault | null {
  const named = typeof request.toolChoice === 'object' ? request.toolChoice.name : null
  if (named !== null && !request.tools.some((tool) => tool.name === named)) return fault('bad_request', { where: 'toolChoice', problem: `there is no tool '${named}' among the tools` })
  if (request.toolChoice === 'required' && request.tools.length === 0) return fault('bad_request', { where: 'toolChoice', problem: 'a call is required but there are no tools' })
  if (request.responseFormat.type === 'json_schema' && request.tools.length > 0) return fault('unsupported', { what: 'A JSON schema together with tools' })
  return null
}

export type CallPart = { index: number; id: string | null; name: string; arguments: string }
export type SaidUsage = { prompt: number; cached: number; completion: number }
export type Chunk = {
  text: string
  /** Something was thought that is not part of the text. */
  reasoning: string
  calls: CallPart[]
  finish: string | null
  usage: SaidUsage | null
  progress: { total: number; cache: number; processed: number } | null
  probabilities: TokenProbability[]
  error: string | null
}

/** One event of the stream, or what is wrong with it. */
export function readChunk(data: string, probabilities: number): Chunk | string {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return `it sent '${shown(data)}', which is no JSON`
  }
  if (!isObject(value)) return `it sent '${shown(data)}', which is no chunk`
  if (value['error'] !== undefined) return { ...nothing, error: messageOfError(value) }
  const choice = Array.isArray(value['choices']) && isObject(value['choices'][0]) ? value['choices'][0] : null
  if (choice === null && !isObject(value['usage']) && !Array.isArray(value['choices'])) return `it sent '${shown(data)}', which is no chunk`
  const delta = choice !== null && isObject(choice['delta']) ? choice['delta'] : {}
  const content = delta['content']
  const progress = value['prompt_progress']
  return {
    text: typeof content === 'string' ? content : '',
    reasoning: reasoningOf(delta['reasoning_content'] ?? delta['reasoning']),
    calls: objects(delta['tool_calls']).map(callOf), finish: choice !== null && typeof choice['finish_reason'] === 'string' ? choice['finish_reason'] : null,
    usage: usageOf(value['usage']), error: null,
    progress: isObject(progress) ? { total: whole(progress['total']), cache: whole(progress['cache']), processed: whole(progress['processed']) } : null,
    probabilities: probabilities === 0 || choice === null || !isObject(choice['logprobs']) ? [] : tokenProbabilities(choice['logprobs']['content'], probabilities),
  }
}

function reasoningOf(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

const nothing: Chunk = { text: '', reasoning: '', calls: [], finish: null, usage: null, progress: null, probabilities: [], error: null }

function callOf(call: Record<string, unknown>): CallPart {
  const made = isObject(call['function']) ? call['function'] : {}
  return {
    index: whole(call['index']), id: typeof call['id'] === 'string' && call['id'] !== '' ? call['id'] : null,
    name: typeof made['name'] === 'string' ? made['name'] : '', arguments: typeof made['arguments'] === 'string' ? made['arguments'] : '',
  }
}

function usageOf(value: unknown): SaidUsage | null {
  if (!isObject(value)) return null
  const details = isObject(value['prompt_tokens_details']) ? value['prompt_tokens_details'] : {}
  const number = (one: unknown): number => (typeof one === 'number' ? one : Number.NaN)
  return { prompt: number(value['prompt_tokens']), cached: details['cached_tokens'] === undefined || details['cached_tokens'] === null ? 0 : number(details['cached_tokens']), completion: number(value['completion_tokens']) }
}

/** Why a usage cannot be true for what was heard, or null. `pieces`: parts of the stream that carried something. */
export function implausible(said: SaidUsage, heard: { pieces: number; chars: number; maxTokens: number; contextTokens: number }): string | null {
  for (const [name, count] of Object.entries(said)) if (!Number.isInteger(count) || count < 0) return `${name} is ${count}`
  if (said.cached > said.prompt) return `${said.cached} of ${said.prompt} prompt tokens reused`
  if (said.prompt === 0) return 'a prompt of 0 tokens'
  if (said.prompt > heard.contextTokens) return `a prompt of ${said.prompt} tokens in a window of ${heard.contextTokens}`
  if (said.completion > heard.maxTokens) return `${said.completion} completion tokens where ${heard.maxTokens} were allowed`
  // The longest tokens of known vocabularies hold 128 blanks.
  if (said.completion * 128 < heard.chars) return `${said.completion} completion tokens for ${heard.chars} characters`
  return null
}

export type Refusal = { status: number; text: string; location: string | null }

/** An answer that is not 200, as the fault that names its cause. */
export function faultOfAnswer(endpoint: string, answer: Refusal, contextTokens: number): Fault {
  const { status } = answer
  const how = `status ${status}, '${bodyMessage(answer.text)}'`
  if (status >= 300 && status < 400) return fault('endpoint_refused', { endpoint, how: `it redirects to ${shown(answer.location ?? 'somewhere')}, and a key is sent to one address only` })
  if (status === 401 || status === 403 || status === 407) return fault('endpoint_auth', { endpoint, how })
  if (status === 429 || status === 503) return fault('endpoint_busy', { endpoint, how })
  if (status >= 400 && status < 500) {
    const overflow = overflowOf(answer.text)
    if (overflow !== null) return fault('context_overflow', { promptTokens: overflow.prompt, contextTokens: overflow.context ?? contextTokens })
    return fault('endpoint_refused', { endpoint, how })
  }
  return fault('endpoint_failed', { endpoint, how })
}

/** Counts of a prompt over the window: llama.cpp gives them as fields, vLLM and SGLang in a sentence. */
function overflowOf(text: string): { prompt: number; context: number | null } | null {
  const fields = /"n_prompt_tokens"\s*:\s*(\d+)/.exec(text)
  if (fields !== null) return { prompt: Number(fields[1]), context: Number(/"n_ctx"\s*:\s*(\d+)/.exec(text)?.[1] ?? 0) || null }
  if (!/context (length|window|size)|maximum context|exceeds? the (available|model)/i.test(text)) return null
  const window = /(?:maximum context length is|context (?:length|size|window) (?:is|of)?|available context size)\D{0,12}(\d+)/i.exec(text)
  // The count of the messages is the prompt's; what was requested in all includes the answer.
  const count = [/(\d+) (?:tokens )?(?:in|from) the (?:messages|input)/i, /(\d+) (?:input|prompt) tokens/i, /prompt (?:has|contains|of) (\d+)/i, /requested (\d+)/i]
    .map((pattern) => pattern.exec(text)?.[1]).find((one) => one !== undefined)
  return count === undefined ? null : { prompt: Number(count), context: window === null ? null : Number(window[1]) }
}

function bodyMessage(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    if (isObject(value)) return messageOfError(value)
  } catch {
    // Not JSON: shown as it is.
  }
  return shown(text)
}

function messageOfError(value: Record<string, unknown>): string {
  const error = value['error'] ?? value
  if (typeof error === 'string') return shown(error)
  return saidError(error)
}

function whole(value: unknown): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : 0
}
