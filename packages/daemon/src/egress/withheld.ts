// Owns which files of a folder the commands of a job must not see, and the sandbox in which they do not. Decides not when: that is the job's terms.
import { lstat, readdir, readFile } from 'node:fs/promises'
import { join, posix } from 'node:path'
import { fault, type Fault, type Sandbox } from '@hearth/protocol'
import { keptByProject, type PathLists } from './paths.ts'

/** Each is a mount of every run. */
const mostHidden = 500

/**
 * Files and folders of this folder that its project keeps here, relative to it, outermost ones only; with them `.git`, and the objects that a copy borrows, where git tracks one
 * of them: its content lies there too. Links are not followed. A fault when there are too many to hide.
 */
export async function keptFiles(folder: string, lists: PathLists): Promise<readonly string[] | { fault: Fault }> {
  const found: string[] = []
  for (const root of rootsOf(lists)) {
    // A link is not followed; what is not there has nothing in it.
    if ((await lstat(join(folder, root)).catch(() => null))?.isSymbolicLink() !== false) continue
    await walk(folder, root, lists, found)
    if (found.length > mostHidden) return { fault: fault('bad_cwd', { path: folder, problem: `more than ${mostHidden} files and folders in it are local-only, too many to hide from commands; name a folder that holds them` }) }
  }
  return found.length > 0 && await tracked(folder, found) ? [...found, '.git', '/objects'] : found
}

/** Folders outside of which nothing can match: the part of a glob before its first sign. A glob without a slash is about any depth. */
function rootsOf({ localOnly, within }: PathLists): string[] {
  const roots = new Set(localOnly.map((glob) => {
    const plain = posix.normalize(glob.replaceAll('\\', '/').replace(/^\.?\//, '')).replace(/\/$/, '')
    const parts = plain.split('/')
    const sign = parts.findIndex((part) => /[*?[\]{}()!+@]|[^\x20-\x7e]|[A-Z]/.test(part))
    const fixed = sign < 0 ? parts.slice(0, -1) : parts.slice(0, sign)
    return within !== undefined || !plain.includes('/') ? '.' : fixed.join('/') || '.'
  }))
  return [...roots].filter((root) => ![...roots].some((other) => other !== root && (other === '.' || root.startsWith(`${other}/`))))
}

async function walk(folder: string, at: string, lists: PathLists, found: string[]): Promise<void> {
  if (at !== '.' && keptByProject(at, lists)) return void found.push(at)
  const entries = await readdir(join(folder, at), { withFileTypes: true }).catch((error: unknown) => {
    // Gone meanwhile, or no folder.
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return []
    throw error
  })
  for (const entry of entries) {
    const path = at === '.' ? entry.name : `${at}/${entry.name}`
    if (found.length > mostHidden || path === '.git' || entry.isSymbolicLink()) continue
    if (entry.isDirectory()) await walk(folder, path, lists, found)
    else if (keptByProject(path, lists)) found.push(path)
  }
}

/** Whether the index of the folder's repository names one of them. One that cannot be told counts as one that does. */
async function tracked(folder: string, paths: readonly string[]): Promise<boolean> {
  try {
    const index = await readFile(join(folder, '.git', 'index'))
    // Of version 4 on names are written as what differs from the one before.
    return index.readUInt32BE(4) > 3 || paths.some((path) => index.includes(path))
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT'
  }
}

/** The sandbox of a job: `kept` is asked before each run, null = everything is to be seen. */
export function withheldFrom(sandbox: Sandbox, folder: string, kept: () => PathLists | null): Sandbox {
  return {
    report: () => sandbox.report(),
    async run(spec, signal) {
      const lists = kept()
      if (lists === null) return sandbox.run(spec, signal)
      const hidden = await keptFiles(folder, lists)
      if ('fault' in hidden) return { ok: false, fault: hidden.fault }
      return sandbox.run(hidden.length === 0 ? spec : { ...spec, hidden: [...spec.hidden ?? [], ...hidden] }, signal)
    },
  }
}
