// Owns what the answers of a probe mean: shares, repetition, and which way of speaking is recommended. Pure.
import type { AgentProfile, ProbeCase, ProbeResult, Share } from '@hearth/protocol'

/** Native calls are worth a little less than their share shows: they keep the template's own words and let a model speak beside its call. */
const nativeBonus = 0.1
const weakBelow = 0.5

export function shareOf(cases: readonly ProbeCase[]): Share {
  const counted = cases.filter(({ counts }) => counts)
  return { right: counted.filter(({ problem }) => problem === null).length, of: counted.length }
}

/** `native` null: the template has no tools. */
export function recommend(native: Share | null, json: Share): Pick<ProbeResult['recommended'], 'toolMode' | 'weak' | 'why'> {
  const part = ({ right, of }: Share): number => (of === 0 ? 0 : right / of)
  const said = ({ right, of }: Share): string => `right in ${right} of ${of}`
  const toolMode = native !== null && part(native) + nativeBonus >= part(json) && native.right > 0 ? 'native' : 'json'
  const why = native === null ? `its template has no tools; one JSON object a step was ${said(json)}` : `native calls were ${said(native)}, one JSON object a step ${said(json)}`
  return { toolMode, weak: part(toolMode === 'native' && native !== null ? native : json) < weakBelow, why }
}

/** Right in two of three. */
const mostly = ({ right, of }: Share): boolean => of > 0 && right * 3 >= of * 2

/**
 * The profile with what was measured, and what is new in it. What an owner restricted on purpose stays: more than was asked for is never offered because it would also work, and nothing
 * follows from a measurement that says nothing.
 */
export function improved(profile: AgentProfile, measured: Pick<ProbeResult, 'edits' | 'toolsAtOnce' | 'goesOn'> & { toolMode: AgentProfile['toolMode']; allTools: number }): { profile: AgentProfile; changes: string[] } {
  const { edits, toolsAtOnce, goesOn, toolMode, allTools } = measured
  const changes: string[] = []
  // Examples are written for json mode; they leave with it.
  const next: AgentProfile = { ...profile, toolMode, fewShot: toolMode === 'native' ? null : profile.fewShot }
  if (toolMode !== profile.toolMode) changes.push(`toolMode ${toolMode}`)
  const [byEdit, byWrite] = [mostly(edits.edit), mostly(edits.write)]
  const better = byEdit === byWrite ? null : byEdit ? 'edit' : 'write'
  const both = profile.tools === null || ['edit', 'write'].every((name) => profile.tools?.includes(name))
  if (better !== null && both && profile.editFormat !== better) {
    next.editFormat = better
    changes.push(`editFormat ${better}`)
  }
  const offered = Math.min(profile.maxTools ?? Infinity, profile.tools?.length ?? allTools)
  if (toolsAtOnce !== null && toolsAtOnce < offered && profile.tools === null) {
    next.maxTools = toolsAtOnce
    changes.push(`maxTools ${toolsAtOnce}`)
  }
  // In json mode the grammar ends an answer.
  const stop = toolMode === 'json' ? [] : goesOn.filter((text) => profile.stop?.includes(text) !== true)
  if (stop.length > 0) {
    next.stop = [...profile.stop ?? [], ...stop]
    changes.push(`stop ${stop.map((text) => JSON.stringify(text)).join(', ')}`)
  }
  return { profile: next, changes }
}

/** Whether a long answer goes round in circles: of its runs of four words less than six in ten are different. Short answers never do. */
export function repeats(text: string): boolean {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== '')
  if (words.length < 40) return false
  const runs = words.slice(0, -3).map((_, index) => words.slice(index, index + 4).join(' '))
  return new Set(runs).size / runs.length < 0.6
}
