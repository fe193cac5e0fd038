// Owns taking a key out of bytes that come in pieces, also where it lies over the edge of two of them. Pure.
import { overlap } from '../local/stop-scan.ts'

export class Scrub {
  readonly #key: string | null
  #held = ''

  /** `key`: plain ASCII; null = there is nothing to take out. */
  constructor(key: string | null) {
    this.#key = key
  }

  /** What is certain now, with *** for the key; what could still become it is held back. */
  push(bytes: Uint8Array): Uint8Array {
    if (this.#key === null) return bytes
    // Each byte one character, so that no character of the text is torn.
    const all = (this.#held + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')).replaceAll(this.#key, '***')
    const keep = overlap(all, this.#key)
    this.#held = all.slice(all.length - keep)
    return Buffer.from(all.slice(0, all.length - keep), 'latin1')
  }

  /** What was held back and did not become the key. */
  rest(): Uint8Array {
    return Buffer.from(this.#held, 'latin1')
  }
}
