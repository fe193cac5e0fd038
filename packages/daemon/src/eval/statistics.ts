// Owns the statistics of an evaluation: from rows (one a job) to rates, money and differences between arms, each with its interval. Pure; chance comes from a seed.
import type { EvalRow, Interval } from '@hearth/protocol'

/** How often weights are drawn: the ends of an interval then move by less than a hundredth of its width from seed to seed. */
const drawsAtMost = 4000
/** Of thousands of tasks the interval is narrow anyway, and the daemon has other things to do meanwhile. */
const weightsAtMost = 4e6
const drawsAtLeast = 500

/**
 * 95 % interval of a statistic of tasks by the bootstrap over tasks: repeats of one task are no new evidence about other tasks.
 * The percentiles are widened for few tasks (expanded percentile interval: Hesterberg, What Teachers Should Know About the Bootstrap, 2015, section 5.2).
 * `statistic` is asked with a weight for each task and gives null where it has no value (nothing solved: no price of a solved job); null draws count as the worst, `worst`.
 */
export function bootstrap(tasks: number, statistic: (weights: Float64Array) => number | null, seed: number, worst = Infinity): Interval | null {
  const one = new Float64Array(tasks).fill(1)
  const value = statistic(one)
  if (value === null) return null
  const random = chance(seed)
  const draws = Math.round(Math.min(drawsAtMost, Math.max(drawsAtLeast, weightsAtMost / tasks)))
  const found = new Float64Array(draws)
  const weights = new Float64Array(tasks)
  for (let draw = 0; draw < draws; draw += 1) {
    weights.fill(0)
    for (let n = 0; n < tasks; n += 1) {
      const at = Math.floor(random() * tasks)
      weights[at] = (weights[at] ?? 0) + 1
    }
    found[draw] = statistic(weights) ?? worst
  }
  found.sort()
  const tail = normalBelow(-Math.sqrt(tasks / Math.max(1, tasks - 1)) * studentQuantile(Math.max(1, tasks - 1)))
  return { value, low: at(found, tail), high: at(found, 1 - tail) }
}

/** Share of solved jobs of one arm, every task counted alike. */
export function passRate(rows: readonly EvalRow[], seed: number): Interval | null {
  const means = [...byTask(rows).values()].map(solvedShare)
  if (means.length === 0) return null
  return smoothed(means.map((mean) => [mean]), pseudoShare, ([mean = 0]) => mean, seed)
}

/** A task and a repeat: what the arms have in common. */
export function pairOf({ task, repeat }: Pick<EvalRow, 'task' | 'repeat'>): string {
  return `${task}\0${repeat}`
}

/**
 * Difference of two arms in the share of solved jobs, over the tasks and repeats that both did. Above 0: `rows` solved more. Where both go on from the same course they are
 * one matched pair, and what the course decided is in neither.
 */
export function difference(rows: readonly EvalRow[], against: readonly EvalRow[], seed: number): Interval | null {
  const others = new Map(against.map((row) => [pairOf(row), row]))
  const pairs = rows.flatMap((mine) => {
    const theirs = others.get(pairOf(mine))
    return theirs === undefined ? [] : [{ task: mine.task, mine, theirs }]
  })
  if (pairs.length === 0) return null
  const tasks = [...Map.groupBy(pairs, ({ task }) => task).values()].map((group) => [solvedShare(group.map(({ mine }) => mine)), solvedShare(group.map(({ theirs }) => theirs))])
  const matched = pairs.every(({ mine, theirs }) => mine.fork !== undefined && mine.fork.jobId === theirs.fork?.jobId)
  return smoothed(tasks, matched ? pseudoMatched : pseudoApart, ([mine = 0, theirs = 0]) => mine - theirs, seed)
}

/** Mean of a number of each job, every task counted alike; null when no row has it. */
export function meanOf(rows: readonly EvalRow[], number: (row: EvalRow) => number | null, seed: number): Interval | null {
  const means = [...byTask(rows).values()].flatMap((group) => {
    const numbers = group.flatMap((row) => number(row) ?? [])
    return numbers.length === 0 ? [] : [mean(numbers)]
  })
  return means.length === 0 ? null : bootstrap(means.length, (weights) => weighted(means, weights), seed)
}

/**
 * Micro-dollars for a job that is solved in the end: each job costs what its arm spent, and one that failed is given to the frontier once more, at what the
 * frontier arm spent on that task and with its chance there. Null where the frontier arm is missing for a task, or too little is solved by either.
 */
export function usdMicrosPerSolved(rows: readonly EvalRow[], frontier: readonly EvalRow[], seed: number): Interval | null {
  const reruns = byTask(frontier)
  const parts: { cost: number; solved: number }[] = []
  for (const [task, group] of byTask(rows)) {
    const again = reruns.get(task)
    const share = solvedShare(group)
    if (again === undefined && share < 1) return null
    const rerun = again === undefined ? { cost: 0, solved: 0 } : { cost: mean(again.map(({ usdMicros }) => usdMicros)), solved: solvedShare(again) }
    parts.push({ cost: mean(group.map(({ usdMicros }) => usdMicros)) + (1 - share) * rerun.cost, solved: share + (1 - share) * rerun.solved })
  }
  if (parts.length === 0) return null
  const [costs, shares] = [parts.map(({ cost }) => cost), parts.map(({ solved }) => solved)]
  const price = bootstrap(parts.length, (weights) => {
    const solved = weighted(shares, weights)
    return solved === 0 ? null : weighted(costs, weights) / solved
  }, seed)
  return price === null || price.high === Infinity ? null : price
}

/**
 * How well an arm chose when to ask for help, judged by the local arm on the same task and repeat. precision: of the jobs that asked, the share that fails
 * without help. recall: of the jobs that fail without help, the share that asked. Null: there is none to divide by.
 */
export function triggers(rows: readonly EvalRow[], local: readonly EvalRow[]): { precision: number | null; recall: number | null; asked: number; needed: number } {
  const alone = new Map(local.map((row) => [pairOf(row), row.solved]))
  let [asked, needed, both] = [0, 0, 0]
  for (const row of rows) {
    const solvedAlone = alone.get(pairOf(row))
    if (solvedAlone === undefined) continue
    if (row.escalations > 0) asked += 1
    if (!solvedAlone) needed += 1
    if (row.escalations > 0 && !solvedAlone) both += 1
  }
  return { asked, needed, precision: asked === 0 ? null : both / asked, recall: needed === 0 ? null : both / needed }
}

/** Rows of one arm by their task, in the order in which tasks first come. */
export function byTask(rows: readonly EvalRow[]): Map<string, EvalRow[]> {
  return Map.groupBy(rows, ({ task }) => task)
}

/** Tasks that nobody played, each counted as `weight` of one. */
type Pseudo = { weight: number; tasks: readonly (readonly number[])[] }

// A share: one success, one failure (Agresti and Coull 1998). A difference: the same in each arm (Agresti and Caffo 2000); of matched pairs a half in each cell (Agresti and Min 2005).
const pseudoShare: Pseudo = { weight: 1, tasks: [[1], [0]] }
const pseudoApart: Pseudo = { weight: 1, tasks: [[1, 0], [0, 1]] }
const pseudoMatched: Pseudo = { weight: 0.5, tasks: [[1, 1], [1, 0], [0, 1], [0, 0]] }

/**
 * The bootstrap with pseudo-tasks beside the real ones: without them an arm that solved everything would have an interval without any width. They widen the interval
 * and do not move the value.
 */
function smoothed(tasks: readonly (readonly number[])[], pseudo: Pseudo, of: (means: number[]) => number, seed: number): Interval {
  const all = [...tasks, ...pseudo.tasks]
  const columns = (rows: readonly (readonly number[])[]): number[][] => (tasks[0] ?? []).map((_, column) => rows.map((task) => task[column] ?? 0))
  const padded = columns(all)
  const value = of(columns(tasks).map(mean))
  const interval = bootstrap(all.length, (weights) => {
    for (let index = tasks.length; index < all.length; index += 1) weights[index] = (weights[index] ?? 0) * pseudo.weight
    return of(padded.map((column) => weighted(column, weights)))
  }, seed)
  return { value, low: Math.min(value, interval?.low ?? value), high: Math.max(value, interval?.high ?? value) }
}

function solvedShare(rows: readonly EvalRow[]): number {
  return mean(rows.map(({ solved }) => (solved ? 1 : 0)))
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

function weighted(values: readonly number[], weights: Float64Array): number {
  let [sum, total] = [0, 0]
  // Thousands of times for each figure: an iterator would take most of the time.
  for (let index = 0; index < values.length; index += 1) {
    const weight = weights[index] ?? 0
    sum += (values[index] ?? 0) * weight
    total += weight
  }
  return sum / total
}

function at(sorted: Float64Array, share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(share * (sorted.length - 1))))] ?? NaN
}

/** 97.5 % quantile of Student's t with so many degrees of freedom (Cornish-Fisher expansion: Abramowitz and Stegun 26.7.5); exact for one and two. */
function studentQuantile(degrees: number): number {
  if (degrees === 1) return 12.706
  if (degrees === 2) return 4.303
  const z = 1.959964
  return z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2) + (3 * z ** 7 + 19 * z ** 5 + 17 * z ** 3 - 15 * z) / (384 * degrees ** 3)
}

/** Share of the normal distribution below z (Abramowitz and Stegun 26.2.17, error below 1e-7). */
function normalBelow(z: number): number {
  const t = 1 / (1 + 0.2316419 * Math.abs(z))
  const tail = Math.exp(-z * z / 2) / Math.sqrt(2 * Math.PI) * t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
  return z < 0 ? tail : 1 - tail
}

/** Numbers from 0 to 1 (mulberry32); the same seed gives the same interval on every machine. */
export function chance(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
