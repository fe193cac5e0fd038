// Owns the bounded memory of one output stream: its first and last bytes, and the count of all. Never writes a file.
import type { Captured } from '@hearth/protocol'

/** Keeps the first half and the last half of `limit` bytes of a stream. */
export class Capture {
  readonly #limit: number
  readonly #headLimit: number
  readonly #head: Uint8Array[] = []
  #headBytes = 0
  #tail: Uint8Array[] = []
  #tailBytes = 0
  #total = 0

  constructor(limit: number) {
    this.#limit = Math.max(0, Math.floor(limit))
    this.#headLimit = Math.ceil(this.#limit / 2)
  }

  push(chunk: Uint8Array): void {
    this.#total += chunk.length
    const room = this.#headLimit - this.#headBytes
    if (room > 0) {
      const first = Uint8Array.from(chunk.subarray(0, room))
      this.#head.push(first)
      this.#headBytes += first.length
    }
    const rest = room > 0 ? chunk.subarray(room) : chunk
    if (rest.length === 0) return
    this.#tail.push(Uint8Array.from(rest))
    this.#tailBytes += rest.length
    // Trimming at twice the size keeps the cost per byte constant when the pieces are small.
    if (this.#tailBytes > 2 * this.#limit + 65_536) this.#trim()
  }

  #trim(): void {
    const joined = Buffer.concat(this.#tail)
    const kept = joined.subarray(Math.max(0, joined.length - (this.#limit - this.#headLimit)))
    this.#tail = [Uint8Array.from(kept)]
    this.#tailBytes = kept.length
  }

  /** UTF-8 text; bytes that are not UTF-8 become U+FFFD, and a character cut in two by the limit is left out whole. */
  done(): Captured {
    const all = this.#headBytes + this.#tailBytes === this.#total && this.#total <= this.#limit
    if (all) return { text: decode(Buffer.concat([...this.#head, ...this.#tail])), totalBytes: this.#total, truncated: false }
    this.#trim()
    const head = withoutCutEnd(Buffer.concat(this.#head))
    const tail = withoutCutStart(Buffer.concat(this.#tail))
    const left = this.#total - head.length - tail.length
    const marker = `[${left} bytes left out]\n`
    const headText = decode(head)
    return { text: `${headText}${headText === '' || headText.endsWith('\n') ? '' : '\n'}${marker}${decode(tail)}`, totalBytes: this.#total, truncated: true }
  }
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes)
}

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80

/** Drops an unfinished UTF-8 character at the end. */
function withoutCutEnd(bytes: Buffer): Buffer {
  let start = bytes.length - 1
  while (start >= 0 && start > bytes.length - 4 && isContinuation(bytes[start])) start--
  const lead = bytes[start]
  if (lead === undefined) return bytes
  const needed = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1
  return bytes.length - start < needed ? bytes.subarray(0, start) : bytes
}

/** Drops the end of a character whose start was left out. */
function withoutCutStart(bytes: Buffer): Buffer {
  let start = 0
  while (start < 3 && isContinuation(bytes[start])) start++
  return bytes.subarray(start)
}
