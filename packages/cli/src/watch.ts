// Owns watching one job to its end, for `run` and `attach`: progress to stderr, the result to stdout, what Ctrl-C means, calls that wait for a yes, the exit code of the outcome.
import { Client } from '@hearth/protocol/client'
import { commandExits, outcomeTable } from '@hearth/protocol/outcome'
import type { EventOf, Job, JobEvent } from '@hearth/protocol'
import { askHere, canAsk, howToAnswer, openQuestion } from './approval.ts'
import type { Context } from './context.ts'
import { follow } from './follow.ts'
import { cardLines, lookOf, openView, type View } from './live.ts'
import { eventLines, outcomeWords } from './render.ts'
import { jsonLine, visible } from './text.ts'

export type WatchOptions = {
  json: boolean
  quiet: boolean
  /** Event number after which to begin. */
  after: number
  /** What the first Ctrl-C does: whoever started the job wants it gone, whoever only looks wants to leave. */
  interrupt: 'cancel' | 'leave'
}

/** Follows until the job ends and resolves to its exit code; 13 when it waits for an approval that nobody here gives, 12 when it waits for money, 130 when it was left by Ctrl-C, 0 when the reader of stdout went away. */
export async function watch(ctx: Context, jobId: string, options: WatchOptions): Promise<number> {
  const client = new Client(ctx.paths.socket)
  const left = new AbortController()
  const asks = canAsk(ctx) && !options.json
  let asked: { takeBack: AbortController; over: Promise<void> } | null = null
  /** After it the terminal is ours again. */
  const takeBack = async (why: string): Promise<void> => {
    asked?.takeBack.abort(why)
    await asked?.over
    asked = null
  }
  const answered = new Set<string>()
  let waits = false
  // What stands on the screen as a question.
  const echoed = (event: JobEvent): boolean => asks && (event.type === 'approval_asked' || (event.type === 'suspended' && event.state === 'waiting_approval') || (event.type === 'tool_planned' && answered.has(event.call.id)))
  const view: View | null = options.quiet || options.json ? null : openView(
    ctx.err, ctx.err.tty && ctx.env['TERM'] !== 'dumb', options.interrupt === 'cancel' ? 'Ctrl-C cancels' : 'Ctrl-C leaves', () => Date.now(), (event, look) => (echoed(event) ? [] : eventLines(event, look)),
  )
  const note = (text: string): void => (view === null ? ctx.err.line(text) : view.note(text))
  let interrupts = 0
  const release = ctx.onInterrupt(() => {
    interrupts += 1
    if (interrupts > 1 || options.interrupt === 'leave') return left.abort()
    note(ctx.err.ink.yellow('cancelling the job; Ctrl-C again leaves at once'))
    client.call('POST', `/api/jobs/${encodeURIComponent(jobId)}/cancel`).catch((error: unknown) => {
      note(`hearth: the job could not be cancelled: ${visible(error instanceof Error ? error.message : String(error))}`)
    })
  })
  try {
    for await (const event of follow(client, jobId, options.after, AbortSignal.any([left.signal, ctx.closed]))) {
      if (event.type === 'lost') {
        note('the connection to the daemon broke; waiting for it to come back')
        continue
      }
      if (options.json) ctx.out.line(jsonLine(event))
      if (event.type === 'approval_given' || event.type === 'ended') await takeBack(event.type === 'ended' ? '' : 'it was answered elsewhere')
      if (event.type !== 'ended') {
        view?.event(event)
        if (event.type !== 'suspended') continue
        // One of an earlier day may have been answered since.
        if (event.lacks === 'money' && (await client.call<Job>('GET', `/api/jobs/${encodeURIComponent(jobId)}`)).lastSeq === event.seq) {
          view?.close()
          ctx.err.line(`job ${visible(jobId)} waits for money; 'hearth budget ${visible(jobId)}' shows each limit that holds for it, 'hearth resume ${visible(jobId)}' asks again, with --budget USD or --worth USD for a larger one of its own`)
          return outcomeTable.over_budget.exit
        }
        if (event.state !== 'waiting_approval') continue
        const question = await openQuestion(client, jobId)
        // It was answered meanwhile: what follows says so.
        if (question?.seq !== event.seq) continue
        if (!asks) {
          view?.close()
          ctx.err.line(`job ${visible(jobId)} waits for an approval; ${howToAnswer(jobId)}`)
          return commandExits.waitingApproval
        }
        view?.pause()
        answered.add(question.callId)
        const back = new AbortController()
        const over = askHere(ctx, client, jobId, question, back.signal).then((end) => {
          if (end !== 'left') return
          waits = true
          left.abort()
        })
        asked = { takeBack: back, over }
        continue
      }
      view?.close()
      if (!options.json) printEnd(ctx, event, options.quiet)
      return event.exitCode
    }
  } catch (error) {
    view?.close()
    ctx.err.line(`The job ${jobId} is kept and goes on when the daemon is back; 'hearth attach ${jobId}' shows it.`)
    throw error
  } finally {
    await takeBack('')
    view?.close()
    release()
  }
  if (waits) {
    ctx.err.line(`left; the job waits for an approval; ${howToAnswer(jobId)}`)
    return commandExits.waitingApproval
  }
  if (!left.signal.aborted) return commandExits.ok
  ctx.err.line(options.interrupt === 'leave' ? `left; the job goes on, 'hearth attach ${jobId}' watches it again` : `left; 'hearth show ${jobId}' says what became of the job`)
  return commandExits.interrupted
}

/** The result on stdout, the receipt on stderr. */
function printEnd(ctx: Context, event: EventOf<'ended'> & { seq: number; jobId: string; at: number }, quiet: boolean): void {
  const words = event.summary === null ? '' : visible(event.summary).trim()
  if (ctx.out.tty && !quiet) ctx.out.line()
  if (words !== '') ctx.out.line(words)
  if (!quiet) eventLines(event, { ...lookOf(ctx.err, false), cardLines }).forEach((line) => ctx.err.line(line))
  else if (event.exitCode !== 0) ctx.err.line(`hearth: ${event.fault === null ? outcomeWords(event.outcome) : visible(event.fault.message)}`)
}
