// Owns how long models took to load on this box: measured at each start of a worker, kept in the cache folder, and what that lets us expect of the next one.
// A file that cannot be read means: nothing was measured yet. Loads nothing.
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { WorkerState } from '@hearth/protocol'
import { z } from 'zod'
import { makePrivate, problemOf, writeJson } from '../catalog/durable.ts'
import type { Converse } from '../golden/check.ts'
import type { Trusted } from '../golden/trust.ts'
import type { Launch } from '../local/process.ts'
import type { Ready } from '../local/wire.ts'
import type { Identity } from './store.ts'

const Loaded = z.strictObject({
  model: z.string(), file: z.string(), library: z.string(), backend: z.string(), machine: z.string(), bytes: z.int().min(0),
  loadsMs: z.array(z.number().min(0)).min(1).describe('the last ones, from the start of the process to the first token'),
  leavesMs: z.array(z.number().min(0)).describe('the last ones, from the last request to the end of the process, with the saving of conversations'),
  checkMs: z.number().min(0).nullable().describe('the longest check of its first words with this library; null = none was passed'),
})
const File = z.strictObject({ version: z.literal(1), loaded: z.array(Loaded) })
export type Loaded = z.infer<typeof Loaded>
/** What is loaded, by what, where. */
export type Loadable = Identity & { model: string; bytes: number }

// A file that lies in the page cache loads ten times faster than one that does not, and nobody knows which it will be: the slowest of these counts.
const keptTimes = 3
const keptFiles = 256

/** How a worker is started and trusted. */
type Starting = { launch: Launch; check(ready: Ready, converse: Converse): Promise<Trusted> }
type Times = { loadMs: number; checkMs: number } | { leaveMs: number }

export class Loads {
  readonly #path: string | null
  readonly #checks: boolean
  readonly #log: (line: string) => void
  /** Without a folder. */
  #held: Loaded[] = []
  #writing: Promise<void> = Promise.resolve()
  #closed = false

  /** `checks`: first words are checked at all. */
  constructor({ cacheDir, checks, log }: { cacheDir: string | null; checks: boolean; log: (line: string) => void }) {
    this.#path = cacheDir === null ? null : join(cacheDir, 'loads.json')
    this.#checks = checks
    this.#log = log
  }

  /** The same start and check of a worker, measured: the one begins a load, the other is asked when it is over. `changed`: its phases. `about`: what was loaded. */
  timed(inner: Starting, about: () => Loadable): Starting & { changed(phase: WorkerState): void } {
    let begun = performance.now()
    let last: WorkerState = 'stopped'
    let leaving: number | null = null
    return {
      changed: (phase) => {
        if (phase === 'draining') leaving = last === 'ready' ? performance.now() : null
        else if (phase === 'stopped' && leaving !== null) void this.#keep(about, { leaveMs: performance.now() - leaving })
        last = phase
      },
      launch: (hearing) => {
        begun = performance.now()
        return inner.launch(hearing)
      },
      check: async (ready, converse) => {
        const loaded = performance.now()
        const said = await inner.check(ready, converse)
        if (said === 'trusted') await this.#keep(about, { loadMs: loaded - begun, checkMs: performance.now() - loaded })
        return said
      },
    }
  }

  /** Read anew each time: it is a small file that two engines of one daemon write. */
  async all(): Promise<Loaded[]> {
    if (this.#path === null) return this.#held
    try {
      return File.parse(JSON.parse(await readFile(this.#path, 'utf8'))).loaded
    } catch {
      return []
    }
  }

  /** What is still to be written is; nothing is measured any more. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#writing
  }

  #keep(about: () => Loadable, times: Times): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#writing = this.#writing.then(async () => {
      const what = about()
      const all = await this.all()
      const old = all.find((one) => isOf(one, what))
      // One that leaves was loaded, and was written down then; if that was lost, so is this.
      const next = 'leaveMs' in times ? old && { ...old, leavesMs: [...old.leavesMs, Math.round(times.leaveMs)].slice(-keptTimes) } : this.#loaded(what, old, times)
      if (next === undefined) return
      this.#held = [...all.filter((one) => one !== old), next].slice(-keptFiles)
      if (this.#path === null) return
      await makePrivate(dirname(this.#path))
      await writeJson(this.#path, { version: 1, loaded: this.#held } satisfies z.infer<typeof File>)
    }).catch((error: unknown) => this.#log(`how long a load took was not kept: ${problemOf(error)}`))
    return this.#writing
  }

  #loaded({ bytes, model, ...identity }: Loadable, old: Loaded | undefined, { loadMs, checkMs }: { loadMs: number; checkMs: number }): Loaded {
    const before = old?.library === identity.library ? old.checkMs : null
    return {
      model, bytes, ...identity, loadsMs: [...(old?.loadsMs ?? []), Math.round(loadMs)].slice(-keptTimes), leavesMs: old?.leavesMs ?? [],
      checkMs: this.#checks ? Math.max(before ?? 0, Math.round(checkMs)) : before,
    }
  }
}

/** The same file on the same backend of the same machine; another build of the library reads it just as fast. */
function isOf(one: Identity, { file, backend, machine }: Omit<Identity, 'library'>): boolean {
  return one.file === file && one.backend === backend && one.machine === machine
}

/**
 * Milliseconds to load it: the slowest of its last loads here, else of the file nearest in size, as many times longer as it is larger. Never shorter for a smaller
 * one: a part of each load is the start of a process. Null = nothing was ever loaded here.
 */
export function loadMs(loads: readonly Loaded[], what: Loadable): { ms: number; from: string | null } | null {
  const own = loads.find((one) => isOf(one, what))
  if (own !== undefined) return { ms: Math.max(...own.loadsMs), from: null }
  const near = nearest(loads, what)
  return near === null ? null : { ms: Math.max(...near.loadsMs) * scale(near, what), from: near.model }
}

/** Milliseconds until it has left the memory: the slowest of its last times; 0 = it never left. */
export function leaveMs(loads: readonly Loaded[], what: Loadable): number {
  return Math.max(0, ...(loads.find((one) => isOf(one, what))?.leavesMs ?? []))
}

/** Milliseconds of the check of its first words; 0 = it passed with this build, or it is not checked. Scaled as a load is; null = none was ever made here. */
export function checkMs(loads: readonly Loaded[], what: Loadable, on: boolean): number | null {
  if (!on || loads.some((one) => isOf(one, what) && one.library === what.library && one.checkMs !== null)) return 0
  const near = nearest(loads.filter((one) => one.checkMs !== null), what)
  return near === null ? null : (near.checkMs ?? 0) * scale(near, what)
}

function scale(from: Loaded, to: Loadable): number {
  return Math.max(1, to.bytes / Math.max(1, from.bytes))
}

function nearest(loads: readonly Loaded[], { bytes, backend, machine }: Loadable): Loaded | null {
  const distance = (one: Loaded): number => Math.abs(Math.log(Math.max(1, one.bytes) / Math.max(1, bytes)))
  return loads.filter((one) => one.backend === backend && one.machine === machine)
    .reduce<Loaded | null>((best, one) => (best === null || distance(one) < distance(best) ? one : best), null)
}
