// Owns reading files of the kernel below a root path: `/`, or a captured tree in a test. A file that is missing, unreadable or empty is null; nothing throws.
import { access, constants, readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** Who asks, and what a captured tree cannot hold: owners and modes of device nodes. */
export type TreeNotes = {
  uid: number
  gids: readonly number[]
  /** By absolute path inside the tree; a path that is named here is judged by these numbers, not by the file itself. */
  nodes: Readonly<Record<string, { uid: number; gid: number; mode: number }>>
}

// A file below /sys or /proc is small; whatever is larger is not what it claims to be.
const limitBytes = 4 * 2 ** 20

export class KernelTree {
  readonly #root: string
  readonly notes: TreeNotes | null

  constructor(root = '/', notes: TreeNotes | null = null) {
    this.#root = root
    this.notes = notes
  }

  async bytes(path: string): Promise<Buffer | null> {
    try {
      const data = await readFile(join(this.#root, path))
      return data.length > limitBytes ? null : data
    } catch {
      return null
    }
  }

  /** Trimmed text; null when there is none. */
  async text(path: string): Promise<string | null> {
    const data = await this.bytes(path)
    if (data === null || data.includes(0)) return null
    const text = data.toString('utf8').trim()
    return text === '' ? null : text
  }

  /** A whole number, decimal or 0x…, and nothing else in the file. */
  async number(path: string): Promise<number | null> {
    return wholeNumber(await this.text(path))
  }

  /** Names in a folder, sorted as a person would; empty when there is no such folder. */
  async list(path: string): Promise<string[]> {
    const names = await readdir(join(this.#root, path)).catch(() => [])
    return names.toSorted((a, b) => a.localeCompare(b, 'en', { numeric: true }))
  }

  /** Owner group of a node and whether the caller may read and write it; null when there is no such node. */
  async node(path: string): Promise<{ gid: number; usable: boolean } | null> {
    const noted = this.notes?.nodes[path]
    if (noted !== undefined && this.notes !== null) return { gid: noted.gid, usable: allows(noted, this.notes) }
    try {
      const { gid } = await stat(join(this.#root, path))
      const usable = await access(join(this.#root, path), constants.R_OK | constants.W_OK).then(() => true, () => false)
      return { gid, usable }
    } catch {
      return null
    }
  }
}

/** Read and write by the classic rules: owner, else group, else others; root always. */
function allows(node: { uid: number; gid: number; mode: number }, caller: Pick<TreeNotes, 'uid' | 'gids'>): boolean {
  if (caller.uid === 0) return true
  const bits = node.uid === caller.uid ? node.mode >> 6 : caller.gids.includes(node.gid) ? node.mode >> 3 : node.mode
  return (bits & 6) === 6
}

export function wholeNumber(text: string | null | undefined): number | null {
  if (text === null || text === undefined || !/^(-?\d+|0x[0-9a-f]+)$/i.test(text.trim())) return null
  const value = Number(text.trim())
  return Number.isSafeInteger(value) ? value : null
}

/** The same, and never negative: sizes and counters. */
export function quantity(value: number | null): number | null {
  return value !== null && value >= 0 ? value : null
}
