// Owns the reading of OpenAI's messages: roles, text parts, calls and their results. Pure. What a model here cannot read is refused by name.
import { fault, type Message, type ToolCall } from '@hearth/protocol'
import { z } from 'zod'
import { refusalOf, refuse, type Refusal } from './refusal.ts'

export type Messages = { ok: true; messages: Message[] } | Refusal

const Content = z.union([z.string(), z.array(z.looseObject({ type: z.string(), text: z.string().optional(), refusal: z.string().optional() }))])

// Fields beside these are what a client sends back of an earlier answer (refusal, annotations, reasoning_content): nothing is lost by not reading them.
const Given = z.discriminatedUnion('role', [
  z.looseObject({ role: z.enum(['system', 'developer', 'user']), content: Content }),
  z.looseObject({
    role: z.literal('assistant'), content: Content.nullish(),
    tool_calls: z.array(z.looseObject({ id: z.string().min(1), type: z.literal('function').default('function'), function: z.looseObject({ name: z.string().min(1), arguments: z.string() }) })).nullish(),
  }),
  z.looseObject({ role: z.literal('tool'), content: Content, tool_call_id: z.string() }),
], { error: "the role is one of system, developer, user, assistant and tool" })

const otherParts: Readonly<Record<string, string>> = {
  image_url: 'Reading images', input_audio: 'Hearing audio', file: 'Reading attached files', video_url: 'Watching video',
}

/** Our messages, or the first part that cannot be read. */
export function messagesOf(values: readonly unknown[]): Messages {
  const names = new Map<string, string>()
  const messages: Message[] = []
  for (const [index, value] of values.entries()) {
    const at = `messages[${index}]`
    const parsed = Given.safeParse(value)
    if (!parsed.success) return refusalOf(parsed.error.issues[0], value, at)
    const given = parsed.data
    const text = textOf(given.content ?? '', at)
    if (typeof text !== 'string') return text
    switch (given.role) {
      case 'system': case 'developer': messages.push({ role: 'system', text }); break
      case 'user': messages.push({ role: 'user', text }); break
      case 'assistant': {
        const calls = callsOf(given.tool_calls ?? [], at)
        if (!Array.isArray(calls)) return calls
        for (const call of calls) names.set(call.id, call.name)
        messages.push({ role: 'assistant', text, ...(calls.length === 0 ? {} : { toolCalls: calls }) })
        break
      }
      case 'tool': {
        const name = names.get(given.tool_call_id)
        if (name === undefined) return refuse(`${at}.tool_call_id`, `no message before it has a call '${given.tool_call_id.slice(0, 80)}'`)
        messages.push({ role: 'tool', callId: given.tool_call_id, name, text })
        break
      }
      default: return given satisfies never
    }
  }
  return { ok: true, messages }
}

function textOf(content: z.infer<typeof Content>, at: string): string | Refusal {
  if (typeof content === 'string') return content
  let text = ''
  for (const [index, part] of content.entries()) {
    const where = `${at}.content[${index}]`
    const said = part.type === 'text' ? part.text : part.type === 'refusal' ? part.refusal : undefined
    if (said !== undefined) text += said
    else if (part.type in otherParts) return { ok: false, param: where, fault: fault('unsupported', { what: otherParts[part.type] ?? part.type }) }
    else return refuse(where, `a part of the type '${part.type.slice(0, 40)}' cannot be read`)
  }
  return text
}

function callsOf(given: readonly { id: string; function: { name: string; arguments: string } }[], at: string): ToolCall[] | Refusal {
  const calls: ToolCall[] = []
  for (const [index, { id, function: { name, arguments: written } }] of given.entries()) {
    const found = objectIn(written === '' ? '{}' : written)
    if (found === null) return refuse(`${at}.tool_calls[${index}].function.arguments`, 'it is not a JSON object')
    calls.push({ id, name, arguments: found })
  }
  return calls
}

function objectIn(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value as Record<string, unknown> : null
  } catch {
    return null
  }
}
