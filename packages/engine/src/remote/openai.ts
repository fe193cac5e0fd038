// Owns OpenAI's Responses format: the request, and one streamed event read with suspicion. Nothing is stored there. Its official client is loaded by
// the first call.
import { createHash } from 'node:crypto'
import type OpenAI from 'openai'
import type { ResponseCreateParamsStreaming, ResponseInput } from 'openai/resources/responses/responses'
import type { Message, ModelRequest, RemoteModelConfig } from '@hearth/protocol'
import { countOf, isObject, shown, textOf } from '../foreign.ts'
import { nothing, type Chunk, type SaidUsage } from './answer.ts'
import { chosenSampling } from './chosen-sampling.ts'
import { StreamError, type Dialect, type Reading, type Way } from './dialect.ts'
import { isStrict } from './strict-schema.ts'
import type { KeptThoughts } from './thoughts.ts'

export const responses: Dialect<ResponseCreateParamsStreaming> = {
  path: '/responses',
  headers: {},
  body: (request, config, thoughts) => Promise.resolve(responsesBody(request, config, thoughts)),
  async open(body, way) {
    return await (await openaiClient(way)).responses.create(body, { signal: way.signal })
  },
  reading: () => new ResponsesReading(),
}

/** The official client, without its retries, its words on the console and what it would read of the environment. */
export async function openaiClient({ baseUrl, fetch }: Way): Promise<OpenAI> {
  const { default: Client } = await import('openai')
  return new Client({
    baseURL: baseUrl, apiKey: 'set-by-hearth', adminAPIKey: null, organization: null, project: null, webhookSecret: null, fetch, maxRetries: 0, timeout: 2 ** 31 - 1, logLevel: 'off',
  })
}

function responsesBody(request: ModelRequest, config: RemoteModelConfig, thoughts: KeptThoughts): ResponseCreateParamsStreaming {
  const { tools, toolChoice, responseFormat, reasoning, sessionKey } = request
  const { temperature, topP } = chosenSampling(request, config)
  const thinks = reasoning !== undefined && reasoning !== 'off'
  return {
    model: config.model, stream: true, store: false, max_output_tokens: request.maxTokens, input: request.messages.flatMap((message) => itemsOf(message, thoughts)),
    ...(tools.length === 0 ? {} : {
      tools: tools.map(({ name, description, parameters }) => ({ type: 'function' as const, name, description, parameters, strict: false })),
      tool_choice: typeof toolChoice === 'object' ? { type: 'function' as const, name: toolChoice.name } : toolChoice,
    }),
    ...(responseFormat.type === 'json_schema' ? { text: { format: { type: 'json_schema' as const, name: 'answer', schema: responseFormat.schema, strict: isStrict(responseFormat.schema) } } } : {}),
    ...(reasoning === undefined ? {} : { reasoning: reasoning === 'off' ? { effort: 'none' as const } : { summary: 'auto' as const, ...(reasoning === 'on' ? {} : { effort: reasoning }) } }),
    // Thoughts go back with the results of the calls; a model that does not think refuses the wish.
    ...(thinks ? { include: ['reasoning.encrypted_content' as const] } : {}),
    // Requests with one key meet where their common beginning is cached; what it stands for is nobody's business.
    ...(sessionKey === null ? {} : { prompt_cache_key: createHash('sha256').update(sessionKey).digest('hex').slice(0, 32) }),
    ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { top_p: topP }),
  }
}

function itemsOf(message: Message, thoughts: KeptThoughts): ResponseInput {
  switch (message.role) {
    case 'system': return [{ role: 'developer', content: message.text }]
    case 'user': return [{ role: 'user', content: message.text }]
    case 'tool': return [{ type: 'function_call_output', call_id: message.callId, output: message.text }]
    case 'assistant': {
      const calls = message.toolCalls ?? []
      return [
        ...(calls[0] === undefined ? [] : thoughts.of(calls[0].id)) as ResponseInput,
        ...(message.text === '' ? [] : [{ role: 'assistant' as const, content: message.text }]),
        ...calls.map((call) => ({ type: 'function_call' as const, call_id: call.id, name: call.name, arguments: JSON.stringify(call.arguments) })),
      ]
    }
    default: return message satisfies never
  }
}

class ResponsesReading implements Reading {
  readonly #thoughts: unknown[] = []

  read(event: unknown): Chunk | string {
    if (!isObject(event) || typeof event['type'] !== 'string') return `it sent '${shown(JSON.stringify(event))}', which is no event`
    const index = typeof event['output_index'] === 'number' ? event['output_index'] : 0
    const delta = textOf(event['delta'])
    const item = isObject(event['item']) ? event['item'] : {}
    switch (event['type']) {
      case 'response.output_text.delta': return { ...nothing, text: delta }
      case 'response.refusal.delta': return { ...nothing, refused: delta }
      case 'response.reasoning_summary_text.delta':
      case 'response.reasoning_text.delta': return { ...nothing, reasoning: delta }
      case 'response.output_item.added':
        return item['type'] === 'function_call' ? { ...nothing, calls: [{ index, id: textOf(item['call_id']) || null, name: textOf(item['name']), arguments: textOf(item['arguments']) }] } : nothing
      case 'response.function_call_arguments.delta': return { ...nothing, calls: [{ index, id: null, name: '', arguments: delta }] }
      case 'response.output_item.done':
        if (item['type'] === 'reasoning' && typeof item['encrypted_content'] === 'string') this.#thoughts.push(item)
        return nothing
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed': return isObject(event['response']) ? endOf(event['response']) : `it sent '${shown(JSON.stringify(event))}', which has no response in it`
      case 'error': throw new StreamError(event)
      default: return nothing
    }
  }

  thoughts(): readonly unknown[] {
    return this.#thoughts
  }
}

function endOf(response: Record<string, unknown>): Chunk {
  const details = isObject(response['incomplete_details']) ? response['incomplete_details'] : {}
  if (isObject(response['error']) || response['status'] === 'failed') throw new StreamError(response['error'] ?? response)
  const usage = usageOf(response['usage'])
  if (details['reason'] === 'content_filter') return { ...nothing, usage, finish: 'end', refused: 'its content filter stepped in' }
  return { ...nothing, usage, finish: response['status'] === 'incomplete' ? 'length' : 'end' }
}

function usageOf(value: unknown): SaidUsage | null {
  if (!isObject(value)) return null
  const details = isObject(value['input_tokens_details']) ? value['input_tokens_details'] : {}
  return { prompt: countOf(value['input_tokens']), cached: countOf(details['cached_tokens'] ?? 0), written: countOf(details['cache_write_tokens'] ?? 0), completion: countOf(value['output_tokens']) }
}
