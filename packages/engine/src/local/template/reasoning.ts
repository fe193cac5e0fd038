// Owns splitting what a model thinks from what it says, where its template puts thoughts between tags at the beginning of an answer. Pure.
import type { Reasoning } from '@hearth/protocol'
import { overlap } from '../stop-scan.ts'
import type { CallEvent, CallReader } from './call-reader.ts'

/** `tokens`: control tokens that may spell the tags, and must then be part of the completion. */
export type Thinking = { open: string; close: string; tokens: readonly string[] }

const kinds: readonly Thinking[] = [
  { open: '<think>', close: '</think>', tokens: ['<think>', '</think>'] },
  { open: '[THINK]', close: '[/THINK]', tokens: ['[THINK]', '[/THINK]'] },
  { open: '<|channel>thought\n', close: '<channel|>', tokens: ['<|channel>', '<channel|>'] },
]

/** How a template writes thoughts, by its markers; null when it has none. */
export function thinkingOf(template: string): Thinking | null {
  return kinds.find((kind) => template.includes(kind.open.trimEnd()) && template.includes(kind.close)) ?? null
}

/** The prompt has opened the thoughts already, as some templates do. */
export function isOpened(prompt: string, thinking: Thinking): boolean {
  return prompt.trimEnd().endsWith(thinking.open.trimEnd())
}

/**
 * The variables by which templates are told how to think: enable_thinking (Qwen, GLM, Gemma), thinking (DeepSeek, Granite), reasoning_effort (gpt-oss). One that
 * a template does not know changes nothing. `switched`: it has a switch, so that "off" need not be said as the least effort.
 */
export function thinkingWords(reasoning: Reasoning | undefined, switched: boolean): Record<string, boolean | string> {
  if (reasoning === undefined) return {}
  const on = reasoning !== 'off'
  const effort = reasoning === 'on' ? null : on ? reasoning : switched ? null : 'low'
  return { enable_thinking: on, thinking: on, ...(effort === null ? {} : { reasoning_effort: effort }) }
}

/** Thoughts become `reasoning`; what follows them goes to `inner`, or is text when that is null. */
export class ThinkingReader implements CallReader {
  readonly #thinking: Thinking
  readonly #inner: CallReader | null
  #state: 'begin' | 'thinking' | 'behind' | 'said'
  #held = ''

  constructor(thinking: Thinking, opened: boolean, inner: CallReader | null) {
    this.#thinking = thinking
    this.#inner = inner
    this.#state = opened ? 'thinking' : 'begin'
  }

  push(text: string): CallEvent[] {
    if (this.#state === 'said') return this.#said(text)
    this.#held += text
    const events: CallEvent[] = []
    while (this.#step(events)) { /* until more text is needed */ }
    return events
  }

  end(cut: boolean): CallEvent[] {
    const rest = this.#held
    this.#held = ''
    const events: CallEvent[] = []
    if (this.#state === 'thinking') {
      if (rest !== '') events.push({ type: 'reasoning', text: rest })
    } else if (rest !== '' && this.#state === 'begin') events.push(...this.#said(rest))
    return [...events, ...(this.#inner?.end(cut) ?? [])]
  }

  #step(events: CallEvent[]): boolean {
    const { open, close } = this.#thinking
    switch (this.#state) {
      case 'begin': {
        const begun = this.#held.trimStart()
        if (begun.startsWith(open)) {
          this.#held = begun.slice(open.length)
          this.#state = 'thinking'
          return true
        }
        if (open.startsWith(begun)) return false
        this.#state = 'said'
        return true
      }
      case 'thinking': {
        const at = this.#held.indexOf(close)
        const keep = at >= 0 ? 0 : overlap(this.#held, close)
        const thought = this.#held.slice(0, at >= 0 ? at : this.#held.length - keep)
        if (thought !== '') events.push({ type: 'reasoning', text: thought })
        this.#held = this.#held.slice(at >= 0 ? at + close.length : this.#held.length - keep)
        if (at >= 0) this.#state = 'behind'
        return at >= 0
      }
      case 'behind': {
        // The blank lines behind the thoughts belong to their layout.
        this.#held = this.#held.trimStart()
        if (this.#held === '') return false
        this.#state = 'said'
        return true
      }
      case 'said': {
        const rest = this.#held
        this.#held = ''
        if (rest !== '') events.push(...this.#said(rest))
        return false
      }
      default: return this.#state satisfies never
    }
  }

  #said(text: string): CallEvent[] {
    return this.#inner === null ? (text === '' ? [] : [{ type: 'text', text }]) : this.#inner.push(text)
  }
}
