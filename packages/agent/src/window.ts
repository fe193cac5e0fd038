// Owns what a model's window must be for an agent job: too small is refused, small is told. Pure.
import { fault, windowNeeds, type Fault, type ModelInfo } from '@hearth/protocol'

const larger: Readonly<Record<ModelInfo['place'], string>> = {
  local: "engine.contextTokens sets a larger window, and 'hearth models plan' says what fits.",
  lan: 'A larger one is set at its server, and as contextTokens in engine.endpoints here.',
  remote: 'A larger one, if it has that, is told as contextTokens in escalation.providers.',
}

/** Why no agent job begins on this model; null = it may. */
export function windowProblem({ id, place, contextTokens, profile }: ModelInfo): Fault | null {
  const neededTokens = profile.minContextTokens ?? windowNeeds.neededTokens
  return contextTokens >= neededTokens ? null : fault('window_too_small', { model: id, contextTokens, neededTokens, ofProfile: profile.minContextTokens !== undefined, place })
}

/** What people are told of a window that is small for the work; null = nothing. */
export function windowWarning({ id, place, contextTokens, profile }: ModelInfo): string | null {
  if (contextTokens >= (profile.minContextTokens ?? windowNeeds.wellTokens)) return null
  return `The model '${id}' has a window of ${contextTokens} tokens here; agent jobs work well from ${windowNeeds.wellTokens} on. It will often shorten what it knows. ${larger[place]}`
}
