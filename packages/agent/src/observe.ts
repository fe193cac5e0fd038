// Owns how a tool's text becomes what the model sees: made harmless, then cut to head and tail. The full text stays on disk.

/** Bytes of one observation for models with a real context window. */
export const observationBytes = 12_000
/** For windows under 16K tokens: an observation is at most about a twentieth of the window. */
export function observationLimit(contextTokens: number): number {
  return contextTokens >= 16_384 ? observationBytes : Math.max(800, Math.floor(contextTokens / 5))
}

// CSI, OSC (ended by BEL or ST), and two-byte escapes.
const ansi = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[@-Z\\-_])/g
// C0 but tab and newline, DEL and C1, zero-width and bidi controls, byte order mark.
 
const invisible = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g

/** Text without escape sequences, invisible characters and carriage-return overprints. Linear in its length: a program may print one line of megabytes. */
export function harmless(text: string): string {
  const plain = text.replace(ansi, '')
  const lines = plain.includes('\r') ? plain.split('\n').map(lastState).join('\n') : plain
  return lines.replace(invisible, '')
}

/** What is left of a line that was printed over itself; returns at its end overprint nothing. */
function lastState(line: string): string {
  let end = line.length
  while (line[end - 1] === '\r') end -= 1
  return end === 0 ? '' : line.slice(line.lastIndexOf('\r', end - 1) + 1, end)
}

/**
 * At most about `limit` bytes: a third from the head, two thirds from the tail (errors stand at the end), cut at line ends where
 * there are any. `handle` names the full text for the read tool.
 */
export function observe(text: string, limit: number, handle: string | null): string {
  const clean = harmless(text)
  const bytes = Buffer.from(clean, 'utf8')
  if (bytes.length <= limit) return clean
  const head = atLineEnd(bytes.subarray(0, Math.floor(limit / 3)).toString('utf8').replace(/\ufffd$/, ''))
  const tail = atLineStart(bytes.subarray(bytes.length - Math.floor((limit * 2) / 3)).toString('utf8').replace(/^\ufffd+/, ''))
  const left = bytes.length - Buffer.byteLength(head) - Buffer.byteLength(tail)
  const more = handle === null ? '' : `; read output:${handle} for all of it`
  return `${head}\n[... ${left} bytes left out${more} ...]\n${tail}`
}

function atLineEnd(text: string): string {
  const end = text.lastIndexOf('\n')
  return end > text.length / 2 ? text.slice(0, end) : text
}

function atLineStart(text: string): string {
  const start = text.indexOf('\n')
  return start !== -1 && start < text.length / 2 ? text.slice(start + 1) : text
}
