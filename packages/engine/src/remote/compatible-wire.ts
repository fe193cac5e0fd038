// Owns the OpenAI chat dialect: the request body, one streamed chunk read with suspicion, and what an answer that is none says. Pure; opens no connection.
import { fault, type Fault, type Message, type ModelRequest } from '@hearth/protocol'
import { thinkingWords } from '../local/template/reasoning.ts'
import { countOf, isObject, objects, saidError, shown, textOf, tokenProbabilities } from '../foreign.ts'
import { checkRequest } from '../request.ts'
import { nothing, type CallPart, type Chunk, type SaidUsage } from './answer.ts'

/** `plain`: only what the dialect itself has; else what llama.cpp and vLLM understand beside it. */
export function chatBody(request: ModelRequest, model: string, plain: boolean): Record<string, unknown> {
  const { temperature, topK, topP, minP, repeatPenalty, seed } = request.sampling
  return {
    model, stream: true, stream_options: { include_usage: true, ...(plain ? {} : { continuous_usage_stats: true }) },
    messages: request.messages.map((message) => messageOf(message, plain)), temperature, top_p: topP, max_tokens: request.maxTokens, ...(seed === null ? {} : { seed }),
    ...(request.probabilities > 0 ? { logprobs: true, top_logprobs: request.probabilities } : {}),
    ...toolsOf(request),
    ...(request.responseFormat.type === 'json_schema' ? { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema: request.responseFormat.schema } } } : {}),
    ...(plain || request.reasoning === undefined ? {} : { chat_template_kwargs: thinkingWords(request.reasoning, true) }),
    ...(plain ? {} : { top_k: topK, min_p: minP, repeat_penalty: repeatPenalty, repetition_penalty: repeatPenalty, return_progress: true, cache_prompt: true }),
  }
}

export function toolsOf(request: ModelRequest): { tools?: object[]; tool_choice?: unknown } {
  if (request.tools.length === 0) return {}
  return {
    tools: request.tools.map(({ name, description, parameters }) => ({ type: 'function', function: { name, description, parameters } })),
    tool_choice: typeof request.toolChoice === 'object' ? { type: 'function', function: { name: request.toolChoice.name } } : request.toolChoice,
  }
}

export function messageOf(message: Message, plain: boolean): Record<string, unknown> {
  switch (message.role) {
    case 'system':
    case 'user': return { role: message.role, content: message.text }
    case 'assistant': return {
      role: 'assistant', content: message.text, ...(plain || message.reasoning === undefined ? {} : { reasoning_content: message.reasoning }),
      ...(message.toolCalls === undefined || message.toolCalls.length === 0 ? {} : {
        tool_calls: message.toolCalls.map((call) => ({ id: call.id, type: 'function', function: { name: call.name, arguments: JSON.stringify(call.arguments) } })),
      }),
    }
    case 'tool': return { role: 'tool', tool_call_id: message.callId, content: message.text }
    default: return message satisfies never
  }
}

/** The request with its defaults, when it is valid and these dialects can say it. */
export function sendable(input: unknown): ReturnType<typeof checkRequest> {
  const checked = checkRequest(input)
  if (!checked.ok) return checked
  const { toolChoice, tools, responseFormat } = checked.request
  const problem = (where: string, what: string): { ok: false; fault: Fault } => ({ ok: false, fault: fault('bad_request', { where, problem: what }) })
  if (typeof toolChoice === 'object' && !tools.some((tool) => tool.name === toolChoice.name)) return problem('toolChoice', `there is no tool '${toolChoice.name}' among the tools`)
  if (toolChoice === 'required' && tools.length === 0) return problem('toolChoice', 'a call is required but there are no tools')
  if (responseFormat.type === 'json_schema' && tools.length > 0) return { ok: false, fault: fault('unsupported', { what: 'A JSON schema together with tools' }) }
  return checked
}

/** One event of the stream, or what is wrong with it. */
export function readChunk(data: string, probabilities: number): Chunk | string {
  try {
    return chunkOf(JSON.parse(data), probabilities)
  } catch {
    return `it sent '${shown(data)}', which is no JSON`
  }
}

/** The same, of the event as a value. */
export function chunkOf(value: unknown, probabilities: number): Chunk | string {
  if (!isObject(value)) return `it sent '${shown(JSON.stringify(value))}', which is no chunk`
  if ((value['error'] ?? null) !== null) return { ...nothing, error: messageOfError(value) }
  const choice = Array.isArray(value['choices']) && isObject(value['choices'][0]) ? value['choices'][0] : null
  if (choice === null && !isObject(value['usage']) && !Array.isArray(value['choices'])) return `it sent '${shown(JSON.stringify(value))}', which is no chunk`
  const delta = choice !== null && isObject(choice['delta']) ? choice['delta'] : {}
  const progress = value['prompt_progress']
  const finish = choice === null ? null : choice['finish_reason']
  return {
    text: textOf(delta['content']), reasoning: textOf(delta['reasoning_content'] ?? delta['reasoning']),
    calls: objects(delta['tool_calls']).map(callOf), finish: typeof finish === 'string' ? finish : null,
    usage: usageOf(value['usage']), error: null,
    refused: textOf(delta['refusal']) || (finish === 'content_filter' ? 'its content filter stepped in' : null),
    progress: isObject(progress) ? { total: whole(progress['total']), cache: whole(progress['cache']), processed: whole(progress['processed']) } : null,
    probabilities: probabilities === 0 || choice === null || !isObject(choice['logprobs']) ? [] : tokenProbabilities(choice['logprobs']['content'], probabilities),
  }
}

function callOf(call: Record<string, unknown>): CallPart {
  const made = isObject(call['function']) ? call['function'] : {}
  return {
    index: whole(call['index']), id: textOf(call['id']) || null, name: textOf(made['name']), arguments: textOf(made['arguments']),
  }
}

/** Cached tokens stand in the details, with DeepSeek beside them. */
function usageOf(value: unknown): SaidUsage | null {
  if (!isObject(value)) return null
  const details = isObject(value['prompt_tokens_details']) ? value['prompt_tokens_details'] : {}
  return {
    prompt: countOf(value['prompt_tokens']), cached: countOf(details['cached_tokens'] ?? value['prompt_cache_hit_tokens'] ?? 0),
    written: countOf(details['cache_write_tokens'] ?? 0), completion: countOf(value['completion_tokens']),
  }
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

/** Counts of a prompt over the window: llama.cpp gives them as fields, vLLM, SGLang and OpenRouter in a sentence. */
export function overflowOf(text: string): { prompt: number; context: number | null } | null {
  const fields = /"n_prompt_tokens"\s*:\s*(\d+)/.exec(text)
  if (fields !== null) return { prompt: Number(fields[1]), context: Number(/"n_ctx"\s*:\s*(\d+)/.exec(text)?.[1] ?? 0) || null }
  if (!/context (length|window|size)|maximum context|exceeds? the (available|model)/i.test(text)) return null
  const window = /(?:maximum context length is|context (?:length|size|window) (?:is|of)?|available context size)\D{0,12}(\d+)/i.exec(text)
  // The count of the messages is the prompt's; what was requested in all includes the answer.
  const count = [/(\d+) (?:tokens )?(?:(?:in|from) the (?:messages|input)|of text input)/i, /(\d+) (?:input|prompt) tokens/i, /prompt (?:has|contains|of) (\d+)/i, /requested (?:about )?(\d+)/i]
    .map((pattern) => pattern.exec(text)?.[1]).find((one) => one !== undefined)
  return count === undefined ? null : { prompt: Number(count), context: window === null ? null : Number(window[1]) }
}

export function bodyMessage(text: string): string {
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
