// Owns what comes from a terminal before a line editor sees it: pasted text is told apart from keys and made into one piece. Pure but for what it remembers.

const pasteStart = '\u001b[200~'
const pasteEnd = '\u001b[201~'
/** Asks a terminal to mark pasted text, and to leave that again. */
export const pasteMarks = { on: '\u001b[?2004h', off: '\u001b[?2004l' } as const

/** Stands for a line's end inside of the one line that is edited. */
const lineEnd = '↵'
// More than this would only hide what the person writes around it.
const shownLines = 8
const shownCharacters = 600

export type Piece = { type: 'keys' | 'paste'; text: string }

/** Splits a stream of characters into keys and pastes; a mark may come in two pieces. */
export class PasteReader {
  #rest = ''
  #paste: string | null = null

  feed(chunk: string): Piece[] {
    let text = this.#rest + chunk
    this.#rest = ''
    const pieces: Piece[] = []
    for (;;) {
      const mark = this.#paste === null ? pasteStart : pasteEnd
      const at = text.indexOf(mark)
      const tail = at < 0 ? partOf(text, mark) : 0
      const before = at < 0 ? text.slice(0, text.length - tail) : text.slice(0, at)
      if (this.#paste !== null) this.#paste += before
      else if (before !== '') pieces.push({ type: 'keys', text: before })
      if (at < 0) {
        this.#rest = text.slice(text.length - tail)
        return pieces
      }
      text = text.slice(at + mark.length)
      if (this.#paste === null) {
        this.#paste = ''
        continue
      }
      pieces.push({ type: 'paste', text: this.#paste.replace(/\r\n?/g, '\n') })
      this.#paste = null
    }
  }
}

/** Length of the mark's beginning at the end of a text; a lone escape is a key. */
function partOf(text: string, mark: string): number {
  for (let length = mark.length - 1; length >= 2; length -= 1) if (text.endsWith(mark.slice(0, length))) return length
  return 0
}

/** Pasted text as it stands in the line: short ones with their lines' ends marked, long ones as a name. `whole` brings it back. */
export class Pastes {
  readonly #long = new Map<string, string>()

  shown(text: string): string {
    const trimmed = text.replace(/\n+$/, '')
    const lines = trimmed.split('\n')
    if (lines.length <= shownLines && trimmed.length <= shownCharacters) return printable(lines.join(lineEnd))
    const name = `[pasted ${this.#long.size + 1}: ${lines.length} ${lines.length === 1 ? 'line' : 'lines'}]`
    this.#long.set(name, trimmed)
    return name
  }

  whole(line: string): string {
    return line.replaceAll(lineEnd, '\n').replace(/\[pasted \d+: \d+ lines?\]/g, (name) => this.#long.get(name) ?? name)
  }
}

/** A control character in a paste would be a key for the line editor. */
function printable(text: string): string {
  return text.replaceAll('\t', '    ').replace(/[\u0000-\u001f\u007f-\u009f]/g, '')
}
