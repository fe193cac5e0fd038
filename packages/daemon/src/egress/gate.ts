// Owns the gate: a Model around a provider's, through which every escalation leaves the house. Before each call it asks whether it still may, replaces what is
// secret, and holds back what a person did not approve; afterwards it puts back what it replaced. Decides no policy, holds no money, opens no connection.
import { createHash } from 'node:crypto'
import { fault, noUsage, type Denial, type Fault, type Message, type Model, type ModelEvent, type ModelInfo, type ModelRequest } from '@hearth/protocol'
import type { Placed, Placeholders, Redaction } from './placeholders.ts'
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
  /** Whether what was replaced is put back in the arguments of this tool: they stay in the house. */
  putsBack(tool: string): boolean
  /** The provider's model behind its account, for a request that was looked at. `redactions` is for the record of what leaves. */
  inner(redactions: readonly Redaction[]): Promise<Model>
}

/** Of one text, and in one refusal. */
const shownPlaces = 5

export function gated(options: GateOptions): Model {
  async function* generate(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, void> {
    const allowed = options.may()
    if (!allowed.ok) return yield refused(fault('not_bought', allowed.denial))
    const hidden = await hide(request, options.placeholders, await options.held())
    if (allowed.secrets === 'hold' && hidden.redactions.length > 0) {
      return yield refused(fault('packet_held_back', { host: options.host, kinds: [...new Set(hidden.places.map(({ kind, at }) => `${kind} at ${at}`))].slice(0, shownPlaces) }))
    }
    const first = hidden.request.messages.find(({ role }) => role === 'user')?.text ?? ''
    if (options.approved !== null && sha256(first) !== options.approved) {
      return yield refused(fault('not_bought', { why: 'What would leave is not the text that was approved.', remedy: 'Look at it again, and approve what it is now.' }))
    }
    yield* restored((await options.inner(hidden.redactions)).generate(hidden.request, signal), options, request.responseFormat.type !== 'text')
  }
  return { info: options.info, generate }
}

export function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** The request with a placeholder for each secret, wherever in it a text stands: words, thoughts, arguments, results, and what describes tools and answers. */
async function hide(request: ModelRequest, placeholders: Placeholders, held: KnownTexts): Promise<{ request: ModelRequest; redactions: Redaction[]; places: Placed[] }> {
  const counts = new Map<string, number>()
  const places: Placed[] = []
  const count = (redactions: readonly Redaction[]): void => redactions.forEach((one) => counts.set(one.kind, (counts.get(one.kind) ?? 0) + one.count))
  const text = async (plain: string, at: string): Promise<string> => {
    const { text: made, redactions, findings } = await placeholders.hide(plain, held)
    count(redactions)
    places.push(...findings.slice(0, shownPlaces).map(({ kind, start }) => ({ kind, at: `${at}, line ${plain.slice(0, start).split('\n').length}` })))
    return made
  }
  const inside = async (value: Record<string, unknown>, at: string): Promise<Record<string, unknown>> => {
    const found = await placeholders.hideInside(value, held)
    count(found.redactions)
    places.push(...found.places.map((one) => ({ kind: one.kind, at: `${at}.${one.at}` })))
    return found.value as Record<string, unknown>
  }
  // Looked at as one text: it has hundreds of small ones, and hardly ever a secret.
  const schema = async (value: Record<string, unknown>, at: string): Promise<Record<string, unknown>> =>
    ((await placeholders.hide(JSON.stringify(value), held)).redactions.length === 0 ? value : inside(value, at))
  const messages: Message[] = []
  // One after the other: what is a secret in one message is one in those that follow.
  for (const [index, message] of request.messages.entries()) {
    const at = `messages[${index}]`
    const words = await text(message.text, at)
    if (message.role !== 'assistant') {
      messages.push({ ...message, text: words })
      continue
    }
    // A job may have been begun by another model, whose thoughts saw what this one must not.
    const thoughts = message.reasoning === undefined ? {} : { reasoning: await text(message.reasoning, `${at}.reasoning`) }
    const toolCalls = []
    for (const [number, call] of (message.toolCalls ?? []).entries()) toolCalls.push({ ...call, arguments: await inside(call.arguments, `${at}.tool_calls[${number}]`) })
    messages.push({ ...message, text: words, ...thoughts, ...(message.toolCalls === undefined ? {} : { toolCalls }) })
  }
  const tools = []
  for (const [index, tool] of request.tools.entries()) tools.push({ ...tool, description: await text(tool.description, `tools[${index}]`), parameters: await schema(tool.parameters, `tools[${index}].parameters`) })
  const { responseFormat } = request
  const format = responseFormat.type === 'text' ? responseFormat : { ...responseFormat, schema: await schema(responseFormat.schema, 'response_format') }
  return { request: { ...request, messages, tools, responseFormat: format }, redactions: [...counts].map(([kind, total]) => ({ kind, count: total })), places }
}

/** The events with what was replaced put back where it stays in the house. */
async function* restored(events: AsyncIterable<ModelEvent>, { placeholders, putsBack }: GateOptions, json: boolean): AsyncGenerator<ModelEvent> {
  const words = placeholders.stream({ json })
  for await (const event of events) {
    switch (event.type) {
      case 'text': {
        const { probabilities: _, ...rest } = event
        const text = words.push(event.text)
        if (text === event.text) yield event
        else if (text !== '') yield { ...rest, text }
        break
      }
      case 'tool_call': {
        const { call } = event
        yield putsBack(call.name) ? { ...event, call: { ...call, arguments: placeholders.putBackInside(call.arguments) as Record<string, unknown> } } : event
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
