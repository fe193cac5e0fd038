// Owns what an evaluation concludes: the figures of each arm, the differences that answer a question, and the sentences. Pure.
import { evalArms, type ArmSummary, type EvalArm, type EvalRow, type EvalSummary, type ForkSummary, type Interval } from '@hearth/protocol'
import { forksOf } from './fork-summary.ts'
import { byTask, difference, meanOf, passRate, triggers, usdMicrosPerSolved } from './statistics.ts'

/** Which arms are compared, and which question that answers. */
const questions: readonly { arm: EvalArm; against: EvalArm; says: (better: Better, by: string) => string }[] = [
  { arm: 'advise', against: 'random', says: (better, by) => ({
    yes: `The signals choose their moments better than chance: advice solves more than the same amount of advice at random moments (${by}).`,
    no: `Advice at random moments solves more than advice when the signals say so (${by}): the signals choose badly on these tasks.`,
    unclear: `Advice does not beat the same amount of advice at random moments (${by}): on these tasks nothing shows that the signals choose their moments better than chance.`,
  })[better] },
  { arm: 'advise', against: 'local_again', says: (better, by) => ({
    yes: `Advice solves more than the same time spent on further local tries (${by}).`,
    no: `The same time spent on further local tries solves more than advice (${by}): buy none on such tasks.`,
    unclear: `Advice does not beat the same time spent on further local tries (${by}): trying again for free may do as well.`,
  })[better] },
  ...(['plan', 'advise', 'step', 'rest', 'review', 'stronger'] as const).map((arm) => ({ arm, against: 'local' as const, says: (better: Better, by: string) => ({
    yes: `'${arm}' solves more than the local model alone (${by}).`,
    no: `'${arm}' solves less than the local model alone (${by}).`,
    unclear: `'${arm}' is not shown to solve more than the local model alone (${by}).`,
  })[better] })),
]

type Better = 'yes' | 'no' | 'unclear'

/** Below so many tasks an interval is so wide that only a landslide shows. */
const fewTasks = 10

/** The figures and sentences of these rows. The same rows and seed give the same summary. */
export function summarize(rows: readonly EvalRow[], seed = 1): EvalSummary {
  const of = (arm: EvalArm): EvalRow[] => rows.filter((row) => row.arm === arm)
  const played = evalArms.filter((arm) => of(arm).length > 0)
  const summaries = played.map((arm) => armSummary(arm, of(arm), of('local'), of('frontier'), seed)).filter((one) => one !== null)
  const forks = forksOf(rows, seed)
  const compared = questions.flatMap(({ arm, against, says }) => {
    const passRateOf = difference(of(arm), of(against), seed)
    if (passRateOf === null) return []
    const gain = against === 'local' ? forks?.arms.find((one) => one.arm === arm)?.gain ?? null : null
    const moments = gain === null ? '' : ` From the same moments: ${pointsOf(gain)}.`
    return [{ arm, against, passRate: passRateOf, said: `${says(betterOf(passRateOf), pointsOf(passRateOf))}${moments}` }]
  })
  const tasks = byTask(rows).size
  return {
    tasks, jobs: rows.length, arms: summaries,
    differences: compared.map(({ arm, against, passRate: found }) => ({ arm, against, passRate: found })),
    ...(forks === null ? {} : { forks }),
    verdict: [
      ...(tasks < fewTasks ? [`${tasks} ${tasks === 1 ? 'task is' : 'tasks are'} few: only large differences can show.`] : []),
      ...played.flatMap((arm) => refusedHelp(arm, of(arm))),
      ...(forks === null ? [] : [momentsOf(forks)]),
      ...compared.map(({ said }) => said),
      ...cheapest(summaries),
    ],
  }
}

/** How often help would be asked for, and how well that was chosen. */
function momentsOf({ courses, triggers, needed, missed, unforked }: ForkSummary): string {
  const alone = needed === null || triggers === 0 ? '' : ` From ${needed} of these moments the local model alone fails.`
  const others = courses - triggers - unforked
  const silent = others === 0 ? '' : ` Of the ${others} ${others === 1 ? 'other' : 'others'} ${missed} ${missed === 1 ? 'fails' : 'fail'} without a word.`
  return `Help would be asked for in ${triggers} of ${courses} local courses.${alone}${silent}${unforked === 0 ? '' : ` ${unforked} could not be forked, and began again.`}`
}

function armSummary(arm: EvalArm, rows: readonly EvalRow[], local: readonly EvalRow[], frontier: readonly EvalRow[], seed: number): ArmSummary | null {
  const rate = passRate(rows, seed)
  const usd = meanOf(rows, ({ usdMicros }) => usdMicros, seed)
  const seconds = meanOf(rows, (row) => row.seconds, seed)
  if (rate === null || usd === null || seconds === null) return null
  const { precision, recall } = triggers(rows, local)
  return {
    arm, jobs: rows.length, tasks: byTask(rows).size, passRate: rate, usdMicrosPerJob: usd, secondsPerJob: seconds,
    usdMicrosPerSolved: usdMicrosPerSolved(rows, frontier, seed), joulesPerJob: meanOf(rows, ({ joules }) => joules, seed),
    escalationsPerJob: rows.reduce((sum, { escalations }) => sum + escalations, 0) / rows.length, precision, recall,
    gapPerUsd: gapPerUsd(rows, local, frontier, usd.value, seed),
  }
}

/** Null unless the gap between the local and the frontier arm is certain: a share of nothing says nothing. */
function gapPerUsd(rows: readonly EvalRow[], local: readonly EvalRow[], frontier: readonly EvalRow[], usdMicros: number, seed: number): number | null {
  const gap = difference(frontier, local, seed)
  const gained = difference(rows, local, seed)
  if (gap === null || gained === null || gap.low <= 0 || usdMicros <= 0) return null
  return gained.value / gap.value / (usdMicros / 1e6)
}

function betterOf({ low, high }: Interval): Better {
  return low > 0 ? 'yes' : high < 0 ? 'no' : 'unclear'
}

function pointsOf({ value, low, high }: Interval): string {
  const points = (share: number): string => `${share < 0 ? '−' : '+'}${Math.abs(share * 100).toFixed(0)}`
  return `${points(value)} points, 95 % interval ${points(low)} to ${points(high)}`
}

/** Rows that asked and got nothing say nothing of help. */
function refusedHelp(arm: EvalArm, rows: readonly EvalRow[]): string[] {
  const refused = rows.filter(({ denied, escalations }) => denied !== undefined && escalations === 0)
  const why = refused.at(-1)?.denied
  return why === undefined ? [] : [`In ${refused.length} of ${rows.length} jobs of '${arm}' help was asked for and refused (${why.replace(/\.$/, '')}): they say nothing of what it would do.`]
}

/** Where the money of a solved job is least, when that can be said. */
function cheapest(arms: readonly ArmSummary[]): string[] {
  const priced = arms.flatMap(({ arm, usdMicrosPerSolved: price }) => (price === null ? [] : [{ arm, price }])).toSorted((a, b) => a.price.value - b.price.value)
  const [least, next] = priced
  if (least === undefined || next === undefined) return []
  const usd = (micros: number): string => `$${(micros / 1e6).toFixed(4)}`
  const clear = least.price.high < next.price.low
  return [`A solved job costs least with '${least.arm}' (${usd(least.price.value)}; a failed one counts with a frontier run after it)${clear ? '.' : `, not certainly less than with '${next.arm}' (${usd(next.price.value)}).`}`]
}
