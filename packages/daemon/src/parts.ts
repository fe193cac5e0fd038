// Owns the daemon's narrow view of what the other packages give it. The real ones are put together in compose.ts; a test may hand in others.
import type { SwapAnswer, SwapWish } from '@hearth/engine'
import type { AgentEnd, AgentInput, AgentPorts, AgentProfile, BuildEvent, BuildList, BuildRequest, EndpointRow, Fault, FolderImportReply, FolderImportRequest, ImportRequest, LoadEvent, MemoryPlan, Model, ModelDetail, ModelRow, ProbeEvent, ProfileReply, PruneReply, Sandbox, TransferEvent, TuneEvent, TuneRequest, WorkerStatus } from '@hearth/protocol'

export type RunAgent = (input: AgentInput, ports: AgentPorts, signal: AbortSignal) => Promise<AgentEnd>
export type ProbeModel = (model: Model, options: { seconds: number }, signal: AbortSignal) => AsyncIterable<ProbeEvent>
export type Found<T> = ({ ok: true } & T) | { ok: false; fault: Fault }

/** The models of this box: the catalogue and what was imported. */
export type Shelf = {
  list(): Promise<ModelRow[]>
  /** The list with what fits this box, and what is worth fetching. */
  overview(fallback: string): Promise<{ models: ModelRow[]; recommended: string | null }>
  /** `id`: of the catalogue, or hf:ORG/REPO:QUANT. Throws FaultError when nobody knows it. */
  detail(id: string, elsewhere?: readonly string[]): Promise<ModelDetail>
  pull(id: string, signal: AbortSignal, options?: { trustFirstUse?: boolean }): AsyncIterable<TransferEvent>
  verify(id: string, signal: AbortSignal): AsyncIterable<TransferEvent>
  importFile(request: ImportRequest): Promise<Found<{ model: ModelRow }>>
  importFolder(request: FolderImportRequest): Promise<Found<{ reply: FolderImportReply }>>
  prune(options: { apply: boolean }): Promise<PruneReply>
  /** Writes a profile as the one of this model; the answer names the file. */
  keepProfile(id: string, profile: AgentProfile): Promise<Found<{ path: string }>>
  remove(id: string): Promise<Found<unknown>>
}

/** The engines that were built on this box. */
export type BuildShelf = {
  list(): BuildList
  build(request: BuildRequest, signal: AbortSignal): AsyncIterable<BuildEvent>
  /** Throws FaultError when there is none of that name, or a worker runs it. */
  remove(name: string): Promise<void>
}

/** What is in the memory of this box, and stays there. Streams end with `done` or `failed`. */
export type Loaded = {
  load(id: string, options: { pin: boolean }, signal: AbortSignal): AsyncIterable<LoadEvent>
  unload(id: string, options: { wait: boolean }, signal: AbortSignal): AsyncIterable<LoadEvent>
  pin(id: string, pinned: boolean): Promise<Found<{ worker: WorkerStatus | null }>>
  /** Loads what the configuration names, one after the other; what fails is logged. */
  preload(signal: AbortSignal): Promise<void>
}

/** Measured speeds. */
export type Tuning = {
  /** Measures these models alone; ends with exactly one `done` or `failed`. Aborting it leaves the stored profile as it was. */
  tune(ids: readonly string[], wish: Pick<TuneRequest, 'effort' | 'minutes' | 'wait'>, signal: AbortSignal): AsyncIterable<TuneEvent>
  profiles(): Promise<ProfileReply>
  /** The rows, those of installed models with their speed where something is known. */
  withSpeeds(rows: readonly ModelRow[]): Promise<ModelRow[]>
  /** What the loop weighs a compaction with; null = not measured, or no model of this box. */
  speedAt(id: string): Promise<NonNullable<AgentPorts['speedAt']> | null>
  /** What asking a model of this box that is not in memory would take. `asker`: id of the model that works meanwhile. Not ok: it must not be loaded for that. */
  swap(id: string, wish: Omit<SwapWish, 'asker'> & { asker: string }): Promise<SwapAnswer>
}

/** Each is loaded at first use: an idle daemon holds none of them. */
export type Parts = {
  agent(): Promise<RunAgent>
  /** Asks a model what it can do. */
  prober(): Promise<ProbeModel>
  sandbox(): Promise<Sandbox>
  shelf(): Promise<Shelf>
  builds(): Promise<BuildShelf>
  /** The id a job without a wish gets; null when nothing is installed and nothing is configured. */
  defaultModel(): Promise<string | null>
  /** Models on other machines of this network; with `check` each is asked whether it answers. */
  endpoints(check: boolean): Promise<EndpointRow[]>
  /** The model behind an id or `scripted:FILE`, ready to be asked; loads nothing yet. */
  model(id: string): Promise<Found<{ model: Model }>>
  /** What loading this model now would take; a fault when it is not installed or its file cannot be read. */
  plan(id: string): Promise<Found<{ plan: MemoryPlan }>>
  readonly loaded: Loaded
  readonly tuning: Tuning
  /** Empty while the engine was not needed. */
  workers(): WorkerStatus[]
  /** Closes the circuit of a model's worker again. False when there is no such worker. */
  reset(model: string): Promise<boolean>
  close(): Promise<void>
}
