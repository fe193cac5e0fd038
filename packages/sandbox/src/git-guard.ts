// Owns which parts of a workspace's .git stay read-only inside: those that make git run programs. Touches nothing else of the workspace.
// Everything is looked at and bound by descriptor: a program that runs beside this one may put a link to anywhere in a name's place at any moment.
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, rmSync, type Stats } from 'node:fs'
import { join } from 'node:path'
import { fault, type Fault } from '@hearth/protocol'

/** Bound read-only where they exist. `modules` and `worktrees` hold configs and hooks of their own. */
const guarded = ['hooks', 'config', 'config.worktree', 'commondir', 'modules', 'worktrees'] as const

/** Names that redirect git to another config or other hooks; removed after the run when they were not there before it. */
const redirecting = ['config', 'config.worktree', 'commondir'] as const

// O_PATH of open(2), which Node does not name; the same on x86-64 and arm64. With O_NOFOLLOW it opens a link itself, so that it can be told.
const pathOnly = 0o10000000

export type GitGuard = {
  /** Descriptors that `hand` gives. */
  readonly count: number
  /** bubblewrap's arguments, when the descriptors of `hand` are the child's descriptors from `firstFd` on. */
  args(firstFd: number): string[]
  /** The descriptors to be bound; from now on they are closed by the caller. */
  hand(): number[]
  /** Undoes what mounts cannot prevent. Call it once, when the run's processes are gone. Returns the names it removed. */
  after(): string[]
}

export const unguarded: GitGuard = { count: 0, args: () => [], hand: () => [], after: () => [] }

type Bind = { fd: number; to: string; writable: boolean }

/** The binds for one run. A `.git` that is bound onto itself is a mount point, and a mount point cannot be renamed away. */
export function guardGit(workspace: string): GitGuard | { fault: Fault } {
  const binds: Bind[] = []
  const opened: number[] = []
  const pin = (path: string): { fd: number; stats: Stats } | null => {
    try {
      const fd = openSync(path, pathOnly | constants.O_NOFOLLOW)
      opened.push(fd)
      return { fd, stats: fstatSync(fd) }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }
  let handed = false
  const hand = (): number[] => {
    handed = true
    return binds.map(({ fd }) => fd)
  }
  const closeAll = (): void => {
    if (!handed) for (const fd of opened) closeSync(fd)
  }
  const args = (firstFd: number): string[] => binds.flatMap(({ to, writable }, index) => [writable ? '--bind-fd' : '--ro-bind-fd', String(firstFd + index), to])
  const refuse = (name: string): { fault: Fault } => {
    closeAll()
    return refused(workspace, name)
  }
  try {
    const git = pin(join(workspace, '.git'))
    if (git === null) return unguarded
    if (git.stats.isSymbolicLink()) return refuse('.git')
    binds.push({ fd: git.fd, to: '/work/.git', writable: git.stats.isDirectory() })
    if (!git.stats.isDirectory()) {
      return { count: binds.length, args, hand, after: () => {
        closeAll()
        return []
      } }
    }
    const folder = openSync(`/proc/self/fd/${git.fd}`, constants.O_RDONLY | constants.O_DIRECTORY)
    const inside = (name: string): string => `/proc/self/fd/${folder}/${name}`
    const missing: string[] = []
    try {
      for (const name of guarded) {
        let entry = pin(inside(name))
        if (entry === null && name === 'hooks') {
          // Left behind on purpose, empty as git init makes it: removing it would take the mount away from a run beside this one.
          mkdirSync(inside(name))
          entry = pin(inside(name))
        }
        if (entry === null) {
          if (redirecting.some((other) => other === name)) missing.push(name)
          continue
        }
        if (entry.stats.isSymbolicLink()) {
          closeSync(folder)
          return refuse(`.git/${name}`)
        }
        binds.push({ fd: entry.fd, to: `/work/.git/${name}`, writable: false })
      }
    } catch (error) {
      closeSync(folder)
      throw error
    }
    const after = (): string[] => {
      closeAll()
      try {
        const removed = missing.filter((name) => lstatSync(inside(name), { throwIfNoEntry: false }) !== undefined)
        for (const name of removed) rmSync(inside(name), { recursive: true, force: true })
        return removed.map((name) => `.git/${name}`)
      } finally {
        closeSync(folder)
      }
    }
    return { count: binds.length, args, hand, after }
  } catch (error) {
    closeAll()
    throw error
  }
}

/** A link is not a mount point: what it names can be exchanged under the guard. */
function refused(workspace: string, name: string): { fault: Fault } {
  return { fault: fault('bad_cwd', { path: workspace, problem: `its ${name} is a symbolic link, which cannot be kept from being exchanged` }) }
}
