// Owns Anthropic's Messages format: the request with its cache breakpoints, and one streamed event read with suspicion. Its official client is loaded
// by the first call.
import type { ContentBlockParam, MessageCreateParamsStreaming, TextBlockParam } from '@anthropic-ai/sdk/resources/messages/messages'
import { fault, FaultError, type Message, type ModelRequest, type Reasoning, type RemoteModelConfig } from '@hearth/protocol'
import { countOf, isObject, shown, textOf } from '../foreign.ts'
import { nothing, type Chunk, type SaidUsage } from './answer.ts'
import { chosenSampling } from './chosen-sampling.ts'
import type { Dialect, Reading } from './dialect.ts'
import { inOrder, type Turn, type TurnPart } from './thoughts.ts'

const here = { cache_control: { type: 'ephemeral' } } as const

export const anthropic: Dialect<MessageCreateParamsStreaming> = {
  path: '/v1/messages',
  // What the installed client speaks; said here, because an environment can put another into that client.
  headers: { 'anthropic-version': '2026-10-21' },
  // A request that does not let it think must not hold thoughts.
  takesThoughts: ({ reasoning, toolChoice }) => reasoning !== 'off' && isFree(toolChoice),
  body: anthropicBody,
  async open(body, { baseUrl, fetch, signal }) {
    const { default: Anthropic } = await import('@anthropic-ai/sdk')
    const client = new Anthropic({
      baseURL: baseUrl, apiKey: 'set-by-hearth', webhookKey: null, fetch, maxRetries: 0, timeout: 2 ** 31 - 1, logLevel: 'off', openTelemetry: { traces: false, propagation: false },
    })
    return await client.messages.create(body, { signal })
  },
  reading: () => new AnthropicReading(),
}

/**
 * Cached is what a job's next request begins with again: tools and system prompt, the first message, and with tools everything so far, because the
 * results of its calls follow. Three of the four breakpoints there may be.
 */
async function anthropicBody(request: ModelRequest, config: RemoteModelConfig, kept: ReadonlyMap<number, Turn>): Promise<MessageCreateParamsStreaming> {
  const { messages, tools, toolChoice, responseFormat, reasoning } = request
  const found = messages.findIndex(({ role }) => role !== 'system')
  const firstOther = found < 0 ? messages.length : found
  const system: TextBlockParam[] = messages.slice(0, firstOther).filter(({ text }) => text !== '').map(({ text }) => ({ type: 'text', text }))
  const turns = turnsOf(messages, firstOther, kept)
  const first = turns[0]?.content[0]
  const last = turns.at(-1)?.content.at(-1)
  const stable = system.at(-1)
  if (stable !== undefined) Object.assign(stable, here)
  if (first?.type === 'text' && first !== last) Object.assign(first, here)
  if (last !== undefined && tools.length > 0) Object.assign(last, here)
  const format = responseFormat.type === 'json_schema' ? { type: 'json_schema' as const, schema: await enforceable(responseFormat.schema) } : null
  const effort = reasoning === 'low' || reasoning === 'medium' || reasoning === 'high' ? reasoning : null
  // One of white space only is an error there; the account finds it in the text.
  const stops = request.stop.filter((stop) => stop.trim() !== '')
  const { temperature, topP, topK } = chosenSampling(request, config)
  return {
    model: config.model, max_tokens: request.maxTokens, stream: true, messages: turns,
    ...(system.length === 0 ? {} : { system }),
    ...(tools.length === 0 ? {} : {
      tools: tools.map(({ name, description, parameters }, index) => ({
        name, description, input_schema: { type: 'object' as const, ...parameters }, ...(stable === undefined && index === tools.length - 1 ? here : {}),
      })),
      tool_choice: typeof toolChoice === 'object' ? { type: 'tool' as const, name: toolChoice.name } : { type: toolChoice === 'required' ? 'any' as const : toolChoice },
    }),
    ...(format === null && effort === null ? {} : { output_config: { ...(format === null ? {} : { format }), ...(effort === null ? {} : { effort }) } }),
    ...thinkingOf(reasoning, isFree(toolChoice)),
    ...(stops.length === 0 ? {} : { stop_sequences: stops }),
    ...(temperature === undefined ? {} : { temperature }), ...(topP === undefined ? {} : { top_p: topP }), ...(topK === undefined ? {} : { top_k: topK }),
  }
}

/** A forced call and thinking exclude each other there, for the older models. */
const isFree = (toolChoice: ModelRequest['toolChoice']): boolean => toolChoice === 'auto' || toolChoice === 'none'

function thinkingOf(reasoning: Reasoning | undefined, free: boolean): Pick<MessageCreateParamsStreaming, 'thinking'> {
  if (reasoning === undefined) return {}
  return reasoning === 'off' ? { thinking: { type: 'disabled' } } : free ? { thinking: { type: 'adaptive', display: 'summarized' } } : {}
}

/** The schema as their decoder takes it; what it cannot enforce becomes words of the description. */
async function enforceable(schema: Record<string, unknown>): Promise<Record<string, unknown>> {
  const { transformJSONSchema } = await import('@anthropic-ai/sdk/lib/transform-json-schema')
  try {
    return transformJSONSchema(schema)
  } catch (error) {
    throw new FaultError(fault('bad_schema', { problem: shown(error instanceof Error ? error.message : String(error)) }))
  }
}

type Said = { role: 'user' | 'assistant'; content: ContentBlockParam[] }

/** Their turns alternate, hold blocks and no empty text; results of calls are the user's. */
function turnsOf(messages: readonly Message[], from: number, kept: ReadonlyMap<number, Turn>): Said[] {
  const turns: Said[] = []
  for (const [index, message] of messages.entries()) {
    if (index < from) continue
    const role = message.role === 'assistant' ? 'assistant' : 'user'
    const content = blocksOf(message, kept.get(index))
    const previous = turns.at(-1)
    if (previous?.role === role) previous.content.push(...content)
    else if (content.length > 0) turns.push({ role, content })
  }
  return turns
}

function blocksOf(message: Message, kept: Turn | undefined): ContentBlockParam[] {
  const text: ContentBlockParam[] = message.text.trim() === '' ? [] : [{ type: 'text', text: message.text }]
  switch (message.role) {
    case 'system':
    case 'user': return text
    case 'tool': return [{ type: 'tool_result', tool_use_id: idOf(message.callId), ...(text.length === 0 ? {} : { content: message.text }) }]
    case 'assistant': {
      const calls = (message.toolCalls ?? []).map((call) => ({ type: 'tool_use' as const, id: idOf(call.id), name: call.name, input: call.arguments }))
      // A turn with thoughts goes back in the order in which it came.
      return kept === undefined ? [...text, ...calls] : kept.flatMap((part): ContentBlockParam[] => {
        switch (part.type) {
          case 'sealed': return [part.block as ContentBlockParam]
          case 'text': return [{ type: 'text', text: part.text }]
          case 'call': return calls.splice(0, 1)
          default: return part satisfies never
        }
      })
    }
    default: return message satisfies never
  }
}

/** Their ids hold letters, digits, _ and - only. */
const idOf = (id: string): string => id.replace(/[^a-zA-Z0-9_-]/g, '_')

const finishes: Readonly<Record<string, string>> = { max_tokens: 'length', model_context_window_exceeded: 'length', stop_sequence: 'stop_sequence' }

class AnthropicReading implements Reading {
  #usage: SaidUsage & { anew: number } = { anew: Number.NaN, prompt: Number.NaN, cached: 0, written: 0, completion: Number.NaN }
  readonly #parts = new Map<number, TurnPart | { type: 'thinking'; thinking: string; signature: string }>()

  read(event: unknown): Chunk | string {
    if (!isObject(event) || typeof event['type'] !== 'string') return `it sent '${shown(JSON.stringify(event))}', which is no event`
    const index = typeof event['index'] === 'number' ? event['index'] : 0
    const delta = isObject(event['delta']) ? event['delta'] : {}
    switch (event['type']) {
      case 'message_start': return { ...nothing, usage: this.#counts(isObject(event['message']) ? event['message']['usage'] : null) }
      case 'content_block_start': return this.#begin(index, event['content_block'])
      case 'content_block_delta': return this.#piece(index, delta)
      // The count of a beginning is no count of the end.
      case 'message_delta': return { ...nothing, ...endOf(delta), usage: this.#counts(event['usage'] ?? (Number.isNaN(this.#usage.prompt) ? null : { output_tokens: Number.NaN })) }
      default: return nothing
    }
  }

  turn(): Turn {
    const parts = inOrder(this.#parts)
    // One without its seal, and a text of blanks only, would be errors there.
    if (parts.some((part) => (part.type === 'thinking' && part.signature === '') || (part.type === 'text' && part.text.trim() === ''))) return []
    return parts.map((part): TurnPart => (part.type === 'thinking' ? { type: 'sealed', block: part } : part))
  }

  #begin(index: number, block: unknown): Chunk {
    if (!isObject(block)) return nothing
    switch (block['type']) {
      case 'tool_use':
        this.#parts.set(index, { type: 'call' })
        return { ...nothing, calls: [{ index, id: textOf(block['id']) || null, name: textOf(block['name']), arguments: '' }] }
      case 'redacted_thinking':
        this.#parts.set(index, { type: 'sealed', block: { type: 'redacted_thinking', data: textOf(block['data']) } })
        return nothing
      case 'thinking':
        this.#parts.set(index, { type: 'thinking', thinking: textOf(block['thinking']), signature: textOf(block['signature']) })
        return { ...nothing, reasoning: textOf(block['thinking']) }
      case 'text':
        this.#parts.set(index, { type: 'text', text: textOf(block['text']) })
        return { ...nothing, text: textOf(block['text']) }
      default: return nothing
    }
  }

  #piece(index: number, delta: Record<string, unknown>): Chunk {
    const part = this.#parts.get(index)
    switch (delta['type']) {
      case 'text_delta':
        if (part?.type === 'text') part.text += textOf(delta['text'])
        return { ...nothing, text: textOf(delta['text']) }
      case 'input_json_delta': return { ...nothing, calls: [{ index, id: null, name: '', arguments: textOf(delta['partial_json']) }] }
      case 'thinking_delta':
        if (part?.type === 'thinking') part.thinking += textOf(delta['thinking'])
        return { ...nothing, reasoning: textOf(delta['thinking']) }
      case 'signature_delta':
        if (part?.type === 'thinking') part.signature = textOf(delta['signature'])
        return nothing
      default: return nothing
    }
  }

  /** Counts are cumulative; one that is not repeated stands. Theirs for the prompt leaves out what the cache read or wrote. */
  #counts(value: unknown): SaidUsage | null {
    if (!isObject(value)) return null
    const count = (name: string, known: number): number => (value[name] === undefined || value[name] === null ? known : countOf(value[name]))
    const anew = count('input_tokens', this.#usage.anew)
    const cached = count('cache_read_input_tokens', this.#usage.cached)
    const written = count('cache_creation_input_tokens', this.#usage.written)
    this.#usage = { anew, cached, written, prompt: anew < 0 ? anew : anew + cached + written, completion: count('output_tokens', this.#usage.completion) }
    const { prompt, completion } = this.#usage
    return { prompt, cached, written, completion }
  }
}

function endOf(delta: Record<string, unknown>): Pick<Chunk, 'finish' | 'refused'> {
  const reason = delta['stop_reason']
  if (typeof reason !== 'string') return { finish: null, refused: null }
  if (reason !== 'refusal') return { finish: finishes[reason] ?? 'end', refused: null }
  const details = isObject(delta['stop_details']) ? delta['stop_details'] : {}
  return { finish: 'end', refused: textOf(details['explanation']) || textOf(details['category']) || 'it does not say why' }
}
