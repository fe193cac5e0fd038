// Owns looking into what is written in base64 or hex: decoded once, and once more inside, when it is text. What is found inside makes a finding of the whole blob.
import type { Match } from './rules.ts'

const base64 = /(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,90000}={0,2}/g
// The same in lines of a fixed width, as mail and certificates have them, perhaps in a diff or a numbered list.
const wrapped = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{40,400}(?:\r?\n[ \t]{0,40}(?:[+\->|#*][ \t]{0,4}|\d{1,6}[:|\t][ \t]{0,4})?[A-Za-z0-9+/]{1,400}(?=={0,2}["'`,;)]{0,3}[ \t]{0,8}(?:\r?\n|$))){1,2000}={0,2}/g
const hex = /(?<![A-Za-z0-9])(?:[0-9a-fA-F]{2}){14,45000}(?![A-Za-z0-9])|(?:\\?0?x[0-9a-fA-F]{2}[ ,\t\r\n]{0,20}){12,20000}/g
const deepest = 2
// Characters of one text that are decoded at most: a text of nothing but blobs is looked into as far as this.
const decodedLimit = 400_000

/** `look` finds in a decoded text. */
export async function insideBlobs(text: string, depth: number, look: (inner: string) => Promise<Match[]>): Promise<Match[]> {
  if (depth >= deepest) return []
  const found: Match[] = []
  let budget = decodedLimit
  for (const [pattern, encoding] of [[base64, 'base64'], [wrapped, 'base64'], [hex, 'hex']] as const) {
    for (const match of text.matchAll(pattern)) {
      if (budget <= 0) break
      const inner = decoded(match[0], encoding)
      if (inner === null) continue
      budget -= inner.length
      const worst = (await look(inner))[0]
      if (worst !== undefined) found.push({ kind: worst.kind, start: match.index, end: match.index + match[0].length })
    }
  }
  return found
}

/** The text in a blob; null = it holds none (an image, a digest, a key). Node's base64 reads both alphabets. */
function decoded(blob: string, encoding: 'base64' | 'hex'): string | null {
  // A plus at the beginning of every line is a diff's.
  const diff = /\n\+/.test(blob) && !/\n[^+\s]/.test(blob)
  const digits = encoding === 'hex' ? blob.replace(/\\?0?x|[ ,\t\r\n]/g, '') : blob.replace(diff ? /\s+\+/g : /\s+(?:[->|#*]\s*|\d{1,6}[:|\t]\s*)?/g, '')
  // The beginning tells: what is no text is not decoded whole.
  const head = Buffer.from(digits.slice(0, 64), encoding).subarray(0, -3)
  const wide = head.length > 8 && head[1] === 0 && head[3] === 0
  if (!wide && !isText(head)) return null
  const bytes = Buffer.from(digits, encoding)
  return wide ? bytes.toString('utf16le') : isText(bytes) ? bytes.toString('utf8') : null
}

function isText(bytes: Buffer): boolean {
  let odd = 0
  for (const byte of bytes) if (byte < 9 || (byte > 13 && byte < 32 && byte !== 27) || byte >= 127) odd += 1
  return bytes.length >= 6 && odd <= bytes.length / 10
}
