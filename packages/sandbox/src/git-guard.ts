// Owns which parts of a workspace's .git stay read-only inside: those that make git run programs. Touches nothing else of the workspace.
import { lstatSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fault, type Fault } from '@hearth/protocol'

/** Bound read-only where they exist. `modules` and `worktrees` hold configs and hooks of their own. */
const guarded = ['hooks', 'config', 'config.worktree', 'commondir', 'modules', 'worktrees'] as const

/** Names that redirect git to another config or other hooks; removed after the run when they were not there before it. */
const redirecting = ['config', 'config.worktree', 'commondir'] as const

export type GitGuard = {
  args: string[]
  /** Undoes what mounts cannot prevent. Call it when the run's processes are gone. Returns the names it removed. */
  after(): string[]
}

const nothing: GitGuard = { args: [], after: () => [] }

/** The binds for one run. A `.git` that is bound onto itself is a mount point, and a mount point cannot be renamed away. */
export function guardGit(workspace: string): GitGuard | { fault: Fault } {
  const git = join(workspace, '.git')
  const found = lstatSync(git, { throwIfNoEntry: false })
  if (found === undefined) return nothing
  if (found.isSymbolicLink()) return refused(workspace, '.git')
  if (!found.isDirectory()) return { args: ['--ro-bind', git, '/work/.git'], after: () => [] }
  const args = ['--bind', git, '/work/.git']
  const missing: string[] = []
  for (const name of guarded) {
    const path = join(git, name)
    const entry = lstatSync(path, { throwIfNoEntry: false })
    if (entry?.isSymbolicLink() === true) return refused(workspace, `.git/${name}`)
    if (entry === undefined && name === 'hooks') {
      // Left behind on purpose, empty as git init makes it: removing it would take the mount away from a run beside this one.
      mkdirSync(path)
    } else if (entry === undefined) {
      if (redirecting.some((other) => other === name)) missing.push(name)
      continue
    }
    args.push('--ro-bind', path, `/work/.git/${name}`)
  }
  const after = (): string[] => {
    const removed = missing.filter((name) => lstatSync(join(git, name), { throwIfNoEntry: false }) !== undefined)
    for (const name of removed) rmSync(join(git, name), { recursive: true, force: true })
    return removed.map((name) => `.git/${name}`)
  }
  return { args, after }
}

/** A link is not a mount point: what it names can be exchanged under the guard. */
function refused(workspace: string, name: string): { fault: Fault } {
  return { fault: fault('bad_cwd', { path: workspace, problem: `its ${name} is a symbolic link, which cannot be kept from being exchanged` }) }
}
