// Owns how a pull, a verify and the starter's download look: a bar on a terminal, a line each tenth in a pipe. Starts no transfer by itself.
import { Client } from '@hearth/protocol/client'
import type { ModelRow, TransferEvent } from '@hearth/protocol'
import type { Context, Out } from './context.ts'
import { operate } from './operation.ts'
import { bytes, duration } from './print.ts'
import { cut, oneLine } from './text.ts'

type Progress = Extract<TransferEvent, { type: 'progress' }>
export type TransferEnd = { model: ModelRow; downloadedBytes: number }

/** '  42%  39.4 of 93.8 MiB  12.0 MiB/s  4.5 s left'. Without a known total: bytes and speed only. */
export function progressText(event: Progress): string {
  const speed = event.bytesPerSecond > 0 ? `  ${bytes(event.bytesPerSecond)}/s` : ''
  if (event.totalBytes === null || event.totalBytes === 0) return `${bytes(event.doneBytes)}${speed}`
  const percent = Math.floor((event.doneBytes / event.totalBytes) * 100)
  const left = event.bytesPerSecond > 0 && event.doneBytes < event.totalBytes ? `  ${duration(((event.totalBytes - event.doneBytes) / event.bytesPerSecond) * 1000)} left` : ''
  return `${String(percent).padStart(3)}%  ${bytes(event.doneBytes)} of ${bytes(event.totalBytes)}${speed}${left}`
}

/** A bar of `size` cells with eighths. */
export function bar(part: number, size: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * size * 8)
  const full = Math.floor(eighths / 8)
  const rest = eighths % 8
  const last = rest === 0 ? '' : String.fromCodePoint(0x2590 - rest)
  return ('█'.repeat(full) + last).padEnd(size, '░')
}

/** One line that is drawn again and again on a terminal, and now and then in a pipe. */
export class Meter {
  readonly #out: Out
  readonly #live: boolean
  #tenth = -1
  #shown = false

  constructor(out: Out, live: boolean) {
    this.#out = out
    this.#live = live
  }

  line(text: string): void {
    this.#out.write(`${this.clear()}${text}\n`)
  }

  progress(event: Progress): void {
    const part = event.totalBytes === null || event.totalBytes === 0 ? null : event.doneBytes / event.totalBytes
    this.part(part, progressText(event), Math.floor(event.doneBytes / (64 * 2 ** 20)))
  }

  /** `part` of 1, or null when the whole is not known; then a pipe gets a line for each new `count`. */
  part(part: number | null, text: string, count = 0): void {
    if (!this.#live) {
      const tenth = part === null ? count : Math.floor(part * 10)
      if (tenth === this.#tenth) return
      this.#tenth = tenth
      this.#out.line(text.trim())
      return
    }
    const room = Math.min(32, this.#out.width - text.length - 4)
    const drawn = part === null || room < 8 ? '' : `${this.#out.ink.cyan(bar(part, room))} `
    this.#out.write(`\r\u001b[K${drawn}${cut(text, this.#out.width - 1)}`)
    this.#shown = true
  }

  clear(): string {
    const erase = this.#shown ? '\r\u001b[K' : ''
    this.#shown = false
    this.#tenth = -1
    return erase
  }
}

/** Shows a transfer until its end. With `json` each event is a line on stdout. Throws its fault, or `cancelled` on Ctrl-C. */
export async function showTransfer(ctx: Context, path: string, to: Out, json: boolean): Promise<TransferEnd> {
  const meter = new Meter(to, to.tty && ctx.env['TERM'] !== 'dumb')
  const { model, downloadedBytes } = await operate<TransferEvent>(ctx, {
    client: new Client(ctx.paths.socket), path, json, left: 'the terminal; what was fetched is kept for the next try', noResult: 'the transfer ended without a result',
    tell(event) {
      switch (event.type) {
        case 'source': {
          const resumed = event.resumedBytes > 0 ? `, going on after ${bytes(event.resumedBytes)}` : ''
          const size = event.totalBytes === null ? '' : ` (${bytes(event.totalBytes)})`
          return meter.line(`${oneLine(event.file)}${size} from ${oneLine(event.source)}${resumed}`)
        }
        case 'progress': return meter.progress(event)
        case 'verifying': return meter.line(`checking the sha256 of ${oneLine(event.file)}`)
        case 'note': return meter.line(oneLine(event.text))
        default: event satisfies never
      }
    },
    clear: () => to.write(meter.clear()),
  })
  return { model, downloadedBytes }
}
