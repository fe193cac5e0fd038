// Owns what a profile lets us expect: time to the first token of a prompt, speed of a run, and a rough speed for models that were not measured. Pure.
import type { MeasuredPoint, ModelProfile, PredictedSpeed } from '@hearth/protocol'

/** Length of the prompt whose time to the first token `hearth models ls` shows. */
export const listedPromptTokens = 2048

type Known = { tokens: number; msPerToken: number }

/** Milliseconds to the first token of a prompt of which `reusedTokens` are in the cache already; null when no reading was measured with the chosen settings. */
export function forecast(profile: ModelProfile, promptTokens: number, reusedTokens = 0): number | null {
  const known = readings(profile)
  if (known.length === 0) return null
  return Math.max(0, readMs(known, promptTokens) - readMs(known, Math.min(reusedTokens, promptTokens)))
}

export type Expectation = { prefillMs(tokens: number): number; decodeMsPerToken: number }

/** What the queue counts with before it has measured a run itself; null when one of the speeds is not known. */
export function expectation(profile: ModelProfile): Expectation | null {
  const known = readings(profile)
  const decode = decodeSpeed(profile)
  return known.length === 0 || decode === null || decode <= 0 ? null : { prefillMs: (tokens) => readMs(known, tokens), decodeMsPerToken: 1000 / decode }
}

export type SpeedAt = (depthTokens: number) => { prefill: number; decode: number }

// The reading speed at a depth is that of the next piece of so many tokens.
const pieceTokens = 256

/** Tokens a second of reading and of writing behind so many tokens; null when fewer than two depths of either were measured. */
export function speedAt(profile: ModelProfile): SpeedAt | null {
  const reads = readings(profile)
  const byDepth = Map.groupBy(chosenPoints(profile).filter((point) => point.streams === 1 && point.decodeTokensPerSecond !== null), (point) => point.depthTokens)
  const writes = [...byDepth].map(([depth, points]) => ({ depth, ms: 1000 / (points[0]?.decodeTokensPerSecond?.median ?? NaN) })).filter(({ ms }) => Number.isFinite(ms)).toSorted((a, b) => a.depth - b.depth)
  if (reads.length < 2 || writes.length < 2) return null
  return (depthTokens) => ({
    prefill: pieceTokens * 1000 / (readMs(reads, depthTokens + pieceTokens) - readMs(reads, depthTokens)), decode: 1000 / between(writes, depthTokens),
  })
}

/** On a line through the two nearest points; beyond the last it goes on with their slope, never below the first. */
function between(points: readonly { depth: number; ms: number }[], depth: number): number {
  const after = Math.max(1, points.findIndex((point) => point.depth >= depth))
  const [low, high] = depth > (points.at(-1)?.depth ?? 0) ? [points.at(-2), points.at(-1)] : [points[after - 1], points[after]]
  if (low === undefined || high === undefined) return NaN
  return Math.max(points[0]?.ms ?? 0, low.ms + (high.ms - low.ms) * (depth - low.depth) / (high.depth - low.depth))
}

/** Tokens a second of one answer behind a short prompt; null when it was not measured with the chosen settings. */
export function decodeSpeed(profile: ModelProfile): number | null {
  const points = chosenPoints(profile).filter((point) => point.streams === 1 && point.decodeTokensPerSecond !== null).toSorted((a, b) => a.depthTokens - b.depthTokens)
  return points[0]?.decodeTokensPerSecond?.median ?? null
}

/** Points of one stream with the settings that were chosen. */
export function chosenPoints(profile: ModelProfile): MeasuredPoint[] {
  const { threads, batch } = profile.choices
  const of = profile.points.filter((point) => point.text === 'story' && point.speculation === 'off' && (threads === null || point.threads === threads.value))
  const exact = of.filter((point) => batch === null || point.pieceTokens === batch.pieceTokens)
  // A depth that was measured with another piece only is still better than nothing.
  return [...exact, ...of.filter((point) => !exact.some((one) => one.depthTokens === point.depthTokens && one.streams === point.streams && one.adapter === point.adapter))]
    .filter((point) => point.adapter === (profile.points[0]?.adapter ?? 'built-in'))
}

function readings(profile: ModelProfile): Known[] {
  const byLength = Map.groupBy(chosenPoints(profile).filter((point) => point.streams === 1 && point.promptTokens > 0), (point) => point.promptTokens)
  return [...byLength.entries()].flatMap(([tokens, points]) => {
    const speed = points.find((point) => point.prefillTokensPerSecond !== null)?.prefillTokensPerSecond?.median ?? 0
    return speed > 0 ? [{ tokens, msPerToken: 1000 / speed }] : []
  }).toSorted((a, b) => a.tokens - b.tokens)
}

/**
 * The mean cost of a token grows with the length (attention reads all that stands before): between two measured lengths it is interpolated, behind the last it
 * goes on with the slope of the last two, before the first it stays.
 */
function readMs(known: readonly Known[], tokens: number): number {
  const after = known.findIndex((one) => one.tokens >= tokens)
  const [low, high] = after > 0 ? [known[after - 1], known[after]] : after === 0 ? [undefined, known[0]] : [known.at(-2), known.at(-1)]
  if (high === undefined) return 0
  if (low === undefined || high.tokens === low.tokens) return tokens * high.msPerToken
  const slope = (high.msPerToken - low.msPerToken) / (high.tokens - low.tokens)
  return tokens * (high.msPerToken + (after < 0 ? Math.max(0, slope) : slope) * (tokens - high.tokens))
}

/** Figures of a measured model for a list; null when its writing was not measured. */
export function measuredSpeed(profile: ModelProfile): PredictedSpeed | null {
  const decode = decodeSpeed(profile)
  return decode === null || decode <= 0 ? null : { estimated: false, decodeTokensPerSecond: decode, ttftMs: forecast(profile, listedPromptTokens) }
}

/**
 * A rough speed of a model that reads `activeBytes` for each token: writing is bound by memory, so tokens a second times bytes a token is about the same for all
 * models of a box. The measured model nearest in size is scaled; a small model is bound by more than memory, so a figure scaled far from it is only an order of size.
 */
export function estimatedSpeed(profiles: readonly ModelProfile[], activeBytes: number): PredictedSpeed | null {
  const known = profiles.flatMap((profile) => {
    const decode = decodeSpeed(profile)
    return decode === null || profile.activeBytes === null ? [] : [{ profile, decode, bytes: profile.activeBytes }]
  })
  if (known.length === 0 || activeBytes <= 0) return null
  const distance = (bytes: number): number => Math.abs(Math.log(bytes / activeBytes))
  const nearest = known.reduce((best, one) => (distance(one.bytes) < distance(best.bytes) ? one : best))
  const scale = nearest.bytes / activeBytes
  const ttft = forecast(nearest.profile, listedPromptTokens)
  return { estimated: true, decodeTokensPerSecond: nearest.decode * scale, ttftMs: ttft === null ? null : ttft / scale }
}
