// Owns the words of an evaluation: the tasks that are played, the arms that are compared, one row a job, and what is concluded from the rows.
import { z } from 'zod'
import type { Fault } from './fault.ts'
import { liveStates, outcomes, type JobState } from './outcome.ts'

/** task.json of a task's folder. Beside it: start/ (what the job is given) and hidden/check.sh, which decides and which the job never sees. */
export const EvalTask = z.strictObject({
  about: z.string().describe('what kind of job it is, in a line'),
  language: z.string().min(1),
  prompt: z.string().min(1),
  check: z.string().nullable().describe('the check that the agent is given and sees; null = none'),
  setup: z.string().optional().describe('shell command that makes further files of the start, such as large ones'),
  answer: z.string().nullable().describe('a right answer, for the hidden check of the reference solution; null = only the files count'),
  maxSteps: z.int().min(1).max(100).default(30),
  starter: z.boolean().default(false).describe('of the kinds that the starter model can do'),
  variants: z.array(z.record(z.string(), z.string())).default([]).describe('words to put in place of others in all its files: the same job with other names, for a model that is asked several times'),
})
export type EvalTask = z.infer<typeof EvalTask>

/**
 * local: the local model alone. local_again: the same with the extra time that the advised arm took, spent on further local tries. stronger: a stronger local model. frontier:
 * the remote model does it all. plan, advise, step, rest, review: what is bought. random: advice at random moments, as often as the advised arm asked. oracle: advice exactly where
 * the local arm fails.
 */
export const evalArms = ['local', 'local_again', 'stronger', 'frontier', 'plan', 'advise', 'step', 'rest', 'review', 'random', 'oracle'] as const
export type EvalArm = (typeof evalArms)[number]

/** One job that was played and judged. */
export const EvalRow = z.strictObject({
  task: z.string(),
  repeat: z.int().min(0).describe('0, 1, …: the same task again with another seed'),
  arm: z.enum(evalArms),
  solved: z.boolean().describe('the hidden check passed'),
  outcome: z.string(),
  usdMicros: z.int().min(0),
  seconds: z.number().min(0),
  joules: z.int().nullable(),
  escalations: z.int().min(0),
  jobId: z.string().nullable(),
  steps: z.int().min(0).optional().describe('turns of the local model; absent = not known'),
  askedAt: z.array(z.int()).optional().describe('after which steps help was bought; absent = not known'),
  denied: z.string().optional().describe('why help that was asked for was refused last; absent = none was'),
  fork: z.strictObject({
    jobId: z.string().describe('job that played the local course up to there'),
    step: z.int().nullable().describe('after which help would be asked for first; null = it never would, and the row is that course itself'),
    trigger: z.string().nullable().describe("names of the signals, or 'done' for a review"),
    usdMicros: z.int().min(0).describe('from the fork on; that of the row is the whole'),
    seconds: z.number().min(0).describe('from the fork on'),
    joules: z.int().nullable().describe('from the fork on'),
  }).optional().describe('the common course of all arms of a task and repeat that this one goes on from; absent = played from the start'),
  unforked: z.string().optional().describe('why it was played from the start although forks were asked for'),
})
export type EvalRow = z.infer<typeof EvalRow>

/** A figure with the interval that holds the truth in 95 of 100 evaluations like this one. */
export const Interval = z.strictObject({ value: z.number(), low: z.number(), high: z.number() })
export type Interval = z.infer<typeof Interval>

export const ArmSummary = z.strictObject({
  arm: z.enum(evalArms),
  jobs: z.int(),
  tasks: z.int(),
  passRate: Interval,
  usdMicrosPerJob: Interval,
  usdMicrosPerSolved: Interval.nullable().describe('a failed job is billed, and one run of the frontier arm after it; null = no frontier arm, or nothing was solved'),
  secondsPerJob: Interval,
  joulesPerJob: Interval.nullable(),
  escalationsPerJob: z.number(),
  precision: z.number().nullable().describe('of the jobs that asked for help, the share that fails without it; null = no local arm, or none asked'),
  recall: z.number().nullable().describe('of the jobs that fail without help, the share that asked for it'),
  gapPerUsd: z.number().nullable().describe('share of the gap between local and frontier that a dollar recovers; null = there is no such gap, or nothing was spent'),
})
export type ArmSummary = z.infer<typeof ArmSummary>

/** What the forks say: of moments at which help would be asked for, and of what each arm makes of the very same ones. */
export const ForkSummary = z.strictObject({
  courses: z.int().describe('local courses, one for each task and repeat'),
  triggers: z.int().describe('courses in which help would be asked for'),
  needed: z.int().nullable().describe('triggers from which the local model alone fails; null = no local arm'),
  missed: z.int().describe('courses that fail without a trigger'),
  unforked: z.int().describe('courses that could not be forked, and were played from the start'),
  arms: z.array(z.strictObject({
    arm: z.enum(evalArms),
    triggers: z.int(),
    passRate: Interval.describe('from the trigger on'),
    gain: Interval.nullable().describe('difference to the local arm from the same triggers; null = no local arm'),
    useful: z.number().nullable().describe('of the needed triggers, the share that this arm solves; null = none was needed'),
    usdMicros: Interval.describe('a trigger, from the fork on'),
    seconds: Interval.describe('a trigger, from the fork on'),
  })),
})
export type ForkSummary = z.infer<typeof ForkSummary>

export const EvalSummary = z.strictObject({
  tasks: z.int(),
  jobs: z.int(),
  arms: z.array(ArmSummary),
  differences: z.array(z.strictObject({ arm: z.enum(evalArms), against: z.enum(evalArms), passRate: Interval })).describe('in the share of solved jobs, over the tasks that both did'),
  forks: ForkSummary.optional().describe('absent = nothing was forked'),
  verdict: z.array(z.string()).describe('what may be concluded, in sentences'),
})
export type EvalSummary = z.infer<typeof EvalSummary>

const model = z.string().min(1).nullable().default(null)

/** What is to be compared on which tasks. */
export const EvalRequest = z.strictObject({
  folder: z.string().startsWith('/').nullable().default(null).describe('absolute path of a folder of tasks, or of one task'),
  jobs: z.strictObject({
    since: z.int().nullable().default(null).describe('only newer ones, milliseconds since 1970'),
    limit: z.int().min(1).max(1000).default(20).describe('newest first'),
    state: z.enum([...liveStates, ...outcomes] as [JobState, ...JobState[]]).nullable().default(null),
    folder: z.string().startsWith('/').nullable().default(null).describe('only jobs that worked there or below'),
    tags: z.record(z.string(), z.string()).default({}),
  }).nullable().default(null).describe("the owner's own finished jobs with checks, as tasks"),
  arms: z.array(z.enum(evalArms)).min(1),
  model: model.describe('of every arm but stronger and frontier; null = the configured default'),
  frontier: model.describe('null = the first model of the first provider'),
  stronger: model.describe('a local model; needed for that arm'),
  fork: z.boolean().default(false).describe('play the local course of a task once, and go on from where help would be asked for first in each arm that can'),
  repeats: z.int().min(1).max(100).default(1).describe('how often each task is played in each arm, each time with another seed'),
  seed: z.int().min(0).max(2 ** 32 - 1).default(1),
  maxUsdMicros: z.int().min(0).nullable().default(null).describe('money that all jobs together may spend; null = what the budgets of this box allow'),
})
export type EvalRequest = z.infer<typeof EvalRequest>
export type EvalRequestInput = z.input<typeof EvalRequest>

/** Goes on with one that was cut off. */
export const EvalResume = z.strictObject({ resume: z.string().regex(/^[a-z0-9]{12}$/, { error: 'no evaluation has such an id' }) })
export type EvalStart = EvalRequestInput | z.input<typeof EvalResume>

/** One line of the stream of an evaluation. Ends with exactly one `done` or `failed`; what was played before either is kept and can be gone on with. */
export type EvalEvent =
  /** `done`: rows that are there from before. `skipped`: tasks that cannot be played. */
  | { type: 'begun'; id: string; tasks: number; jobs: number; done: number; request: EvalRequest; skipped: { task: string; why: string }[] }
  | { type: 'playing'; task: string; repeat: number; arm: EvalArm; jobId: string }
  /** The job waits for a person. */
  | { type: 'waiting'; jobId: string; reason: string }
  /** The local course was played: `step`, after which help would be asked for first (null = never), `trigger`, and why no fork can begin there. */
  | { type: 'course'; task: string; repeat: number; jobId: string; step: number | null; trigger: string | null; cannot: string | null }
  | { type: 'row'; row: EvalRow; done: number; jobs: number }
  /** `stopped`: why not everything was played; null = it was. */
  | { type: 'done'; id: string; stopped: string | null; rows: EvalRow[]; summary: EvalSummary }
  | { type: 'failed'; fault: Fault }
