// Owns the plan of one load: reads the file and the box now, and puts what the plan shrank into the order to load. Loads nothing.
import type { MemoryPlan } from '@hearth/protocol'
import { modelFacts } from './catalog/model-facts.ts'
import { plan, withDraft } from './catalog/plan.ts'
import { mainGpu } from './hardware/budget.ts'
import { readHardware } from './hardware/snapshot.ts'
import type { InstalledModel } from './installed.ts'
import type { Load } from './local/wire.ts'

/** `auto` is planned for a GPU whose memory is known, else for the CPU; null when the file cannot be read (loading it says why). */
export async function planLoad(installed: InstalledModel, load: Load, savedStateBytes: number, draftPath: string | null = null, hardwareRoot = '/'): Promise<MemoryPlan | null> {
  const [alone, draft, snapshot] = await Promise.all([
    modelFacts(installed.id, installed.path), draftPath === null ? null : modelFacts(installed.id, draftPath), readHardware(hardwareRoot),
  ])
  if (alone === null) return null
  const facts = draft === null ? alone : withDraft(alone, draft)
  const { contextTokens, sequences, batchTokens } = load
  const on = load.backend === 'cpu' || (load.backend === 'auto' && mainGpu(snapshot) === null) ? 'cpu' : 'gpu'
  return plan(facts, snapshot, { on, contextTokens, sequences, batchTokens, savedStateBytes })
}
