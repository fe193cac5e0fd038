// Owns the words of an evaluation: the tasks that are played, the arms that are compared, one row a job, and what is concluded from the rows.
import { z } from 'zod'

/**
 * local: the local model alone. local_again: the same with the extra time that the advised arm took, spent on further local tries. stronger: a stronger local model. frontier:
 * the remote model does it all. plan, advise, step, review: what is bought. random: advice at random moments, as often as the advised arm asked. oracle: advice exactly where
 * the local arm fails.
 */
export const evalArms = ['local', 'local_again', 'stronger', 'frontier', 'plan', 'advise', 'step', 'review', 'random', 'oracle'] as const
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

export const EvalSummary = z.strictObject({
  tasks: z.int(),
  jobs: z.int(),
  arms: z.array(ArmSummary),
  differences: z.array(z.strictObject({ arm: z.enum(evalArms), against: z.enum(evalArms), passRate: Interval })).describe('in the share of solved jobs, over the tasks that both did'),
  verdict: z.array(z.string()).describe('what may be concluded, in sentences'),
})
export type EvalSummary = z.infer<typeof EvalSummary>
