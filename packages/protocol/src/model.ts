// Owns the port through which every token comes: Model, ModelRequest, ModelEvent. Knows no engine, no provider, no template.
import { z } from 'zod'
import type { Fault } from './fault.ts'
import { jobClasses } from './principal.ts'

export const ToolCall = z.strictObject({
  id: z.string().min(1).describe('unique within the conversation'),
  name: z.string().min(1),
  arguments: z.record(z.string(), z.unknown()).describe('parsed JSON object'),
})
export type ToolCall = z.infer<typeof ToolCall>

export const Message = z.discriminatedUnion('role', [
  z.strictObject({ role: z.literal('system'), text: z.string() }),
  z.strictObject({ role: z.literal('user'), text: z.string() }),
  z.strictObject({
    role: z.literal('assistant'), text: z.string(), toolCalls: z.array(ToolCall).optional(),
    reasoning: z.string().optional().describe('what it thought before it said this; the template shows it or leaves it out'),
  }),
  z.strictObject({ role: z.literal('tool'), callId: z.string(), name: z.string(), text: z.string() }),
])
export type Message = z.infer<typeof Message>

export const JsonSchema = z.record(z.string(), z.unknown())
export type JsonSchema = z.infer<typeof JsonSchema>

export const ToolSpec = z.strictObject({
  name: z.string().regex(/^[a-zA-Z0-9_-]{1,64}$/),
  description: z.string(),
  parameters: JsonSchema.describe('JSON schema of the arguments object'),
})
export type ToolSpec = z.infer<typeof ToolSpec>

/** Values outside these ranges are refused before an engine hears of them. */
export const Sampling = z.strictObject({
  temperature: z.number().min(0).max(5).default(0.7).describe('0 = greedy'),
  topK: z.int().min(0).max(1000).default(40).describe('0 = off'),
  topP: z.number().gt(0).max(1).default(0.95).describe('1 = off'),
  minP: z.number().min(0).max(1).default(0).describe('0 = off'),
  repeatPenalty: z.number().min(0.5).max(2).default(1).describe('1 = off'),
  seed: z.int().min(0).max(2 ** 32 - 1).nullable().default(null).describe('null = random'),
})
export type Sampling = z.infer<typeof Sampling>

/** How a model is asked to think: not at all, as it likes, or with so much effort. */
export const reasonings = ['off', 'on', 'low', 'medium', 'high'] as const
export type Reasoning = (typeof reasonings)[number]

/** The last five are escalations, named as their modes. */
export const purposes = ['agent', 'chat', 'canary', 'bench', 'plan', 'advise', 'step', 'review', 'rest'] as const

export const ModelRequest = z.strictObject({
  messages: z.array(Message).min(1),
  tools: z.array(ToolSpec).default([]),
  toolChoice: z.union([z.enum(['auto', 'none', 'required']), z.strictObject({ name: z.string() })]).default('auto'),
  responseFormat: z.discriminatedUnion('type', [
    z.strictObject({ type: z.literal('text') }),
    z.strictObject({ type: z.literal('json_schema'), schema: JsonSchema }),
  ]).default({ type: 'text' }),
  sampling: Sampling.prefault({}),
  maxTokens: z.int().min(1).max(1_000_000).default(1024).describe('completion tokens at most'),
  stop: z.array(z.string().min(1)).max(16).default([]),
  reasoning: z.enum(reasonings).optional().describe('how it is asked to think, as far as its template knows of it; absent = as the template does by itself'),
  probabilities: z.int().min(0).max(20).default(0).describe('0 = none; n = the n likeliest tokens beside each chosen one'),
  likelihoods: z.boolean().optional().describe('true: how likely the model itself found each chosen token is wished for, before grammar, temperature and filters; who cannot say it cheaply answers without'),
  sessionKey: z.string().nullable().default(null).describe('requests with the same key share a prefix; used to find the slot that holds it'),
  tentative: z.boolean().optional().describe('true: nothing but this request speaks for its session yet, so it gives way to sessions that went on'),
  owner: z.string().optional().describe('for whom it is: what was read for one owner is never reused for another; absent = nobody in particular'),
  class: z.enum(jobClasses).default('interactive'),
  purpose: z.enum(purposes).default('chat'),
})
export type ModelRequest = z.infer<typeof ModelRequest>
export type ModelRequestInput = z.input<typeof ModelRequest>

export const stopReasons = ['end', 'stop_sequence', 'max_tokens', 'tool_calls', 'cancelled'] as const
export type StopReason = (typeof stopReasons)[number]

/** Token counts of one call. `reusedTokens` of the `promptTokens` were already in the KV cache and were not evaluated again. */
export const Usage = z.strictObject({
  promptTokens: z.int().min(0),
  reusedTokens: z.int().min(0),
  completionTokens: z.int().min(0),
  cacheWriteTokens: z.int().min(0).optional().describe('prompt tokens that a provider wrote into its cache, at a price of their own; absent = none'),
  estimated: z.literal(true).optional().describe('the provider ended its answer and gave no counts, or such as cannot be: these were guessed; absent = they are its own'),
  drafts: z.strictObject({
    draftedTokens: z.int().min(0),
    acceptedTokens: z.int().min(0),
  }).optional().describe('tokens guessed ahead and how many of them were right; absent when none were'),
})
export type Usage = z.infer<typeof Usage>

/** Milliseconds of one call. ttftMs: from the request to the first token, null when there was none. */
export const Timings = z.strictObject({
  queuedMs: z.number().min(0),
  prefillMs: z.number().min(0),
  decodeMs: z.number().min(0),
  ttftMs: z.number().min(0).nullable(),
  totalMs: z.number().min(0),
})
export type Timings = z.infer<typeof Timings>

/** A chosen token with its probability (0..1): after sampling filters and with the likeliest others (`probabilities`), or the model's own and alone (`likelihoods`). */
export type TokenProbability = { text: string; probability: number; top: { text: string; probability: number }[] }

/**
 * What a model says while it works. Order: `queued`* `started`? (`prefill` | `reasoning` | `text` | `tool_call` | `malformed_call`)*, then exactly
 * one `done` or `failed`, after which nothing follows. Text arrives in pieces; their concatenation is the completion. Reasoning is no part of it.
 */
export type ModelEvent =
  /** `etaMs`: forecast of the wait from measured speeds; absent before anything was measured. `reason`: what is waited for when it is not a sequence of its own model. */
  | { type: 'queued'; position: number; etaMs?: number; reason?: string }
  | { type: 'started'; promptTokens: number; reusedTokens: number }
  | { type: 'prefill'; doneTokens: number; totalTokens: number }
  | { type: 'text'; text: string; probabilities?: TokenProbability[] }
  /** Thoughts that the model's format sets apart from its answer; shown to who asks for them, never sent back. */
  | { type: 'reasoning'; text: string }
  | { type: 'tool_call'; call: ToolCall }
  | { type: 'malformed_call'; text: string; problem: string }
  | { type: 'done'; stop: StopReason; usage: Usage; timings: Timings }
  | { type: 'failed'; fault: Fault; usage: Usage; timings: Timings }

/**
 * How likely the model itself found the tokens of a part of its calls, in thousandths: before grammar, temperature and filters, so that what a grammar forces is no
 * certainty. Quantiles by nearest rank.
 */
export const TokenLikelihood = z.strictObject({
  tokens: z.int().min(1),
  lowest: z.int().min(0).max(1000),
  tenth: z.int().min(0).max(1000).describe('a tenth of the tokens is at most so likely; of ten tokens or fewer it is the lowest'),
})
export type TokenLikelihood = z.infer<typeof TokenLikelihood>

/** Of all calls of one turn. Names and values of arguments only: keys, quotes and tags around them say nothing. Null = no call has any. */
export const CallLikelihood = z.strictObject({
  names: TokenLikelihood,
  values: TokenLikelihood.nullable(),
})
export type CallLikelihood = z.infer<typeof CallLikelihood>

export type Place = 'local' | 'lan' | 'remote'

/** An agent job needs a window of so many tokens, and works well from so many on, unless the profile names the window that its model was set up for. */
export const windowNeeds = { neededTokens: 8192, wellTokens: 32_768 } as const

/** How the agent speaks with a model; from the catalogue. */
export const AgentProfile = z.strictObject({
  toolMode: z.enum(['json', 'native']).describe('json: one grammar-constrained JSON call a step; native: the template has tools'),
  tools: z.array(z.string()).nullable().default(null).describe('the only tools offered; null = all'),
  maxTools: z.int().min(2).max(64).optional().describe('tools offered at most, finish and mcp included; the least needed are left out first (docs/tools.md); absent = no limit'),
  editFormat: z.enum(['edit', 'write', 'both']).optional().describe('how it changes files: edit = by replacing exact text, write = by writing whole files; the other tool is not offered; absent = both'),
  prompt: z.strictObject({
    how: z.enum(['add', 'replace']).describe("add: behind Hearth's own words; replace: in their place, but for the rule that results are data"),
    text: z.string().trim().min(1).max(16_000).describe('words of the system prompt'),
  }).optional().describe('its own words in the system prompt; absent = none'),
  fewShot: z.strictObject({
    bank: z.string().describe('name of an example bank of the agent package'),
    count: z.int().min(0).max(16).describe('how many'),
  }).nullable().default(null).describe('example episodes put before the task, chosen by likeness'),
  reasoning: z.strictObject({
    ask: z.enum(reasonings).optional().describe('how it is asked to think, as far as its template knows of it; absent = as the template does by itself'),
    keep: z.boolean().optional().describe('its earlier thoughts stay in the prompt, where its template shows them; absent = false: they are left out'),
  }).optional().describe('how its thoughts are handled; people are shown them in any case'),
  stop: z.array(z.string().min(1).max(200)).max(16).optional().describe('an answer ends before the first of these texts; for a model that goes on by itself'),
  sampling: Sampling.partial().default({}).describe('values that differ from the defaults'),
  maxCallTokens: z.int().min(16).default(1024).describe('completion tokens at most for one step'),
  checkAfterEdit: z.boolean().optional().describe("run the job's fast checks after each edit and tell the model; absent = true"),
  minContextTokens: z.int().min(64).optional().describe('the smallest window it was set up for; agent jobs are refused below it, and not warned from it on; absent = refused below 8,192 tokens, warned below 32,768'),
}).superRefine(({ tools, editFormat }, context) => {
  const lacking = (editFormat === 'both' ? ['edit', 'write'] as const : editFormat === undefined ? [] : [editFormat]).find((name) => tools !== null && !tools.includes(name))
  if (lacking !== undefined) context.addIssue({ code: 'custom', path: ['editFormat'], message: `it asks for the tool ${lacking}, which is not among the profile's tools` })
})
export type AgentProfile = z.infer<typeof AgentProfile>

export type ModelInfo = {
  id: string
  place: Place
  contextTokens: number
  profile: AgentProfile
  /** The owner says that policy treats this model, which runs on another machine, as if it were this box. Shown by `hearth models`; no rule reads it yet. */
  countsAsLocal?: boolean
}

/** The port. `generate` never throws and never rejects: every failure is the `failed` event. Aborting the signal ends it with `done/cancelled`. */
export interface Model {
  readonly info: ModelInfo
  generate(request: ModelRequest, signal: AbortSignal): AsyncIterable<ModelEvent>
}

export const noUsage: Usage = { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }
