// Owns the rough answer, before anything is fetched: does a catalogue entry fit this box, and with which context. Pure. An installed file is planned exactly, see plan.ts.
import type { CatalogModel, ModelFit } from '@hearth/protocol'
import type { Budget } from '../hardware/budget.ts'

// The program, its tables and compute buffers of a batch: 0.2 to 0.9 GiB in the plans of this class of model.
const besidesBytes = 2 ** 30
/** Less is no window for an agent that reads files. */
const usefulContextTokens = 16_384
// A CPU reads every byte of a dense model for each token at a fraction of a GPU's bandwidth: above this an answer takes minutes.
const cpuUsefulBytes = 6e9

/** What one conversation could have when nothing else is loaded. Null: the entry does not tell its size, or the box not its memory. */
export function fitOf(model: CatalogModel, budget: Budget | null): ModelFit | null {
  if (budget === null || model.contextTokens === null) return null
  let weights = 0
  for (const file of model.files) {
    if (file.bytes === null) return null
    weights += file.bytes
  }
  const left = budget.limitBytes - weights - besidesBytes
  if (left < 0) return { place: budget.place, limitBytes: budget.limitBytes, contextTokens: 0 }
  if (model.kvBytesPerToken === null) return { place: budget.place, limitBytes: budget.limitBytes, contextTokens: null }
  return { place: budget.place, limitBytes: budget.limitBytes, contextTokens: Math.min(model.contextTokens, Math.floor(left / model.kvBytesPerToken / 256) * 256) }
}

/** The first agent of the catalogue's order that fits with a useful context; the fallback only when there is none. On a CPU a large one is no help. */
export function recommend(models: readonly CatalogModel[], budget: Budget | null, fallback: string): string | null {
  if (budget === null) return null
  const fits = models.filter((model) => {
    const fit = fitOf(model, budget)
    const bytes = model.files.reduce((sum, file) => sum + (file.bytes ?? Infinity), 0)
    return model.id !== fallback && model.roles.includes('agent') && (fit?.contextTokens ?? 0) >= usefulContextTokens && (budget.place !== 'ram' || bytes <= cpuUsefulBytes)
  })
  return fits[0]?.id ?? models.find((model) => model.id === fallback && (fitOf(model, budget)?.contextTokens ?? 0) > 0)?.id ?? null
}
