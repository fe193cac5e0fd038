// Owns the conversation at a terminal or through a pipe: asks for words, shows the turn, asks for approvals, performs the slash commands.
import { Client } from '@hearth/protocol/client'
import { FaultError, faultFrom } from '@hearth/protocol/fault'
import { commandExits } from '@hearth/protocol/outcome'
import type { JobEvent, JobRequestInput, UsageReply } from '@hearth/protocol'
import { createInterface } from 'node:readline'
import { questionLines } from '../approval.ts'
import type { Context } from '../context.ts'
import { lookOf, openView } from '../live.ts'
import { printPatch } from '../patch.ts'
import { bytes, count, counted, duration } from '../print.ts'
import { jsonLine, oneLine, visible, wrap } from '../text.ts'
import { besideLines, chatLines, wordsOf } from './lines.ts'
import { Session } from './session.ts'
import { Terminal, type Asked } from './terminal.ts'
import { answerOf, chatCommands, lineOf, type CommandName } from './words.ts'

export type TalkOptions = {
  /** Everything of the first request but the words. */
  request: Omit<JobRequestInput, 'prompt'>
  json: boolean
  quiet: boolean
}

/** A second Ctrl-C within this leaves. */
const twiceMs = 2000

export class Talk {
  readonly #ctx: Context
  readonly #options: TalkOptions
  #session: Session
  readonly #sent = new Set<string>()
  /** Calls that were asked about here. */
  readonly #answered = new Set<string>()
  /** Sees each event of the turn beside what shows it. */
  #watched: ((event: JobEvent) => void) | null = null
  #left = false
  #failed = false

  constructor(ctx: Context, session: Session, options: TalkOptions) {
    this.#ctx = ctx
    this.#session = session
    this.#options = options
  }

  /** One message a line until the input ends. 0, or 1 when a turn ended in something else than an answer. */
  async piped(): Promise<number> {
    for await (const line of createInterface({ input: this.#ctx.stdin, crlfDelay: Infinity })) {
      if (!this.#options.quiet && !this.#options.json && line.trim() !== '') this.#ctx.err.line(`> ${visible(line)}`)
      await this.#line(line, null)
      if (this.#left || this.#session.waits?.type === 'ended') break
    }
    if (this.#session.waits?.type === 'ended') return this.#session.waits.exitCode
    return this.#failed ? commandExits.internal : commandExits.ok
  }

  /** Until the person leaves. */
  async interactive(): Promise<number> {
    const { out } = this.#ctx
    const terminal = new Terminal(this.#ctx)
    const release = this.#ctx.onInterrupt(() => { this.#leave() })
    let lastInterrupt = 0
    try {
      // A turn under way, or a call that waits, comes before any new words.
      if (this.#session.job !== null) await this.#turns(terminal)
      while (!this.#left && this.#session.waits?.type !== 'ended') {
        const asked: Asked = await terminal.ask(out.ink.bold(out.ink.cyan('› ')))
        if (asked.type === 'end') break
        if (asked.type === 'interrupt') {
          if (Date.now() - lastInterrupt < twiceMs) break
          lastInterrupt = Date.now()
          out.line(out.ink.dim('Ctrl-C again, Ctrl-D or /quit leaves'))
          continue
        }
        await this.#line(asked.text, terminal)
      }
    } finally {
      release()
      terminal.close()
    }
    const { job, waits } = this.#session
    if (waits?.type === 'ended') return waits.exitCode
    if (job !== null) out.line(out.ink.dim(`${waits === null ? 'left while it works; it stops at the end of its turn' : 'the chat waits'}: hearth chat --resume ${visible(job.id)}`))
    return commandExits.ok
  }

  async #line(text: string, terminal: Terminal | null): Promise<void> {
    const line = lineOf(text)
    try {
      switch (line.type) {
        case 'nothing': return
        case 'wrong': return this.#ctx.err.line(line.problem)
        case 'command': return await this.#command(line.name, line.argument, terminal)
        case 'say': break
        default: return line satisfies never
      }
      this.#sent.add(line.text)
      if (this.#session.job === null) await this.#session.begin({ ...this.#options.request, prompt: line.text })
      else await this.#session.say(line.text)
      await this.#turns(terminal)
    } catch (error) {
      this.#fault(error)
      this.#failed = true
    }
  }

  /** The turn, and the approvals that it asks for, until it waits for words. */
  async #turns(terminal: Terminal | null): Promise<void> {
    for (;;) {
      await this.#turn(terminal)
      const { waits } = this.#session
      if (this.#left || waits?.type !== 'approval' || terminal === null) {
        if (waits?.type === 'words' && waits.reason !== 'waiting for you') this.#failed = true
        return
      }
      await this.#approve(terminal)
    }
  }

  async #approve(terminal: Terminal): Promise<void> {
    const { out } = this.#ctx
    const question = await this.#session.question()
    if (question === null) return
    for (const line of await questionLines(question, out)) out.line(line)
    for (;;) {
      const asked = await terminal.ask(out.ink.yellow('allow? y, n, or why not: '))
      const answer = asked.type === 'line' ? answerOf(asked.text) : { approved: false, note: '' }
      if (answer === null) continue
      if (asked.type === 'end') this.#left = true
      else {
        this.#answered.add(question.callId)
        await this.#session.approve(question, answer)
      }
      return
    }
  }

  async #turn(terminal: Terminal | null): Promise<void> {
    const { out } = this.#ctx
    const { json, quiet } = this.#options
    if (json || terminal === null) {
      for await (const event of this.#session.turn()) {
        if (event.type === 'lost') continue
        this.#watched?.(event)
        this.#plain(event, json, quiet)
      }
      return
    }
    const view = openView(out, true, () => (terminal.typed === '' ? 'Ctrl-C interrupts' : `› ${terminal.typed.slice(-30)}`), Date.now, (event, look) => (this.#echoed(event) ? [] : chatLines(event, look)))
    let interrupted = 0
    const stop = new AbortController()
    const release = terminal.working({
      interrupt: () => {
        if (Date.now() - interrupted < twiceMs) {
          this.#left = true
          return stop.abort()
        }
        interrupted = Date.now()
        view.note(out.ink.yellow('interrupting; Ctrl-C again leaves'))
        this.#session.interrupt().catch((error: unknown) => view.note(faultFrom(error).message))
      },
      line: (text) => {
        const line = lineOf(text)
        if (line.type !== 'say') return view.note(out.ink.dim(line.type === 'wrong' ? line.problem : 'commands have to wait for the end of the turn'))
        this.#session.say(line.text).catch((error: unknown) => view.note(faultFrom(error).message))
      },
    })
    const leave = (): void => this.#session.leave()
    stop.signal.addEventListener('abort', leave)
    try {
      for await (const event of this.#session.turn()) {
        if (event.type === 'lost') view.note('the connection to the daemon broke; waiting for it to come back')
        else {
          this.#watched?.(event)
          view.event(event)
        }
      }
    } finally {
      release()
      view.close()
    }
    if (this.#session.waits?.type === 'words') out.line()
  }

  /** Into a pipe: the words to stdout, all else to stderr. */
  #plain(event: JobEvent, json: boolean, quiet: boolean): void {
    const { out, err } = this.#ctx
    if (json) return out.line(jsonLine(event))
    const words = wordsOf(event)
    if (words !== '') out.line(words)
    if (!quiet && !this.#echoed(event)) for (const line of besideLines(event, lookOf(err, false))) err.line(line)
  }

  /** What stands on the screen already: words and answers that were typed there, and the call that was asked about. */
  #echoed(event: JobEvent): boolean {
    if (event.type === 'approval_given') return this.#answered.has(event.callId)
    if (event.type === 'tool_planned') return this.#answered.has(event.call.id)
    return event.type === 'said' && this.#sent.delete(event.text)
  }

  async #command(name: CommandName, argument: string, terminal: Terminal | null): Promise<void> {
    const { out } = this.#ctx
    const { job } = this.#session
    if (name === 'quit') return this.#leave()
    if (name === 'help') {
      for (const [command, what] of Object.entries(chatCommands)) for (const [index, line] of wrap(what, out.width - 10).entries()) out.line(`${(index === 0 ? `/${command}` : '').padEnd(8)}  ${line}`)
      return out.line(out.ink.dim('A backslash at the end of a line goes on with the next. What is typed while the model works is told it at its next step.'))
    }
    if (job === null) return out.line('nothing was said yet')
    switch (name) {
      case 'undo': {
        const step = argument === '' ? this.#session.beforeTurn : Number(argument)
        const { count: files } = await this.#session.undo(step)
        return out.line(files === 0 ? 'nothing was changed since then' : `${counted(files, 'file')} put back to ${step === 0 ? 'before the chat' : `after step ${step}`}`)
      }
      case 'diff': return await printPatch(this.#ctx, new Client(this.#ctx.paths.socket), job.id, null)
      case 'compact': {
        let shortened = false
        this.#watched = (event) => { shortened ||= event.type === 'rewritten' }
        await this.#session.compact()
        await this.#turns(terminal).finally(() => { this.#watched = null })
        return shortened ? undefined : out.line('there is nothing that is worth leaving out yet')
      }
      case 'cost': return this.#cost(job.id)
      case 'model': return this.#changeModel(argument)
      default: name satisfies never
    }
  }

  async #cost(id: string): Promise<void> {
    const { totals } = await new Client(this.#ctx.paths.socket).call<UsageReply>('GET', `/api/usage?job=${encodeURIComponent(id)}&limit=1`)
    const { out } = this.#ctx
    out.line(`${counted(totals.calls, 'model call')}, ${count(totals.promptTokens)} prompt tokens (${count(totals.reusedTokens)} reused), ${count(totals.completionTokens)} generated`)
    out.line(`${duration(totals.modelSeconds * 1000)} in the model; ${bytes(totals.bytesLeftBox)} left the box`)
  }

  async #changeModel(model: string): Promise<void> {
    const job = await this.#session.fork({ model })
    this.#session.leave()
    this.#session = new Session(new Client(this.#ctx.paths.socket))
    await this.#session.resume(job)
    this.#ctx.out.line(`goes on with ${oneLine(job.model)} as ${visible(job.id)}`)
  }

  #leave(): void {
    this.#left = true
    this.#session.leave()
  }

  #fault(error: unknown): void {
    const { message, remedy, code } = faultFrom(error)
    // Without a daemon, or with a fault of our own, nothing more can be said here.
    if (!(error instanceof FaultError) || code === 'daemon_unreachable' || this.#session.job === null) throw error
    this.#ctx.err.line(`${this.#ctx.err.ink.red('hearth:')} ${visible(message)}`)
    if (remedy !== '') this.#ctx.err.line(visible(remedy))
  }
}
