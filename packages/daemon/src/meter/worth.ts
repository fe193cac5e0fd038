// Owns what a job with a worth may spend: the chance that it is resolved, calibrated on the jobs of this box, and the words for it. Pure.
import { dollars } from './amounts.ts'

/** Jobs that bought help, had a check and are over, and how many of them were resolved. */
export type Tally = { jobs: number; resolved: number }

/** What a resolved job is worth, and what is known of jobs that buy: those of its kind, those of all other kinds, and what is assumed where nothing is. */
export type Worth = { usdMicros: number; kind: string; like: Tally; others: Tally; assumed: number }

/** Jobs that a prior counts as: with so many of its own a kind is believed as much as what was thought before. */
const priorJobs = 10

/**
 * Chance that a job of this kind is resolved: the mean of a beta distribution whose prior is the chance of all other kinds, whose own prior is what is assumed.
 * So no kind that began badly is never helped again, and none that began well is believed to be sure.
 */
export function chanceOf({ like, others, assumed }: Omit<Worth, 'usdMicros' | 'kind'>): number {
  const counted = ({ jobs, resolved }: Tally, prior: number): number => (resolved + prior * priorJobs) / (jobs + priorJobs)
  return counted(like, counted(others, assumed))
}

/** Micro-dollars that the job may spend in all. */
export function worthLimit(worth: Worth): number {
  return Math.floor(worth.usdMicros * chanceOf(worth))
}

/** 'A resolved job is worth …: it may spend … in all', with what the chance is made of. */
export function worthWords(worth: Worth): string {
  const { usdMicros, kind, like, others, assumed } = worth
  const counts = [
    ...(like.jobs === 0 ? [] : [`${like.resolved} of ${like.jobs} '${kind}' jobs that bought help were resolved`]),
    ...(others.jobs === 0 ? [] : [`${others.resolved} of ${others.jobs} of other kinds`]),
    `${assumed.toFixed(2)} is assumed and counts as ${priorJobs} jobs`,
  ]
  return `A resolved job is worth ${dollars(usdMicros)}, and its chance is ${chanceOf(worth).toFixed(2)} (${counts.join('; ')}): it may spend ${dollars(worthLimit(worth))} in all`
}
