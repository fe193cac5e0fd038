// Owns one job of an evaluation: a folder of its own, the job through the queue like any other, the hidden judge after its end, and the row that is made of its events. A job
// that is to be forked ends where help would be asked for, and is a course.
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type EvalArm, type EvalEvent, type EvalRow, type EventOf, type Job, type JobEvent, type JobRequestInput, type Outcome, type Principal } from '@hearth/protocol'
import type { Feed } from '../queue/feed.ts'
import type { Intake } from '../queue/intake.ts'
import { beginFork, copyFolder, lostInCopy, nameOf, triggerOf, type Forks } from './forks.ts'
import type { Course } from './kept.ts'
import type { Runner } from '../queue/runner.ts'
import type { Playable } from './tasks.ts'

export type Queue = Forks & { intake: Pick<Intake, 'submit'>; runner: Pick<Runner, 'cancel'>; feed: Pick<Feed, 'events'> }

export type Turn = {
  task: Playable
  arm: EvalArm
  repeat: number
  request: Pick<JobRequestInput, 'model' | 'seed' | 'escalation' | 'budgetUsdMicros'> & { timeoutSeconds?: number }
  /** The course that it goes on from, and the folder that was kept of it; null = from the start. */
  from: { course: Course; folder: string } | null
}

/** Whose evaluation it is: its id, a folder for what is thrown away, who asked, and what ends it. */
export type Of = { id: string; root: string; principal: Principal; signal: AbortSignal }

/** `verified`: what the job's own check says, the only thing that a choice between tries may look at. */
export type Played = { row: EvalRow; verified: boolean | null } | { stopped: string }

/** These ends are no end of a course: the row would say something of the box. */
const broken: ReadonlySet<Outcome> = new Set<Outcome>(['engine_down', 'denied', 'bad_input', 'failed'])

const cancelMs = 20_000

/** Plays one job in a folder that is gone afterwards. Throws FaultError when there is nothing to judge. */
export async function* play(queue: Queue, turn: Turn, of: Of): AsyncGenerator<EvalEvent, Played> {
  const cwd = await mkdtemp(join(of.root, 'work-'))
  try {
    const played = yield* playIn(cwd, queue, turn, of)
    if ('held' in played) throw new FaultError(fault('internal', { problem: `job ${played.held} waits for a fork that nobody makes` }))
    return played
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

/** Plays the local course of a task up to where help would first be asked for, and keeps the folder as it is there at `keepAt(JOB)`. */
export async function* playCourse(queue: Queue, turn: Turn, of: Of, keepAt: (jobId: string) => string): AsyncGenerator<EvalEvent, { course: Course } | { stopped: string }> {
  const { task: { name: task }, repeat } = turn
  const cwd = await mkdtemp(join(of.root, 'work-'))
  try {
    const played = yield* playIn(cwd, queue, turn, of)
    if ('stopped' in played) return played
    if ('row' in played) {
      const { jobId, usdMicros, seconds, joules } = played.row
      return { course: { task, repeat, jobId: jobId ?? '', row: played.row, step: null, trigger: null, usdMicros, seconds, joules, cannot: null } }
    }
    const events = queue.store.read.journal(played.held)
    const [trigger, end] = [triggerOf(events), events.at(-1)]
    if (trigger === null || end?.type !== 'ended') throw new FaultError(fault('internal', { problem: `job ${played.held} waited for no help` }))
    const cannot = lostInCopy(events) ?? await copyFolder(queue, cwd, keepAt(played.held), of.signal)
    if (of.signal.aborted) return { stopped: 'it was given up' }
    const { usdMicros, seconds, joules } = end.receipt
    return { course: { task, repeat, jobId: played.held, row: null, step: trigger.step, trigger: nameOf(trigger), usdMicros, seconds, joules, cannot } }
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

async function* playIn(cwd: string, queue: Queue, { task, arm, repeat, request, from }: Turn, { id, principal, signal }: Of): AsyncGenerator<EvalEvent, Played | { held: string }> {
  const asked = {
    prompt: task.prompt, checks: task.checks, cwd, result: 'in_place', class: 'batch', maxSteps: task.maxSteps, ...request,
    tags: { eval: id, task: task.name, repeat: String(repeat), arm, ...(from === null ? {} : { fork: from.course.jobId }) },
  } satisfies JobRequestInput
  if (from === null) await task.lay(cwd, signal)
  const job = from === null ? (await queue.intake.submit(asked, principal)).job : await beginFork(queue, arm, from.course, from.folder, asked, principal, signal)
  yield { type: 'playing', task: task.name, repeat, arm, jobId: job.id }
  const ended = yield* untilOver(queue, job, principal, signal)
  if ('stopped' in ended || 'held' in ended) return ended
  const events = queue.store.read.journal(job.id)
  if (ended.outcome === 'cancelled') return { stopped: `job ${job.id} was cancelled` }
  const refused = events.find((event) => event.type === 'escalation_denied' && event.denial.rule === 'budget')
  if (refused?.type === 'escalation_denied') return { stopped: `a limit in money: ${refused.denial.why}` }
  if (ended.fault?.code === 'over_budget') return { stopped: `a limit in money: ${ended.fault.message}` }
  if (broken.has(ended.outcome) || (arm === 'frontier' && ended.outcome === 'blocked_by_policy')) {
    throw new FaultError(ended.fault ?? fault('internal', { problem: `job ${job.id} ended as ${ended.outcome} without a cause` }))
  }
  const solved = await task.judge(cwd, ended.summary ?? '', signal)
  return { row: rowOf({ task: task.name, repeat, arm, jobId: job.id }, ended, events, solved, from?.course ?? null), verified: ended.verified }
}

/** The job's end; `held`: it is one that waits where help would be asked for, and has come there. One that waits for money never goes on by itself, so it is cancelled; so is one that nobody waits for any more. */
async function* untilOver(queue: Queue, { id, request }: Job, principal: Principal, signal: AbortSignal): AsyncGenerator<EvalEvent, EventOf<'ended'> | { held: string } | { stopped: string }> {
  let over = false
  try {
    for await (const page of queue.feed.events(id, 0, true, signal)) {
      for (const event of page) {
        if (event.type === 'ended') {
          over = true
          return event
        }
        if (event.type !== 'suspended' || event.state === undefined) continue
        // A call of a server outside may wait for a person too, before help would be asked for.
        if (event.state === 'waiting_approval' && request.escalation?.untilTrigger === true && triggerOf(queue.store.read.journal(id)) !== null) {
          over = true
          await endJob(queue, id, 'the evaluation, whose forks go on from there')
          return { held: id }
        }
        if (event.lacks === 'money') return { stopped: `a limit in money: ${event.reason}` }
        yield { type: 'waiting', jobId: id, reason: event.reason }
      }
    }
    return { stopped: 'it was given up' }
  } finally {
    if (!over) await endJob(queue, id, principal.id)
  }
}

/** Cancels a job whose folder is taken away next, and waits for its end: what is killed needs a moment. */
export async function endJob({ feed, runner }: Queue, id: string, by: string): Promise<void> {
  await runner.cancel(id, by)
  for await (const _ of feed.events(id, 0, true, AbortSignal.timeout(cancelMs))) { /* until it ended */ }
}

function rowOf(names: Pick<EvalRow, 'task' | 'repeat' | 'arm' | 'jobId'>, { outcome, receipt }: EventOf<'ended'>, events: readonly JobEvent[], solved: boolean, course: Course | null): EvalRow {
  const back = events.filter((event) => event.type === 'handed_back')
  const denied = events.findLast((event) => event.type === 'escalation_denied')
  const { usdMicros, seconds, joules } = receipt
  const whole = course === null ? { usdMicros, seconds, joules } : {
    usdMicros: course.usdMicros + usdMicros, seconds: Math.round((course.seconds + seconds) * 1000) / 1000, joules: course.joules === null || joules === null ? null : course.joules + joules,
    fork: { jobId: course.jobId, step: course.step, trigger: course.trigger, usdMicros, seconds, joules },
  }
  return {
    ...names, solved, outcome, ...whole, escalations: back.length,
    steps: events.filter(({ type }) => type === 'step').length, askedAt: back.map(({ step }) => step),
    ...(denied?.type === 'escalation_denied' ? { denied: `${denied.denial.rule}: ${denied.denial.why}` } : {}),
  }
}
