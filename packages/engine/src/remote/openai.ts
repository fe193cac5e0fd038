// Owns OpenAI's Responses format: the request, and one streamed event read with suspicion. Nothing is stored there. Its official client is loaded by
// the first call.
import { createHash } from 'node:crypto'
import type OpenAI from 'openai'
import type { ResponseCreateParamsStreaming, ResponseInput } from 'openai/resources/responses/responses'
import type { Message, ModelRequest, RemoteModelConfig } from '@hearth/protocol'
import { countOf, isObject, objects, shown, textOf } from '../foreign.ts'
import { nothing, type Chunk, type SaidUsage } from './answer.ts'
import { chosenSampling } from './chosen-sampling.ts'
import { StreamError, type Dialect, type Reading, type Way } from './dialect.ts'
import { isStrict } from './strict-schema.ts'
import { inOrder, type Turn, type TurnPart } from './thoughts.ts'

export const responses: Dialect<ResponseCreateParamsStreaming> = {
  path: '/responses',
  headers: {},
  takesThoughts: ({ reasoning }) => reasoning !== 'off',
  body: (request, config, turns) => Promise.resolve(responsesBody(request, config, turns)),
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

function responsesBody(request: ModelRequest, config: RemoteModelConfig, kept: ReadonlyMap<number, Turn>): ResponseCreateParamsStreaming {
  const { tools, toolChoice, responseFormat, reasoning, sessionKey } = request
  const { temperature, topP } = chosenSampling(request, config)
  const thinks = reasoning !== undefined && reasoning !== 'off'
  return {
    model: config.model, stream: true, store: false, max_output_tokens: request.maxTokens, input: request.messages.flatMap((message, index) => itemsOf(message, kept.get(index))),
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

function itemsOf(message: Message, kept: Turn | undefined): ResponseInput {
  switch (message.role) {
    case 'system': return [{ role: 'developer', content: message.text }]
    case 'user': return [{ role: 'user', content: message.text }]
    case 'tool': return [{ type: 'function_call_output', call_id: message.callId, output: message.text }]
    case 'assistant': {
      const calls = (message.toolCalls ?? []).map((call) => ({ type: 'function_call' as const, call_id: call.id, name: call.name, arguments: JSON.stringify(call.arguments) }))
      if (kept === undefined) return [...(message.text === '' ? [] : [{ role: 'assistant' as const, content: message.text }]), ...calls]
      return kept.flatMap((part): ResponseInput => {
        switch (part.type) {
          case 'sealed': return [part.block] as ResponseInput
          case 'text': return [{ role: 'assistant', content: part.text, ...(part.phase === 'commentary' || part.phase === 'final_answer' ? { phase: part.phase } : {}) }]
          case 'call': return calls.splice(0, 1)
          default: return part satisfies never
        }
      })
    }
    default: return message satisfies never
  }
}

class ResponsesReading implements Reading {
  readonly #parts = new Map<number, TurnPart>()

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
        if (item['type'] !== 'function_call') return nothing
        this.#parts.set(index, { type: 'call' })
        return { ...nothing, calls: [{ index, id: textOf(item['call_id']) || null, name: textOf(item['name']), arguments: textOf(item['arguments']) }] }
      case 'response.function_call_arguments.delta': return { ...nothing, calls: [{ index, id: null, name: '', arguments: delta }] }
      case 'response.output_item.done':
        // What is sealed is whole only now. Nothing is stored there: a reasoning item without it would be looked for in vain.
        if (item['type'] === 'reasoning' && typeof item['encrypted_content'] === 'string') this.#parts.set(index, { type: 'sealed', block: item })
        if (item['type'] === 'message') this.#parts.set(index, { type: 'text', text: objects(item['content']).map((piece) => textOf(piece['text'])).join(''), ...(typeof item['phase'] === 'string' ? { phase: item['phase'] } : {}) })
        return nothing
      case 'response.completed':
      case 'response.incomplete':
      case 'response.failed': return isObject(event['response']) ? endOf(event['response']) : `it sent '${shown(JSON.stringify(event))}', which has no response in it`
      case 'error': throw new StreamError(event)
      default: return nothing
    }
  }

  turn(): Turn {
    return inOrder(this.#parts)
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
