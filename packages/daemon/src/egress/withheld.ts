// Owns which files of a folder the commands of a job must not see, and the sandbox in which they do not. Decides not when: that is the job's terms.
import type { Dirent } from 'node:fs'
import { opendir, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, type Fault, type Sandbox } from '@hearth/protocol'
import { namesOfFile } from './links.ts'
import { keptByProject, plainPath, type PathLists } from './paths.ts'

/** Each is a mount of every run. */
const mostHidden = 500

/**
 * Files and folders of this folder that its project keeps here, relative to it; with them `.git`, and the objects that a copy borrows, where git tracks one of them: its content lies
 * there too. A link that is kept stands for what it leads to. A fault when they cannot all be hidden.
 */
export async function keptFiles(folder: string, lists: PathLists): Promise<readonly string[] | { fault: Fault }> {
  const found = new Set<string>()
  const problem = await walk({ folder, lists, roots: rootsOf(lists), found }, '.', '.')
  if (problem !== null) return { fault: fault('bad_cwd', { path: folder, problem }) }
  return found.size === 0 ? [] : [...found, ...await repositories(folder, [...found])]
}

/** Folders outside of which nothing can match, in the one spelling: the part of a glob before its first sign. A glob without a slash is about any depth. */
function rootsOf({ localOnly, within }: PathLists): string[] {
  return localOnly.map((glob) => {
    const plain = plainPath(glob).replace(/\/$/, '')
    const parts = plain.split('/')
    const sign = parts.findIndex((part) => /[*?[\]{}()!+@]/.test(part))
    return within !== undefined || !plain.includes('/') ? '.' : parts.slice(0, sign < 0 ? -1 : sign).join('/') || '.'
  })
}

type Walk = { folder: string; lists: PathLists; roots: readonly string[]; found: Set<string> }

/** `name`: what the folder at `at` is called, which is another path where a link led there. The end of a sentence when something cannot be hidden, else null. */
async function walk(all: Walk, name: string, at: string): Promise<string | null> {
  const { folder, lists, roots, found } = all
  // In stretches: the daemon answers others while it walks.
  for await (const entry of entriesOf(join(folder, at))) {
    const called = name === '.' ? entry.name : `${name}/${entry.name}`
    const path = at === '.' ? entry.name : `${at}/${entry.name}`
    const plain = plainPath(called)
    const isRoot = roots.some((root) => plain === root || plain.startsWith(`${root}/`))
    const leadsToRoot = roots.some((root) => root.startsWith(`${plain}/`))
    if (path === '.git') {
      if (isRoot || leadsToRoot || keptByProject(path, lists)) found.add(path)
      continue
    }
    if (!isRoot && !leadsToRoot && !roots.includes('.')) continue
    const isKept = keptByProject(called, lists)
    // As the sandbox follows it. What lies outside of the folder is in no run's sight.
    const real = entry.isSymbolicLink() ? namesOfFile(folder, path).at(-1) ?? '' : path
    if (real === '' || real.startsWith('/')) continue
    // Bytes that are no text: it can be told, but not named.
    if (entry.name.includes('\ufffd') && (isKept || entry.isDirectory())) {
      if (at === '.') return `the name of '${entry.name}' is not UTF-8, so what is local-only there cannot be hidden from commands; rename it`
      found.add(at)
      return null
    }
    if (isKept) {
      found.add(real)
      if (found.size > mostHidden) return `more than ${mostHidden} files and folders in it are local-only, too many to hide from commands; name a folder that holds them`
      continue
    }
    // A link is followed on the way to a root only, which has an end; what it leads to in the folder is walked under its own name.
    if (!entry.isDirectory() && !(entry.isSymbolicLink() && (leadsToRoot || roots.includes(plain)))) continue
    const problem = await walk(all, called, real)
    if (problem !== null) return problem
  }
  return null
}

async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder, { bufferSize: 256 })
  } catch (error) {
    // Gone meanwhile, or no folder.
    if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
}

/** Where git keeps the content of these files: of the folder, and of each folder around one of them that is a repository of its own, whose objects may lie in the folder's. */
async function repositories(folder: string, paths: readonly string[]): Promise<string[]> {
  const around = new Set(paths.flatMap((path) => path.split('/').slice(0, -1).map((_, depth, parts) => parts.slice(0, depth + 1).join('/'))))
  const found: string[] = []
  for (const repository of around) {
    if (await tracked(join(folder, repository), paths.flatMap((path) => (path.startsWith(`${repository}/`) ? [path.slice(repository.length + 1)] : [])))) found.push(`${repository}/.git`)
  }
  return found.length > 0 || await tracked(folder, paths) ? [...found, '.git', '/objects'] : []
}

/** Whether the index of the folder's repository names one of them. One that cannot be told counts as one that does. */
async function tracked(folder: string, paths: readonly string[]): Promise<boolean> {
  try {
    const index = await readFile(join(folder, '.git', 'index'))
    // Of version 4 on names are written as what differs from the one before.
    if (index.readUInt32BE(4) > 3 || paths.some((path) => index.includes(path))) return true
    // One that is split has its names in another file.
    return (await readdir(join(folder, '.git'))).some((name) => name.startsWith('sharedindex.'))
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
