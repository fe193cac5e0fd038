// Owns what people read of models that share the memory: whom a request waits for, why a model is not loaded, who leaves for it. Pure.
import { fault, type Fault, type MemoryPlan } from '@hearth/protocol'

const gib = (bytes: number): string => `${(bytes / 2 ** 30).toFixed(1)} GiB`

export function listed(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} and ${words.at(-1) ?? ''}`
}

/** Whom a request waits for: the first that is on its way in or out, else all that answer. */
export function untilDone(others: readonly { name: string; phase: 'loading' | 'answering' | 'unloading'; users: number }[]): string {
  const moving = others.find((one) => one.phase !== 'answering')
  if (moving !== undefined) return `waiting until '${moving.name}' is ${moving.phase === 'loading' ? 'loaded' : 'unloaded'}`
  const requests = (users: number): string => `${users} request${users === 1 ? '' : 's'}`
  const [only] = others
  return others.length === 1 && only !== undefined ? `waiting for '${only.name}' to finish: ${requests(only.users)}`
    : `waiting for ${listed(others.map(({ name, users }) => `'${name}' (${requests(users)})`))} to finish`
}

/** A plan that waits for these to finish. */
export function withWaits(plan: MemoryPlan, names: readonly string[]): MemoryPlan {
  return { ...plan, waitsFor: [...names], said: `${plan.said} It waits until ${quoted(names)} ${names.length === 1 ? 'has' : 'have'} answered.` }
}

/** A plan for which these are unloaded. */
export function withEvicted(plan: MemoryPlan, evicts: readonly { model: string; bytes: number }[]): MemoryPlan {
  if (evicts.length === 0) return plan
  return { ...plan, evicts: [...evicts], said: `${plan.said} ${quoted(evicts.map(({ model }) => model))} ${evicts.length === 1 ? 'is' : 'are'} unloaded for it.` }
}

/** A refusal that names who holds the memory and may not leave, the largest first. */
export function withPinned(plan: MemoryPlan, pinned: readonly { name: string; bytes: number }[]): MemoryPlan {
  const [largest] = pinned
  if (largest === undefined) return plan
  return {
    ...plan, said: `${plan.said} Pinned and in memory: ${listed(pinned.map(({ name, bytes }) => `'${name}' (${gib(bytes)})`))}.`,
    remedy: `Run 'hearth models unpin ${largest.name}'${plan.remedy === null ? '.' : `. ${plan.remedy}`}`,
  }
}

export function notFitting({ said, remedy }: MemoryPlan): Fault {
  return fault('does_not_fit', { said, remedy: remedy ?? "Run 'hearth doctor'." })
}

export function tooMany(name: string, maxModels: number, pinned: readonly string[]): Fault {
  return fault('does_not_fit', {
    said: `'${name}' cannot be loaded: engine.maxModels is ${maxModels}, and ${quoted(pinned)} ${pinned.length === 1 ? 'is' : 'are'} pinned.`,
    remedy: `Run 'hearth models unpin ${pinned[0] ?? ''}', or raise engine.maxModels.`,
  })
}

function quoted(names: readonly string[]): string {
  return listed(names.map((name) => `'${name}'`))
}
