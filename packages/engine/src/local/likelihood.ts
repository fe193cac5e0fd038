// Owns how likely the model itself found the token that was chosen: of the whole vocabulary, before grammar, temperature and filters. Never changes what is chosen.
// The library's `confidence` puts the grammar in front of sampling: slower by half, other tokens are drawn, and what is forced counts as certain (docs/decisions/likelihoods.md).
// So this reaches behind the library's public face, looks before it believes, and tells when there is nothing of the shape that it knows.
import { isObject } from '../foreign.ts'

type Sampler = { applyConfig(config: { temperature: number }): void }
type Sampled = [token: number, probabilities?: unknown, confidence?: number | undefined, logits?: number[], totalLogitWeight?: number]
type SampleToken = (row: number, sampler: Sampler, ...asked: unknown[]) => Promise<number | Sampled>

/** The logits of this token and of the likeliest, and the sum of e^(logit - highest) over all. */
const wanted = (token: number): unknown[] => [false, false, [[token], false, false, true, 0], true]

/** From now on `confidence`, asked for without `probabilities`, is the model's own likelihood. False: this library does not look as it did, and nothing was changed. */
export function ownLikelihoods(context: object, model: object, llama: object): boolean {
  const native: unknown = Reflect.get(context, '_ctx')
  const nativeModel: unknown = Reflect.get(model, '_model')
  const bindings: unknown = Reflect.get(llama, '_bindings')
  if (!isObject(native) || !isObject(nativeModel) || !isObject(bindings)) return false
  const { sampleToken } = native
  const { AddonSampler } = bindings
  if (typeof sampleToken !== 'function' || typeof AddonSampler !== 'function') return false
  const sample = sampleToken.bind(native) as SampleToken
  const make = AddonSampler as new (model: object) => Sampler
  // One for each row that is sampled at the same time: each holds a copy of the vocabulary.
  const free: Sampler[] = []
  Object.defineProperty(native, 'sampleToken', {
    value: async (row: number, sampler: Sampler, ...asked: unknown[]): Promise<number | Sampled> => {
      if (asked.length !== 2 || asked[0] !== false || asked[1] !== true) return sample(row, sampler, ...asked)
      const chosen = await sample(row, sampler)
      const token = Array.isArray(chosen) ? chosen[0] : chosen
      if (token < 0) return [token]
      const greedy = free.pop() ?? greedySampler(nativeModel, make)
      const seen = await sample(row, greedy, ...wanted(token)).catch(() => null)
      free.push(greedy)
      return [token, undefined, Array.isArray(seen) ? likelihood(token, seen) : undefined]
    },
  })
  return true
}

function greedySampler(model: object, make: new (model: object) => Sampler): Sampler {
  const sampler = new make(model)
  sampler.applyConfig({ temperature: 0 })
  return sampler
}

/** `logits`: token, logit, token, logit. */
function likelihood(token: number, [highest, , , logits = [], weight]: Sampled): number | undefined {
  const logitOf = (sought: number): number | undefined => logits.find((_, index) => index % 2 === 1 && logits[index - 1] === sought)
  const [own, best] = [logitOf(token), logitOf(highest)]
  return own === undefined || best === undefined || weight === undefined ? undefined : Math.exp(own - best) / weight
}
