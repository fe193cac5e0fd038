// Owns what this box is known to do with each model: the stored profile, the settings of a load that follow from it, and measuring anew. Loads nothing itself.
import { existsSync, readFileSync } from 'node:fs'
import { availableParallelism, release } from 'node:os'
import type { Config, ModelProfile, PredictedSpeed, TuneEvent } from '@hearth/protocol'
import type { InstalledModel } from '../installed.ts'
import { defaultThreads } from '../local/threads.ts'
import type { Load } from '../local/wire.ts'
import { activeBytesOf } from './active-bytes.ts'
import { estimatedSpeed, expectation, measuredSpeed, speedAt, type Expectation, type SpeedAt } from './forecast.ts'
import { Gate } from './gate.ts'
import { cores, cpuModel, libraryOf, machineOf } from './identity.ts'
import { ProfileStore, type Identity } from './store.ts'
import { benchConfig, benchProfile, forecastsOf, tune, type Bench, type TuneWish } from './tuning.ts'
import { servedBy, settingsOf, type Settings } from './use.ts'

type Backend = Load['backend']

export type BoxOptions = {
  config: Config['engine']
  root: string
  log: (line: string) => void
  /** The file with what was measured; undefined = nothing ever was. */
  profilePath: string | undefined
  /** Settings that are being measured, for every model, instead of that file. */
  fixed: ModelProfile | undefined
  window(installed: InstalledModel): number
  /** What tells a model file from another. */
  file(path: string): string
  unloadAll(): Promise<void>
  /** Whether there is a llama-server for this backend. */
  hasServer(backend: Backend): boolean
  /** The library that was built here and would be loaded; null = what came with Hearth. */
  ownLibrary(backend: Backend): string | null
  /** A worker that nobody else uses. */
  open(installed: InstalledModel, config: Config['engine'], fixed: ModelProfile): Bench
}

export type StoredProfile = { profile: ModelProfile; current: boolean; forecasts: { promptTokens: number; ms: number }[] }

export class Box {
  /** Whoever asks a model passes it; who measures closes it. */
  readonly gate = new Gate()
  readonly #options: BoxOptions
  readonly #store: ProfileStore | null
  readonly #threads = defaultThreads(readFileSync('/proc/cpuinfo', 'utf8'), availableParallelism())
  readonly #known = new Map<string, ModelProfile | null>()
  readonly #givenToServer = new Map<string, boolean>()
  readonly #benches = new Set<Bench>()
  readonly #closed = new AbortController()

  constructor(options: BoxOptions) {
    this.#options = options
    this.#store = options.profilePath === undefined ? null : new ProfileStore(options.profilePath, options.log)
  }

  /** As the configuration wants it; `auto` on a machine without a GPU is the CPU. */
  get backend(): Backend {
    const { backend } = this.#options.config
    return backend === 'auto' && !existsSync('/dev/dri') ? 'cpu' : backend
  }

  /** What a load gets, and how many may compute at once. */
  settings(installed: InstalledModel, backend: Backend): Settings {
    return settingsOf(this.#options.config, installed.id, backend, this.#profile(installed, backend), this.#threads)
  }

  /** Before a worker is started: the files are looked at again. */
  look(): void {
    this.#known.clear()
  }

  /** Speeds before this run has measured any; null when nothing is known. */
  expectation(installed: InstalledModel, backend: Backend): Expectation | null {
    const profile = this.#profile(installed, backend)
    return profile === null ? null : expectation(profile)
  }

  /** Whether a llama-server serves this model: as the owner says, or as was measured when the daemon was first asked for it. */
  served(installed: InstalledModel): boolean {
    const served = this.#givenToServer.get(installed.path) ?? servedBy(this.#options.config, installed.id, this.#profile(installed, this.backend))
    this.#givenToServer.set(installed.path, served)
    return served
  }

  /** Measures models alone on this box and stores what was chosen; whoever asks for a model meanwhile waits. Ends with exactly one `done` or `failed`. */
  tune(models: readonly InstalledModel[], wish: TuneWish, signal: AbortSignal): AsyncGenerator<TuneEvent, void, void> {
    const { config, unloadAll, open, window } = this.#options
    return tune(models, wish, {
      gate: this.gate, unloadAll, activeBytes: ({ path }) => activeBytesOf(path), identity: (installed) => this.identity(installed, this.backend), box: { cpu: cpuModel(), kernel: release() },
      keep: async (profile) => {
        await this.#store?.put(profile)
        this.#known.clear()
      },
      open: (installed, variant) => {
        const bench = open(installed, benchConfig(config, variant), benchProfile(installed.id, this.identity(installed, this.backend), variant))
        this.#benches.add(bench)
        return { ...bench, close: () => bench.close().finally(() => this.#benches.delete(bench)) }
      },
      facts: (installed) => {
        const { physical, logical } = cores()
        const { threads, batchTokens, prefillTokens } = settingsOf({ ...config, threads: null, batchTokens: null }, installed.id, this.backend, null, this.#threads)
        const home = servedBy(config, installed.id, null) ? 'llama-server' : 'built-in'
        return {
          gpu: this.backend !== 'cpu', physicalCores: physical, logicalCpus: logical, windowTokens: window(installed), sequences: config.sequences,
          home, other: home === 'built-in' && this.#options.hasServer(this.backend) ? 'llama-server' : null, defaults: { threads, batchTokens, pieceTokens: prefillTokens },
        }
      },
    }, AbortSignal.any([signal, this.#closed.signal]))
  }

  /** Ends what is being measured; no worker is started for it any more. */
  async close(): Promise<void> {
    this.#closed.abort()
    await Promise.all([...this.#benches].map((bench) => bench.close()))
  }

  /** All that is stored. `find`: the model of an id, null when it is not installed. */
  async stored(find: (id: string) => Promise<InstalledModel | null>): Promise<StoredProfile[]> {
    return await Promise.all((this.#store?.all() ?? []).map(async (profile) => {
      const installed = await find(profile.model)
      const current = installed !== null && profile.backend === this.backend && this.#profile(installed, this.backend) === profile
      return { profile, current, forecasts: installed === null ? [] : forecastsOf(profile, this.#options.window(installed)) }
    }))
  }

  /** What a model does here: measured, or scaled from those that were; null when nothing was measured that would tell. */
  async speed(installed: InstalledModel): Promise<PredictedSpeed | null> {
    const profile = this.#profile(installed, this.backend)
    if (profile !== null) return measuredSpeed(profile)
    const others = (this.#store?.all() ?? []).filter((one) => one.backend === this.backend && one.machine === machineOf(this.backend))
    if (others.length === 0) return null
    const activeBytes = await activeBytesOf(installed.path)
    return activeBytes === null ? null : estimatedSpeed(others, activeBytes)
  }

  /** Speeds over the depth of the context; null when this model was not measured here at two depths at least. */
  speedAt(installed: InstalledModel): SpeedAt | null {
    const profile = this.#profile(installed, this.backend)
    return profile === null ? null : speedAt(profile)
  }

  /** What was measured of this file with this library on this machine. Kept until the next load: it is asked for at every turn of the queue. */
  #profile(installed: InstalledModel, backend: Backend): ModelProfile | null {
    if (this.#options.fixed !== undefined) return this.#options.fixed
    const key = `${backend} ${installed.path}`
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const found = this.#store?.find(installed.id, () => this.identity(installed, backend)) ?? null
    this.#known.set(key, found)
    return found
  }

  /** What must agree before a figure of speed is used. */
  identity(installed: InstalledModel, backend: Backend): Identity {
    const own = this.#options.ownLibrary(backend)
    const library = libraryOf(this.#options.root)
    return { file: this.#options.file(installed.path), library: own === null ? library : `${library}, ${own}`, backend, machine: machineOf(backend) }
  }
}
