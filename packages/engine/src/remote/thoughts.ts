// Owns the sealed thoughts of providers between the turns of a conversation. In memory only, bounded; reads none of them.
import { createHash } from 'node:crypto'
import type { Message, ModelRequest, ToolCall } from '@hearth/protocol'

/** One piece of a turn, in the order in which it came: what the provider sealed, word for word; its text; or the next of its calls. */
export type TurnPart = { type: 'sealed'; block: object } | { type: 'text'; text: string; phase?: string } | { type: 'call' }
export type Turn = readonly TurnPart[]

type Kept = { turn: Turn; bytes: number; tokens: number }
/** What a request is asked with in front of its messages; thoughts of another beginning are refused by who sealed them. */
type Asked = Pick<ModelRequest, 'messages' | 'tools'>

// The thoughts of one conversation fit into its window. Those of turns that were shortened since are the first to go.
const bytesAtMost = 16 * 2 ** 20

/**
 * Turns of a model with the thoughts that it sealed, for one model of one provider. A turn is found again only behind the very words that it was an answer to, and when it
 * stands there as the model said it: providers refuse, or throw away, a thought whose beginning has changed. One that is not found, because a history was shortened or
 * the daemon has started since, is left out, and with it all that were thought behind it.
 */
export class KeptThoughts {
  readonly #kept = new Map<string, Kept>()
  #bytes = 0

  /** What goes back with this request: turns by the index of their message. */
  of(asked: Asked): Map<number, Turn> {
    return new Map([...this.#found(asked).at].map(([index, { turn }]) => [index, turn]))
  }

  /** Tokens that the thoughts of this request can count at most: a token for each byte, or what the answers that they are from were billed for where that is more. */
  tokensAtMost(asked: Asked): number {
    return [...this.#found(asked).at.values()].reduce((sum, { tokens }) => sum + tokens, 0)
  }

  /** The answer to this request. Nothing is kept of one without sealed thoughts, or that was passed on in other words. `completionTokens`: what it was billed for. */
  keep(asked: Asked, said: { text: string; calls: readonly ToolCall[] }, turn: Turn, completionTokens: number): void {
    const sealed = turn.flatMap((part) => (part.type === 'sealed' ? [part.block] : []))
    const text = turn.map((part) => (part.type === 'text' ? part.text : '')).join('')
    if (sealed.length === 0 || text !== said.text || turn.filter(({ type }) => type === 'call').length !== said.calls.length) return
    const key = chained(this.#found(asked).end, turnOf(said.text, said.calls))
    const bytes = Buffer.byteLength(JSON.stringify(turn))
    this.#drop(key)
    this.#kept.set(key, { turn, bytes, tokens: Math.max(Buffer.byteLength(JSON.stringify(sealed)), completionTokens) })
    this.#bytes += bytes
    for (const oldest of this.#kept.keys()) {
      if (this.#bytes <= bytesAtMost) break
      this.#drop(oldest)
    }
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0
    this.#kept.delete(key)
  }

  /** `end`: stands for all that the request says, thoughts included. */
  #found({ messages, tools }: Asked): { at: Map<number, Kept>; end: string } {
    const at = new Map<number, Kept>()
    let end = chained('', tools)
    for (const [index, message] of messages.entries()) {
      const key = chained(end, message.role === 'assistant' ? turnOf(message.text, message.toolCalls ?? []) : message)
      const kept = message.role === 'assistant' ? this.#kept.get(key) : undefined
      if (kept !== undefined) {
        at.set(index, kept)
        // Used again: the last to go.
        this.#kept.delete(key)
        this.#kept.set(key, kept)
      }
      end = kept === undefined ? key : chained(key, 'with its thoughts')
    }
    return { at, end }
  }
}

/** Parts of an answer by the place that the provider gave them. */
export function inOrder<Part>(parts: ReadonlyMap<number, Part>): Part[] {
  return [...parts].toSorted(([a], [b]) => a - b).map(([, part]) => part)
}

function turnOf(text: string, calls: readonly ToolCall[]): Pick<Extract<Message, { role: 'assistant' }>, 'text' | 'toolCalls'> {
  return { text, toolCalls: calls.map(({ id, name, arguments: given }) => ({ id, name, arguments: given })) }
}

function chained(before: string, next: unknown): string {
  return createHash('sha256').update(before).update('\n').update(JSON.stringify(next)).digest('hex')
}
