// Owns the words and the arithmetic of every benchmark: samples taken in turns, spread, ratio with its interval, bar and verdict. Runs nothing itself.

export type Spread = { min: number; median: number; max: number; n: number }

/** `low` and `high` bound the median with about 95 % confidence; `min` and `max` are the outermost pairs. */
export type Ratio = { min: number; low: number; median: number; high: number; max: number }

/** What the ratio must reach. */
export type Bar = { is: 'at most' | 'at least'; ratio: number }

export type Row = {
  bench: string
  figure: string
  unit: string
  ours: Spread
  /** What ours is compared with: another program measured in the same run, or a fixed limit. */
  theirs: { name: string; spread: Spread } | { name: string; limit: number } | null
  /** ours / theirs, pair by pair. Null when there is nothing to compare with. */
  ratio: Ratio | null
  bar: Bar | null
  verdict: 'holds' | 'falls short' | 'no bar'
  note: string
}

export type Context = {
  root: string
  /** Path of the starter model's file. */
  model: string
  /** Folder for what takes long to build and is kept between runs. */
  cache: string
  /** Samples of each contestant; at least nine for a figure that is quoted. */
  rounds: number
  /** Progress for the person who waits; not part of the result. */
  say(line: string): void
  /** Of the bench `agent` alone; absent = its defaults. */
  agent?: { model: string | null; tasks: string | null; update: boolean; record: boolean }
}

export type Benchmark = { name: string; title: string; run(context: Context): Promise<Row[]> }

/**
 * Takes one sample of every contestant in each round, so that whatever else the machine does meets all alike; every other round
 * runs in reverse order, against drift. The first round warms up and is thrown away.
 */
export async function takeTurns<N extends string>(rounds: number, contestants: Readonly<Record<N, () => Promise<number>>>): Promise<Record<N, number[]>> {
  const names = Object.keys(contestants) as N[]
  const samples = Object.fromEntries(names.map((name) => [name, [] as number[]])) as Record<N, number[]>
  for (let round = 0; round <= rounds; round++) {
    for (const name of round % 2 === 0 ? names : names.toReversed()) {
      const value = await contestants[name]()
      if (round > 0) samples[name].push(value)
    }
  }
  return samples
}

export function spreadOf(samples: readonly number[]): Spread {
  const sorted = samples.toSorted((a, b) => a - b)
  return { min: sorted[0] ?? NaN, median: median(sorted), max: sorted.at(-1) ?? NaN, n: sorted.length }
}

export function ratioOf(ours: readonly number[], theirs: readonly number[]): Ratio {
  const sorted = ours.map((value, index) => value / (theirs[index] ?? NaN)).toSorted((a, b) => a - b)
  const rank = confidenceRank(sorted.length)
  return {
    min: sorted[0] ?? NaN, low: sorted[rank] ?? NaN, median: median(sorted), high: sorted[sorted.length - 1 - rank] ?? NaN, max: sorted.at(-1) ?? NaN,
  }
}

/**
 * How many values may be left out at each end so that the rest still covers the median with at least 95 %: the sign test's interval
 * (order statistics, no assumption about the distribution). 9 values: 1, which covers 96 %. Fewer than 6: 0.
 */
export function confidenceRank(n: number): number {
  let tail = 0
  let term = 0.5 ** n
  for (let rank = 0; rank < n / 2; rank++) {
    tail += term
    if (2 * tail > 0.05) return Math.max(0, rank - 1)
    term = term * (n - rank) / (rank + 1)
  }
  return 0
}

type Names = Pick<Row, 'bench' | 'figure' | 'unit' | 'note'>

/** A row of ours against another program; `ours` and `theirs` are pairs in the order they were taken. */
export function against(names: Names, ours: readonly number[], theirs: { name: string; samples: readonly number[] }, bar: Bar | null): Row {
  const ratio = ratioOf(ours, theirs.samples)
  return { ...ordered(names), ours: spreadOf(ours), theirs: { name: theirs.name, spread: spreadOf(theirs.samples) }, ratio, bar, verdict: verdictOf(ratio, bar), note: names.note + noise(ratio) }
}

/** An interval this wide lets nearly any bar hold, so the row says that it proves little. */
function noise(ratio: Ratio): string {
  return ratio.high / ratio.low > 1.25 ? ' (noisy run: the interval is wide; repeat it on a quiet machine)' : ''
}

/** A row of ours against a fixed limit. */
export function within(names: Names, ours: readonly number[], limit: { name: string; value: number }, bar: Bar): Row {
  const ratio = ratioOf(ours, ours.map(() => limit.value))
  return { ...ordered(names), ours: spreadOf(ours), theirs: { name: limit.name, limit: limit.value }, ratio, bar, verdict: verdictOf(ratio, bar), note: names.note }
}

/** A row that is only written down. */
export function recorded(names: Names, ours: readonly number[]): Row {
  return { ...ordered(names), ours: spreadOf(ours), theirs: null, ratio: null, bar: null, verdict: 'no bar', note: names.note }
}

/** A bar holds when the interval of the median reaches it: what cannot be told from noise is not called a loss. */
export function verdictOf(ratio: Ratio, bar: Bar | null): Row['verdict'] {
  if (bar === null) return 'no bar'
  const reaches = bar.is === 'at most' ? ratio.low <= bar.ratio : ratio.high >= bar.ratio
  return reaches ? 'holds' : 'falls short'
}

export function figures(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 0.1 || size < 1e-6 ? value.toFixed(2) : value.toPrecision(2)
}

export function barText(bar: Bar | null): string {
  return bar === null ? '-' : `${bar.is === 'at most' ? '<=' : '>='} ${bar.ratio}x`
}

function ordered({ bench, figure, unit }: Names): Pick<Row, 'bench' | 'figure' | 'unit'> {
  return { bench, figure, unit }
}

function median(sorted: readonly number[]): number {
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? NaN) + upper) / 2
}
