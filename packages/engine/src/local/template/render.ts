// Owns the way from messages to a prompt: the model's own Jinja template, and the promise that no message content ever becomes a control token.
// Pure; runs without a model.
import { Template } from '@huggingface/jinja'
import { fault, FaultError, type Fault, type Message, type Reasoning, type ToolSpec } from '@hearth/protocol'
import type { Inspection, Segment } from '../wire.ts'
import { plainTurns } from './plain-turns.ts'
import { thinkingWords } from './reasoning.ts'

export type Prompt = { segments: Segment[]; /** The same as one string, for comparing beginnings. */ text: string }

/** What files without a template get: the most common format. */
export const chatMl = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

// Private-use characters that stand for a text while the template runs; real ones in contents are replaced as well.
const open = '\uE000'
const close = '\uE001'

export class ChatTemplate {
  /** The Jinja text: what it mentions tells how its model writes. */
  readonly source: string
  readonly #template: Template
  readonly #bos: string
  readonly #eos: string
  readonly #guarded: readonly string[]
  readonly #guard: RegExp

  private constructor(source: string, inspection: Inspection) {
    this.source = source
    this.#template = new Template(source)
    this.#bos = inspection.bosText ?? ''
    this.#eos = inspection.eosText ?? ''
    // Longest first: `<|im_start|>` must win over a control token that is its beginning.
    this.#guarded = [...inspection.controlTexts.filter((text) => text !== '').sort((a, b) => b.length - a.length), open, close]
    this.#guard = new RegExp(this.#guarded.map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('|'), 'g')
  }

  /** The template of a file, parsed once; `unsupported` when it cannot be parsed. */
  static of(inspection: Inspection): ChatTemplate | { fault: Fault } {
    try {
      return new ChatTemplate(inspection.chatTemplate ?? chatMl, inspection)
    } catch (error) {
      return { fault: fault('unsupported', { what: `The chat template of this file (${problemOf(error)})` }) }
    }
  }

  /**
   * The prompt that asks for the next assistant message. Segments that stand in a message or a tool description and spell a control token are plain text.
   * Messages that the template refuses (`raise_exception`) are put in another way, when there is one; else they are a `bad_request`.
   */
  render(messages: readonly Message[], tools: readonly ToolSpec[], reasoning?: Reasoning): Prompt | { fault: Fault } {
    const usual = this.#render(messages, tools, reasoning)
    if (!('fault' in usual)) return usual
    const plain = plainTurns(messages)
    const other = plain === null ? usual : this.#render(plain, tools, reasoning)
    return 'fault' in other ? usual : other
  }

  #render(messages: readonly Message[], tools: readonly ToolSpec[], reasoning: Reasoning | undefined): Prompt | { fault: Fault } {
    try {
      const text = this.#template.render({
        messages: messages.map((message) => this.#message(message)),
        ...(tools.length === 0 ? {} : { tools: tools.map((tool) => ({ type: 'function', function: this.#protect(tool) })) }),
        ...thinkingWords(reasoning, this.source.includes('enable_thinking')), add_generation_prompt: true, bos_token: this.#bos, eos_token: this.#eos,
      })
      return { segments: this.#segments(text), text }
    } catch (error) {
      if (error instanceof FaultError) return { fault: error.fault }
      return { fault: fault('bad_request', { where: 'messages', problem: `the model's chat template refuses them (${problemOf(error)})` }) }
    }
  }

  #message(message: Message): Record<string, unknown> {
    switch (message.role) {
      case 'system':
      case 'user':
        return { role: message.role, content: this.#protect(message.text) }
      case 'assistant':
        return {
          role: 'assistant', content: this.#protect(message.text), ...this.#thoughts(message),
          ...(message.toolCalls === undefined || message.toolCalls.length === 0 ? {} : {
            tool_calls: message.toolCalls.map((call) => ({
              id: shortId(call.id), type: 'function', function: { name: this.#protect(call.name), arguments: this.#protect(call.arguments) },
            })),
          }),
        }
      case 'tool':
        return { role: 'tool', name: this.#protect(message.name), content: this.#protect(message.text), tool_call_id: shortId(message.callId) }
      default:
        return message satisfies never
    }
  }

  /** Under both names that templates know. gpt-oss takes them under its own only where nothing else is said with a call. */
  #thoughts({ reasoning, text, toolCalls = [] }: Extract<Message, { role: 'assistant' }>): Record<string, string> {
    if (reasoning === undefined) return {}
    const thoughts = this.#protect(reasoning)
    return { reasoning_content: thoughts, ...(text !== '' && toolCalls.length > 0 ? {} : { thinking: thoughts }) }
  }

  #protect<T>(value: T): T
  #protect(value: unknown): unknown {
    if (typeof value === 'string') return value.replace(this.#guard, (text) => `${open}${this.#guarded.indexOf(text)}${close}`)
    if (Array.isArray(value)) return value.map((item) => this.#protect<unknown>(item))
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [this.#protect(key), this.#protect<unknown>(item)]))
    }
    return value
  }

  #segments(text: string): Segment[] {
    return text.split(/\uE000(\d+)\uE001/).map((part, index) => (
      index % 2 === 0 ? { text: part, special: true } : { text: this.#guarded[Number(part)] ?? '', special: false }
    )).filter((segment) => segment.text !== '')
  }
}

/** Nine letters and digits, which some templates (Mistral) insist on; our own ids already have that form. */
function shortId(id: string): string {
  if (/^[A-Za-z0-9]{9}$/.test(id)) return id
  let hash = 5381n
  for (const char of id) hash = (hash * 33n + BigInt(char.codePointAt(0) ?? 0)) % 101_559_956_668_416n
  return hash.toString(36).padStart(9, '0').slice(-9)
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
