// Owns the way from tokens to sendable text inside the worker: whole characters only, stop strings, the end of a JSON value, coalesced messages.
import { JsonEnd, StopScan } from './stop-scan.ts'
import type { TokenPiece } from './wire.ts'

// A character has at most four bytes, so more undecided tokens than this are really broken bytes.
const undecidedTokensAtMost = 8
const coalesceMs = 10

/** Turns a token into text given the tokens before it. */
export type Spell = (tokens: readonly number[], before: readonly number[]) => string

export class CompletionText {
  readonly #spell: Spell
  readonly #stops: StopScan
  readonly #json: JsonEnd | null
  readonly #send: (text: string, count: number, pieces: TokenPiece[]) => void
  #before: number[]
  #undecided: number[] = []
  #text = ''
  #count = 0
  #pieces: TokenPiece[] = []
  #sentAt = 0
  #timer: NodeJS.Timeout | null = null

  constructor(options: {
    spell: Spell
    /** Last tokens of the prompt: they decide about a leading blank. */
    before: readonly number[]
    stop: readonly string[]
    stopAtJson: boolean
    send: (text: string, count: number, pieces: TokenPiece[]) => void
  }) {
    this.#spell = options.spell
    this.#before = options.before.slice(-8)
    this.#stops = new StopScan(options.stop)
    this.#json = options.stopAtJson ? new JsonEnd() : null
    this.#send = options.send
  }

  /**
   * Takes one token; says why the text is over, if it is. The new text (before stop strings) is returned for whoever watches for a trigger, and is the token's own
   * in the list of probabilities: of tokens that share a character the last one has it.
   */
  push(token: number, likely: Omit<TokenPiece, 'text'> | null): { over: 'stop_sequence' | 'json' | null; text: string } {
    this.#count++
    this.#undecided.push(token)
    const spelled = this.#spell(this.#undecided, this.#before)
    const whole = !spelled.endsWith('\uFFFD') || this.#undecided.length >= undecidedTokensAtMost
    const text = whole ? spelled : ''
    if (likely !== null) this.#pieces.push({ ...likely, text })
    if (!whole) return { over: null, text }
    this.#before = [...this.#before, ...this.#undecided].slice(-8)
    this.#undecided = []
    const over = this.#add(text)
    this.#later()
    return { over, text }
  }

  /** Sends what is left; `whole` false drops held-back text (a stop string hit it, or nobody listens any more). */
  finish(whole: boolean): void {
    if (whole) {
      if (this.#undecided.length > 0) this.#add(this.#spell(this.#undecided, this.#before))
      this.#text += this.#stops.rest()
    }
    this.#flush()
  }

  #add(text: string): 'stop_sequence' | 'json' | null {
    const passed = this.#stops.push(text)
    const end = this.#json?.push(passed.text) ?? -1
    this.#text += end >= 0 ? passed.text.slice(0, end) : passed.text
    return end >= 0 ? 'json' : passed.hit ? 'stop_sequence' : null
  }

  /** At once when the last message is old enough, else when it is: a lone stream is not delayed, a fast one is not chopped into tiny messages. */
  #later(): void {
    if (this.#timer !== null) return
    const wait = this.#sentAt + coalesceMs - performance.now()
    if (wait <= 0) this.#flush()
    else this.#timer = setTimeout(() => this.#flush(), wait)
  }

  #flush(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#count === 0 && this.#text === '') return
    this.#sentAt = performance.now()
    this.#send(this.#text, this.#count, this.#pieces)
    this.#text = ''
    this.#count = 0
    this.#pieces = []
  }
}
