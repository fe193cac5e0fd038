// Owns reading the harmony format of gpt-oss: messages with a channel each. Analysis is reasoning, final and commentary are text, a recipient makes a call. Pure.
//   <|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>commentary to=functions.NAME <|constrain|>json<|message|>{…}<|call|>
import { overlap } from '../stop-scan.ts'
import type { CallEvent, CallReader } from './call-reader.ts'

/** Its control tokens; they have to be part of the completion for it to be read. */
export const harmonyTokens = ['<|channel|>', '<|message|>', '<|start|>', '<|end|>', '<|constrain|>', '<|call|>', '<|return|>']

// What ends a message. `<|start|>` and `<|channel|>`: the model forgot to end it.
const ends = ['<|end|>', '<|call|>', '<|return|>', '<|start|>', '<|channel|>']

type State = { in: 'header' } | { in: 'text' | 'reasoning' } | { in: 'call'; name: string } | { in: 'plain' }

export class HarmonyReader implements CallReader {
  readonly #call: (name: string, source: string) => CallEvent
  #held = ''
  #state: State = { in: 'header' }
  #messages = 0

  /** `call` makes a call of a name and the JSON behind it. */
  constructor(call: (name: string, source: string) => CallEvent) {
    this.#call = call
  }

  push(text: string): CallEvent[] {
    this.#held += text
    const events: CallEvent[] = []
    while (this.#step(events)) { /* until more text is needed */ }
    return events
  }

  end(cut: boolean): CallEvent[] {
    const events: CallEvent[] = []
    const rest = this.#held
    this.#held = ''
    switch (this.#state.in) {
      case 'header':
        // A header without a message: nothing was said in it.
        if (this.#messages === 0 && !/^\s*(?:<\||assistant|to=)/.test(rest) && rest !== '') events.push({ type: 'text', text: rest })
        else if (/to=\S/.test(rest)) events.push({ type: 'malformed_call', text: rest, problem: cut ? 'the call was cut off before its end' : 'the call has no message' })
        break
      case 'text': case 'plain':
        if (rest !== '') events.push({ type: 'text', text: rest })
        break
      case 'reasoning':
        if (rest !== '') events.push({ type: 'reasoning', text: rest })
        break
      case 'call': {
        const call = this.#call(this.#state.name, rest)
        events.push(call.type === 'malformed_call' && cut ? { ...call, problem: 'the call was cut off before its end' } : call)
        break
      }
      default: this.#state satisfies never
    }
    return events
  }

  /** Takes what is certain from the held text; false when it must wait. */
  #step(events: CallEvent[]): boolean {
    if (this.#state.in === 'plain') {
      if (this.#held !== '') events.push({ type: 'text', text: this.#held })
      this.#held = ''
      return false
    }
    if (this.#state.in === 'header') return this.#header()
    const [at, token] = firstOf(this.#held, ends)
    if (at >= 0) {
      this.#say(this.#held.slice(0, at), events)
      if (this.#state.in === 'call') events.push(this.#call(this.#state.name, this.#held.slice(0, at)))
      this.#held = this.#held.slice(token === '<|channel|>' ? at : at + token.length)
      this.#state = { in: 'header' }
      return true
    }
    if (this.#state.in === 'call') return false
    const keep = Math.max(...ends.map((end) => overlap(this.#held, end)))
    this.#say(this.#held.slice(0, this.#held.length - keep), events)
    this.#held = this.#held.slice(this.#held.length - keep)
    return false
  }

  #say(text: string, events: CallEvent[]): void {
    if (text === '') return
    if (this.#state.in === 'text') events.push({ type: 'text', text })
    if (this.#state.in === 'reasoning') events.push({ type: 'reasoning', text })
  }

  #header(): boolean {
    if (this.#messages === 0) {
      // A completion that does not begin as the format does is plain text, whatever comes later.
      const begun = this.#held.trimStart()
      const may = ['<|channel|>', '<|start|>', '<|message|>', 'assistant', 'to=', 'commentary', 'analysis', 'final'].some((one) => one.startsWith(begun) || begun.startsWith(one))
      if (!may) {
        this.#state = { in: 'plain' }
        return true
      }
    }
    const at = this.#held.indexOf('<|message|>')
    if (at < 0) return false
    const header = this.#held.slice(0, at)
    this.#held = this.#held.slice(at + '<|message|>'.length)
    const recipient = /to=([^\s<]+)/.exec(header)?.[1]
    const channel = /(?:<\|channel\|>\s*|^\s*)(analysis|commentary|final)/.exec(header)?.[1]
    this.#messages += 1
    this.#state = recipient !== undefined ? { in: 'call', name: recipient.replace(/^functions\./, '') } : { in: channel === 'analysis' ? 'reasoning' : 'text' }
    return true
  }
}

function firstOf(text: string, sought: readonly string[]): [number, string] {
  let first: [number, string] = [-1, '']
  for (const one of sought) {
    const at = text.indexOf(one)
    if (at >= 0 && (first[0] < 0 || at < first[0])) first = [at, one]
  }
  return first
}
