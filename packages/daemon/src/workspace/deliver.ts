// Owns what becomes of an isolated job's work: a branch added to the owner's repository, or a patch file. Changes nothing that is there.
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { indexInfo } from './records.ts'
import * as scripts from './scripts.ts'
import type { Repository } from './source.ts'
import type { Failed, States } from './states.ts'

export type Branched = { branch: string; commit: string; files: number }

/**
 * `hearth/JOB` on the commit that HEAD named when the job began: one commit with what was not committed when the job began (when there was anything), one with the job's work.
 * Objects and one ref file are added; no branch, index or working tree is touched.
 */
export async function addBranch(states: States, source: Repository, job: { id: string; title: string; base: string; final: string; head: string | null }, signal: AbortSignal): Promise<Branched | Failed> {
  if (!source.plainRefs) return { why: 'the repository keeps its refs in a way that Hearth does not write' }
  if (source.objects === null || states.shadow.objects === null) return { why: 'the objects of the repository lie in several places' }
  const work = await states.differences(job.base, job.final, signal)
  if ('why' in work) return work
  const shadow = states.shadow.dir
  try {
    if (job.head !== null) {
      const before = await states.differences(job.head, job.base, signal)
      if ('why' in before) return before
      // Files that a filter converts are kept as they are on disk, and files that were left out are missing: neither is a change of the owner's.
      const converted = new Set((await readFile(join(shadow, 'converted'), 'latin1').catch(() => '')).split('\0'))
      await writeFile(join(shadow, 'before'), indexInfo(before.filter(({ path }) => !converted.has(path))))
    } else {
      const all = await states.run({ script: 'exec git ls-tree -r -z --full-tree "$1"', args: [job.base], folder: shadow }, signal)
      if (!all.ok) return { why: all.why }
      await writeFile(join(shadow, 'before'), all.out.toString('latin1').replaceAll(/(^|\0)(\d{6}) [a-z]+ ([0-9a-f]+)\t/g, '$1$2 $3\t'), 'latin1')
    }
    await writeFile(join(shadow, 'work'), indexInfo(work))
  } catch (error) {
    return { why: error instanceof Error ? error.message : String(error) }
  }
  const branch = `hearth/${job.id}`
  const made = await states.run({
    script: scripts.branch, folder: shadow,
    args: [job.head ?? '', `Work that was not committed when job ${job.id} began`, `${job.title}\n\nHearth job ${job.id}`, `heads/${branch}`],
    mounts: [{ from: source.objects, to: '/objects', writable: true }, { from: join(source.commonDir, 'refs'), to: '/refs', writable: true }],
  }, signal)
  return made.ok ? { branch, commit: made.out.toString('latin1').trim(), files: work.length } : { why: made.why }
}
