// Owns the live picture of a job: permanent lines above, on a terminal a region below that is redrawn (the text being written, a status line).
import type { JobEvent } from '@hearth/protocol'
import type { Out } from './context.ts'
import { count, duration } from './print.ts'
import { eventLines, type Look } from './render.ts'
import { columns, cut, visible, wrap } from './text.ts'

export type View = {
  event(event: JobEvent): void
  note(text: string): void
  /** Leaves the terminal alone until the next event. */
  pause(): void
  close(): void
}

export const cardLines = 12
const previewLines = 6
const tickMs = 120
const spinner = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']

/** The live picture on a terminal that can move its cursor, plain lines anywhere else. `hint` says what Ctrl-C does; `now` is the clock in milliseconds; `linesOf` how an event reads. */
export function openView(out: Out, live: boolean, hint: string | (() => string), now: () => number, linesOf: typeof eventLines = eventLines): View {
  return live ? new LiveView(out, hint, now, linesOf) : plainView(out, linesOf)
}

export function lookOf(out: Out, summary: boolean): Look {
  return { ink: out.ink, width: out.width, cardLines, summary }
}

function plainView(out: Out, linesOf: typeof eventLines): View {
  return {
    event: (event) => linesOf(event, lookOf(out, false)).forEach((line) => out.line(line)),
    note: (text) => out.line(text),
    pause: () => undefined,
    close: () => undefined,
  }
}

class LiveView implements View {
  readonly #out: Out
  readonly #hint: string | (() => string)
  readonly #linesOf: typeof eventLines
  readonly #now: () => number
  readonly #timer: NodeJS.Timeout
  readonly #begun: number
  #rows = 0
  #phase = 'starting'
  #preview = ''
  #step = 0
  #tokens = 0
  #speed: number | null = null
  #frame = 0
  #paused = false

  constructor(out: Out, hint: string | (() => string), now: () => number, linesOf: typeof eventLines) {
    this.#out = out
    this.#linesOf = linesOf
    this.#hint = hint
    this.#now = now
    this.#begun = now()
    this.#timer = setInterval(() => {
      this.#frame += 1
      if (!this.#paused) this.#draw([])
    }, tickMs)
  }

  event(event: JobEvent): void {
    this.#paused = false
    this.#learn(event)
    this.#draw(this.#linesOf(event, lookOf(this.#out, false)))
  }

  note(text: string): void {
    if (this.#paused) this.#out.write(`\n${text}\n`)
    else this.#draw([text])
  }

  pause(): void {
    this.#out.write(this.#erase())
    this.#rows = 0
    this.#paused = true
  }

  close(): void {
    clearInterval(this.#timer)
    this.#out.write(this.#erase())
    this.#rows = 0
  }

  #learn(event: JobEvent): void {
    switch (event.type) {
      case 'queued': this.#phase = 'waiting'; break
      case 'loading': this.#phase = 'loading the model'; break
      case 'waiting': this.#phase = 'waiting for the model'; break
      case 'started': this.#phase = 'starting'; break
      case 'step': this.#step = event.step; this.#phase = 'reading the prompt'; break
      case 'text':
      case 'thought': {
        const phase = event.type === 'text' ? 'writing' : 'thinking'
        // What it says takes the place of what it thought.
        this.#preview = ((this.#phase === phase ? this.#preview : '') + event.text).slice(-4000)
        this.#phase = phase
        return
      }
      case 'tool_started': this.#phase = 'running'; break
      case 'tool_output': this.#preview = (this.#preview + event.text).slice(-4000); return
      case 'turn':
        this.#tokens += event.usage.promptTokens - event.usage.reusedTokens + event.usage.completionTokens
        if (event.timings.decodeMs > 0) this.#speed = event.usage.completionTokens / (event.timings.decodeMs / 1000)
        this.#phase = 'working'
        break
      case 'tool_result':
      case 'tool_unknown':
      case 'check': this.#phase = 'working'; break
      case 'suspended': this.#phase = 'suspended'; break
      case 'approval_asked': this.#phase = 'waiting for an approval'; break
      case 'rewritten': this.#phase = 'reading the shortened history'; break
      case 'accepted': case 'resumed': case 'warned': case 'turn_failed': case 'call_rejected': case 'tool_planned': case 'nudge': case 'guard': case 'ended':
      case 'workspace': case 'opened': case 'call_repaired': case 'committed': case 'reverted': case 'delivered': case 'sub_step': case 'sampled': case 'said': case 'approval_given': case 'network_refused':
      case 'signals': case 'escalation_denied': case 'handed_back': case 'effect': break
      case 'escalation_offered': case 'remote': this.#phase = 'with the expert'; break
      default: event satisfies never
    }
    this.#preview = ''
  }

  #erase(): string {
    return this.#rows === 0 ? '' : `\r${this.#rows > 1 ? `\u001b[${this.#rows - 1}A` : ''}\u001b[J`
  }

  /** One write: erase the region, the new permanent lines, the region again. Every region row is shorter than the terminal, so it never wraps. */
  #draw(lines: readonly string[]): void {
    // The terminal echoes ^C at the end of the last row; without room for it the row would wrap and be counted wrong.
    const width = this.#out.width - 3
    const { ink } = this.#out
    const preview = this.#preview === '' ? [] : wrap(visible(this.#preview).replace(/\n+$/, ''), width - 4).slice(-previewLines)
    const region = [...preview.map((line) => `  ${ink.dim(`┊ ${line}`)}`), this.#status(width)]
    this.#out.write(this.#erase() + lines.map((line) => line + '\n').join('') + region.join('\n'))
    this.#rows = region.length
  }

  #status(width: number): string {
    const parts = [
      `${spinner[this.#frame % spinner.length] ?? ''} ${this.#phase}`,
      ...(this.#step > 0 ? [`step ${this.#step}`] : []),
      ...(this.#tokens > 0 ? [`${count(this.#tokens)} tokens`] : []),
      ...(this.#speed === null ? [] : [`${this.#speed.toFixed(1)} tokens/s`]),
      duration(Math.floor((this.#now() - this.#begun) / 1000) * 1000).replace('.0 s', ' s').replace('0 ms', '0 s'),
    ]
    const hint = typeof this.#hint === 'string' ? this.#hint : this.#hint()
    const text = cut(parts.join(' · '), width)
    const room = width - columns(text) - columns(hint)
    return this.#out.ink.cyan(text) + (room >= 3 ? ' '.repeat(room) + this.#out.ink.dim(hint) : '')
  }
}
