// Owns what a job changed so far as text that a model can read: patches of its files, without what is binary or long. Reads the kept states; changes nothing.
import type { Workspace } from '@hearth/protocol'
import { shown } from './records.ts'
import * as scripts from './scripts.ts'
import type { States } from './states.ts'

type FilePatch = NonNullable<Awaited<ReturnType<NonNullable<Workspace['diff']>>>>[number]

// More than these are not read by anybody either.
const filesAtMost = 100
// A line of code has about so many bytes at least.
const bytesPerLine = 10

/** Patches between two states, in the order of their paths; a file that is binary or longer than the limit is its name and its figures. Null = they cannot be compared. */
export async function textDiff(states: States, from: string, limitBytes: number, signal: AbortSignal): Promise<FilePatch[] | null> {
  const newest = await states.newest(signal)
  const counts = 'why' in newest ? newest : await states.counts(from, newest.commit, signal)
  if ('why' in newest || 'why' in counts) return null
  const files = counts.slice(0, filesAtMost).map((count) => ({ ...count, path: shown(count.path) }))
  const read = files.filter(({ added, removed }) => added !== null && removed !== null && (added + removed) * bytesPerLine <= limitBytes)
  const result = read.length === 0 ? null : await states.run({ script: scripts.textPatch, args: [from, newest.commit, ...read.map(({ path }) => path)], folder: states.shadow.dir }, signal)
  // Inside of a patch every line has a mark before it.
  const patches = result?.ok === true ? result.out.toString('utf8').split(/^(?=diff --git )/m).filter((patch) => patch !== '') : []
  // A path that is not UTF-8 names nothing for git: then nobody knows which patch is whose.
  const known = new Map(patches.length === read.length ? read.map(({ path }, index) => [path, patches[index] ?? '']) : [])
  return files.map(({ path, added, removed }) => ({ path, patch: known.get(path) ?? `diff --git a/${path} b/${path}\n(${added === null ? 'binary' : `+${added} -${removed ?? 0} lines`}, not shown)\n` }))
}
