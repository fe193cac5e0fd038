// Owns one word: a model whose file lies on this disk, as the catalogue hands it to the engine. Knows no worker.
import type { AgentProfile, ToolFormat } from '@hearth/protocol'

export type InstalledModel = {
  id: string
  /** Absolute path of the GGUF file (the first one of a split model). */
  path: string
  /** Trained context window; null when the catalogue does not know it. */
  contextTokens: number | null
  toolFormat: ToolFormat
  profile: AgentProfile
  /** The model that can guess ahead for it; `path` null = it is not usable on this disk. Null or absent = none is known. */
  draft?: { id: string; path: string | null } | null
}
