// Owns text on its way to a terminal: making control characters harmless, measuring columns, cutting and wrapping. Knows no colour and no stream.

const tab = '  '
// ECMA-48 control sequences (colours, cursor moves). Programs colour their output; the codes are noise in a card and are dropped.
const controlSequence = /\u001b\[[0-?]*[ -/]*[@-~]/g
// What may not reach a terminal as it is: C0 but newline, DEL, C1, bidirectional controls, invisible and line-breaking characters, tags.
const harmful = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu
const harmfulInJson = /[\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\u{e0000}-\u{e007f}]/gu

/**
 * Text of a model, a tool or a file, made safe for a terminal: colour codes are dropped, every other control character is shown as a
 * picture (␛) or as its number (\u202e). Newlines stay, tabs become two spaces, CRLF becomes a newline. The result holds no ESC, no C1, no bidi control.
 */
export function visible(text: string): string {
  return text.toWellFormed().replaceAll('\r\n', '\n').replace(controlSequence, '').replace(harmful, (found) => {
    if (found === '\t') return tab
    const code = found.codePointAt(0) ?? 0
    if (code < 0x20) return String.fromCodePoint(0x2400 + code)
    if (code === 0x7f) return '\u2421'
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

/**
 * The same text with its control sequences in sight, for what somebody says yes to: between ESC and the letter that ends such a sequence there is room
 * for a command (`ls ESC[;. ./x` runs ./x), and `visible` drops it.
 */
export function nothingDropped(text: string): string {
  return text.replaceAll('\u001b', '\u241b')
}

/** `visible` on one line: newlines and runs of blanks become one blank. */
export function oneLine(text: string): string {
  return visible(text).replace(/\s+/g, ' ').trim()
}

/** JSON on one line, without loss, in which no character can steer a terminal. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value).replace(harmfulInJson, (found) => {
    let escaped = ''
    for (let i = 0; i < found.length; i++) escaped += `\\u${found.charCodeAt(i).toString(16).padStart(4, '0')}`
    return escaped
  })
}

const ascii = /^[\u0020-\u007e]*$/
const zero = /^[\p{M}\u200d\ufe00-\ufe0f]/u
const wide = /^[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f680}-\u{1f9ff}\u{20000}-\u{3fffd}]|^\p{Emoji_Presentation}|^\p{Emoji}\ufe0f/u
let segmenter: Intl.Segmenter | null = null

function graphemes(text: string): string[] {
  segmenter ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
  return Array.from(segmenter.segment(text), (part) => part.segment)
}

function graphemeColumns(grapheme: string): number {
  return zero.test(grapheme) ? 0 : wide.test(grapheme) ? 2 : 1
}

/** Terminal columns of a text without control characters or colour codes. */
export function columns(text: string): number {
  if (ascii.test(text)) return text.length
  let sum = 0
  for (const grapheme of graphemes(text)) sum += graphemeColumns(grapheme)
  return sum
}

/** The text in at most `width` columns; a cut is marked by '…'. */
export function cut(text: string, width: number): string {
  if (width <= 0) return ''
  if (ascii.test(text) ? text.length <= width : columns(text) <= width) return text
  let kept = ''
  let used = 0
  for (const grapheme of graphemes(text)) {
    const size = graphemeColumns(grapheme)
    if (used + size > width - 1) break
    kept += grapheme
    used += size
  }
  return kept + '…'
}

/** Pads with blanks to `width` columns; longer text stays as it is. */
export function pad(text: string, width: number, side: 'left' | 'right' = 'right'): string {
  const blanks = ' '.repeat(Math.max(0, width - columns(text)))
  return side === 'right' ? text + blanks : blanks + text
}

/** Lines of at most `width` columns, broken at blanks where possible; a word longer than a line is split. Infinity = newlines only. */
export function wrap(text: string, width: number): string[] {
  if (width === Infinity) return text.split('\n')
  const lines: string[] = []
  for (const paragraph of text.split('\n')) {
    let line = ''
    let used = 0
    let words = false
    for (const piece of paragraph.split(/(?<= )/)) {
      const size = columns(piece.trimEnd())
      if (used + size > width) {
        // A line of blanks only is dropped: kept, it would push the word after it over the edge.
        if (words) lines.push(line.trimEnd())
        line = ''
        used = 0
        words = false
      }
      if (size <= width) {
        line += piece
        used += columns(piece)
        words ||= size > 0
        continue
      }
      for (const grapheme of graphemes(piece)) {
        const step = graphemeColumns(grapheme)
        if (used + step > width) {
          lines.push(line)
          line = ''
          used = 0
        }
        line += grapheme
        used += step
      }
      words = true
    }
    lines.push(line.trimEnd())
  }
  return lines
}
