// Owns the words between a model and the one that guesses ahead for it: which file a load names, and the sentence when nobody guesses. Pure.
import { fault, type Fault } from '@hearth/protocol'
import type { InstalledModel } from './installed.ts'
import type { Load, Ready } from './local/wire.ts'

/** What a load says of its draft model; null when none is wanted or none can be named. */
export function draftOf(installed: InstalledModel, speculation: Load['speculation']): NonNullable<Load['draft']> | null {
  const path = installed.draft?.path ?? null
  return speculation === 'draft' && installed.draft != null && path !== null ? { id: installed.draft.id, path } : null
}

/** Why no model guesses ahead though one was asked for; null when one does, when none was asked for, or nothing is loaded. */
export function draftProblem(installed: InstalledModel, speculation: Load['speculation'], ready: Ready | null): Fault | null {
  if (speculation !== 'draft' || ready === null || ready.backend.startsWith('llama-server')) return null
  const { draft } = installed
  const refused = (why: string, remedy: string): Fault => fault('draft_refused', { model: installed.id, draft: draft?.id ?? 'none', why, remedy })
  if (draft == null) return refused('no draft model is known for it', 'Name an installed one of the same vocabulary in engine.draftModels.')
  if (draft.path === null) return refused('it is not on this disk, or its file was changed', `Run 'hearth models pull ${draft.id}'.`)
  return ready.draft?.refused == null ? null : refused(ready.draft.refused, 'Name another one in engine.draftModels, or set engine.speculation to "lookup" or "off".')
}

/** The line of a worker's status. */
export function draftNote(installed: InstalledModel, speculation: Load['speculation'], ready: Ready | null): { draft?: string } {
  const problem = draftProblem(installed, speculation, ready)
  return problem !== null ? { draft: problem.message } : ready?.draft == null ? {} : { draft: ready.draft.id }
}
