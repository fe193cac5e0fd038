// Owns how a long output gets shorter without losing what matters: progress, repeats and blobs go, words of errors stay. Pure.
import { isBinary } from './binary.ts'

/** So many equal lines in a row are told as a number. */
const repeats = 4
/** Letters without a blank: base64, a key, a hash of many; never words. */
const blob = /[A-Za-z0-9+/=_-]{1000,}/g
const blobKept = 40

const progress = /\d\s?%|[#=.\-\u2588\u258f\u2592\u2591]{10,}|\b\d+(?:\.\d+)?\s?[kMG]i?B\/s\b|[\u2800-\u28ff|/\\-]\s*$/

/** What a line of progress has in common with the next one: no numbers, no bar, no unit. */
function skeleton(line: string): string {
  return line.replace(/[\d.,:#=\-\u2580-\u259f\u2800-\u28ff|/\\\s>]+/g, ' ').replace(/\b[kMGT]?i?B\b|\b[mun]?s\b/g, '').trim()
}

/** Runs of equal lines, of progress and of bytes that are no text become one line each. */
export function withoutNoise(text: string): string {
  const lines = text.split('\n')
  const out: string[] = []
  for (let index = 0; index < lines.length;) {
    const line = lines[index] ?? ''
    const end = runEnd(lines, index)
    const count = end - index
    if (isBinary(line)) {
      const last = binaryEnd(lines, index)
      out.push('[binary data left out]')
      index = last
    } else if (count >= repeats && line.trim() === '') {
      out.push('', `[${count} empty lines]`, '')
      index = end
    } else if (count >= repeats) {
      out.push(line, `[the line above ${count - 1} times more]`)
      index = end
    } else if (progress.test(line) && progressEnd(lines, index) - index >= repeats) {
      const last = progressEnd(lines, index)
      out.push(line, `[${last - index - 2} lines of progress left out]`, lines[last - 1] ?? '')
      index = last
    } else {
      out.push(line.length < 1000 ? line : line.replace(blob, (match) => `${match.slice(0, blobKept)}[... ${match.length - blobKept} more characters]`))
      index += 1
    }
  }
  return out.join('\n')
}

function runEnd(lines: readonly string[], from: number): number {
  let end = from + 1
  while (end < lines.length && lines[end] === lines[from]) end += 1
  return end
}

function progressEnd(lines: readonly string[], from: number): number {
  const first = lines[from] ?? ''
  if (first.length > 400) return from + 1
  const shape = skeleton(first)
  let end = from + 1
  while (end < lines.length && (lines[end]?.length ?? 0) <= 400 && progress.test(lines[end] ?? '') && skeleton(lines[end] ?? '') === shape) end += 1
  return end
}

/** Short pieces between two binary lines belong to them. */
function binaryEnd(lines: readonly string[], from: number): number {
  let end = from + 1
  for (let look = end; look < lines.length && look < end + 4; look += 1) if (isBinary(lines[look] ?? '')) end = look + 1
  return end
}

const trouble = /\b(?:error|errors|fail|failed|failure|fatal|panic|exception|traceback|assert\w*|undefined|cannot|denied|segmentation|not ok)\b|^E\s|\u2717|\u2716/i

/** Lines that speak of trouble: how many, and the last ones with their numbers. */
export type Trouble = { count: number; shown: string }

/** Collects such lines, the last ones that fit into `limit` bytes. Lines are given in their order, with their 1-based numbers. */
export function troubleKeeper(limit: number): { take(line: string, number: number): void; found(): Trouble | null } {
  const kept: string[] = []
  let [size, count] = [0, 0]
  return {
    take(line, number) {
      if (line.length >= 10_000 || !trouble.test(line)) return
      count += 1
      const words = `${number}: ${line.slice(0, 300)}`
      size += Buffer.byteLength(words) + 1
      kept.push(words)
      while (size > limit && kept.length > 0) size -= Buffer.byteLength(kept.shift() ?? '') + 1
    },
    found: () => (count === 0 ? null : { count, shown: kept.join('\n') }),
  }
}

/** The same for a text whose first line has the number `first`. */
export function troubleIn(text: string, first: number, limit: number): Trouble | null {
  const keeper = troubleKeeper(limit)
  text.split('\n').forEach((line, index) => keeper.take(line, first + index))
  return keeper.found()
}

/** A line far longer than the rest may take, cut in its middle. */
export function cutLongLines(text: string, longest: number): string {
  return text.split('\n').map((line) => {
    if (line.length <= longest) return line
    const head = Math.floor((longest * 2) / 3)
    const tail = Math.floor(longest / 3)
    return `${line.slice(0, head)}[... ${line.length - head - tail} characters ...]${line.slice(-tail)}`
  }).join('\n')
}
