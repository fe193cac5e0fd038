// Owns keeping named places of the workspace out of one run's sight: what is mounted over them, and what keeps the folders around them in their place. Chooses none of them.
// By descriptor, component by component, as in git-guard.ts: a program that runs beside this one may put a link in a name's place at any moment.
import { closeSync, constants, fstatSync, lstatSync, openSync, rmSync, type Stats } from 'node:fs'
import { posix } from 'node:path'

// O_PATH of open(2), which Node does not name; see git-guard.ts.
const pathOnly = 0o10000000

export type Veil = {
  /** bubblewrap's arguments, when the descriptors of `hand` are the child's descriptors from `firstFd` on. They stand behind the binds of the workspace and of git. */
  args(firstFd: number): string[]
  /** The descriptors to be bound; from now on they are closed by the caller. */
  hand(): number[]
  /**
   * Call it once, when the run's processes are gone. Closes what was not handed over, and removes the empty files that bubblewrap made: it makes one to cover where a file was
   * removed between the look at it and the run. Gives their paths.
   */
  close(): string[]
}

export const noVeil: Veil = { args: () => [], hand: () => [], close: () => [] }

/**
 * `hidden`: paths relative to the workspace. A folder is an empty one that takes nothing, a file cannot be opened (it is a device on a mount without devices). Links and
 * what is not there are left out. A mount point cannot be renamed or removed, but a folder around it can, and what is hidden would then stand under another
 * name: so those folders are bound onto themselves, unless the run is `readOnly`. Throws the file system's error.
 */
export function veilOver(workspace: string, hidden: readonly string[], readOnly: boolean): Veil {
  const opened = new Map<string, number>()
  const covers: string[] = []
  const bornAt = new Map<string, number>()
  let handed = false
  const closeAll = (): void => {
    for (const fd of opened.values()) closeSync(fd)
    opened.clear()
  }
  const close = (): string[] => {
    if (handed) opened.clear()
    try {
      return [...bornAt].flatMap(([path, ms]) => {
        const parent = folderOf(posix.dirname(path))
        const file = `/proc/self/fd/${parent}/${posix.basename(path)}`
        const stats = parent === null ? undefined : lstatSync(file, { throwIfNoEntry: false })
        if (stats === undefined || !isMade(stats) || stats.birthtimeMs === ms) return []
        rmSync(file)
        return [path]
      })
    } finally {
      closeAll()
    }
  }
  /** The folder's descriptor; null = there is no such folder. */
  const folderOf = (path: string): number | null => {
    const known = opened.get(path)
    if (known !== undefined) return known
    const parent = path === '.' ? null : folderOf(posix.dirname(path))
    if (path !== '.' && parent === null) return null
    const fd = openOrNull(parent === null ? workspace : `/proc/self/fd/${parent}/${posix.basename(path)}`)
    if (fd === null) return null
    if (!fstatSync(fd).isDirectory()) {
      closeSync(fd)
      return null
    }
    opened.set(path, fd)
    return fd
  }
  try {
    // A part of `.git` is all of it: a folder bound there for a part would lie over what git-guard.ts keeps read-only.
    const places = new Set(hidden.map((path) => (path.startsWith('.git/') ? '.git' : path)))
    for (const path of places) {
      // In an empty folder nothing can be covered.
      if (foldersAround(path).some((folder) => places.has(folder))) continue
      const parent = folderOf(posix.dirname(path))
      const fd = parent === null ? null : openOrNull(`/proc/self/fd/${parent}/${posix.basename(path)}`)
      if (fd === null) continue
      const stats = fstatSync(fd)
      closeSync(fd)
      if (stats.isDirectory()) covers.push('--size', '4096', '--perms', '0555', '--tmpfs', `/work/${path}`, '--remount-ro', `/work/${path}`)
      else if (!stats.isSymbolicLink()) {
        covers.push('--ro-bind', '/dev/null', `/work/${path}`)
        bornAt.set(path, stats.birthtimeMs)
      }
    }
  } catch (error) {
    closeAll()
    throw error
  }
  const pins = readOnly ? [] : [...opened].filter(([path]) => path !== '.').toSorted(([a], [b]) => a.length - b.length)
  return {
    args: (firstFd) => [...pins.flatMap(([path], index) => ['--bind-fd', String(firstFd + index), `/work/${path}`]), ...covers],
    hand: () => {
      handed = true
      for (const [path, fd] of opened) if (!pins.some(([pinned]) => pinned === path)) closeSync(fd)
      return pins.map(([, fd]) => fd)
    },
    close,
  }
}

/** As bubblewrap leaves it. */
function isMade(stats: Stats): boolean {
  return stats.isFile() && stats.size === 0 && (stats.mode & 0o7777) === 0o444
}

function foldersAround(path: string): string[] {
  const parent = posix.dirname(path)
  return parent === '.' ? [] : [parent, ...foldersAround(parent)]
}

function openOrNull(path: string): number | null {
  try {
    return openSync(path, pathOnly | constants.O_NOFOLLOW)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}
