// Owns one job of an evaluation: a fresh folder, the job through the queue like any other, the hidden judge after its end, and the row that is made of its events.
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type EvalArm, type EvalEvent, type EvalRow, type EventOf, type Job, type JobEvent, type JobRequestInput, type Outcome, type Principal } from '@hearth/protocol'
import type { Feed } from '../queue/feed.ts'
import type { Intake } from '../queue/intake.ts'
import type { Runner } from '../queue/runner.ts'
import type { Store } from '../store/store.ts'
import type { Playable } from './tasks.ts'

export type Queue = { intake: Pick<Intake, 'submit'>; runner: Pick<Runner, 'cancel'>; feed: Pick<Feed, 'events'>; store: Pick<Store, 'read'> }

export type Turn = {
  task: Playable
  arm: EvalArm
  repeat: number
  request: Pick<JobRequestInput, 'model' | 'seed' | 'escalation' | 'budgetUsdMicros'> & { timeoutSeconds?: number }
}

/** `verified`: what the job's own check says, the only thing that a choice between tries may look at. */
export type Played = { row: EvalRow; verified: boolean | null } | { stopped: string }

/** These ends are no end of a course: the row would say something of the box. */
const broken: ReadonlySet<Outcome> = new Set<Outcome>(['engine_down', 'denied', 'bad_input', 'failed'])

const cancelMs = 20_000

/** Plays one job in a folder below `root`, which is gone afterwards. Throws FaultError when there is nothing to judge. */
export async function* play(queue: Queue, { task, arm, repeat, request }: Turn, id: string, root: string, principal: Principal, signal: AbortSignal): AsyncGenerator<EvalEvent, Played> {
  const cwd = await mkdtemp(join(root, 'work-'))
  try {
    await task.lay(cwd, signal)
    const { job } = await queue.intake.submit({
      prompt: task.prompt, checks: task.checks, cwd, result: 'in_place', class: 'batch', maxSteps: task.maxSteps, ...request,
      tags: { eval: id, task: task.name, repeat: String(repeat), arm },
    } satisfies JobRequestInput, principal)
    yield { type: 'playing', task: task.name, repeat, arm, jobId: job.id }
    const ended = yield* untilOver(queue, job, principal, signal)
    if ('stopped' in ended) return ended
    const events = queue.store.read.journal(job.id)
    if (ended.outcome === 'cancelled') return { stopped: `job ${job.id} was cancelled` }
    const refused = events.find((event) => event.type === 'escalation_denied' && event.denial.rule === 'budget')
    if (refused?.type === 'escalation_denied') return { stopped: `a limit in money: ${refused.denial.why}` }
    if (ended.fault?.code === 'over_budget') return { stopped: `a limit in money: ${ended.fault.message}` }
    if (broken.has(ended.outcome) || (arm === 'frontier' && ended.outcome === 'blocked_by_policy')) {
      throw new FaultError(ended.fault ?? fault('internal', { problem: `job ${job.id} ended as ${ended.outcome} without a cause` }))
    }
    const solved = await task.judge(cwd, ended.summary ?? '', signal)
    return { row: rowOf({ task: task.name, repeat, arm, jobId: job.id }, ended, events, solved), verified: ended.verified }
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

/** The job's end. One that waits for money never goes on by itself, so it is cancelled; so is one that nobody waits for any more. */
async function* untilOver({ feed, runner }: Queue, { id }: Job, principal: Principal, signal: AbortSignal): AsyncGenerator<EvalEvent, EventOf<'ended'> | { stopped: string }> {
  let over = false
  try {
    for await (const page of feed.events(id, 0, true, signal)) {
      for (const event of page) {
        if (event.type === 'ended') {
          over = true
          return event
        }
        if (event.type !== 'suspended' || event.state === undefined) continue
        if (event.lacks === 'money') return { stopped: `a limit in money: ${event.reason}` }
        yield { type: 'waiting', jobId: id, reason: event.reason }
      }
    }
    return { stopped: 'it was given up' }
  } finally {
    if (!over) {
      await runner.cancel(id, principal.id)
      // Its folder is taken away next; what is killed needs a moment.
      for await (const _ of feed.events(id, 0, true, AbortSignal.timeout(cancelMs))) { /* until it ended */ }
    }
  }
}

function rowOf(names: Pick<EvalRow, 'task' | 'repeat' | 'arm' | 'jobId'>, { outcome, receipt }: EventOf<'ended'>, events: readonly JobEvent[], solved: boolean): EvalRow {
  const back = events.filter((event) => event.type === 'handed_back')
  const denied = events.findLast((event) => event.type === 'escalation_denied')
  return {
    ...names, solved, outcome, usdMicros: receipt.usdMicros, seconds: receipt.seconds, joules: receipt.joules, escalations: back.length,
    steps: events.filter(({ type }) => type === 'step').length, askedAt: back.map(({ step }) => step),
    ...(denied?.type === 'escalation_denied' ? { denied: `${denied.denial.rule}: ${denied.denial.why}` } : {}),
  }
}
