// Owns the two ways a completion's text ends by itself: a stop string, and one complete JSON value. Pure, streaming, no look-back over the whole text.

/** Passes text on, holding back only what could still become one of the stop strings. */
export class StopScan {
  readonly #stops: readonly string[]
  #held = ''

  constructor(stops: readonly string[]) {
    this.#stops = stops
  }

  /** The text that is certain now; `hit` when a stop string came (it and what follows are dropped). */
  push(text: string): { text: string; hit: boolean } {
    if (this.#stops.length === 0) return { text, hit: false }
    const all = this.#held + text
    // The one that is complete first wins, and of two the longer: so the pieces in which the text comes decide nothing.
    const hits = this.#stops.map((stop) => ({ at: all.indexOf(stop), end: all.indexOf(stop) + stop.length })).filter((hit) => hit.at >= 0)
    const first = hits.toSorted((a, b) => a.end - b.end || a.at - b.at)[0]
    if (first !== undefined) {
      this.#held = ''
      return { text: all.slice(0, first.at), hit: true }
    }
    const keep = Math.max(...this.#stops.map((stop) => overlap(all, stop)))
    this.#held = all.slice(all.length - keep)
    return { text: all.slice(0, all.length - keep), hit: false }
  }

  /** What was held back, when generation ended without a stop string. */
  rest(): string {
    const held = this.#held
    this.#held = ''
    return held
  }
}

/** Length of the longest end of `text` that is a proper beginning of `sought`. */
export function overlap(text: string, sought: string): number {
  for (let length = Math.min(text.length, sought.length - 1); length > 0; length--) {
    if (text.endsWith(sought.slice(0, length))) return length
  }
  return 0
}

/** Tells when a text has become one complete JSON object, array or string. Numbers and words never complete: `1` may become `12`. */
export class JsonEnd {
  #depth = 0
  #inString = false
  #escaped = false
  #begun = false
  #complete = false

  get complete(): boolean {
    return this.#complete
  }

  /** Index in `text` just behind the value's last character, or -1. */
  push(text: string): number {
    for (let i = 0; i < text.length; i++) {
      if (this.#complete) return -1
      if (this.#step(text[i] ?? '')) {
        this.#complete = true
        return i + 1
      }
    }
    return -1
  }

  #step(char: string): boolean {
    if (this.#inString) {
      if (this.#escaped) this.#escaped = false
      else if (char === '\\') this.#escaped = true
      else if (char === '"') {
        this.#inString = false
        return this.#depth === 0
      }
      return false
    }
    if (char === '"') {
      // A quote behind a bare word or number at the top is not the start of a value.
      if (this.#depth === 0 && this.#begun) return false
      this.#inString = true
    } else if (char === '{' || char === '[') this.#depth++
    else if (char === '}' || char === ']') {
      this.#depth--
      if (this.#depth <= 0) return true
    }
    if (char.trim() !== '') this.#begun = true
    return false
  }
}
