// Owns which sampling values a provider hears of: those that the model's profile names. Pure.
import type { ModelRequest, RemoteModelConfig, Sampling } from '@hearth/protocol'

/** Frontier models refuse values that are not their own, and every request has the defaults of a local one. */
export function chosenSampling(request: ModelRequest, config: RemoteModelConfig): Partial<Sampling> {
  return Object.fromEntries(Object.keys(config.profile.sampling).map((name) => [name, request.sampling[name as keyof Sampling]]))
}
