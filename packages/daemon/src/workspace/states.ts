// Owns the kept states of one job's folder: takes them, compares them, puts them back. One operation after the other.
// Knows no job, no event and no HTTP; a failure is a sentence, never an exception.
import { constants, lstatSync, type Stats } from 'node:fs'
import { copyFile, lstat, readFile, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as breathe } from 'node:timers/promises'
import type { Config, Sandbox } from '@hearth/protocol'
import { makeShadow, runGit, stopped, tooMuchOutput, type GitResult, type GitRun, type Shadow } from './git.ts'
import { listOf, indexInfo, readCounts, readDifferences, readStatus, shown, type Count, type Difference, type Found, type Path } from './records.ts'
import * as scripts from './scripts.ts'
import type { Plain, Repository } from './source.ts'

export type Bounds = Pick<Config['workspace'], 'fileBytes' | 'files' | 'totalBytes'>

export type Failed = { why: string }
/** `counts`: of lines, by path, against the state before. `leftOut`: sentences about what is not in it. */
export type Taken = { commit: string; isNew: boolean; counts: Count[]; leftOut: string[] }

const longestIndexBytes = 2 ** 30
const namedAtMost = 5
/** Looking at a folder: a home with a million files is no reason to keep a job waiting. */
const lookMs = 3 * 60_000

export class States {
  readonly shadow: Shadow
  /** The folder that is kept. */
  folder: string
  readonly #sandbox: Sandbox
  readonly #limits: Config['sandbox']
  readonly #bounds: Bounds
  /** Tracked files that were changed and too large already in the first state: they are never looked at again. Null = not read yet from the file that remembers them. */
  #large: Set<Path> | null = null
  /** The newest state, when this process took it. */
  #newest: string | null = null
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: { shadow: Shadow; folder: string; sandbox: Sandbox; limits: Config['sandbox']; bounds: Bounds }) {
    this.shadow = options.shadow
    this.folder = options.folder
    this.#sandbox = options.sandbox
    this.#limits = options.limits
    this.#bounds = options.bounds
  }

  /** Runs one script, after those that were asked for before. */
  run(run: Omit<GitRun, 'folder'> & { folder?: string }, signal: AbortSignal): Promise<GitResult> {
    return this.#alone(() => this.#git(run, signal))
  }

  /** Makes the repository anew and takes the first state. */
  begin(source: Repository | Plain, message: string, signal: AbortSignal): Promise<Taken | Failed> {
    return this.#alone(async () => {
      const borrows = source.kind === 'git' && source.objects !== null && source.index !== null
      let looked = borrows ? await this.#beginWith(source, true, signal) : await this.#beginWith(source, false, signal)
      // An index that git refuses (damaged, of a newer git, on objects that are gone) is no reason to keep nothing.
      if ('why' in looked && borrows && !signal.aborted && !looked.why.startsWith(stopped)) looked = await this.#beginWith(source, false, signal)
      if ('why' in looked) return looked
      return this.#take(looked.found, message, true, signal)
    })
  }

  async #beginWith(source: Repository | Plain, borrow: boolean, signal: AbortSignal): Promise<{ found: Found } | Failed> {
    const git = source.kind === 'git' ? source : null
    try {
      this.shadow.objects = borrow ? git?.objects ?? null : null
      await makeShadow(this.shadow, { sha256: git?.sha256 ?? false, ignore: source.kind === 'git' ? source.exclude.split('\n') : source.ignore, attributes: git?.attributes ?? '' })
      if (borrow && git !== null && git.index !== null) await this.#copyIndex(git, git.index)
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) }
    }
    const began = await this.#git({ script: scripts.begin, args: [borrow && git?.converts === true ? 'reread' : 'trust'], wallMs: lookMs }, signal)
    if (!began.ok) return this.#tooMuch(began)
    const end = began.out.indexOf(0)
    const commit = began.out.subarray(0, Math.max(0, end)).toString('latin1')
    if (!isCommit(commit)) return { why: 'git gave no state' }
    this.#newest = commit
    return { found: readStatus(began.out.subarray(end + 1)) }
  }

  /** git takes a file for unchanged when its entry is older than the index file, so the copy must not look younger than the original. */
  async #copyIndex(git: Repository, index: string): Promise<void> {
    const copy = async (from: string, to: string): Promise<void> => {
      const before = await lstat(from)
      if (!before.isFile() || before.size > longestIndexBytes) throw new Error('the index of the repository cannot be used')
      await copyFile(from, to, constants.COPYFILE_FICLONE)
      await utimes(to, before.atime, new Date(Math.floor(before.mtimeMs / 1000) * 1000))
    }
    await copy(index, join(this.shadow.dir, 'index'))
    for (const name of git.sharedIndexes) await copy(join(git.gitDir, name), join(this.shadow.dir, 'git', name))
  }

  /** Takes the folder as it is. Not new when nothing differs from the newest state. */
  take(message: string, signal: AbortSignal): Promise<Taken | Failed> {
    return this.#alone(async () => {
      const looked = await this.#git({ script: scripts.look, wallMs: lookMs }, signal)
      if (!looked.ok) return this.#tooMuch(looked)
      return this.#take(readStatus(looked.out), message, false, signal)
    })
  }

  async #take(found: Found, message: string, first: boolean, signal: AbortSignal): Promise<Taken | Failed> {
    const leftOut: string[] = []
    if (first && found.nested.length > 0) leftOut.push(named('repositories of their own', found.nested))
    const chosen = await this.#choose(found, first)
    if ('why' in chosen) return chosen
    if (chosen.large.length > 0) leftOut.push(named(`files above ${mib(this.#bounds.fileBytes)}`, chosen.large))
    if (chosen.paths.length === 0 && chosen.gone.length === 0 && this.#newest !== null) return { commit: this.#newest, isNew: false, counts: [], leftOut }
    try {
      await writeFile(join(this.shadow.dir, 'gone'), listOf(chosen.gone))
    } catch (error) {
      return { why: error instanceof Error ? error.message : String(error) }
    }
    const done = await this.#git({ script: scripts.commit, args: [message], stdin: listOf(chosen.paths) }, signal)
    if (!done.ok) return { why: done.why }
    const end = done.out.indexOf('\n')
    const [state = '', commit = '', skipped = '0'] = done.out.subarray(0, end).toString('latin1').split(' ')
    if (!isCommit(commit)) return { why: 'git gave no state' }
    if (Number(skipped) > 0) leftOut.push(`${skipped} files that may not be read`)
    this.#newest = commit
    return { commit, isNew: state === 'new', counts: readCounts(done.out.subarray(end + 1)), leftOut }
  }

  /** What may be kept of what was found: not what is too large, and not more than the bounds. A file that outgrew them leaves the kept states. */
  async #choose(found: Found, first: boolean): Promise<{ paths: Path[]; large: Path[]; gone: Path[] } | Failed> {
    const paths: Path[] = []
    const large: Path[] = []
    const remembered = join(this.shadow.dir, 'large')
    const leave = first ? new Set<Path>() : this.#large ?? new Set((await readFile(remembered, 'latin1').catch(() => '')).split('\0'))
    this.#large = leave
    let bytes = 0
    let looked = 0
    const infoOf = (path: Path): Stats | undefined => {
      // A part of the path may have become a file or a link in a circle.
      try {
        return lstatSync(Buffer.concat([Buffer.from(`${this.folder}/`), Buffer.from(path, 'latin1')]), { throwIfNoEntry: false })
      } catch {
        return undefined
      }
    }
    const gone: Path[] = [...found.gone]
    for (const [list, tracked] of [[found.changed, true], [found.added, false]] as const) {
      for (const path of list) {
        if (++looked % 1000 === 0) await breathe()
        if (leave.has(path)) continue
        const info = infoOf(path)
        // What is no file any more (a pipe, a socket) has no state that could be kept, and git refuses all the others with it.
        if (info !== undefined && !info.isFile() && !info.isSymbolicLink() && !info.isDirectory()) {
          gone.push(path)
          continue
        }
        const here = info?.isFile() === true ? info.size : 0
        if (here > this.#bounds.fileBytes) {
          large.push(path)
          if (tracked && first) leave.add(path)
          else if (tracked) gone.push(path)
          continue
        }
        bytes += here
        paths.push(path)
      }
    }
    if (first) await writeFile(remembered, listOf([...leave])).catch(() => undefined)
    const files = paths.length + gone.length
    if (files > this.#bounds.files) return { why: `${files} files are new or changed, and at most ${this.#bounds.files} are kept at once (workspace.files)` }
    if (bytes > this.#bounds.totalBytes) return { why: `the new or changed files have ${mib(bytes)}, and at most ${mib(this.#bounds.totalBytes)} are kept at once (workspace.totalBytes)` }
    return { paths, large, gone }
  }

  /** The newest state, from the repository itself. */
  async newest(signal: AbortSignal): Promise<{ commit: string } | Failed> {
    const result = await this.run({ script: 'exec git rev-parse -q --verify HEAD', folder: this.shadow.dir }, signal)
    const commit = result.ok ? result.out.toString('latin1').trim() : ''
    return isCommit(commit) ? { commit } : { why: result.ok ? 'git gave no state' : result.why }
  }

  differences(from: string, to: string, signal: AbortSignal): Promise<Difference[] | Failed> {
    return this.#alone(() => this.#differences(from, to, signal))
  }

  async #differences(from: string, to: string, signal: AbortSignal): Promise<Difference[] | Failed> {
    const result = await this.#git({ script: scripts.differences, args: [from, to], folder: this.shadow.dir }, signal)
    return result.ok ? readDifferences(result.out) : { why: result.why }
  }

  async counts(from: string, to: string, signal: AbortSignal): Promise<Count[] | Failed> {
    const result = await this.run({ script: scripts.counts, args: [from, to], folder: this.shadow.dir }, signal)
    return result.ok ? readCounts(result.out) : { why: result.why }
  }

  /** Writes the patch between two states to a file. `git apply` takes it, binary files included. */
  async patch(from: string, to: string, file: string, signal: AbortSignal): Promise<Failed | null> {
    const result = await this.run({ script: scripts.patch, args: [from, to], folder: this.shadow.dir, outputFile: file }, signal)
    return result.ok ? null : { why: result.why }
  }

  /** Gives these paths their new state; the folder must be as the newest state has it. The new state's commit. */
  change(differences: readonly Difference[], message: string, signal: AbortSignal): Promise<{ commit: string } | Failed> {
    return this.#alone(async () => {
      try {
        await writeFile(join(this.shadow.dir, 'paths'), listOf(differences.filter((one) => one.newMode !== '000000').map((one) => one.path)))
      } catch (error) {
        return { why: error instanceof Error ? error.message : String(error) }
      }
      const result = await this.#git({ script: scripts.change, args: [message], stdin: indexInfo(differences), writes: true }, signal)
      if (!result.ok) return { why: result.why }
      this.#newest = result.out.toString('latin1').trim()
      return { commit: this.#newest }
    })
  }

  /** A state that was kept and, when the daemon died before it could say so, nobody knows of; null when `known` is the newest. */
  async unknown(known: string, signal: AbortSignal): Promise<{ commit: string; message: string; counts: Count[] } | Failed | null> {
    const result = await this.run({ script: scripts.newest, args: [known], folder: this.shadow.dir }, signal)
    if (!result.ok) return { why: result.why }
    if (result.out.length === 0) return null
    const end = result.out.indexOf('\n')
    const line = result.out.subarray(0, end).toString('utf8')
    const space = line.indexOf(' ')
    return { commit: line.slice(0, space), message: line.slice(space + 1), counts: readCounts(result.out.subarray(end + 1)) }
  }

  #git(run: Omit<GitRun, 'folder'> & { folder?: string }, signal: AbortSignal): Promise<GitResult> {
    return runGit(this.#sandbox, this.#limits, this.shadow, { folder: this.folder, ...run }, signal)
  }

  #tooMuch(result: Extract<GitResult, { ok: false }>): Failed {
    return { why: result.why.startsWith(tooMuchOutput) ? `far more than ${this.#bounds.files} files are new or changed (workspace.files)` : result.why }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work)
    this.#last = mine.catch(() => undefined)
    return mine
  }
}

export function isCommit(text: string): boolean {
  return /^([0-9a-f]{40}|[0-9a-f]{64})$/.test(text)
}

function mib(bytes: number): string {
  return bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : bytes >= 2 ** 20 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${Math.round(bytes / 1024)} KiB`
}

function named(what: string, paths: readonly Path[]): string {
  const some = paths.slice(0, namedAtMost).map(shown).join(', ')
  return `${what} (${some}${paths.length > namedAtMost ? ` and ${paths.length - namedAtMost} more` : ''})`
}
