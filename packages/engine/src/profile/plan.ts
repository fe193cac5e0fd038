// Decides what is measured next on a box: from coarse to fine, within a budget of time, what is left out named with its reason. Pure; measures nothing, asks no clock.
import type { Adapter, Effort, MeasuredPoint, TuneRun } from '@hearth/protocol'
import { choosePiece, chooseThreads, spreadOf, turnSeconds } from './choose.ts'

/** Settings a worker is loaded with. */
export type Variant = {
  adapter: Adapter
  threads: number
  batchTokens: number
  pieceTokens: number
  speculation: 'off' | 'lookup'
  sequences: number
  contextTokens: number
}

export type Cell = {
  run: TuneRun
  variant: Variant
  streams: number
  /** Length of the prompt. */
  depthTokens: number
  decodeTokens: number
  text: MeasuredPoint['text']
}

export type Sample = {
  cell: Cell
  round: number
  ms: number
  /** Of that, starting the worker; 0 when it was there already. */
  loadMs: number
  promptTokens: number
  prefillTokensPerSecond: number | null
  decodeTokensPerSecond: number | null
  /** Why there is no figure; such a cell is not tried again. */
  failed: string | null
}

export type Facts = {
  effort: Effort
  budgetMs: number
  /** Only a CPU has something to gain from another number of threads. */
  gpu: boolean
  physicalCores: number
  logicalCpus: number
  /** Of a conversation, as the daemon would load it. */
  windowTokens: number
  /** Conversations that the daemon holds at the same time. */
  sequences: number
  home: Adapter
  /** The other adapter, when this box has it. */
  other: Adapter | null
  defaults: { threads: number; batchTokens: number; pieceTokens: number }
}

export type Next = { type: 'measure'; cell: Cell; round: number } | { type: 'skip'; what: string; why: string } | { type: 'over' }

type Sizes = { prompt: number; decode: number; rounds: number; streamRounds: number; minutes: number }
const sizes: Record<Effort, Sizes> = {
  quick: { prompt: 256, decode: 32, rounds: 3, streamRounds: 2, minutes: 2 },
  normal: { prompt: 512, decode: 48, rounds: 3, streamRounds: 3, minutes: 10 },
  full: { prompt: 512, decode: 96, rounds: 5, streamRounds: 5, minutes: 45 },
}
// Less than a minute is for a first look, and for tests of the way it is done.
const hurry = { belowMs: 60_000, prompt: 128, decode: 16 }
// The part of the budget by which a further round of a run must be over; its first round is taken as long as there is any time.
const shares: Record<TuneRun, number> = { threads: 0.5, 'threads-fine': 0.55, pieces: 0.65, streams: 0.8, depth: 1, speculation: 1 }
const runs: readonly TuneRun[] = ['threads', 'threads-fine', 'pieces', 'streams', 'depth', 'speculation']
const depths = [2048, 4096, 16_384, 65_536]
/** A setting that takes this many times longer than the best is not asked again: after one round a burst of other work may have done it, after two hardly. */
const hopeless = { first: 2.5, later: 1.5 }
// Room for the answer, and for a template around the prompt.
const besides = 160

function sizeOf({ effort, budgetMs }: Facts): Sizes {
  return budgetMs < hurry.belowMs ? { ...sizes[effort], prompt: hurry.prompt, decode: hurry.decode } : sizes[effort]
}

export function budgetMsOf(effort: Effort, minutes: number | null): number {
  return (minutes ?? sizes[effort].minutes) * 60_000
}

/** What to do next; `skipped`: what was already said to be left out. */
export function next(facts: Facts, samples: readonly Sample[], skipped: ReadonlySet<string>, spentMs: number): Next {
  for (const run of runs) {
    const cells = cellsOf(run, facts, samples)
    for (let round = 0; round < roundsOf(run, facts); round++) {
      const taken = (cell: Cell): boolean => samples.some((sample) => sample.round === round && sameCell(sample.cell, cell))
      const wanted = cells.filter((cell) => !taken(cell) && isWorthIt(cell, cells, samples, round))
      // Half a round compares one moment of the machine with another, so it is begun only when all of it fits.
      const whole = wanted.reduce((sum, cell) => sum + expectMs(samples, cell), 0)
      if (round > 0 && !cells.some(taken) && spentMs + whole > facts.budgetMs * shares[run]) break
      for (const cell of round % 2 === 0 ? wanted : wanted.toReversed()) {
        const expected = expectMs(samples, cell)
        if (spentMs + expected <= facts.budgetMs) return { type: 'measure', cell, round }
        if (round > 0 || skipped.has(nameOf(cell))) continue
        return { type: 'skip', what: nameOf(cell), why: `it would take ${minutesText(expected)}, and ${minutesText(Math.max(0, facts.budgetMs - spentMs))} of ${minutesText(facts.budgetMs)} are left` }
      }
    }
    for (const one of beyond(run, facts)) if (!skipped.has(one.what)) return { type: 'skip', ...one }
  }
  return { type: 'over' }
}

/** Samples of equal settings as rows, in the order in which they were first taken. */
export function pointsOf(samples: readonly Sample[]): MeasuredPoint[] {
  const good = samples.filter((sample) => sample.failed === null)
  return [...Map.groupBy(good, (sample) => keyOf(sample.cell)).values()].flatMap((group) => {
    const [first] = group
    if (first === undefined) return []
    const { cell } = first
    const { adapter, threads, batchTokens, pieceTokens, speculation } = cell.variant
    const spread = (figure: (sample: Sample) => number | null): MeasuredPoint['prefillTokensPerSecond'] => {
      const values = group.flatMap((sample) => figure(sample) ?? [])
      return values.length === 0 ? null : spreadOf(values)
    }
    return [{
      run: cell.run, adapter, threads, batchTokens, pieceTokens, speculation, text: cell.text, streams: cell.streams, depthTokens: cell.depthTokens,
      promptTokens: Math.round(spreadOf(group.map((sample) => sample.promptTokens)).median), samples: group.length,
      prefillTokensPerSecond: spread((sample) => sample.prefillTokensPerSecond), decodeTokensPerSecond: spread((sample) => sample.decodeTokensPerSecond),
    }]
  })
}

/** '2 threads, a prompt of 512 tokens': what a person reads while it is measured. */
export function nameOf({ run, variant, streams, depthTokens, text }: Cell): string {
  const prompt = `a prompt of ${depthTokens} tokens`
  switch (run) {
    case 'threads':
    case 'threads-fine': return `${variant.threads} thread${variant.threads === 1 ? '' : 's'}, ${prompt}`
    case 'pieces': return `pieces of ${variant.pieceTokens} tokens, ${prompt}`
    case 'streams': return `${streams} stream${streams === 1 ? '' : 's'}${variant.adapter === 'llama-server' ? ' through llama-server' : ''}`
    case 'depth': return prompt
    case 'speculation': return `${text === 'copy' ? 'copied text' : 'prose'}, ${variant.speculation === 'lookup' ? 'guessing ahead' : 'plain'}`
    default: return run satisfies never
  }
}

/** Counts of threads worth a look: powers of two up to all CPUs, and the cores. Below a quarter of the cores nothing is gained on a large CPU. */
export function threadCounts(physicalCores: number, logicalCpus: number): number[] {
  const counts = new Set([physicalCores, logicalCpus])
  for (let count = 1; count < logicalCpus; count *= 2) counts.add(count)
  return [...counts].filter((count) => count >= 1 && count <= logicalCpus && count >= Math.floor(physicalCores / 4)).toSorted((a, b) => a - b)
}

function roundsOf(run: TuneRun, facts: Facts): number {
  const size = sizeOf(facts)
  switch (run) {
    case 'threads':
    case 'threads-fine':
    case 'pieces': return size.rounds
    case 'streams': return size.streamRounds
    case 'depth': return facts.effort === 'full' ? 3 : 1
    case 'speculation': return size.rounds
    default: return run satisfies never
  }
}

function cellsOf(run: TuneRun, facts: Facts, samples: readonly Sample[]): Cell[] {
  const { effort, windowTokens, gpu, home, other, sequences } = facts
  const size = sizeOf(facts)
  const points = pointsOf(samples)
  const threads = chooseThreads(points)?.value ?? facts.defaults.threads
  const chosen = choosePiece(points)
  const batch = chosen === null ? { batchTokens: facts.defaults.batchTokens, pieceTokens: facts.defaults.pieceTokens } : { batchTokens: chosen.batchTokens, pieceTokens: chosen.pieceTokens }
  const short = Math.min(size.prompt, windowTokens - size.decode - besides)
  const base: Variant = { adapter: home, threads, ...batch, speculation: 'off', sequences: 1, contextTokens: Math.min(windowTokens, 2048) }
  const plain = { run, streams: 1, depthTokens: short, decodeTokens: size.decode, text: 'story' as const }
  if (short < 32) return []
  switch (run) {
    case 'threads': {
      if (gpu) return [{ ...plain, variant: base }]
      return threadCounts(facts.physicalCores, facts.logicalCpus).map((count) => ({ ...plain, variant: { ...base, ...defaultsOf(facts), threads: count } }))
    }
    case 'threads-fine': {
      if (gpu || effort === 'quick') return []
      const coarse = points.filter((point) => point.run === 'threads')
      const best = chooseThreads(coarse)?.value
      const measured = coarse.map((point) => point.threads).toSorted((a, b) => a - b)
      const at = best === undefined ? -1 : measured.indexOf(best)
      if (best === undefined || at < 0) return []
      const between = [measured[at - 1], measured[at + 1]].flatMap((neighbour) => (neighbour === undefined ? [] : Math.round((best + neighbour) / 2))).filter((count) => !measured.includes(count))
      return between.length === 0 ? [] : [best, ...between].toSorted((a, b) => a - b).map((count) => ({ ...plain, variant: { ...base, ...defaultsOf(facts), threads: count } }))
    }
    case 'pieces': {
      if (effort === 'quick') return []
      const depthTokens = Math.min(1024, windowTokens - besides)
      return pieceSizes(gpu).filter((piece) => piece <= depthTokens).map((pieceTokens) => ({
        ...plain, depthTokens, decodeTokens: 1, variant: { ...base, batchTokens: Math.max(facts.defaults.batchTokens, pieceTokens + 64), pieceTokens },
      }))
    }
    case 'streams': {
      const counts = [1, 2, 4, 8, 16, 32, 64].filter((count) => count <= Math.max(effort === 'quick' ? 4 : 8, sequences))
      const most = counts.at(-1) ?? 1
      const variants = [home, ...(other === null ? [] : [other])].map((adapter) => ({ ...base, adapter, sequences: most, contextTokens: Math.min(windowTokens, 1024) }))
      const depthTokens = Math.min(256, short)
      return variants.flatMap((variant) => counts.map((streams) => ({ ...plain, streams, depthTokens, variant })))
    }
    case 'depth':
      return depths.filter((depth) => depth + besides + size.decode <= windowTokens)
        .map((depth) => ({ ...plain, depthTokens: depth, variant: { ...base, contextTokens: Math.min(windowTokens, depth + besides + size.decode) } }))
    case 'speculation':
      if (effort === 'quick' || home !== 'built-in' || windowTokens < 2048) return []
      return (['copy', 'story'] as const).flatMap((text) => (['off', 'lookup'] as const).map((speculation) => ({
        ...plain, text, decodeTokens: text === 'copy' ? 256 : 128, depthTokens: text === 'copy' ? 640 : 64, variant: { ...base, speculation },
      })))
    default: return run satisfies never
  }
}

function defaultsOf({ defaults }: Facts): { batchTokens: number; pieceTokens: number } {
  return { batchTokens: defaults.batchTokens, pieceTokens: defaults.pieceTokens }
}

/** A GPU wants whole batches; a CPU reads small pieces as fast, and stops sooner. */
function pieceSizes(gpu: boolean): number[] {
  return gpu ? [256, 512, 1024, 2048] : [64, 128, 256, 512]
}

/** What the window of a conversation leaves out, said once. */
function beyond(run: TuneRun, facts: Facts): { what: string; why: string }[] {
  if (run !== 'depth') return []
  const { windowTokens } = facts
  const out = depths.filter((depth) => depth + besides + sizeOf(facts).decode > windowTokens)
  return out.length === 0 ? [] : [{ what: `prompts of ${out.join(', ')} tokens`, why: `a conversation has a window of ${windowTokens} tokens (engine.contextTokens)` }]
}

/** Not what failed or was left out before, and not what is far behind the best. */
function isWorthIt(cell: Cell, cells: readonly Cell[], samples: readonly Sample[], round: number): boolean {
  const own = samples.filter((sample) => sameCell(sample.cell, cell))
  if (own.some((sample) => sample.failed !== null) || (round > 0 && own.length === 0)) return false
  return round === 0 || !isFarBehind(cell, cells, samples, own.length > 1 ? hopeless.later : hopeless.first)
}

function isFarBehind(cell: Cell, cells: readonly Cell[], samples: readonly Sample[], times: number): boolean {
  const cost = (one: Cell): number | null => {
    const [point] = pointsOf(samples.filter((sample) => sameCell(sample.cell, one)))
    if (point === undefined) return null
    if (one.run === 'pieces') return point.prefillTokensPerSecond === null ? null : 1 / point.prefillTokensPerSecond.median
    return one.run === 'threads' || one.run === 'threads-fine' ? turnSeconds(point) : null
  }
  const own = cost(cell)
  const costs = cells.flatMap((one) => cost(one) ?? [])
  return own !== null && costs.length > 1 && own > Math.min(...costs) * times
}

/** Milliseconds a sample will take, by what is known so far; 0 when nothing is: the first one is always taken. */
export function expectMs(samples: readonly Sample[], cell: Cell): number {
  const good = samples.filter((sample) => sample.failed === null)
  const same = good.filter((sample) => sameCell(sample.cell, cell)).map((sample) => sample.ms)
  if (same.length > 0) return Math.max(...same)
  const alike = good.filter((sample) => sample.cell.variant.threads === cell.variant.threads)
  const known = alike.length > 0 ? alike : good
  const reading = known.filter((sample) => sample.prefillTokensPerSecond !== null).toSorted((a, b) => b.promptTokens - a.promptTokens)[0]
  const writing = known.filter((sample) => sample.decodeTokensPerSecond !== null && sample.cell.streams === 1)
  // What a token costs grows with what stands before it; without a second length it is guessed to double with the length's square root.
  const growth = reading === undefined ? 1 : Math.max(1, Math.sqrt(cell.depthTokens / Math.max(reading.promptTokens, 1024)))
  const readMs = reading === undefined ? 0 : (cell.streams * cell.depthTokens * growth * 1000) / (reading.prefillTokensPerSecond ?? Infinity)
  const writeRate = spreadOf(writing.flatMap((sample) => sample.decodeTokensPerSecond ?? [])).median
  const writeMs = writeRate > 0 ? (cell.streams * cell.decodeTokens * 1000) / writeRate : 0
  const loads = good.map((sample) => sample.loadMs).filter((ms) => ms > 0)
  return readMs + writeMs + (loads.length === 0 ? 0 : spreadOf(loads).median)
}

export function sameVariant(a: Variant, b: Variant): boolean {
  return variantKey(a) === variantKey(b)
}

function sameCell(a: Cell, b: Cell): boolean {
  return keyOf(a) === keyOf(b)
}

function variantKey(variant: Variant): string {
  const { adapter, threads, batchTokens, pieceTokens, speculation, sequences, contextTokens } = variant
  return [adapter, threads, batchTokens, pieceTokens, speculation, sequences, contextTokens].join(' ')
}

function keyOf(cell: Cell): string {
  return [cell.run, variantKey(cell.variant), cell.streams, cell.depthTokens, cell.decodeTokens, cell.text].join(' ')
}

export function minutesText(ms: number): string {
  return ms < 90_000 ? `${Math.max(0, Math.round(ms / 1000))} s` : `${(ms / 60_000).toFixed(1)} min`
}
