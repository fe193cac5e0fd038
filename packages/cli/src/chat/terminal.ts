// Owns the keyboard of a chat: one line with history and pastes while the model waits, single keys while it works. Knows no job.
import { createInterface, type Interface } from 'node:readline'
import { Readable, Writable } from 'node:stream'
import type { Context } from '../context.ts'
import { visible } from '../text.ts'
import { PasteReader, Pastes, pasteMarks } from './keys.ts'

export type Asked = { type: 'line'; text: string } | { type: 'interrupt' } | { type: 'end' }

const continued = '… '

export class Terminal {
  readonly #ctx: Context
  readonly #reader = new PasteReader()
  readonly #pastes = new Pastes()
  readonly #history: string[] = []
  #keys: Readable | null = null
  /** Lines that came before somebody asked for one. */
  readonly #lines: string[] = []
  /** Typed while the model works. */
  #typed = ''
  #busy: { interrupt(): void; line(text: string): void } | null = null
  readonly #onData = (chunk: string | Buffer): void => this.#read(chunk.toString())

  constructor(ctx: Context) {
    this.#ctx = ctx
    ctx.stdin.setEncoding('utf8')
    ctx.stdin.setRawMode(true)
    ctx.stdin.on('data', this.#onData)
    ctx.out.write(pasteMarks.on)
  }

  /** What stands in the line that is typed while the model works. */
  get typed(): string {
    return visible(this.#typed)
  }

  remember(text: string): void {
    if (text !== '' && !text.includes('\n')) this.#history.unshift(text)
  }

  /** While the model works: Ctrl-C, and lines that are said in between. What is not finished stays for the next question. */
  working(handlers: { interrupt(): void; line(text: string): void }): () => void {
    this.#busy = handlers
    return () => { this.#busy = null }
  }

  /** One message; a backslash at the end of a line goes on with the next. */
  async ask(prompt: string): Promise<Asked> {
    const parts: string[] = []
    for (;;) {
      const asked = await this.#line(parts.length === 0 ? prompt : continued)
      if (asked.type !== 'line') return asked
      if (!asked.text.endsWith('\\')) {
        const text = [...parts, asked.text].join('\n')
        return { type: 'line', text: this.#pastes.whole(text) }
      }
      parts.push(asked.text.slice(0, -1))
    }
  }

  close(): void {
    this.#ctx.stdin.off('data', this.#onData)
    this.#ctx.stdin.setRawMode(false)
    this.#ctx.stdin.pause()
    this.#ctx.out.write(pasteMarks.off)
  }

  #line(prompt: string): Promise<Asked> {
    const early = this.#lines.shift()
    if (early !== undefined) {
      this.#ctx.out.write(`${prompt}${visible(early)}\r\n`)
      return Promise.resolve({ type: 'line', text: early })
    }
    const keys = new Readable({ read: () => undefined })
    const editor: Interface = createInterface({ input: keys, output: outputOf(this.#ctx), terminal: true, prompt, history: [...this.#history], historySize: 200, removeHistoryDuplicates: true, escapeCodeTimeout: 50 })
    return new Promise((resolve) => {
      const done = (asked: Asked): void => {
        this.#keys = null
        editor.removeAllListeners()
        editor.close()
        resolve(asked)
      }
      editor.on('line', (text) => {
        this.remember(text)
        done({ type: 'line', text })
      })
      editor.on('SIGINT', () => {
        const empty = editor.line === ''
        this.#ctx.out.write('\r\n')
        if (empty) return done({ type: 'interrupt' })
        editor.write(null, { ctrl: true, name: 'e' })
        editor.write(null, { ctrl: true, name: 'u' })
        editor.prompt()
      })
      editor.on('close', () => {
        this.#ctx.out.write('\r\n')
        done({ type: 'end' })
      })
      this.#keys = keys
      editor.prompt()
      if (this.#typed !== '') editor.write(this.#typed)
      this.#typed = ''
    })
  }

  #read(chunk: string): void {
    for (const piece of this.#reader.feed(chunk)) {
      const text = piece.type === 'paste' ? this.#pastes.shown(piece.text) : piece.text
      // One line at a time: the editor of the first is gone when the second comes.
      for (const part of text.split(/(?<=[\r\n])/)) {
        if (this.#keys !== null) this.#keys.emit('data', part)
        else this.#whileBusy(part, piece.type === 'paste')
      }
    }
  }

  #whileBusy(text: string, pasted: boolean): void {
    if (pasted) {
      this.#typed += text
      return
    }
    // Cursor keys have no meaning in a line that is only shown.
    for (const key of text.replace(/\u001b\[[0-?]*[ -/]*[@-~]|\u001b./g, '')) {
      if (key === '\u0003') this.#busy?.interrupt()
      else if (key === '\r' || key === '\n') {
        const line = this.#pastes.whole(this.#typed).trim()
        this.#typed = ''
        if (line !== '' && this.#busy === null) this.#lines.push(line)
        else if (line !== '') this.#busy?.line(line)
      } else if (key === '\u007f' || key === '\b') this.#typed = Array.from(this.#typed).slice(0, -1).join('')
      else if (key === '\u0015') this.#typed = ''
      else if (key >= ' ') this.#typed += key
    }
  }
}

/** What the line editor writes to: our output, with its width of now. */
function outputOf({ out }: Context): Writable {
  const stream = new Writable({
    decodeStrings: false,
    write(chunk: string | Buffer, _encoding, done) {
      out.write(chunk)
      done()
    },
  })
  return Object.defineProperty(stream, 'columns', { get: () => out.width })
}
