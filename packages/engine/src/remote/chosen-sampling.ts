// Owns which sampling values a provider hears of: those that the model's profile names. Pure.
import { Sampling, type ModelRequest, type RemoteModelConfig } from '@hearth/protocol'

const usual = Sampling.parse({})

/**
 * Frontier models refuse values that are not their own, and every request has the defaults of a local one. A profile is read with its defaults filled
 * in, so a value that is one of them counts as not named.
 */
export function chosenSampling(request: ModelRequest, { profile }: RemoteModelConfig): Partial<Sampling> {
  const named = (Object.keys(usual) as (keyof Sampling)[]).filter((name) => profile.sampling[name] !== undefined && profile.sampling[name] !== usual[name])
  return Object.fromEntries(named.map((name) => [name, request.sampling[name]]))
}
