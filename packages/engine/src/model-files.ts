// Owns what a model is on disk: its parts, their length, and what tells one file from another. Reads no byte of them.
import { createHash } from 'node:crypto'
import { existsSync, realpathSync, statSync } from 'node:fs'

/** The file, where a link leads to, and all parts of a split model (`…-00001-of-00003.gguf`). */
export function filesOf(path: string): string[] {
  const split = /^(.*)-00001-of-(\d{5})\.gguf$/.exec(path)
  const parts = split === null ? [path] : Array.from({ length: Number(split[2]) }, (_, i) => `${split[1]}-${String(i + 1).padStart(5, '0')}-of-${split[2]}.gguf`)
  return [...new Set(parts.flatMap((part) => (existsSync(part) ? [part, realpathSync(part)] : [part])))]
}

/** What tells one model file from another without reading all of it: lengths, inodes and times of change of all its parts. */
export function identityOf(path: string): string {
  const seen = partsOf(path).map((part) => {
    const { size, mtimeMs, ino, dev } = statSync(part)
    return [size, mtimeMs, ino, dev]
  })
  return createHash('sha256').update(JSON.stringify(seen)).digest('hex').slice(0, 32)
}

/** Of all parts that are there. */
export function bytesOf(path: string): number {
  return partsOf(path).reduce((sum, part) => sum + statSync(part).size, 0)
}

function partsOf(path: string): string[] {
  return [...new Set(filesOf(path).flatMap((part) => (existsSync(part) ? [realpathSync(part)] : [])))]
}
