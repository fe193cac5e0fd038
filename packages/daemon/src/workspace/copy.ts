// Owns the folder that an isolated job works in: a checkout of a repository with what was not committed, or a copy of a plain folder. Decides nothing about the result.
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, type Config, type Fault, type Sandbox } from '@hearth/protocol'
import * as scripts from './scripts.ts'
import { headOf, type Plain, type Repository } from './source.ts'
import type { States } from './states.ts'

export type Copied = { base: string; detail: string }

const entriesAtMost = 2_000_000

/** Fills `to` (made here) and leaves `states` looking at it. */
export async function makeCopy(states: States, from: string, to: string, source: Repository | Plain, config: Config['workspace'], signal: AbortSignal): Promise<Copied | { fault: Fault }> {
  const failed = (why: string, remedy?: string): { fault: Fault } => ({ fault: fault('workspace_failed', { path: from, why, ...(remedy === undefined ? {} : { remedy }) }) })
  try {
    await rm(to, { recursive: true, force: true })
    await mkdir(to, { recursive: true, mode: 0o700 })
    return source.kind === 'git' ? await checkOut(states, to, source, failed, signal) : await copyPlain(states, to, source, config, failed, signal)
  } catch (error) {
    return failed(error instanceof Error ? error.message : String(error))
  }
}

type FailedWith = (why: string, remedy?: string) => { fault: Fault }

async function checkOut(states: States, to: string, source: Repository, failed: FailedWith, signal: AbortSignal): Promise<Copied | { fault: Fault }> {
  const first = await states.begin(source, 'before the job', signal)
  if ('why' in first) return failed(first.why)
  const mounts = [{ from: to, to: '/copy', writable: true }]
  const written = await states.run({ script: scripts.checkout, args: [first.commit], mounts }, signal)
  if (!written.ok) return failed(written.why)
  states.folder = to
  const leftOut = ['ignored files', ...first.leftOut]
  // Without the owner's objects its history means nothing; the tools then work in a folder without git.
  if (states.shadow.objects !== null) {
    const head = await headOf(source)
    const git = join(to, '.git')
    for (const name of ['objects/info', 'objects/pack', 'refs/heads', 'refs/tags', 'hooks', 'info']) await mkdir(join(git, name), { recursive: true })
    await writeFile(join(git, 'config'), `[core]\n\trepositoryformatversion = ${source.sha256 ? 1 : 0}\n\tbare = false\n${source.sha256 ? '[extensions]\n\tobjectformat = sha256\n' : ''}`)
    await writeFile(join(git, 'objects/info/alternates'), '/objects\n')
    const branch = head.branch ?? 'refs/heads/main'
    await writeFile(join(git, 'HEAD'), head.branch === null && head.commit !== null ? `${head.commit}\n` : `ref: ${branch}\n`)
    if (head.branch !== null && head.commit !== null) {
      await mkdir(join(git, branch, '..'), { recursive: true })
      await writeFile(join(git, branch), `${head.commit}\n`)
    }
    const known = await states.run({ script: scripts.ownIndex, args: [head.commit ?? ''], mounts }, signal)
    if (!known.ok) return failed(known.why)
  }
  return { base: first.commit, detail: `left out: ${leftOut.join('; ')}` }
}

async function copyPlain(states: States, to: string, source: Plain, config: Config['workspace'], failed: FailedWith, signal: AbortSignal): Promise<Copied | { fault: Fault }> {
  // A run of git over the folder itself, which is not copied yet; it needs a repository to be there, so measuring comes as a plain run.
  await mkdir(join(states.shadow.dir, 'git/refs/heads'), { recursive: true, mode: 0o700 })
  const measured = await states.run({ script: scripts.measure }, signal)
  if (!measured.ok) return failed(measured.why)
  const [kib = 0, entries = 0] = measured.out.toString('latin1').trim().split('\n').map(Number)
  if (kib * 1024 > config.copyBytes || entries > entriesAtMost) {
    return failed(`it is no git repository and has ${(kib / 2 ** 20).toFixed(1)} GiB in ${entries} files and folders, and at most ${(config.copyBytes / 2 ** 30).toFixed(1)} GiB are copied`,
      "Run it with '--result in-place', make it a git repository, or raise workspace.copyBytes.")
  }
  const copied = await states.run({ script: scripts.copyAll, mounts: [{ from: to, to: '/copy', writable: true }] }, signal)
  if (!copied.ok) return failed(copied.why)
  states.folder = to
  const first = await states.begin({ ...source, why: '' }, 'before the job', signal)
  if ('why' in first) return failed(first.why)
  return { base: first.commit, detail: first.leftOut.length === 0 ? '' : `copied, but not part of the result: ${first.leftOut.join('; ')}` }
}

/** The tools of a job that works in a checkout may read the objects of the repository it came from. */
export function withObjects(sandbox: Sandbox, objects: string | null): Sandbox {
  if (objects === null) return sandbox
  return {
    report: () => sandbox.report(),
    run: (spec, signal) => sandbox.run({ ...spec, mounts: [...(spec.mounts ?? []), { from: objects, to: '/objects', writable: false }] }, signal),
  }
}
