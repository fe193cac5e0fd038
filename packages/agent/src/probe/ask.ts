// Owns how one question of a probe is put to a model, and what its answer says whichever mode it came in. Judges nothing.
import { ModelRequest, type Fault, type JsonSchema, type Message, type Model, type ModelRequestInput, type StopReason, type ToolCall, type Usage } from '@hearth/protocol'
import type { Case, Said } from './cases.ts'

/** `thoughts`: characters. */
export type Answered = { ok: true; text: string; calls: ToolCall[]; malformed: string | null; thoughts: number; stop: StopReason; usage: Usage; prefillMs: number; ms: number } | { ok: false; fault: Fault; ms: number }

/** Greedy, so that a probe gives the same twice; below jobs and people in the queue. */
export async function ask(model: Model, request: ModelRequestInput, signal: AbortSignal): Promise<Answered> {
  const begun = performance.now()
  let text = ''
  const calls: ToolCall[] = []
  let malformed: string | null = null
  let thoughts = 0
  for await (const event of model.generate(ModelRequest.parse({ sampling: { ...model.info.profile.sampling, temperature: 0 }, maxTokens: 256, class: 'batch', purpose: 'bench', ...request }), signal)) {
    if (event.type === 'text') text += event.text
    if (event.type === 'reasoning') thoughts += event.text.length
    if (event.type === 'tool_call') calls.push(event.call)
    if (event.type === 'malformed_call') malformed = event.problem
    if (event.type === 'failed') return { ok: false, fault: event.fault, ms: performance.now() - begun }
    if (event.type === 'done') return { ok: true, text, calls, malformed, thoughts, stop: event.stop, usage: event.usage, prefillMs: event.timings.prefillMs, ms: performance.now() - begun }
  }
  throw new Error('the model ended without done or failed')
}

/** A case in native mode. */
export function nativeRequest({ messages, tools, toolChoice }: Case): ModelRequestInput {
  return { messages: [{ role: 'system', text: 'Use a tool when it helps; else answer in words.' }, ...messages], tools: [...tools], toolChoice: toolChoice ?? 'auto' }
}

/** A case in json mode: as the agent asks it, one object a step whose `tool` is a name, with `finish` for words. */
export function jsonRequest({ messages, tools }: Case): ModelRequestInput {
  const told = tools.map(({ name, description }) => `${name}: ${description}`).join('\n')
  const system = `Reply with one JSON tool call. The tools:\n${told}\nfinish: Gives the answer in words when no other tool is needed.`
  return { messages: [{ role: 'system', text: system }, ...messages.map(plain)], responseFormat: { type: 'json_schema', schema: schemaOf(tools) } }
}

function schemaOf(tools: Case['tools']): JsonSchema {
  const finish = { properties: { answer: { type: 'string', maxLength: 400 } }, required: ['answer'] }
  return {
    oneOf: [...tools.map(({ name, parameters }) => ({ name, parameters })), { name: 'finish', parameters: finish }].map(({ name, parameters }) => ({
      type: 'object', properties: { tool: { const: name }, ...parameters['properties'] as Record<string, unknown> },
      required: ['tool', ...parameters['required'] as string[]], additionalProperties: false,
    })),
  }
}

/** Calls and results as json mode writes them. */
function plain(message: Message): Message {
  if (message.role === 'tool') return { role: 'user', text: `Result: ${message.text}` }
  const call = message.role === 'assistant' ? message.toolCalls?.[0] : undefined
  return call === undefined ? message : { role: 'assistant', text: JSON.stringify({ tool: call.name, ...call.arguments }) }
}

export function saidNatively({ text, calls, malformed }: Extract<Answered, { ok: true }>): Said {
  return { calls, text, malformed: calls.length > 0 ? null : malformed }
}

export function saidAsJson({ text }: Extract<Answered, { ok: true }>): Said {
  const value = parsed(text)
  if (value === null) return { calls: [], text, malformed: 'the answer is not one JSON object' }
  const { tool, ...args } = value
  if (typeof tool !== 'string') return { calls: [], text, malformed: 'the object names no tool' }
  if (tool === 'finish') return { calls: [], text: typeof args['answer'] === 'string' ? args['answer'] : '', malformed: null }
  return { calls: [{ name: tool, arguments: args }], text: '', malformed: null }
}

export function parsed(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}
