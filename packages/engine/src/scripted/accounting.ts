// Owns how a scripted model counts: what a token is, how a conversation reads, how much of it the last request of the same session already held.
import type { Message, ModelRequest } from '@hearth/protocol'

const charactersPerToken = 4

/** Tokens of a text: one for every four characters (UTF-16 units, as JavaScript counts), the last one may be shorter. */
export function tokensOf(characters: number): number {
  return Math.ceil(characters / charactersPerToken)
}

/** Where the token that begins at `from` ends; never between the halves of a surrogate pair. */
export function tokenEnd(text: string, from: number): number {
  const end = Math.min(from + charactersPerToken, text.length)
  const last = text.charCodeAt(end - 1)
  return end < text.length && last >= 0xd800 && last <= 0xdbff ? end + 1 : end
}

/** The conversation as one text: tools first, then each message behind its role. Grows only at its end when the messages do. */
export function promptText(request: ModelRequest): string {
  const tools = request.tools.length === 0 ? '' : `<tools>${JSON.stringify(request.tools)}\n`
  return `${tools}${request.messages.map(messageText).join('')}<assistant>`
}

function messageText(message: Message): string {
  switch (message.role) {
    case 'system': case 'user': return `<${message.role}>${message.text}\n`
    case 'tool': return `<tool ${message.name}>${message.text}\n`
    case 'assistant': return `<assistant>${message.reasoning === undefined ? '' : `<think>${message.reasoning}</think>`}${completionText(message.text, message.toolCalls ?? [])}\n`
  }
  message satisfies never
}

/** A completion as the next prompt will read it. Call ids are not part of it: no model says them. */
export function completionText(text: string, calls: readonly { name: string; arguments: Record<string, unknown> }[]): string {
  return text + calls.map((call) => `<call>${JSON.stringify({ name: call.name, arguments: call.arguments })}`).join('')
}

/** What each session held last: prompt and completion. The oldest is forgotten beyond either limit. */
export class Sessions {
  readonly #held = new Map<string, string>()
  #characters = 0
  static readonly #limits = { sessions: 1024, characters: 32 * 2 ** 20 }

  /** Whole tokens that `prompt` shares with what the session held; never all of it, since the last token is always evaluated. */
  reused(key: string | null, prompt: string): number {
    const held = key === null ? undefined : this.#held.get(key)
    if (held === undefined) return 0
    return Math.min(Math.floor(commonPrefix(held, prompt) / charactersPerToken), tokensOf(prompt.length) - 1)
  }

  hold(key: string | null, text: string): void {
    if (key === null) return
    this.#drop(key)
    this.#held.set(key, text)
    this.#characters += text.length
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= Sessions.#limits.sessions && this.#characters <= Sessions.#limits.characters) break
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#characters -= this.#held.get(key)?.length ?? 0
    this.#held.delete(key)
  }
}

function commonPrefix(a: string, b: string): number {
  const most = Math.min(a.length, b.length)
  if (a.slice(0, most) === b.slice(0, most)) return most
  let low = 0
  let high = most
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (a.slice(low, middle) === b.slice(low, middle)) low = middle
    else high = middle - 1
  }
  return low
}
