// Owns the local models of one daemon: one supervised worker for each model file, as many in memory as fit. The only way in for the daemon.
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Config, type Confine, type Fault, type JobClass, type MemoryPlan, type Model, type ModelProfile, type PredictedSpeed, type TuneEvent, type WorkerStatus } from '@hearth/protocol'
import { driverOf } from './golden/driver.ts'
import { Passes } from './golden/passes.ts'
import { choicesOf, Trust, type Choice } from './golden/trust.ts'
import { draftNote, draftOf, draftProblem } from './draft.ts'
import type { InstalledModel } from './installed.ts'
import { Keeping } from './keeping.ts'
import { Launches } from './launches.ts'
import { Forecast } from './local/forecast.ts'
import { Handover } from './local/handover.ts'
import { LocalModel } from './local/local-model.ts'
import type { Launch } from './local/process.ts'
import type { Waits } from './local/line.ts'
import { Slots } from './local/slots.ts'
import { SavedStates } from './local/states.ts'
import { Supervisor } from './local/supervisor.ts'
import type { Load } from './local/wire.ts'
import { buildsOf } from './build/store.ts'
import { Box, type StoredProfile } from './profile/box.ts'
import type { SpeedAt } from './profile/forecast.ts'
import { Loads } from './profile/loads.ts'
import type { TuneWish } from './profile/tuning.ts'
import { identityOf } from './model-files.ts'
import { Swaps, type SwapAnswer, type SwapWish } from './swaps.ts'

export type EngineOptions = {
  config: Config['engine']
  /** How the worker is confined; read only when `config.sandbox` is not `off`. Null then means that no worker may start. */
  confine: Confine | null
  /** The node binary; a link is followed, because the worker sees only the real file. */
  node: string
  /** Folder of the checkout: node_modules and the sources are mounted from it, read-only. */
  root: string
  /** What the worker may know of the caller's environment (GGML_*, VK_*, …); anything else in it is dropped. */
  env?: Readonly<Record<string, string | undefined>>
  log: (line: string) => void
  /** Where conversations that lost their sequence are kept over a restart; absent = they are not kept at all. */
  cacheDir?: string
  /** Where the box is read before a load: `/`, or a captured tree in a test. */
  hardwareRoot?: string
  onState?: (status: WorkerStatus) => void
  /** The file with what `hearth tune` measured; absent = nothing ever was. */
  profilePath?: string
  /** Settings that are being measured, for every model, instead of that file. */
  profile?: ModelProfile
}

export type LoadOptions = { pin?: boolean; class?: JobClass; signal: AbortSignal; waits?: Waits }

type Open = {
  id: string
  installed: InstalledModel
  load: Load
  supervisor: Supervisor
  trust: Trust
  slots: Slots
  forecast: Forecast
  handover: Handover | null
}

// A window larger than these is asked for with engine.contextTokens: each sequence's memory is reserved when the model is loaded. An agent's work wants the
// larger one, and a GPU reads it in a minute; a CPU takes many. What does not fit is made smaller by the plan.
const cpuContextTokens = 8192
const gpuContextTokens = 32_768
// A run in flight ends after its evaluation; a long piece of a prompt on a slow machine takes about this long.
const settleMs = 2000
// States in memory are put on disk for this long at the end, the most valuable first; in memory they outlive the daemon, but not the next boot.
const flushMs = 1000

export class Engine {
  readonly #options: EngineOptions
  readonly #open = new Map<string, Open>()
  readonly #keeping: Keeping
  readonly #launches: Launches
  readonly #passes: Passes
  readonly #box: Box
  readonly #loads: Loads
  readonly #swaps: Swaps
  #states: SavedStates | null = null

  constructor(options: EngineOptions) {
    this.#options = options
    this.#launches = new Launches({ ...options, builds: options.cacheDir === undefined ? null : buildsOf(options.cacheDir, options.root) })
    this.#passes = new Passes(options.cacheDir ?? null, options.log)
    const { config, hardwareRoot, log } = options
    const checks = config.goldenCheck === 'on'
    this.#loads = new Loads({ cacheDir: options.cacheDir ?? null, checks, log })
    this.#swaps = new Swaps({
      loads: this.#loads, checks, plan: (installed) => this.plan(installed), open: (installed) => this.#of(installed), members: () => this.#open.values(),
      identity: (installed) => this.#box.identity(installed, this.#open.get(installed.path)?.load.backend ?? this.#box.backend),
    })
    this.#box = new Box({
      config, root: options.root, log, profilePath: options.profilePath, fixed: options.profile, window: (installed) => this.#window(installed), file: identityOf,
      unloadAll: async () => void await Promise.all([...this.#open.values()].map((open) => open.supervisor.unload())),
      hasServer: (backend) => this.#launches.hasServer(backend), ownLibrary: (backend) => this.#launches.ownLibrary(backend),
      open: (installed, config, profile) => {
        const { profilePath: _profilePath, onState: _onState, ...same } = options
        const engine = new Engine({ ...same, config, profile })
        return { model: engine.model(installed), status: () => engine.workers()[0] ?? null, close: () => engine.close() }
      },
    })
    this.#keeping = new Keeping({
      config, hardwareRoot, log, wish: (installed) => this.#wish(installed),
      saved: () => ({ limitBytes: options.cacheDir === undefined ? 0 : config.savedStateBytes, usedBytes: this.#states?.used.memory ?? 0 }),
    })
  }

  /** The port for an installed model. Nothing is loaded before its first request; models of the same file share a worker. */
  model(installed: InstalledModel): Model {
    const open = this.#of(installed)
    return new LocalModel({
      installed, supervisor: open.supervisor, slots: open.slots, forecast: open.forecast, handover: open.handover, contextTokens: this.#window(installed),
      hold: (wish) => this.#box.gate.pass(wish.signal, () => this.#keeping.hold(installed.path, wish), wish.waits), turn: (wish) => this.#keeping.turn(installed.path, wish),
    })
  }

  /** What loading this model now would take, whether it fits and who would leave for it; null when its file cannot be read. */
  async plan(installed: InstalledModel): Promise<MemoryPlan | null> {
    return await this.#keeping.plan(installed)
  }

  /** Loads it without asking it anything; a pin stands from the moment it is in memory. `waits` hears what it waits for. */
  async load(installed: InstalledModel, { pin = false, class: jobClass = 'interactive', signal, waits }: LoadOptions): Promise<'loaded' | 'aborted' | { fault: Fault }> {
    const { supervisor } = this.#of(installed)
    const held = await this.#box.gate.pass(signal, () => this.#keeping.hold(installed.path, { class: jobClass, signal, ...(waits === undefined ? {} : { waits }) }), waits)
    if (held === 'aborted' || 'fault' in held) return held
    try {
      if (supervisor.phase !== 'ready') waits?.(1, `loading '${installed.id}'`)
      const ready = await supervisor.ready(signal)
      if (ready === 'aborted' || 'fault' in ready) return ready
      if (pin) this.#keeping.pin(installed.id, true)
      return 'loaded'
    } finally {
      held.release()
    }
  }

  /** Gives its memory back and keeps its conversations. Refused while it answers, unless the caller waits; nothing is ended in the middle. */
  async unload(installed: InstalledModel, { wait, signal, waits }: { wait: boolean; signal: AbortSignal; waits?: Waits }): Promise<'done' | 'aborted' | { fault: Fault }> {
    return await this.#keeping.unload(installed.path, wait, { class: 'interactive', signal, ...(waits === undefined ? {} : { waits }) })
  }

  /** Until the end of the daemon, also for a model that is not in memory. */
  pin(modelId: string, pinned: boolean): void {
    this.#keeping.pin(modelId, pinned)
  }

  /** Every worker that was ever asked for, also stopped ones. */
  workers(): WorkerStatus[] {
    return [...this.#open.values()].map((open) => this.#statusOf(open))
  }

  /** Closes the open circuit of a model and forgets what its tokens were distrusted for; unknown ids are ignored. */
  reset(modelId: string): void {
    for (const open of this.#open.values()) {
      if (open.id !== modelId) continue
      open.supervisor.reset()
      if (open.trust.reset()) void open.supervisor.unload()
    }
  }

  /** Measures models alone on this box and stores what was chosen; whoever asks for a model meanwhile waits. Ends with exactly one `done` or `failed`. */
  tune(models: readonly InstalledModel[], wish: TuneWish, signal: AbortSignal): AsyncGenerator<TuneEvent, void, void> {
    return this.#box.tune(models, wish, signal)
  }

  /** What was measured; `find` knows the installed models. */
  profiles(find: (id: string) => Promise<InstalledModel | null>): Promise<StoredProfile[]> {
    return this.#box.stored(find)
  }

  /** What a model does on this box; null when nothing was measured that would tell. */
  speed(installed: InstalledModel): Promise<PredictedSpeed | null> {
    return this.#box.speed(installed)
  }

  /** Its speeds over the depth of the context, as measured on this box; null when they were not. */
  speedAt(installed: InstalledModel): SpeedAt | null {
    return this.#box.speedAt(installed)
  }

  /** What asking a model that is not in memory would take, and what forbids to load it for a question; changes nothing. */
  swap(installed: InstalledModel, wish: SwapWish): Promise<SwapAnswer> {
    return this.#swaps.forecast(installed, wish)
  }

  /** Ends every worker and every run (`shutting_down`), and keeps what their sequences held. No process is left when it resolves. */
  async close(): Promise<void> {
    this.#keeping.close()
    await this.#loads.close()
    await this.#box.close()
    await Promise.all([...this.#open.values()].map(async (open) => {
      if (open.handover !== null) await open.supervisor.settle(settleMs)
      await open.supervisor.close()
    }))
    await this.#states?.close(flushMs)
  }

  #of(installed: InstalledModel): Open {
    const known = this.#open.get(installed.path)
    if (known !== undefined) {
      // A draft model that was fetched meanwhile counts from the next load on.
      known.installed.draft = installed.draft ?? null
      return known
    }
    const { config, log, onState } = this.#options
    const reserved = config.reserved.interactive ?? (config.sequences >= 3 ? 1 : 0)
    const load = this.#load(installed)
    // Asked each time: what is measured while the daemon runs counts at once.
    const active = (): number | null => this.#box.settings(installed, load.backend).activeDecodes
    const slots = new Slots({ interactive: reserved, job: config.reserved.job, get active() { return active() } })
    const forecast = new Forecast(() => this.#box.expectation(installed, load.backend))
    const served = this.#served(installed)
    const states = this.#savedStates()
    const trust = new Trust({
      model: installed.id, on: config.goldenCheck === 'on', choices: choicesOf(load.backend, this.#launches.hasServer(load.backend), served), passes: this.#passes, load, log,
      launch: (choice) => this.#launch(choice, installed, load), apply: ({ backend }) => void Object.assign(load, this.#load(installed, backend)),
      build: (choice) => this.#launches.buildOf(choice),
      fits: async () => {
        const planned = await this.plan(installed)
        if (planned?.verdict === 'refused') return planned.said
        const inTheWay = [...planned?.waitsFor ?? [], ...(planned?.evicts ?? []).map(({ model }) => model)]
        if (inTheWay.length > 0) return `${inTheWay.join(' and ')} would have to leave the memory first`
        if (planned !== null) Object.assign(load, { contextTokens: planned.contextTokens, sequences: planned.sequences })
        return null
      },
      identity: async (choice, ready) => ({ ...this.#launches.identity(choice, ready), driver: await driverOf(ready.backend), model: identityOf(installed.path) }),
    })
    const timed = this.#loads.timed(trust, () => this.#swaps.loadable(installed))
    const supervisor: Supervisor = new Supervisor({
      model: installed.id, load, log,
      prepare: () => trust.prepare(),
      launch: timed.launch, check: timed.check,
      beforeEnd: async () => await open.handover?.keepAll(),
      lend: (use) => {
        // What the sessions hold is kept first: the question takes the place of one of them.
        void (open.handover?.keepAll() ?? Promise.resolve()).then(() => {
          slots.ask({ sessionKey: null, class: 'batch', prompt: '', side: true, saved: true }, (slot) => use(slot.sequence, () => slot.free()), () => undefined)
        })
      },
      onState: (phase) => {
        timed.changed(phase)
        if (phase === 'starting') slots.forget()
        const problem = phase === 'ready' ? draftProblem(installed, load.speculation, supervisor.status.ready) : null
        if (problem !== null) log(`${problem.message} ${problem.remedy}`)
        onState?.(this.#statusOf(open))
        this.#keeping.changed()
      },
    })
    const handover = states === null ? null : new Handover({ states, slots, supervisor, forecast, load, log })
    const open: Open = { id: installed.id, installed, load, supervisor, trust, slots, forecast, handover }
    this.#open.set(installed.path, open)
    this.#keeping.add({ installed, supervisor, load })
    return open
  }

  #window(installed: InstalledModel): number {
    const most = this.#box.backend === 'cpu' ? cpuContextTokens : gpuContextTokens
    return this.#options.config.contextTokens ?? Math.min(installed.contextTokens ?? cpuContextTokens, most)
  }

  #load(installed: InstalledModel, wanted?: Load['backend']): Load {
    const { config } = this.#options
    const backend = wanted ?? this.#box.backend
    const { threads, batchTokens, prefillTokens, speculation } = this.#box.settings(installed, backend)
    return { type: 'load', modelPath: installed.path, backend, contextTokens: this.#window(installed), sequences: config.sequences, threads, batchTokens, prefillTokens, speculation, draft: draftOf(installed, speculation) }
  }

  /** The load as it is wished now, on the backend that was last chosen for it. A llama-server keeps prompts that lost their slot by itself. */
  #wish(installed: InstalledModel) {
    const { cacheMiB, draftModel } = this.#options.config.adapters.llamaServer
    const served = this.#served(installed)
    const load = this.#load(installed, this.#open.get(installed.path)?.load.backend)
    return { load, draftPath: served ? draftModel : load.draft?.path ?? null, cacheBytes: served ? cacheMiB * 2 ** 20 : 0 }
  }

  /** Whether a llama-server serves this model. */
  #served(installed: InstalledModel): boolean {
    return this.#box.served(installed)
  }

  #launch({ engine, shipped }: Choice, installed: InstalledModel, load: Load): Launch {
    // Measured meanwhile, or another file: all but the size, which the plan may have made smaller.
    this.#box.look()
    const { contextTokens, sequences } = load
    Object.assign(load, this.#load(installed, load.backend), { contextTokens, sequences })
    const folders = this.#open.get(installed.path)?.handover?.launching(identityOf(installed.path)) ?? []
    return engine === 'llama-server' ? this.#launches.llamaServer(installed, load) : this.#launches.builtIn(installed, load, { shipped: shipped === true, readWrite: folders })
  }

  #statusOf(open: Open): WorkerStatus {
    const { state, pid, restarts, lastFault, ready, running } = open.supervisor.status
    return {
      model: open.id, state, pid, restarts, lastFault: lastFault?.message ?? null, backend: ready?.backend ?? null, build: open.load.build?.name ?? null,
      contextTokens: ready?.contextTokens ?? null, sequences: ready?.sequences ?? null, threads: ready?.threads ?? null, busy: running, waiting: open.slots.waiting, ...this.#keeping.placeOf(open.load.modelPath),
      ...draftNote(open.installed, open.load.speculation, ready),
      ...(open.trust.distrusted === null ? {} : { distrusted: open.trust.distrusted }),
    }
  }

  #savedStates(): SavedStates | null {
    const { cacheDir, config, log } = this.#options
    // Who measures keeps nothing of what was asked.
    if (cacheDir === undefined || this.#options.profile !== undefined) return null
    this.#states ??= new SavedStates({
      memoryDir: memoryFolder(cacheDir), diskDir: join(cacheDir, 'states'), memoryBytes: config.savedStateBytes, diskBytes: config.savedStateDiskBytes, owner: cacheDir, log,
    })
    return this.#states
  }
}

/** A folder in memory for this cache folder and this user; null on a machine without /dev/shm. */
function memoryFolder(cacheDir: string): string | null {
  const name = createHash('sha256').update(cacheDir).digest('hex').slice(0, 16)
  return existsSync('/dev/shm') ? `/dev/shm/hearth-${process.getuid?.() ?? 0}-${name}` : null
}
