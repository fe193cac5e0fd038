// Owns what the answers of a probe mean: shares, repetition, and which way of speaking is recommended. Pure.
import type { ProbeCase, ProbeResult, Share } from '@hearth/protocol'

/** Native calls are worth a little less than their share shows: they keep the template's own words and let a model speak beside its call. */
const nativeBonus = 0.1
const weakBelow = 0.5

export function shareOf(cases: readonly ProbeCase[]): Share {
  const counted = cases.filter(({ counts }) => counts)
  return { right: counted.filter(({ problem }) => problem === null).length, of: counted.length }
}

/** `native` null: the template has no tools. */
export function recommend(native: Share | null, json: Share): ProbeResult['recommended'] {
  const part = ({ right, of }: Share): number => (of === 0 ? 0 : right / of)
  const said = ({ right, of }: Share): string => `right in ${right} of ${of}`
  const toolMode = native !== null && part(native) + nativeBonus >= part(json) && native.right > 0 ? 'native' : 'json'
  const why = native === null ? `its template has no tools; one JSON object a step was ${said(json)}` : `native calls were ${said(native)}, one JSON object a step ${said(json)}`
  return { toolMode, weak: part(toolMode === 'native' && native !== null ? native : json) < weakBelow, why }
}

/** Whether a long answer goes round in circles: of its runs of four words less than six in ten are different. Short answers never do. */
export function repeats(text: string): boolean {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== '')
  if (words.length < 40) return false
  const runs = words.slice(0, -3).map((_, index) => words.slice(index, index + 4).join(' '))
  return new Set(runs).size / runs.length < 0.6
}
