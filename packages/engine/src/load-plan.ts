// Owns the weighing of loads: reads the files and the box now, and says what each load would take of it. Loads nothing, decides nothing.
import type { HardwareSnapshot, MemoryPlan } from '@hearth/protocol'
import { modelFacts } from './catalog/model-facts.ts'
import { needOf, plan, withDraft, type PlanWishes } from './catalog/plan.ts'
import { budgetOf, mainGpu } from './hardware/budget.ts'
import { readHardware } from './hardware/snapshot.ts'
import type { InstalledModel } from './installed.ts'
import type { Room } from './local/admission.ts'
import type { Weighed } from './local/residency.ts'
import type { Load } from './local/wire.ts'

/** A load as it is wished. `cacheBytes`: memory that its worker keeps for itself beside the model. */
export type WishedLoad = { installed: InstalledModel; load: Load; draftPath: string | null; cacheBytes: number }
/** Memory for conversations without a sequence, shared by all models: what it may take, and what of that is taken. */
export type SavedMemory = { limitBytes: number; usedBytes: number }

export async function weighLoads(wished: readonly WishedLoad[], saved: SavedMemory, hardwareRoot = '/'): Promise<{ room: Room; weighed: Map<string, Weighed | null> }> {
  const [snapshot, ...weighed] = await Promise.all([readHardware(hardwareRoot), ...wished.map(factsOf)])
  const first = wished[0]
  return {
    room: first === undefined ? null : roomOn(snapshot, placeOf(first.load, snapshot), saved),
    weighed: new Map(wished.map((one, index) => [one.installed.path, weigh(one, weighed[index] ?? null, snapshot, saved)])),
  }
}

async function factsOf({ installed, draftPath }: WishedLoad) {
  const [alone, draft] = await Promise.all([modelFacts(installed.id, installed.path), draftPath === null ? null : modelFacts(installed.id, draftPath)])
  return alone === null || draft === null ? alone : withDraft(alone, draft)
}

/** `auto` is planned for a GPU whose memory is known, else for the CPU. */
function placeOf(load: Load, snapshot: HardwareSnapshot): 'cpu' | 'gpu' {
  return load.backend === 'cpu' || (load.backend === 'auto' && mainGpu(snapshot) === null) ? 'cpu' : 'gpu'
}

/** Saved conversations that lie in memory are no longer part of what models can have; video memory never holds any. */
function roomOn(snapshot: HardwareSnapshot, on: 'cpu' | 'gpu', saved: SavedMemory): Room {
  const budget = budgetOf(snapshot, on)
  return budget === null ? null : { freeBytes: budget.freeBytes, limitBytes: Math.max(0, budget.limitBytes - (budget.place === 'vram' ? 0 : saved.usedBytes)) }
}

/** Null when a file cannot be read; loading it says why. */
function weigh({ load, cacheBytes }: WishedLoad, facts: Awaited<ReturnType<typeof factsOf>>, snapshot: HardwareSnapshot, saved: SavedMemory): Weighed | null {
  if (facts === null) return null
  const { contextTokens, sequences, batchTokens } = load
  const sharedBytes = Math.max(0, saved.limitBytes - saved.usedBytes)
  const wishes: PlanWishes = { on: placeOf(load, snapshot), contextTokens, sequences, batchTokens, savedStateBytes: sharedBytes + cacheBytes }
  const planned = (freeBytes?: number): MemoryPlan => plan(facts, snapshot, freeBytes === undefined ? wishes : { ...wishes, freeBytes })
  return {
    need: needOf(facts, snapshot, wishes), reloadBytes: facts.tensorBytes, plan: planned,
    sharedBytes: planned(0).place === 'vram' ? 0 : sharedBytes,
  }
}
