// Owns what follows from measurements: threads, piece of a prompt, knee, speculation, adapter, each with the sentence that says why. Pure.
// A setting that costs more (threads, rows) must win by more than the noise of both figures; what cannot be told apart stays with the smaller one.
import type { MeasuredPoint, ModelProfile, SpeedSpread } from '@hearth/protocol'

export type Choices = ModelProfile['choices']

/** Less than this is never a difference: the same run repeats within 5 to 10 % on a shared machine, and 3 % was seen between idle ones. */
export const leastNoise = 0.03
/** More streams are worth their place while they add at least this much to the total. */
const kneeGain = 1.05
/** Tokens a second that one answer must keep: slower than this is slower than people read. */
const readingFloor = 5
// What one step of an agent computes: this many new tokens read and this many written.
const turn = { read: 512, written: 128 }

/** What a figure of so few samples may be wrong by, whatever its range says. */
const fewSamples = [0, 0.15, 0.08]

type Figure = 'prefillTokensPerSecond' | 'decodeTokensPerSecond'

/** How far apart equal runs were: half of the range over the median. One or two runs say less than they show. */
export function noiseOf(point: MeasuredPoint, ...figures: readonly Figure[]): number {
  const ranges = figures.flatMap((figure) => {
    const spread = point[figure]
    return spread === null || spread.median <= 0 ? [] : [(spread.max - spread.min) / (2 * spread.median)]
  })
  return Math.max(leastNoise, fewSamples[point.samples] ?? 0, ...ranges)
}

export function spreadOf(values: readonly number[]): SpeedSpread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const upper = sorted[middle] ?? 0
  return { min: sorted[0] ?? 0, median: sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2, max: sorted.at(-1) ?? 0 }
}

/** Seconds of one step of an agent at these speeds; null when a speed is missing. */
export function turnSeconds({ prefillTokensPerSecond: prefill, decodeTokensPerSecond: decode }: MeasuredPoint): number | null {
  return prefill === null || decode === null || prefill.median <= 0 || decode.median <= 0 ? null : turn.read / prefill.median + turn.written / decode.median
}

type Candidate = { size: number; cost: number; noise: number }

/** The cheapest in `cost`, except that a larger size must beat the best smaller one by more than the noise between them. */
function leastCost(candidates: readonly Candidate[]): Candidate | null {
  const sorted = candidates.toSorted((a, b) => a.size - b.size)
  let best = sorted[0] ?? null
  for (const candidate of sorted.slice(1)) {
    if (best !== null && best.cost / candidate.cost > 1 + Math.max(best.noise, candidate.noise)) best = candidate
  }
  return best
}

/** The rows that compare thread counts: the finer comparison when there was one. */
export function threadPoints(points: readonly MeasuredPoint[]): MeasuredPoint[] {
  const of = (run: MeasuredPoint['run']): MeasuredPoint[] => points.filter((point) => point.run === run && turnSeconds(point) !== null)
  const fine = of('threads-fine')
  return fine.length > 1 ? fine : of('threads')
}

export function chooseThreads(points: readonly MeasuredPoint[]): Choices['threads'] {
  const candidates = threadPoints(points).map((point) => ({ size: point.threads, cost: turnSeconds(point) ?? Infinity, noise: noiseOf(point, 'prefillTokensPerSecond', 'decodeTokensPerSecond') }))
  const best = leastCost(candidates)
  if (best === null) return null
  const others = candidates.filter((candidate) => candidate !== best)
  const what = `A step of ${turn.read} tokens read and ${turn.written} written takes ${seconds(best.cost)} with ${threads(best.size)}`
  if (others.length === 0) return { value: best.size, why: `${what}; nothing else was measured.` }
  const next = others.reduce((least, other) => (other.cost < least.cost ? other : least))
  return { value: best.size, why: `${what} and ${seconds(next.cost)} with ${threads(next.size)}; the noise is ${percent(Math.max(best.noise, next.noise))}.` }
}

export function choosePiece(points: readonly MeasuredPoint[]): Choices['batch'] {
  const reading = points.filter((point) => point.run === 'pieces' && point.prefillTokensPerSecond !== null)
  const best = leastCost(reading.map((point) => ({ size: point.pieceTokens, cost: 1 / rate(point.prefillTokensPerSecond), noise: noiseOf(point, 'prefillTokensPerSecond') })))
  const chosen = reading.find((point) => point.pieceTokens === best?.size)
  const [next] = reading.filter((point) => point !== chosen).toSorted((a, b) => rate(b.prefillTokensPerSecond) - rate(a.prefillTokensPerSecond))
  if (chosen === undefined || next === undefined) return null
  return {
    batchTokens: chosen.batchTokens, pieceTokens: chosen.pieceTokens,
    why: `A prompt is read at ${speed(chosen.prefillTokensPerSecond)} in pieces of ${chosen.pieceTokens} tokens and at ${speed(next.prefillTokensPerSecond)} in pieces of ${next.pieceTokens}; the noise is ${percent(Math.max(noiseOf(chosen, 'prefillTokensPerSecond'), noiseOf(next, 'prefillTokensPerSecond')))}.`,
  }
}

/** The curve of one adapter over streams, ascending. */
export function streamPoints(points: readonly MeasuredPoint[], adapter: MeasuredPoint['adapter']): MeasuredPoint[] {
  return points.filter((point) => point.run === 'streams' && point.adapter === adapter && point.decodeTokensPerSecond !== null).toSorted((a, b) => a.streams - b.streams)
}

/**
 * The smallest number of streams that no larger measured number beats by 5 % in total, and at which each answer still keeps 5 tokens/s. Dents between are
 * passed over: on some CPUs four rows cost more than one and eight cost less.
 */
export function chooseKnee(points: readonly MeasuredPoint[], adapter: MeasuredPoint['adapter']): Choices['activeDecodes'] {
  const curve = streamPoints(points, adapter).map((point) => ({ streams: point.streams, total: rate(point.decodeTokensPerSecond) }))
  if (curve.length < 2) return null
  const readable = curve.filter((one) => one.total / one.streams >= readingFloor)
  const allowed = readable.length === 0 ? curve.slice(0, 1) : readable
  const knee = allowed.find((one) => !allowed.some((larger) => larger.streams > one.streams && larger.total >= one.total * kneeGain)) ?? allowed.at(-1)
  if (knee === undefined) return null
  const next = curve.find((one) => one.streams > knee.streams)
  const told = `${streams(knee.streams)} ${knee.streams === 1 ? 'writes' : 'write'} ${figure(knee.total)} tokens/s together`
  if (next === undefined) return { value: knee.streams, why: `${told}; more were not measured.` }
  return {
    value: knee.streams,
    why: next.total / next.streams < readingFloor
      ? `${told}; with ${next.streams} each would get ${figure(next.total / next.streams)} tokens/s, slower than people read.`
      : `${told}, ${streams(next.streams)} ${figure(next.total)}: more gain less than 5 %.`,
  }
}

/** Guessing ahead pays when copied text is written faster by more than the noise and prose is not written slower by more than it. */
export function chooseSpeculation(points: readonly MeasuredPoint[]): Choices['speculation'] {
  const of = (text: MeasuredPoint['text'], speculation: MeasuredPoint['speculation']): MeasuredPoint | undefined =>
    points.find((point) => point.run === 'speculation' && point.text === text && point.speculation === speculation && point.decodeTokensPerSecond !== null)
  const compared = (text: MeasuredPoint['text']): { ratio: number; noise: number } | null => {
    const [off, on] = [of(text, 'off'), of(text, 'lookup')]
    if (off === undefined || on === undefined) return null
    return { ratio: rate(on.decodeTokensPerSecond) / rate(off.decodeTokensPerSecond), noise: Math.max(noiseOf(off, 'decodeTokensPerSecond'), noiseOf(on, 'decodeTokensPerSecond')) }
  }
  const [copy, prose] = [compared('copy'), compared('story')]
  if (copy === null) return null
  const pays = copy.ratio > 1 + copy.noise && (prose === null || prose.ratio > 1 - prose.noise)
  return {
    value: pays ? 'lookup' : 'off',
    why: `With lookup copied text is written at ${ratio(copy.ratio)} of the plain speed${prose === null ? '' : `, prose at ${ratio(prose.ratio)}`}; the noise is ${percent(copy.noise)}.`,
  }
}

/** The number of streams above which llama-server won by more than the noise at every number that both were measured at; null = never, or only one was measured. */
export function chooseAdapter(points: readonly MeasuredPoint[]): Choices['adapter'] {
  const ours = streamPoints(points, 'built-in')
  const theirs = streamPoints(points, 'llama-server')
  const pairs = ours.flatMap((own) => {
    const their = theirs.find((one) => one.streams === own.streams)
    return their === undefined ? [] : [{ streams: own.streams, ratio: rate(their.decodeTokensPerSecond) / rate(own.decodeTokensPerSecond), noise: Math.max(noiseOf(own, 'decodeTokensPerSecond'), noiseOf(their, 'decodeTokensPerSecond')) }]
  })
  if (pairs.length === 0) return null
  const wins = pairs.map((pair) => pair.ratio > 1 + pair.noise)
  const lastLoss = wins.lastIndexOf(false)
  const aboveStreams = lastLoss === pairs.length - 1 ? null : lastLoss < 0 ? 0 : pairs[lastLoss]?.streams ?? 0
  const told = pairs.map((pair) => `${ratio(pair.ratio)} at ${pair.streams}`).join(', ')
  return { aboveStreams, why: `llama-server writes ${told} stream${pairs.at(-1)?.streams === 1 ? '' : 's'} of what the built-in worker does; it must win by more than the noise.` }
}

/** Everything that follows from these points. `home`: the adapter that serves the model unless the measured choice says otherwise. */
export function chooseAll(points: readonly MeasuredPoint[], home: MeasuredPoint['adapter']): Choices {
  return {
    threads: chooseThreads(points), batch: choosePiece(points), activeDecodes: chooseKnee(points, home), speculation: chooseSpeculation(points), adapter: chooseAdapter(points),
  }
}

function rate(spread: SpeedSpread | null): number {
  return spread?.median ?? 0
}

export function figure(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

function speed(spread: SpeedSpread | null): string {
  return `${figure(rate(spread))} tokens/s`
}

function seconds(value: number): string {
  return `${figure(value)} s`
}

function percent(value: number): string {
  return `${(value * 100).toFixed(value < 0.1 ? 1 : 0)} %`
}

function ratio(value: number): string {
  return `${value.toFixed(2)}x`
}

function threads(count: number): string {
  return `${count} thread${count === 1 ? '' : 's'}`
}

function streams(count: number): string {
  return `${count} stream${count === 1 ? '' : 's'}`
}
