// Owns which settings a load gets: the owner's configuration first, then what was measured, then a default. Pure.
import type { Config, ModelProfile } from '@hearth/protocol'
import type { Load } from '../local/wire.ts'
import { chooseKnee } from './choose.ts'

/** What a load takes from the profile. `activeDecodes`: null = as many as there are sequences. */
export type Settings = { threads: number; batchTokens: number; prefillTokens: number; speculation: 'off' | 'lookup' | 'draft'; activeDecodes: number | null; llamaServer: boolean }

// A CPU computes small pieces as fast as large ones, and a small piece makes progress and cancelling fine-grained; a GPU wants the whole batch.
const cpuPrefillTokens = 128
const defaultBatchTokens = 512

/** `threads`: the default of this machine. `profile`: of this very file, build and machine, or null. */
export function settingsOf(config: Config['engine'], modelId: string, backend: Load['backend'], profile: ModelProfile | null, threads: number): Settings {
  const choices = profile?.choices ?? null
  // Measured pieces belong to the measured batch: an owner who sets one has decided about both.
  const measured = config.batchTokens === null ? choices?.batch ?? null : null
  const batchTokens = config.batchTokens ?? measured?.batchTokens ?? defaultBatchTokens
  const piece = measured?.pieceTokens ?? (backend === 'cpu' ? cpuPrefillTokens : Infinity)
  const llamaServer = servedBy(config, modelId, profile)
  return {
    threads: config.threads ?? choices?.threads?.value ?? threads, batchTokens,
    // Room for one row of every other sequence beside a full piece of a prompt.
    prefillTokens: Math.max(16, Math.min(batchTokens - config.sequences, piece)),
    speculation: config.speculation ?? choices?.speculation?.value ?? 'off',
    activeDecodes: config.activeDecodes ?? measuredCap(config, profile, llamaServer), llamaServer,
  }
}

/** Whether a llama-server serves this model: the owner named it, or said "auto" and it was measured as faster at as many streams as this daemon may run. */
export function servedBy(config: Config['engine'], modelId: string, profile: ModelProfile | null): boolean {
  const { models } = config.adapters.llamaServer
  if (models.includes('*') || models.includes(modelId)) return true
  const above = profile?.choices.adapter?.aboveStreams ?? null
  return models.includes('auto') && above !== null && Math.min(config.sequences, config.activeDecodes ?? config.sequences) > above
}

/** The knee of the adapter that serves; never so low that a job would keep an interactive request out. */
function measuredCap(config: Config['engine'], profile: ModelProfile | null, llamaServer: boolean): number | null {
  if (profile === null) return null
  const knee = llamaServer ? chooseKnee(profile.points, 'llama-server') : profile.choices.activeDecodes
  if (knee === null) return null
  const cap = Math.max(knee.value, 2, 1 + (config.reserved.interactive ?? (config.sequences >= 3 ? 1 : 0)) + config.reserved.job)
  return cap >= config.sequences ? null : cap
}
