// Owns what is taken out of any text before a model sees it: escape sequences, invisible characters, comments that a reader of the page would not see.
// Never shortens it for its length.

// CSI, OSC and the other strings (ended by BEL or ST), and two-byte escapes.
const ansi = /\u001b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]+[0-~]|[0-~])/g

// C0 but tab and newline, DEL and C1; soft hyphen, fillers, zero-width and bidi controls, byte order mark, variation selectors of private meaning and tag
// characters, both of which can carry a hidden text. The ordinary variation selectors (emoji) stay.
const invisible = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|\udb40[\udc00-\uddef]/g

/** The same for one UTF-16 code unit; the tag characters' first half stands for nothing else that is seen. */
export function isInvisible(code: number): boolean {
  if (code < 0x20) return code !== 9 && code !== 10
  if (code < 0x7f) return false
  return code === 0xdb40 || invisibleUnits.has(code)
}

const invisibleUnits = new Set<number>()
for (let code = 0x7f; code < 0x10000; code += 1) {
  if (code >= 0xd800 && code <= 0xdfff) continue
  if (String.fromCharCode(code).replace(invisible, '') === '') invisibleUnits.add(code)
}

/** Text without escape sequences, invisible characters and carriage-return overprints. Linear in its length: a program may print one line of megabytes. */
export function harmless(text: string): string {
  const plain = text.replace(ansi, '')
  const lines = plain.includes('\r') ? plain.split('\n').map(lastState).join('\n') : plain
  return lines.replace(invisible, '')
}

/** Text without invisible characters; line ends stay as they are. */
export function withoutInvisible(text: string): string {
  return text.replace(invisible, (char) => (char === '\r' ? char : ''))
}

/** What is left of a line that was printed over itself; returns at its end overprint nothing. */
function lastState(line: string): string {
  let end = line.length
  while (line[end - 1] === '\r') end -= 1
  return end === 0 ? '' : line.slice(line.lastIndexOf('\r', end - 1) + 1, end)
}

/**
 * Markdown or HTML as a reader of the page would see it: comments are named, not shown, and line numbers stay. What stands in a fenced block is text and
 * not a comment.
 */
export function withoutHiddenComments(text: string): string {
  if (!text.includes('<!--')) return text
  let fence: string | null = null
  let hidden = false
  return text.split('\n').map((line) => {
    const mark = hidden ? undefined : /^ {0,3}(```+|~~~+)/.exec(line)?.[1]
    if (mark !== undefined) {
      if (fence === null) fence = mark
      else if (mark.startsWith(fence)) fence = null
      return line
    }
    if (fence !== null) return line
    let rest = line
    let out = ''
    for (;;) {
      if (hidden) {
        const end = rest.indexOf('-->')
        if (end === -1) return out
        rest = rest.slice(end + 3)
        hidden = false
      }
      const start = rest.indexOf('<!--')
      if (start === -1) return out + rest
      out += `${rest.slice(0, start)}<!-- left out -->`
      rest = rest.slice(start + 4)
      hidden = true
    }
  }).join('\n')
}
