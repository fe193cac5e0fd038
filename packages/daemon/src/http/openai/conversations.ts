// Owns the guess which conversation a chat request goes on with, when the client does not say: by what earlier prompts it begins with. Keeps hashes of prompts,
// never a word of them. Every guess is inside one owner and one model; a wrong one costs time, never an answer.
import { createHash, randomBytes } from 'node:crypto'
import type { Message } from '@hearth/protocol'

/** `tentative`: only this one prompt of it was ever seen, and it may well be the only one (a title, a classification). */
export type Conversation = { sessionKey: string; tentative: boolean }

type Known = { key: string; prompts: number; last: string }

// A prompt costs about 200 bytes here.
const keptPrompts = 8192

export class Conversations {
  readonly #limit: number
  /** Hash of a whole prompt -> its conversation; the one used last stands at the end. */
  readonly #prompts = new Map<string, Known>()

  constructor(limit = keptPrompts) {
    this.#limit = limit
  }

  /**
   * The conversation of a prompt: the one with the longest earlier prompt that this one begins with, message by message (so a client may repeat our answers in
   * its own way). What begins with none has a key made of its messages before the first answer: the same for all its turns, also when this
   * daemon remembers none of them. Whoever differs in any part of `scope` (owner, model, tools, the client's hints) shares nothing.
   */
  find(scope: readonly unknown[], messages: readonly Message[]): Conversation {
    const chain = chained(scope, messages)
    const whole = chain.at(-1) ?? ''
    const at = chain.findLastIndex((hash) => this.#prompts.has(hash))
    const found = this.#prompts.get(chain[at] ?? '')
    const answered = messages.findIndex((message) => message.role === 'assistant')
    // The opening of a conversation that has gone on since: somebody begins another one with the same words.
    const again = found !== undefined && answered < 0 && chain[at] === whole && found.last !== whole
    const root = chain[(answered < 0 ? chain.length : answered) - 1] ?? whole
    const known = found === undefined ? { key: root, prompts: 0, last: '' } : again ? { key: `${root}-${randomBytes(6).toString('base64url')}`, prompts: 0, last: '' } : found
    if (known.last !== whole) known.prompts += 1
    known.last = whole
    this.#keep(whole, known)
    return { sessionKey: known.key, tentative: known.prompts === 1 }
  }

  #keep(whole: string, known: Known): void {
    this.#prompts.delete(whole)
    this.#prompts.set(whole, known)
    const oldest = this.#prompts.keys().next().value
    if (this.#prompts.size > this.#limit && oldest !== undefined) this.#prompts.delete(oldest)
  }
}

/** One hash for each beginning of the messages, each made of the one before. */
function chained(scope: readonly unknown[], messages: readonly Message[]): string[] {
  let last = digest(JSON.stringify(scope))
  return messages.map((message) => (last = digest(last + JSON.stringify(message))))
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22)
}
