// Owns the gate: a Model around a provider's, through which every escalation leaves the house. Before each call it asks whether it still may, replaces what is
// secret, and holds back what a person did not approve; afterwards it puts back what it replaced. Decides no policy, holds no money, opens no connection.
import { createHash } from 'node:crypto'
import { fault, noUsage, type Denial, type Fault, type Message, type Model, type ModelEvent, type ModelInfo, type ModelRequest } from '@hearth/protocol'
import { putsBackFor, type Placeholders, type Redaction } from './placeholders.ts'
import type { KnownTexts } from './scan-known.ts'

export type GateOptions = {
  info: ModelInfo
  host: string
  /** Why it may not leave now, by policy; asked before each call. `redact`: secrets are replaced; `hold`: a secret holds all of it back. */
  may(): { ok: true; secrets: 'redact' | 'hold' } | { ok: false; denial: Denial }
  placeholders: Placeholders
  /** Texts that never leave, as they are now. */
  held(): Promise<KnownTexts>
  /** sha256 of the first words of the conversation as a person approved them; null = nobody had to. */
  approved: string | null
  jobHasNetwork: boolean
  /** The provider's model behind its account, for a request that was looked at. `redactions` is for the record of what leaves. */
  inner(redactions: readonly Redaction[]): Promise<Model>
}

export function gated(options: GateOptions): Model {
  async function* generate(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, void> {
    const allowed = options.may()
    if (!allowed.ok) return yield refused(fault('not_bought', allowed.denial))
    const hidden = await hide(request, options.placeholders, await options.held())
    if (allowed.secrets === 'hold' && hidden.redactions.length > 0) {
      return yield refused(fault('packet_held_back', { host: options.host, kinds: hidden.redactions.map(({ kind }) => kind) }))
    }
    const first = hidden.request.messages.find(({ role }) => role === 'user')?.text ?? ''
    if (options.approved !== null && sha256(first) !== options.approved) {
      return yield refused(fault('not_bought', { why: 'What would leave is not the text that was approved.', remedy: 'Look at it again, and approve what it is now.' }))
    }
    yield* restored((await options.inner(hidden.redactions)).generate(hidden.request, signal), options)
  }
  return { info: options.info, generate }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The request with a placeholder for each secret, wherever in it a text stands: words, arguments, results, and what describes tools and answers. */
async function hide(request: ModelRequest, placeholders: Placeholders, held: KnownTexts): Promise<{ request: ModelRequest; redactions: Redaction[] }> {
  const counts = new Map<string, number>()
  const text = async (plain: string): Promise<string> => {
    const { text: made, redactions } = await placeholders.hide(plain, held)
    for (const { kind, count } of redactions) counts.set(kind, (counts.get(kind) ?? 0) + count)
    return made
  }
  const inside = async (value: unknown): Promise<unknown> => {
    if (typeof value === 'string') return text(value)
    if (Array.isArray(value)) {
      const all: unknown[] = []
      for (const one of value) all.push(await inside(one))
      return all
    }
    if (typeof value !== 'object' || value === null) return value
    const made: Record<string, unknown> = {}
    for (const [name, one] of Object.entries(value)) made[await text(name)] = await inside(one)
    return made
  }
  // Looked at as one text: it has hundreds of small ones, and hardly ever a secret.
  const schema = async (value: Record<string, unknown>): Promise<Record<string, unknown>> =>
    ((await placeholders.hide(JSON.stringify(value), held)).redactions.length === 0 ? value : await inside(value) as Record<string, unknown>)
  const messages: Message[] = []
  // One after the other: what is a secret in one message is one in those that follow.
  for (const message of request.messages) {
    const words = await text(message.text)
    if (message.role !== 'assistant' || message.toolCalls === undefined) messages.push({ ...message, text: words })
    else {
      const toolCalls = []
      for (const call of message.toolCalls) toolCalls.push({ ...call, arguments: await inside(call.arguments) as Record<string, unknown> })
      messages.push({ ...message, text: words, toolCalls })
    }
  }
  const tools = []
  for (const tool of request.tools) tools.push({ ...tool, description: await text(tool.description), parameters: await schema(tool.parameters) })
  const { responseFormat } = request
  const format = responseFormat.type === 'text' ? responseFormat : { ...responseFormat, schema: await schema(responseFormat.schema) }
  return { request: { ...request, messages, tools, responseFormat: format }, redactions: [...counts].map(([kind, count]) => ({ kind, count })) }
}

/** The events with what was replaced put back where it stays in the house. */
async function* restored(events: AsyncIterable<ModelEvent>, { placeholders, jobHasNetwork }: GateOptions): AsyncGenerator<ModelEvent> {
  const words = placeholders.stream()
  for await (const event of events) {
    switch (event.type) {
      case 'text': {
        const { probabilities: _, ...rest } = event
        const text = words.push(event.text)
        if (text !== '') yield { ...rest, text }
        break
      }
      case 'tool_call': {
        const { call } = event
        yield putsBackFor(call.name, jobHasNetwork) ? { ...event, call: { ...call, arguments: placeholders.putBackInside(call.arguments) as Record<string, unknown> } } : event
        break
      }
      case 'done': case 'failed': {
        const rest = words.end()
        if (rest !== '') yield { type: 'text', text: rest }
        yield event
        break
      }
      case 'reasoning': case 'malformed_call': case 'queued': case 'started': case 'prefill': yield event; break
      default: event satisfies never
    }
  }
}

function refused(why: Fault): ModelEvent {
  return { type: 'failed', fault: why, usage: noUsage, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
}
