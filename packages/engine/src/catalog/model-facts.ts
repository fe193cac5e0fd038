// Owns reading what a plan needs to know of an installed model: all parts of a split one together. Reads headers only.
import { readGguf } from './gguf.ts'
import type { ModelFacts } from './plan.ts'

/** Facts of the model whose first file is `path`; null when a part is missing or no GGUF (loading it says why). */
export async function modelFacts(id: string, path: string): Promise<ModelFacts | null> {
  const facts: ModelFacts = { id, tensorBytes: 0, repackedBytes: 0, shape: null }
  for (const part of splitParts(path)) {
    const read = await readGguf(part)
    if (!read.ok) return null
    facts.tensorBytes += read.header.tensorBytes
    facts.repackedBytes += read.header.repackedBytes
    facts.shape ??= read.header.shape
  }
  return facts
}

/** The names of all files of a model, from the name of its first one (`…-00001-of-00003.gguf`). */
export function splitParts(path: string): string[] {
  const found = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(path)
  if (found === null) return [path]
  return Array.from({ length: Math.min(Number(found[2]), 1000) }, (_, i) => `${found[1] ?? ''}-${String(i + 1).padStart(5, '0')}-of-${found[2] ?? ''}.gguf`)
}
