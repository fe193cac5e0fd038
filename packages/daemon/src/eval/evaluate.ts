// Owns the course of an evaluation: which jobs are played in which order, what an arm learns from another one, where it stops, and that it goes on where it was.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fault, FaultError, faultFrom, type Config, type EvalArm, type EvalEvent, type EvalRequest, type EvalRow, type EvalResume, type Principal } from '@hearth/protocol'
import { armsProblem, courseRules, forkable, forkProblem, needs, oracleMoments, randomMoments, rulesOf, seedOf, type Moments, type Rules } from './arms.ts'
import { chosenJobs, tasksOfJobs, type JobsFrom } from './from-jobs.ts'
import { cannotFork } from './forks.ts'
import { Kept, type Course } from './kept.ts'
import { endJob, play, playCourse, type Of, type Played, type Queue, type Turn } from './play.ts'
import { pairOf } from './statistics.ts'
import { summarize } from './summary.ts'
import { tasksIn, type Playable, type Skipped } from './tasks.ts'
import type { Parts } from '../parts.ts'
import type { z } from 'zod'

export type EvalParts = Queue & JobsFrom & { parts: Pick<Parts, 'model' | 'defaultModel'>; config: Config; stateDir: string }

const rootName = 'hearth-eval-'

type Models = { model: string; frontier: string | null; stronger: string | null }

/**
 * Plays an evaluation; the stream ends with one `done` or `failed`. When the signal aborts, the job at work is cancelled and the stream just ends: rows that were
 * played are kept. First the arms that need no other one, task by task, so that a load of the box falls on all of them; then those that need them.
 */
export async function* evaluate(of: EvalParts, start: EvalRequest | z.infer<typeof EvalResume>, principal: Principal, signal: AbortSignal): AsyncGenerator<EvalEvent> {
  const root = await mkdtemp(join(tmpdir(), rootName))
  try {
    const [kept, found] = 'resume' in start ? await goOn(of, start.resume) : await begin(of, start)
    yield* playAll({ of, kept, principal, root, signal, id: kept.id }, found)
  } catch (error) {
    yield { type: 'failed', fault: faultFrom(error) }
  } finally {
    await rm(root, { recursive: true, force: true })
  }
}

type Found = { tasks: Playable[]; skipped: Skipped[] }

/** Checked, with its models and jobs named, so that it can go on later with the same ones. */
async function begin(of: EvalParts, asked: EvalRequest): Promise<[Kept, Found]> {
  if ((asked.folder === null) === (asked.jobs === null)) refuse('the tasks', 'name a folder or jobs, one of them')
  const problem = armsProblem(asked.arms) ?? (asked.fork ? forkProblem(asked.arms) : null)
  if (problem !== null) refuse('arms', problem)
  const jobs = asked.jobs === null ? null : chosenJobs(of, asked.jobs)
  const found = await tasksOf(of, asked, jobs)
  const models = await modelsOf(of, asked)
  return [await Kept.make(of.stateDir, { request: { ...asked, ...models, arms: [...new Set(asked.arms)] }, jobs }), found]
}

async function goOn(of: EvalParts, id: string): Promise<[Kept, Found]> {
  const kept = await Kept.open(of.stateDir, id)
  await endLeftOver(of, id)
  return [kept, await tasksOf(of, kept.asked.request, kept.asked.jobs)]
}

/** A daemon that was killed leaves the job at work, which begins again here, and its folder. */
async function endLeftOver(of: EvalParts, id: string): Promise<void> {
  for (const { id: jobId, request } of of.store.read.unfinished()) {
    if (request.tags['eval'] !== id) continue
    await endJob(of, jobId, 'the evaluation, which begins this job again')
    const around = dirname(request.cwd)
    if (basename(around).startsWith(rootName)) await rm(around, { recursive: true, force: true })
  }
}

async function tasksOf(of: EvalParts, { folder }: EvalRequest, jobs: readonly string[] | null): Promise<Found> {
  if (folder !== null) return tasksIn(folder, of)
  const found = await tasksOfJobs(jobs ?? [], of)
  const [first] = found.skipped
  if (found.tasks.length === 0) refuse('the tasks', first === undefined ? 'no finished job with checks fits' : `of ${found.skipped.length} jobs none can be played again; the first, ${first.task}: ${first.why}`)
  return found
}

function refuse(where: string, problem: string): never {
  throw new FaultError(fault('bad_request', { where, problem }))
}

async function modelsOf({ parts, config }: EvalParts, asked: EvalRequest): Promise<Models> {
  const sold = config.escalation.providers.flatMap(({ models }) => models.map(({ id }) => id))
  const there = async (id: string): Promise<void> => {
    if (sold.includes(id)) return
    const found = await parts.model(id)
    if (!found.ok) throw new FaultError(found.fault)
  }
  const model = asked.model ?? await parts.defaultModel()
  if (model === null) throw new FaultError(fault('engine_unavailable', { why: 'no model is installed' }))
  const frontier = asked.frontier ?? sold[0] ?? null
  if (asked.arms.includes('frontier') && frontier === null) refuse('frontier', 'no provider is configured, and none was named')
  if (asked.arms.includes('stronger') && asked.stronger === null) refuse('stronger', "the arm 'stronger' needs the id of a local model")
  for (const id of [model, ...(asked.arms.includes('frontier') ? [frontier] : []), ...(asked.arms.includes('stronger') ? [asked.stronger] : [])]) if (id !== null) await there(id)
  return { model, frontier, stronger: asked.stronger }
}

async function* playAll(at: At, { tasks, skipped }: Found): AsyncGenerator<EvalEvent> {
  const { kept, signal } = at
  const { request } = kept.asked
  const total = tasks.length * request.repeats * request.arms.length
  yield { type: 'begun', id: kept.id, tasks: tasks.length, jobs: total, done: kept.rows.length, request, skipped }
  const late = (arm: EvalArm): boolean => needs[arm] !== undefined
  for (const phase of [request.arms.filter((arm) => !late(arm)), request.arms.filter(late)]) {
    const learned = learn(kept.rows, request.seed)
    for (let repeat = 0; repeat < request.repeats; repeat += 1) {
      for (const task of tasks) {
        for (const arm of phase) {
          if (kept.has({ task: task.name, repeat, arm })) continue
          const played: Played = yield* playOne({ ...at, learned }, task, arm, repeat)
          if (signal.aborted) return
          if ('stopped' in played) {
            yield { type: 'done', id: kept.id, stopped: played.stopped, rows: kept.rows, summary: summarize(kept.rows, request.seed) }
            return
          }
          await kept.add(played.row)
          yield { type: 'row', row: played.row, done: kept.rows.length, jobs: total }
        }
        const course = kept.course(task.name, repeat)
        if (course !== null) await kept.release(course.jobId)
      }
    }
  }
  await kept.release(null)
  yield { type: 'done', id: kept.id, stopped: null, rows: kept.rows, summary: summarize(kept.rows, request.seed) }
}

type Learned = { random: Moments; oracle: Moments; row(arm: EvalArm, task: string, repeat: number): EvalRow | null }

/** What the arms of the second phase are made of. The same rows and seed give the same moments. */
function learn(rows: readonly EvalRow[], seed: number): Learned {
  const of = (arm: EvalArm): EvalRow[] => rows.filter((row) => row.arm === arm).toSorted((a, b) => (pairOf(a) < pairOf(b) ? -1 : 1))
  const [local, advised] = [of('local'), of('advise')]
  return {
    random: randomMoments(local, advised, seed), oracle: oracleMoments(local, advised),
    row: (arm, task, repeat) => rows.find((row) => row.arm === arm && row.task === task && row.repeat === repeat) ?? null,
  }
}

type At = Of & { of: EvalParts; kept: Kept }
type Phase = At & { learned: Learned }

async function* playOne(at: Phase, task: Playable, arm: EvalArm, repeat: number): AsyncGenerator<EvalEvent, Played> {
  if (arm === 'local_again') return yield* tryAgain(at, task, repeat)
  if (at.kept.asked.request.fork && forkable.has(arm)) return yield* playForked(at, task, arm, repeat)
  const moments = arm === 'random' ? at.learned.random : arm === 'oracle' ? at.learned.oracle : null
  return yield* playOnce(at, task, arm, repeat, { askAt: moments?.get(pairOf({ task: task.name, repeat })) ?? [] })
}

/** On from the local course of this task and repeat, which is played for the first arm. Where that needed no help, all arms go the same way, and it is the row of each. */
async function* playForked(at: At, task: Playable, arm: EvalArm, repeat: number): AsyncGenerator<EvalEvent, Played> {
  const { of, kept } = at
  let course = kept.course(task.name, repeat)
  if (course === null) {
    const request = askedFor(at, task, 'local', repeat, { rules: courseRules(kept.asked.request.arms, task.says) })
    const played: { course: Course } | { stopped: string } = yield* playCourse(of, { task, repeat, arm: 'local', from: null, request }, at, (id) => kept.folderOf(id))
    if ('stopped' in played) return played
    course = played.course
    await kept.addCourse(course)
    const { jobId, step, trigger, cannot } = course
    yield { type: 'course', task: task.name, repeat, jobId, step, trigger, cannot }
  }
  const { row, jobId, seconds } = course
  if (row !== null) return { row: { ...row, arm, fork: { jobId, step: null, trigger: null, usdMicros: 0, seconds: 0, joules: 0 } }, verified: null }
  const folder = kept.folderOf(jobId)
  const cannot = cannotFork(of, course, folder)
  const played: Played = yield* playOnce(at, task, arm, repeat, cannot === null ? { from: { course, folder }, seconds: Math.max(0.001, of.config.jobs.timeoutSeconds - seconds) } : {})
  return 'row' in played && cannot !== null ? { ...played, row: { ...played.row, unforked: cannot } } : played
}

type How = { askAt?: readonly number[]; attempt?: number; seconds?: number; from?: Turn['from']; rules?: Rules }

async function* playOnce(at: At, task: Playable, arm: EvalArm, repeat: number, how: How): AsyncGenerator<EvalEvent, Played> {
  const { of, kept } = at
  const { maxUsdMicros } = kept.asked.request
  const left = maxUsdMicros === null ? null : maxUsdMicros - spentOn(of, kept.id)
  if (left !== null && left <= 0) return { stopped: `the money of this evaluation is used up ($${((maxUsdMicros ?? 0) / 1e6).toFixed(2)})` }
  return yield* play(of, { task, arm, repeat, from: how.from ?? null, request: { ...askedFor(at, task, arm, repeat, how), ...(left === null ? {} : { budgetUsdMicros: left }) } }, at)
}

function askedFor({ kept }: At, task: Playable, arm: EvalArm, repeat: number, { askAt = [], attempt = 0, seconds, rules }: How): Turn['request'] {
  const { request } = kept.asked
  return {
    model: arm === 'frontier' ? request.frontier : arm === 'stronger' ? request.stronger : request.model, seed: seedOf(request.seed, task.name, repeat, attempt),
    escalation: rules ?? rulesOf(arm, task.says, askAt), ...(seconds === undefined ? {} : { timeoutSeconds: seconds }),
  }
}

/**
 * The local arm's own try, and while its own check does not pass further ones with other seeds, for as many seconds as the advised arm took longer on this task.
 * The first one whose own check passes is taken; the hidden check chooses nothing. Without a check there is nothing to choose by, and the first try stays.
 */
async function* tryAgain(at: Phase, task: Playable, repeat: number): AsyncGenerator<EvalEvent, Played> {
  const [first, advised] = [at.learned.row('local', task.name, repeat), at.learned.row('advise', task.name, repeat)]
  if (first === null || advised === null) throw new FaultError(fault('internal', { problem: `'local_again' came before the arms that it needs on ${task.name}` }))
  const allowed = Math.max(0, advised.seconds - first.seconds)
  const sum = { seconds: first.seconds, joules: first.joules }
  let chosen = first
  for (let attempt = 1; task.checks.length > 0 && chosen.outcome !== 'resolved' && sum.seconds - first.seconds < allowed; attempt += 1) {
    const played: Played = yield* playOnce(at, task, 'local_again', repeat, { attempt, seconds: Math.max(0.001, allowed - (sum.seconds - first.seconds)) })
    if ('stopped' in played) return played
    sum.seconds += played.row.seconds
    sum.joules = sum.joules === null || played.row.joules === null ? null : sum.joules + played.row.joules
    if (played.verified === true) chosen = played.row
  }
  // The first try may have gone on from a course; what comes of all of them did not.
  const { fork: _fork, unforked: _unforked, ...row } = chosen
  return { row: { ...row, ...sum, arm: 'local_again' }, verified: chosen.outcome === 'resolved' }
}

/** What all its jobs cost so far, also those that were cut off and are no row. */
function spentOn({ store }: EvalParts, id: string): number {
  const [row] = store.read.query("SELECT coalesce(sum(usd_micros), 0) AS usd FROM ledger WHERE job_id IN (SELECT id FROM jobs WHERE json_extract(request, '$.tags.eval') = ?)", id)
  return Number(row?.['usd'] ?? 0)
}
