// Owns which parts of a workspace's .git stay read-only inside: those that make git run programs. Touches nothing else of the workspace.
import { closeSync, constants, lstatSync, mkdirSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fault, type Fault } from '@hearth/protocol'

/** Bound read-only where they exist. `modules` and `worktrees` hold configs and hooks of their own. */
const guarded = ['hooks', 'config', 'config.worktree', 'commondir', 'modules', 'worktrees'] as const

/** Names that redirect git to another config or other hooks; removed after the run when they were not there before it. */
const redirecting = ['config', 'config.worktree', 'commondir'] as const

export type GitGuard = {
  args: string[]
  /** Undoes what mounts cannot prevent. Call it once, when the run's processes are gone. Returns the names it removed. */
  after(): string[]
}

export const unguarded: GitGuard = { args: [], after: () => [] }

/** The binds for one run. A `.git` that is bound onto itself is a mount point, and a mount point cannot be renamed away. */
export function guardGit(workspace: string): GitGuard | { fault: Fault } {
  const git = join(workspace, '.git')
  const found = lstatSync(git, { throwIfNoEntry: false })
  if (found === undefined) return unguarded
  if (found.isSymbolicLink()) return refused(workspace, '.git')
  if (!found.isDirectory()) return { args: ['--ro-bind', git, '/work/.git'], after: () => [] }
  // What is made and removed here is reached by descriptor: a program that runs beside this one may put a link to anywhere in the folder's place.
  const folder = openSync(git, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  const inside = (name: string): string => `/proc/self/fd/${folder}/${name}`
  const args = ['--bind', git, '/work/.git']
  const missing: string[] = []
  try {
    for (const name of guarded) {
      const entry = lstatSync(inside(name), { throwIfNoEntry: false })
      if (entry?.isSymbolicLink() === true) {
        closeSync(folder)
        return refused(workspace, `.git/${name}`)
      }
      if (entry === undefined && name === 'hooks') {
        // Left behind on purpose, empty as git init makes it: removing it would take the mount away from a run beside this one.
        mkdirSync(inside(name))
      } else if (entry === undefined) {
        if (redirecting.some((other) => other === name)) missing.push(name)
        continue
      }
      args.push('--ro-bind', join(git, name), `/work/.git/${name}`)
    }
  } catch (error) {
    closeSync(folder)
    throw error
  }
  const after = (): string[] => {
    try {
      const removed = missing.filter((name) => lstatSync(inside(name), { throwIfNoEntry: false }) !== undefined)
      for (const name of removed) rmSync(inside(name), { recursive: true, force: true })
      return removed.map((name) => `.git/${name}`)
    } finally {
      closeSync(folder)
    }
  }
  return { args, after }
}

/** A link is not a mount point: what it names can be exchanged under the guard. */
function refused(workspace: string, name: string): { fault: Fault } {
  return { fault: fault('bad_cwd', { path: workspace, problem: `its ${name} is a symbolic link, which cannot be kept from being exchanged` }) }
}
