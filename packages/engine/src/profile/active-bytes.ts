// Owns how many bytes of weights one token reads, from the headers of a model's files: all of a dense model, of a mixture only the experts in use.
import { splitParts } from '../catalog/model-facts.ts'
import { readGguf } from '../catalog/gguf.ts'

/** Null when a part cannot be read. */
export async function activeBytesOf(path: string): Promise<number | null> {
  let tensorBytes = 0
  let expertBytes = 0
  let share: number | null = null
  for (const part of splitParts(path)) {
    const read = await readGguf(part)
    if (!read.ok) return null
    tensorBytes += read.header.tensorBytes
    expertBytes += read.header.expertBytes
    if (read.header.experts !== null) share ??= read.header.experts.used / read.header.experts.count
  }
  const active = Math.round(tensorBytes - expertBytes * (1 - (share ?? 1)))
  return active > 0 ? active : null
}
