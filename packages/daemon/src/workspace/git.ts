// Owns how git is run over a job's folder: in the sandbox like any foreign program, with a repository, an index and a configuration of ours.
// The configuration, hooks and drivers of the folder's own repository are never read: git never learns that there is one.
import { existsSync } from 'node:fs'
import { chmod, mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config, Limits, RunCause, Sandbox } from '@hearth/protocol'

/** Where the sandbox looks for programs. */
const gitPlaces = ['/usr/local/bin/git', '/usr/bin/git', '/bin/git'] as const

export const gitMissing = 'git is not installed; install it to have diff and undo (apt-get install git, dnf install git)'

export function hasGit(): boolean {
  return gitPlaces.some((path) => existsSync(path))
}

/** One job's kept states: STATE/kept/JOB holds `git` (a bare repository), `index`, and lists for the scripts. */
export type Shadow = {
  dir: string
  /** The owner's object folder, read from and never written to; null = nothing is borrowed. */
  objects: string | null
}

export type GitRun = {
  script: string
  args?: readonly string[]
  stdin?: string | Uint8Array
  /** Seen as /work. */
  folder: string
  /** The script may change the folder. */
  writes?: boolean
  mounts?: readonly { from: string; to: string; writable: boolean }[]
  env?: Readonly<Record<string, string>>
  wallMs?: number
  /** stdout goes to this file and not into memory. */
  outputFile?: string
}

export type GitResult = { ok: true; out: Buffer } | { ok: false; why: string; exitCode: number | null }

/** How a `why` begins when a limit or somebody ended git. */
export const stopped = 'git was stopped'
/** The `why` of a list that is longer than anybody wants to keep in memory. */
export const tooMuchOutput = 'git listed more than 48 MiB'
const outputBytes = 48 * 2 ** 20
const patchBytes = 4 * 2 ** 30
const longestMs = 15 * 60_000

/** Runs one of our scripts with git in the sandbox. Never throws; `why` is one line for a person. */
export async function runGit(sandbox: Sandbox, config: Config['sandbox'], shadow: Shadow, run: GitRun, signal: AbortSignal): Promise<GitResult> {
  const parts: Uint8Array[] = []
  const limits: Limits = {
    memoryBytes: config.memoryBytes, pids: Math.max(config.pids, 64), wallMs: run.wallMs ?? longestMs,
    outputBytes: run.outputFile === undefined ? outputBytes : patchBytes, tmpBytes: config.tmpBytes, fileBytes: Math.max(config.fileBytes, 2 ** 31),
  }
  const result = await sandbox.run({
    argv: ['/bin/sh', '-c', `${prelude}\n${run.script}`, 'hearth', ...(run.args ?? [])],
    workspace: run.folder, readOnly: run.writes !== true, ownIds: true, limits, captureBytes: 8192,
    mounts: [
      { from: shadow.dir, to: '/shadow', writable: true },
      ...(shadow.objects === null || run.mounts?.some(({ to }) => to === '/objects') === true ? [] : [{ from: shadow.objects, to: '/objects', writable: false }]),
      ...(run.mounts ?? []),
    ],
    env: { ...environment, ...run.env },
    ...(run.stdin === undefined ? {} : { stdin: run.stdin }),
    ...(run.outputFile === undefined ? { onOutput: (stream, chunk) => void (stream === 'stdout' && parts.push(Uint8Array.from(chunk))) } : { outputFile: run.outputFile, outputOf: 'stdout' }),
  }, signal)
  if (!result.ok) return { ok: false, why: result.fault.message, exitCode: null }
  if (result.cause === 'exited' && result.exitCode === 0) return { ok: true, out: Buffer.concat(parts) }
  const said = result.stderr.text.trim().split('\n').filter((line) => !line.startsWith('warning:')).at(-1) ?? ''
  const how = result.cause === 'exited' ? `git ended with ${result.exitCode ?? result.signal ?? '?'}` : stoppedWords(result.cause, limits)
  return { ok: false, why: said === '' ? how : `${how}: ${said.slice(0, 300)}`, exitCode: result.cause === 'exited' ? result.exitCode : null }
}

function stoppedWords(cause: RunCause, limits: Limits): string {
  switch (cause) {
    case 'timeout': return `${stopped} after ${limits.wallMs / 1000} s`
    case 'memory': return `${stopped} at ${Math.round(limits.memoryBytes / 2 ** 20)} MiB of memory (sandbox.memoryBytes)`
    case 'output': return tooMuchOutput
    default: return `${stopped} (${cause})`
  }
}

/**
 * Locks of a run that was killed are nobody's: runs over one job's states come one after the other. umask: what git writes is the owner's.
 * git opens .gitignore and .gitattributes whatever they are, and waits at a pipe until somebody writes to it: where a run takes long, a writer with nothing to say comes by.
 */
const prelude = `set -eu
umask 022
command -v git >/dev/null || { echo 'git is not installed' >&2; exit 127; }
rm -f /shadow/*.lock "$GIT_DIR"/*.lock "$GIT_DIR"/refs/heads/*.lock
( sleep 0.5
find /work -xdev -name .git -prune -o -type p '(' -name .gitignore -o -name .gitattributes ')' -print0 > /tmp/pipes
[ ! -s /tmp/pipes ] || while sleep 0.05; do xargs -0 sh -c 'for f; do true <> "$f"; done' sh < /tmp/pipes; done ) > /dev/null 2>&1 &`

const environment: Readonly<Record<string, string>> = {
  GIT_DIR: '/shadow/git', GIT_WORK_TREE: '/work', GIT_INDEX_FILE: '/shadow/index',
  GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', GIT_ATTR_NOSYSTEM: '1', GIT_NO_REPLACE_OBJECTS: '1',
  GIT_TERMINAL_PROMPT: '0', GIT_PROTOCOL_FROM_USER: '0', GIT_ALLOW_PROTOCOL: '', GIT_PAGER: 'cat', GIT_ADVICE: '0', LC_ALL: 'C',
  GIT_AUTHOR_NAME: 'Hearth', GIT_AUTHOR_EMAIL: 'hearth@localhost', GIT_COMMITTER_NAME: 'Hearth', GIT_COMMITTER_EMAIL: 'hearth@localhost',
}

/**
 * Conversions (line ends, filters such as LFS, encodings, keywords) are switched off for every path: what is kept are the bytes on disk.
 * This file ranks above every .gitattributes of the folder.
 */
const rawBytes = '* -text !eol !filter -ident !working-tree-encoding !merge !diff !export-subst\n'

/** What is never kept although the folder's .gitignore may not name it: what tools fetch or make again. `build` and `dist` are not here: they may be the work itself. */
export const neverKept = [
  'node_modules', '.venv', 'venv', '__pycache__', '.tox', '.nox', '.mypy_cache', '.pytest_cache', '.ruff_cache', '.gradle', '.next', '.terraform', '.DS_Store',
] as const

function configText(sha256: boolean): string {
  return `[core]
\trepositoryformatversion = ${sha256 ? 1 : 0}
\tbare = false
\tfilemode = true
\tsymlinks = true
\thooksPath = /dev/null
\tfsmonitor = false
\tuntrackedCache = true
\tpreloadIndex = true
\tsparseCheckout = true
\tautocrlf = false
\tsafecrlf = false
\tattributesFile = /dev/null
\texcludesFile = /dev/null
\tlooseCompression = 1
\tlogAllRefUpdates = false
\tfsync = objects,reference
\tfsyncMethod = batch
${sha256 ? '[extensions]\n\tobjectformat = sha256\n' : ''}[index]
\tversion = 4
\tsparse = false
[status]
\tshowUntrackedFiles = all
\trelativePaths = false
[diff]
\tignoreSubmodules = all
\trenames = false
[submodule]
\trecurse = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[protocol]
\tallow = never
`
}

/** Makes the empty repository. `ignore`: further lines of ignore patterns. Throws what the file system says. */
export async function makeShadow(shadow: Shadow, options: { sha256: boolean; ignore: readonly string[]; attributes: string }): Promise<void> {
  const git = join(shadow.dir, 'git')
  await rm(shadow.dir, { recursive: true, force: true })
  for (const name of ['objects/info', 'objects/pack', 'refs/heads', 'info', 'hooks']) await mkdir(join(git, name), { recursive: true, mode: 0o700 })
  await chmod(shadow.dir, 0o700)
  await Promise.all([
    writeFile(join(git, 'config'), configText(options.sha256)),
    writeFile(join(git, 'HEAD'), 'ref: refs/heads/job\n'),
    writeFile(join(git, 'info/exclude'), [...neverKept.map((name) => `${name}${name === '.DS_Store' ? '' : '/'}`), ...options.ignore, ''].join('\n')),
    // The owner's own attributes stand here while it is asked which files are converted; then ours take their place.
    writeFile(join(git, 'info/attributes'), options.attributes),
    writeFile(join(shadow.dir, 'attributes'), rawBytes),
    ...(shadow.objects === null ? [] : [writeFile(join(git, 'objects/info/alternates'), '/objects\n')]),
  ])
}

/** Bytes on disk of a folder of ours. */
export async function folderBytes(dir: string): Promise<number> {
  const { lstat } = await import('node:fs/promises')
  let total = 0
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true }).catch(() => [])) {
    if (entry.isFile()) total += (await lstat(join(entry.parentPath, entry.name)).catch(() => null))?.size ?? 0
  }
  return total
}
