// Owns how long models stay in memory: their places, their pins, their idle times, and whose turn it is on the CPU. Starts no worker; knows no token.
import { availableParallelism } from 'node:os'
import { fault, type Config, type Fault, type MemoryPlan, type WorkerStatus } from '@hearth/protocol'
import type { InstalledModel } from './installed.ts'
import { weighLoads, type SavedMemory, type WishedLoad } from './load-plan.ts'
import { footprint } from './local/footprint.ts'
import type { Wish } from './local/line.ts'
import { Residency, type Held, type Hold, type Resident } from './local/residency.ts'
import type { Supervisor } from './local/supervisor.ts'
import { Turns } from './local/turns.ts'
import type { Load } from './local/wire.ts'

export type KeepingOptions = {
  config: Config['engine']
  /** The load of a model as it is wished now, with its threads. */
  wish(installed: InstalledModel): Omit<WishedLoad, 'installed'>
  saved(): SavedMemory
  hardwareRoot: string | undefined
  log: (line: string) => void
}

/** One model's worker and the order it is loaded with, which the plan may make smaller. */
export type Kept = { installed: InstalledModel; supervisor: Supervisor; load: Load }
/** What a status says of its place. */
export type Place = Required<Pick<WorkerStatus, 'memoryBytes' | 'pinned' | 'loadedAt' | 'idleSince' | 'unloadsAt'>>

type Model = Resident & { readonly installed: InstalledModel }

const notHeld: Hold = { release: () => undefined }

export class Keeping {
  readonly #options: KeepingOptions
  readonly #residency: Residency<Model>
  readonly #turns = new Turns(availableParallelism())
  readonly #kept = new Map<string, Kept & { resident: Model }>()
  /** Pins and their end as they were said while the daemon runs; the configuration holds again after a restart. */
  readonly #pins = new Map<string, boolean>()

  constructor(options: KeepingOptions) {
    this.#options = options
    this.#residency = new Residency<Model>({
      maxModels: options.config.maxModels, log: options.log,
      weigh: (wished) => weighLoads(wished.map(({ installed }) => ({ installed, ...options.wish(installed) })), options.saved(), options.hardwareRoot),
    })
  }

  add(kept: Kept): void {
    const { installed, supervisor, load } = kept
    const pinned = (): boolean => this.#pinned(installed.id)
    const resident: Model = {
      installed, key: installed.path, name: installed.id,
      get phase() { return supervisor.phase },
      get pinned() { return pinned() },
      taken: (promisedBytes) => onCpu(supervisor) ? Math.min(promisedBytes, footprint(supervisor.status.pid ?? 0)?.anonymousBytes ?? 0) : promisedBytes,
      unload: () => supervisor.unload(),
      resize: (plan) => {
        const { contextTokens, sequences } = plan ?? this.#options.wish(installed).load
        Object.assign(load, { contextTokens, sequences })
      },
    }
    this.#kept.set(installed.path, { ...kept, resident })
    this.#keepAlive(installed.path)
  }

  /** The right to use a model: it is loaded, or may be now. */
  hold(path: string, wish: Wish): Promise<Held> {
    const kept = this.#kept.get(path)
    return kept === undefined ? Promise.resolve(notHeld) : this.#residency.hold(kept.resident, wish)
  }

  /** The right to compute with a loaded model; only a CPU has turns. */
  async turn(path: string, wish: Wish): Promise<Hold | 'aborted'> {
    const kept = this.#kept.get(path)
    if (kept === undefined || !onCpu(kept.supervisor)) return notHeld
    const threads = kept.supervisor.status.ready?.threads ?? kept.load.threads
    return await this.#turns.take({ key: path, name: kept.installed.id, threads }, wish)
  }

  /** What loading it now would take, and who would leave for it; null when its file cannot be read. */
  plan(installed: InstalledModel): Promise<MemoryPlan | null> {
    const absent: Model = { installed, key: installed.path, name: installed.id, phase: 'stopped', pinned: false, taken: () => 0, unload: () => Promise.resolve(), resize: () => undefined }
    return this.#residency.preview(this.#kept.get(installed.path)?.resident ?? absent)
  }

  /** Refused while somebody uses it, unless the caller wants to wait. A load that nobody waits for is given up. */
  async unload(path: string, wait: boolean, wish: Wish): Promise<'done' | 'aborted' | { fault: Fault }> {
    const kept = this.#kept.get(path)
    if (kept === undefined) return 'done'
    const users = this.#residency.users(path)
    if (users > 0 && !wait) {
      return { fault: fault('conflict', { problem: `The model '${kept.installed.id}' answers ${users} request${users === 1 ? '' : 's'}; with --wait it is unloaded when ${users === 1 ? 'that is' : 'they are'} done.` }) }
    }
    const held = await this.#residency.unload(kept.resident, wish)
    return held === 'aborted' || 'fault' in held ? held : 'done'
  }

  pin(modelId: string, pinned: boolean): void {
    this.#pins.set(modelId, pinned)
    for (const { installed } of this.#kept.values()) if (installed.id === modelId) this.#keepAlive(installed.path)
    this.#residency.changed()
  }

  placeOf(path: string): Place {
    const kept = this.#kept.get(path)
    const place = this.#residency.placeOf(path)
    const pinned = kept !== undefined && this.#pinned(kept.installed.id)
    if (kept === undefined || place === null) return { memoryBytes: null, pinned, loadedAt: null, idleSince: null, unloadsAt: null }
    const { pid, state } = kept.supervisor.status
    const resident = pid === null || !onCpu(kept.supervisor) ? null : footprint(pid)?.residentBytes ?? null
    const idleMs = this.#idleMs(kept.installed.id)
    return {
      memoryBytes: state === 'ready' || state === 'draining' || state === 'starting' ? resident ?? place.promisedBytes : null, pinned, loadedAt: place.loadedAt, idleSince: place.idleSince,
      unloadsAt: place.idleSince === null || idleMs === 0 || state !== 'ready' ? null : place.idleSince + idleMs,
    }
  }

  /** A worker changed its phase. */
  changed(): void {
    this.#residency.changed()
  }

  close(): void {
    this.#residency.close()
  }

  #pinned(modelId: string): boolean {
    return this.#pins.get(modelId) ?? this.#options.config.models[modelId]?.pinned ?? false
  }

  /** 0 = never. */
  #idleMs(modelId: string): number {
    const { config } = this.#options
    return this.#pinned(modelId) ? 0 : (config.models[modelId]?.idleUnloadSeconds ?? config.idleUnloadSeconds) * 1000
  }

  #keepAlive(path: string): void {
    const kept = this.#kept.get(path)
    kept?.supervisor.keepAlive(this.#idleMs(kept.installed.id))
  }
}

/** A GPU's share is taken whole at the load; on a CPU the mapped file is counted as free by the kernel, and threads spin. */
function onCpu({ status: { ready } }: Supervisor): boolean {
  return ready !== null && (ready.backend === 'cpu' || ready.backend === 'llama-server cpu')
}
