// Owns what a folder is before git sees it: a repository whose index and objects may be borrowed, or a plain folder. Reads a few files of .git as text; runs nothing.
// Whatever stands in .git may have been put there by somebody else: only what leads back to this folder is believed.
import { lstat, readFile, readdir, realpath } from 'node:fs/promises'
import { dirname, join, resolve, sep } from 'node:path'

export type Repository = {
  kind: 'git'
  /** The folder's own git folder: .git, or that of a linked worktree. */
  gitDir: string
  /** What all worktrees share: objects and refs. */
  commonDir: string
  /** The index file and the shared ones it may be built on. Empty = nothing was ever added. */
  index: string | null
  sharedIndexes: string[]
  /** Objects lie here and nowhere else; null = they may lie elsewhere too, so nothing is borrowed. */
  objects: string | null
  sha256: boolean
  /** The repository's settings convert line ends, so its index says nothing about the bytes on disk. */
  converts: boolean
  /** Text of .git/info/attributes. */
  attributes: string
  /** Text of .git/info/exclude. */
  exclude: string
  /** refs are kept as files, so a branch can be added by adding one. */
  plainRefs: boolean
}

/** `why`: what keeps the folder from being taken for a repository; empty for an ordinary folder. `ignore`: patterns of the repository around it. */
export type Plain = { kind: 'plain'; why: string; ignore: string[] }

const textBytes = 2 ** 20
/** A list of a million refs. */
const packedBytes = 2 ** 27

export async function sourceOf(folder: string): Promise<Repository | Plain> {
  const dotGit = join(folder, '.git')
  const found = await lstat(dotGit).catch(() => null)
  if (found === null) return inside(folder)
  const plain = (why: string): Plain => ({ kind: 'plain', why, ignore: [] })
  if (found.isSymbolicLink()) return plain('its .git is a symbolic link, which is not followed')
  let gitDir = dotGit
  let commonDir = dotGit
  if (found.isFile()) {
    const linked = await worktreeOf(folder, dotGit)
    if (linked === null) return plain('its .git is a file that leads to a repository which does not lead back')
    ;({ gitDir, commonDir } = linked)
  } else if (!found.isDirectory() || await lstat(join(dotGit, 'commondir')).catch(() => null) !== null) {
    return plain('its .git is not a repository')
  }
  const kindOf = async (path: string): Promise<'file' | 'folder' | 'link' | null> => {
    const info = await lstat(path).catch(() => null)
    return info === null ? null : info.isSymbolicLink() ? 'link' : info.isDirectory() ? 'folder' : info.isFile() ? 'file' : null
  }
  if (await kindOf(join(gitDir, 'HEAD')) !== 'file' || await kindOf(join(commonDir, 'objects')) !== 'folder' || await kindOf(join(commonDir, 'refs')) !== 'folder') {
    return plain('its .git is broken')
  }
  const config = await text(join(commonDir, 'config')) ?? ''
  if (/^\s*worktree\s*=/im.test(config)) return plain('its .git names another folder as its working tree')
  const index = await kindOf(join(gitDir, 'index')) === 'file' ? join(gitDir, 'index') : null
  const elsewhere = await kindOf(join(commonDir, 'objects/info/alternates')) !== null || await kindOf(join(commonDir, 'objects/info')) === 'link' || await kindOf(join(commonDir, 'objects/pack')) === 'link'
  return {
    kind: 'git', gitDir, commonDir, index,
    sharedIndexes: (await readdir(gitDir).catch(() => [])).filter((name) => /^sharedindex\.[0-9a-f]{40,64}$/.test(name)).slice(0, 8),
    objects: elsewhere ? null : join(commonDir, 'objects'),
    sha256: /^\s*objectformat\s*=\s*"?sha256/im.test(config),
    converts: /^\s*(autocrlf\s*=\s*"?(true|yes|on|1|input)|eol\s*=\s*"?crlf)/im.test(config),
    attributes: await text(join(commonDir, 'info/attributes')) ?? '',
    exclude: await text(join(commonDir, 'info/exclude')) ?? '',
    plainRefs: !/^\s*refstorage\s*=/im.test(config) && await kindOf(join(commonDir, 'refs/heads')) === 'folder',
  }
}

/**
 * A linked worktree's folder names this worktree; a file that somebody wrote to point at another repository has no such answer there. And it lies in that
 * repository: one made up beside this folder could name anybody's as its own.
 */
async function worktreeOf(folder: string, dotGit: string): Promise<{ gitDir: string; commonDir: string } | null> {
  const named = /^gitdir: ([^\0\n]+)\n?$/.exec(await text(dotGit) ?? '')?.[1]
  if (named === undefined) return null
  try {
    const gitDir = await realpath(resolve(folder, named))
    const back = (await text(join(gitDir, 'gitdir')) ?? '').trim()
    if (back === '' || await realpath(resolve(gitDir, back)) !== join(await realpath(folder), '.git')) return null
    const common = (await text(join(gitDir, 'commondir')) ?? '').trim()
    if (common === '') return null
    const commonDir = await realpath(resolve(gitDir, common))
    return dirname(gitDir) === join(commonDir, 'worktrees') ? { gitDir, commonDir } : null
  } catch {
    return null
  }
}

/** A folder inside a repository is kept as a plain one; of the ignore files above it those lines hold that name no place. */
async function inside(folder: string): Promise<Plain> {
  const files: string[] = []
  for (let here = dirname(folder); here !== sep; here = dirname(here)) {
    files.push(join(here, '.gitignore'))
    if (await lstat(join(here, '.git')).catch(() => null) === null) continue
    const lines = (await Promise.all(files.toReversed().map((path) => text(path)))).flatMap((found) => (found ?? '').split('\n'))
    return { kind: 'plain', why: `it lies inside the repository ${here}`, ignore: lines.filter((line) => /^[^/#!][^/]*\/?$/.test(line.trim())) }
  }
  return { kind: 'plain', why: '', ignore: [] }
}

/** The commit that HEAD names and the branch it is on, read from files; null where there is none yet. */
export async function headOf(repository: Repository): Promise<{ branch: string | null; commit: string | null }> {
  const head = (await text(join(repository.gitDir, 'HEAD')) ?? '').trim()
  if (isOid(head)) return { branch: null, commit: head }
  const ref = /^ref: (refs\/heads\/[^\0]+)$/.exec(head)?.[1]
  if (ref === undefined || ref.split('/').some((part) => part === '..' || part === '')) return { branch: null, commit: null }
  const loose = (await text(join(repository.commonDir, ref)) ?? '').trim()
  if (isOid(loose)) return { branch: ref, commit: loose }
  const packed = await text(join(repository.commonDir, 'packed-refs'), packedBytes, 'latin1') ?? ''
  const line = packed.split('\n').find((one) => one.endsWith(` ${Buffer.from(ref).toString('latin1')}`))
  const oid = line?.split(' ')[0] ?? ''
  return { branch: ref, commit: isOid(oid) ? oid : null }
}

function isOid(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

/** A small regular file's text; null for anything else. */
async function text(path: string, longest = textBytes, encoding: 'utf8' | 'latin1' = 'utf8'): Promise<string | null> {
  const info = await lstat(path).catch(() => null)
  return info === null || !info.isFile() || info.size > longest ? null : readFile(path, encoding).catch(() => null)
}
