// Owns the reading of an OpenAI chat request: its JSON in, our ModelRequest and what the reply must look like out, or the field that is
// wrong. Pure: asks no model, knows no HTTP. A field is honoured, known to change nothing, or refused; never silently dropped.
import { ToolSpec, type ModelRequestInput } from '@hearth/protocol'
import { z } from 'zod'
import { messagesOf } from './messages.ts'
import { refusalOf, refuse, samplingFields, type Refusal } from './refusal.ts'

export type Chat = {
  /** As the client wrote it. */
  model: string
  request: Omit<ModelRequestInput, 'class' | 'sessionKey' | 'maxTokens'>
  /** Null: as many as the window holds. */
  maxTokens: number | null
  stream: boolean
  includeUsage: boolean
  choices: number
  /** Null: none; else how many likeliest tokens beside each chosen one. */
  topLogprobs: number | null
  /** The answer ends after its first tool call. */
  oneCall: boolean
  /** The client's own name of the conversation; null = it says none. */
  cacheKey: string | null
  /** Whose conversations are told apart by it. */
  user: string | null
}

export type Read = { ok: true; chat: Chat } | Refusal

const maxChoices = 8

const Tool = z.looseObject({
  type: z.literal('function', { error: "only tools of the type 'function' can be called" }),
  function: z.looseObject({
    name: ToolSpec.shape.name, description: z.string().nullish(), parameters: z.record(z.string(), z.unknown()).nullish(), strict: z.boolean().nullish(),
  }),
})

const ToolChoice = z.union([
  z.enum(['auto', 'none', 'required']), z.looseObject({ type: z.literal('function'), function: z.looseObject({ name: z.string() }) }),
], { error: "it is 'auto', 'none', 'required' or {type: 'function', function: {name}}" })

const ResponseFormat = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({ type: z.literal('json_schema'), json_schema: z.looseObject({ name: z.string().nullish(), schema: z.record(z.string(), z.unknown()), strict: z.boolean().nullish() }) }),
])

/** What is done with each field. */
const honoured = {
  model: z.string().max(4096).default(''),
  messages: z.array(z.unknown()).min(1),
  stream: z.boolean().nullish(),
  stream_options: z.strictObject({ include_usage: z.boolean().nullish(), include_obfuscation: z.boolean().nullish() }).nullish(),
  n: z.int().min(1).max(maxChoices).nullish(),
  max_tokens: z.int().min(1).max(1_000_000).nullish(),
  max_completion_tokens: z.int().min(1).max(1_000_000).nullish(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).max(16)]).nullish(),
  seed: z.int().nullish(),
  temperature: z.number().min(0).max(5).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(0).max(1000).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  repeat_penalty: z.number().min(0.5).max(2).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  tools: z.array(Tool).max(128).nullish(),
  tool_choice: ToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
  response_format: ResponseFormat.nullish(),
  prompt_cache_key: z.string().max(512).nullish(),
  user: z.string().max(512).nullish(),
  metadata: z.looseObject({ session: z.string().max(512).nullish() }).nullish(),
}

/** Fields that ask for nothing that could be missed in the answer: hints, bookkeeping of a service we are not. */
const harmless = {
  safety_identifier: z.unknown().optional(), service_tier: z.unknown().optional(), prompt_cache_retention: z.unknown().optional(),
  prediction: z.unknown().optional(), reasoning_effort: z.unknown().optional(), verbosity: z.unknown().optional(),
}

const zero = z.literal(0, { error: 'only 0 can be honoured: this penalty is not built in; repeat_penalty is' })
const off = (what: string) => z.literal(false, { error: what })
/** Fields whose neutral value is accepted because clients send it; any other would change the answer and cannot be honoured. */
const neutralOnly = {
  frequency_penalty: zero.nullish(), presence_penalty: zero.nullish(),
  logit_bias: z.strictObject({}, { error: 'a bias on tokens is not built in' }).nullish(),
  store: off('answers are not stored here').nullish(),
  modalities: z.array(z.literal('text', { error: 'answers are text only' })).nullish(),
  functions: z.array(z.unknown()).max(0, { error: "this form is outdated; use 'tools'" }).nullish(),
  function_call: z.enum(['auto', 'none'], { error: "this form is outdated; use 'tool_choice'" }).nullish(),
}

const Body = z.strictObject({ ...honoured, ...harmless, ...neutralOnly })

/** Reads a chat request. The first thing that is wrong is named by its path, as OpenAI's `param` does. */
export function readChat(value: unknown): Read {
  const parsed = Body.safeParse(value)
  if (!parsed.success) return refusalOf(parsed.error.issues[0], value)
  const body = parsed.data
  const tools = (body.tools ?? []).map(({ function: { name, description, parameters } }) => ({ name, description: description ?? '', parameters: parameters ?? { type: 'object', properties: {} } }))
  const twice = tools.find((tool, index) => tools.findIndex((other) => other.name === tool.name) !== index)
  if (twice !== undefined) return refuse('tools', `two tools have the name '${twice.name}'`)
  const choice = body.tool_choice ?? 'auto'
  const toolChoice = typeof choice === 'string' ? choice : { name: choice.function.name }
  if (typeof toolChoice === 'object' && !tools.some((tool) => tool.name === toolChoice.name)) return refuse('tool_choice', `there is no tool '${toolChoice.name}' among the tools`)
  if (toolChoice === 'required' && tools.length === 0) return refuse('tool_choice', 'a call is required but there are no tools')
  if (typeof body.top_logprobs === 'number' && body.logprobs !== true) return refuse('top_logprobs', 'it needs logprobs: true')
  if (body.stream_options != null && body.stream !== true) return refuse('stream_options', 'it needs stream: true')
  const messages = messagesOf(body.messages)
  if (!messages.ok) return messages
  const sampling: Record<string, number> = {}
  for (const [theirs, ours] of Object.entries(samplingFields)) {
    const given = body[theirs as keyof typeof samplingFields]
    if (typeof given === 'number') sampling[ours] = given
  }
  // Their seeds have 64 bits and a sign, ours 32: folded, so that the same one still gives the same answer.
  if (typeof body.seed === 'number') sampling['seed'] = Number(BigInt.asUintN(32, BigInt(body.seed)))
  const topLogprobs = body.logprobs === true ? body.top_logprobs ?? 0 : null
  return {
    ok: true,
    chat: {
      model: body.model, stream: body.stream === true, includeUsage: body.stream_options?.include_usage === true, choices: body.n ?? 1,
      maxTokens: body.max_completion_tokens ?? body.max_tokens ?? null, topLogprobs, oneCall: body.parallel_tool_calls === false,
      cacheKey: body.prompt_cache_key ?? body.metadata?.session ?? null, user: body.user ?? null,
      request: {
        messages: messages.messages, tools, toolChoice, sampling, stop: [body.stop ?? []].flat(), purpose: 'chat',
        responseFormat: formatOf(body.response_format), probabilities: topLogprobs === null ? 0 : Math.max(1, topLogprobs),
      },
    },
  }
}

function formatOf(format: z.infer<typeof ResponseFormat> | null | undefined): NonNullable<ModelRequestInput['responseFormat']> {
  switch (format?.type) {
    case undefined: case 'text': return { type: 'text' }
    case 'json_object': return { type: 'json_schema', schema: { type: 'object' } }
    case 'json_schema': return { type: 'json_schema', schema: format.json_schema.schema }
    default: return format satisfies never
  }
}
