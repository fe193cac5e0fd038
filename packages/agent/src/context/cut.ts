// Owns how a text that stays in the prompt for a whole job is cut: at a line end, with the number of bytes that are missing.

/** At most about `limit` bytes of UTF-8 from the beginning of `text`, and a line that says what was left out. */
export function cutText(text: string, limit: number): string {
  const bytes = Buffer.from(text, 'utf8')
  if (bytes.length <= limit) return text
  const head = bytes.subarray(0, Math.max(0, limit)).toString('utf8').replace(/\ufffd$/, '')
  const end = head.lastIndexOf('\n')
  const kept = end > head.length / 2 ? head.slice(0, end) : head
  return `${kept}\n[... ${bytes.length - Buffer.byteLength(kept)} bytes left out ...]`
}
