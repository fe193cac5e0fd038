// Owns looking into what is written in base64 or hex, packed or not: decoded, and again what is in it, three deep, when it is text. What is found inside makes a finding of
// the whole blob.
import { setImmediate } from 'node:timers/promises'
import { constants, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib'
import type { Finding } from './finding.ts'

const base64 = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,90000}={0,2}/g
// The same in lines of a fixed width, as mail and certificates have them, perhaps in a diff or a numbered list.
const wrapped = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,400}(?:\r?\n[ \t]{0,40}(?:[+\->|#*][ \t]{0,4}|\d{1,6}[:|\t][ \t]{0,4})?[A-Za-z0-9+/]{1,400}(?=={0,2}["'`,;)]{0,3}[ \t]{0,8}(?:\r?\n|$))){1,2000}={0,2}/g
const hex = /(?<![A-Za-z0-9])(?:[0-9a-fA-F]{2}){14,45000}(?![A-Za-z0-9])|(?:\\?0?x[0-9a-fA-F]{2}[ ,\t\r\n]{0,20}){12,20000}/g
const deepest = 3
// Characters that come out of one text at most, at all depths together: a text of nothing but blobs is looked into as far as this.
const decodedLimit = 400_000
const unpackedLimit = 150_000
/** Others wait no longer than about this long for a text that is looked at. */
const stretchMs = 15

/** One for each text that is looked at. */
export class Blobs {
  readonly #left: { characters: number; since: number }
  readonly #depth: number

  constructor(left = { characters: decodedLimit, since: performance.now() }, depth = 0) {
    this.#left = left
    this.#depth = depth
  }

  /** Gives way to others when it is their turn; to be asked between two readings of the text or of what is in it. */
  async giveWay(): Promise<void> {
    if (performance.now() - this.#left.since < stretchMs) return
    await setImmediate()
    this.#left.since = performance.now()
  }

  /** `look` finds in a decoded text, with what is to be used there. */
  async inside(text: string, look: (inner: string, deeper: Blobs) => Promise<Finding[]>): Promise<Finding[]> {
    if (this.#depth >= deepest) return []
    const deeper = new Blobs(this.#left, this.#depth + 1)
    const found: Finding[] = []
    for (const [pattern, encoding] of [[base64, 'base64'], [wrapped, 'base64'], [hex, 'hex']] as const) {
      for (const match of text.matchAll(pattern)) {
        if (this.#left.characters <= 0) break
        await this.giveWay()
        const inner = decoded(match[0], encoding)
        if (inner === null) continue
        this.#left.characters -= inner.length
        const worst = (await look(inner, deeper))[0]
        if (worst !== undefined) found.push({ kind: worst.kind, start: match.index, end: match.index + match[0].length })
      }
    }
    return found
  }
}

/** The text in a blob; null = it holds none (an image, a digest, a key). Node's base64 reads both alphabets. */
function decoded(blob: string, encoding: 'base64' | 'hex'): string | null {
  // A plus at the beginning of every line is a diff's.
  const diff = /\n\+/.test(blob) && !/\n[^+\s]/.test(blob)
  const digits = encoding === 'hex' ? blob.replace(/\\?0?x|[ ,\t\r\n]/g, '') : blob.replace(diff ? /\s+\+/g : /\s+(?:[->|#*]\s*|\d{1,6}[:|\t]\s*)?/g, '')
  // The beginning tells: what is no text is not decoded whole.
  const head = Buffer.from(digits.slice(0, 64), encoding).subarray(0, -3)
  const unpack = packing(head)
  const wide = wideness(head)
  if (unpack === null && wide === null && !isText(head)) return null
  const bytes = unpack === null ? Buffer.from(digits, encoding) : unpacked(Buffer.from(digits, encoding), unpack)
  return bytes === null ? null : textOf(bytes, unpack === null ? wide : wideness(bytes))
}

function textOf(bytes: Buffer, wide: 'le' | 'be' | null): string | null {
  if (wide === null) return isText(bytes) ? bytes.toString('utf8') : null
  const even = bytes.subarray(0, bytes.length & ~1)
  return (wide === 'le' ? even : Buffer.from(even).swap16()).toString('utf16le')
}

/** Which bytes of the first characters are zero: UTF-16 of what has Latin letters. */
function wideness(head: Buffer): 'le' | 'be' | null {
  if (head.length <= 8) return null
  return head[1] === 0 && head[3] === 0 ? 'le' : head[0] === 0 && head[2] === 0 ? 'be' : null
}

type Unpack = (bytes: Buffer, options: { maxOutputLength: number; finishFlush: number }) => Buffer

/** By the first bytes; null = it is not packed in a way that is known here. */
function packing(head: Buffer): Unpack | null {
  const [first, second] = head
  if (first === 0x1f && second === 0x8b) return gunzipSync
  if (first === 0x78 && (second === 0x01 || second === 0x5e || second === 0x9c || second === 0xda)) return inflateSync
  return head.length > 4 && head.readUInt32BE(0) === 0x28b52ffd ? (bytes, { maxOutputLength }) => zstdDecompressSync(bytes, { maxOutputLength }) : null
}

/** Its beginning, when all of it is too much; null = it cannot be unpacked. */
function unpacked(bytes: Buffer, unpack: Unpack): Buffer | null {
  for (let size = bytes.length; size > 0; size >>= 2) {
    try {
      return unpack(bytes.subarray(0, size), { maxOutputLength: unpackedLimit, finishFlush: constants.Z_SYNC_FLUSH })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_BUFFER_TOO_LARGE') break
    }
  }
  return null
}

function isText(bytes: Buffer): boolean {
  let odd = 0
  for (const byte of bytes) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27) || byte >= 127) odd += 1
  return bytes.length >= 6 && odd <= bytes.length / 10
}
