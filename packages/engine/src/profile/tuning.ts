// Owns measuring a box: takes the models for itself, walks through what the plan asks for, and stores what was chosen once all of it is known.
// Computes no token and starts no process: a worker with given settings is handed in. Stopped half-way it leaves the stored profile as it was.
import { fault, faultFrom, type Config, type Effort, type Fault, type Model, type ModelProfile, type TuneEvent, type WorkerStatus } from '@hearth/protocol'
import type { InstalledModel } from '../installed.ts'
import { chooseAll } from './choose.ts'
import { forecast } from './forecast.ts'
import type { Gate } from './gate.ts'
import { measure, Wording, type Measured } from './measure.ts'
import { budgetMsOf, nameOf, next, pointsOf, sameVariant, type Cell, type Facts, type Sample, type Variant } from './plan.ts'
import type { Identity } from './store.ts'

/** A worker of its own, loaded with exactly one variant at its first request. */
export type Bench = { model: Model; status(): WorkerStatus | null; close(): Promise<void> }

export type TuningPorts = {
  gate: Gate
  /** Stores what was chosen. */
  keep(profile: ModelProfile): Promise<void>
  /** Ends every loaded worker; nobody holds one. */
  unloadAll(): Promise<void>
  open(installed: InstalledModel, variant: Variant): Bench
  facts(installed: InstalledModel): Omit<Facts, 'effort' | 'budgetMs'>
  identity(installed: InstalledModel): Identity
  activeBytes(installed: InstalledModel): Promise<number | null>
  box: { cpu: string | null; kernel: string | null }
}

export type TuneWish = { effort: Effort; minutes: number | null; wait: boolean }

const forecastLengths = [2048, 8192, 32_768, 65_536]

/** Measures these models one after the other and stores each when it is done. Ends with exactly one `done` or `failed`; never throws. */
export async function* tune(models: readonly InstalledModel[], wish: TuneWish, ports: TuningPorts, signal: AbortSignal): AsyncGenerator<TuneEvent, void, void> {
  const { gate } = ports
  if (gate.closed) return yield failed(fault('cannot_tune', { why: 'it is being measured already' }))
  if (gate.inside > 0 && !wish.wait) return yield failed(fault('cannot_tune', { why: requestsText(gate.inside) }))
  if (gate.inside > 0) yield { type: 'waiting', text: requestsText(gate.inside) }
  const open = await gate.close(signal)
  if (open === 'aborted') return yield failed(stopped())
  if (open === null) return yield failed(fault('cannot_tune', { why: 'it is being measured already' }))
  try {
    await ports.unloadAll()
    for (const installed of models) {
      const profile = yield* tuneOne(installed, wish, ports, signal)
      if ('code' in profile) return yield failed(profile)
      await ports.keep(profile)
      yield { type: 'measured', model: installed.id, profile, forecasts: forecastsOf(profile, ports.facts(installed).windowTokens) }
    }
    yield { type: 'done', models: models.map((one) => one.id) }
  } catch (error) {
    yield failed(faultFrom(error))
  } finally {
    open()
  }
}

/** Times to the first token that are worth telling, up to the window of a conversation. */
export function forecastsOf(profile: ModelProfile, windowTokens: number): { promptTokens: number; ms: number }[] {
  const lengths = [...forecastLengths.filter((length) => length < windowTokens), windowTokens]
  return lengths.flatMap((promptTokens) => {
    const ms = forecast(profile, promptTokens)
    return ms === null ? [] : [{ promptTokens, ms }]
  })
}

async function* tuneOne(installed: InstalledModel, wish: TuneWish, ports: TuningPorts, signal: AbortSignal): AsyncGenerator<TuneEvent, ModelProfile | Fault, void> {
  const facts: Facts = { ...ports.facts(installed), effort: wish.effort, budgetMs: budgetMsOf(wish.effort, wish.minutes) }
  // Read before the work: a file that is replaced meanwhile must not get the figures of the old one.
  const identity = ports.identity(installed)
  const activeBytes = await ports.activeBytes(installed)
  const worker = new Benches((variant) => ports.open(installed, variant))
  const samples: Sample[] = []
  const skipped: { what: string; why: string }[] = []
  const startedAt = performance.now()
  yield { type: 'model', model: installed.id, seconds: facts.budgetMs / 1000 }
  try {
    for (;;) {
      const spentMs = performance.now() - startedAt
      const step = next(facts, samples, new Set(skipped.map((one) => one.what)), spentMs)
      if (step.type === 'over') break
      if (step.type === 'skip') {
        skipped.push({ what: step.what, why: step.why })
        yield { type: 'skipped', model: installed.id, what: step.what, why: step.why }
        continue
      }
      yield { type: 'step', model: installed.id, text: nameOf(step.cell), spentMs, leftMs: Math.max(0, facts.budgetMs - spentMs) }
      const sample = await worker.sample(step.cell, step.round, samples.length, signal)
      if (sample === 'aborted') return stopped()
      samples.push(sample)
      const { prefillTokensPerSecond, decodeTokensPerSecond, failed: why } = sample
      if (why === null) yield { type: 'sample', model: installed.id, text: nameOf(step.cell), prefillTokensPerSecond, decodeTokensPerSecond }
      else {
        skipped.push({ what: nameOf(step.cell), why })
        yield { type: 'skipped', model: installed.id, what: nameOf(step.cell), why }
      }
    }
  } finally {
    await worker.close()
  }
  const points = pointsOf(samples)
  if (points.length === 0) return fault('engine_unavailable', { why: skipped[0] === undefined ? `nothing of '${installed.id}' could be measured` : `nothing of '${installed.id}' could be measured (${skipped[0].why.replace(/\.$/, '')})` })
  return {
    model: installed.id, ...identity, measuredAt: Date.now(), seconds: (performance.now() - startedAt) / 1000, effort: wish.effort,
    cpu: ports.box.cpu, kernel: ports.box.kernel, activeBytes, points, skipped, choices: chooseAll(points, facts.home),
  }
}

/** One worker at a time, kept while the settings stay the same. */
class Benches {
  readonly #open: (variant: Variant) => Bench
  readonly #wording = new Wording()
  #now: { variant: Variant; bench: Bench } | null = null

  constructor(open: (variant: Variant) => Bench) {
    this.#open = open
  }

  async sample(cell: Cell, round: number, seed: number, signal: AbortSignal): Promise<Sample | 'aborted'> {
    const from = performance.now()
    const base = { cell, round, promptTokens: 0, prefillTokensPerSecond: null, decodeTokensPerSecond: null }
    const bad = async (why: string): Promise<Sample> => {
      await this.close()
      return { ...base, ms: performance.now() - from, loadMs: 0, failed: why }
    }
    let loadMs = 0
    if (this.#now === null || !sameVariant(this.#now.variant, cell.variant)) {
      await this.close()
      this.#now = { variant: cell.variant, bench: this.#open(cell.variant) }
      // The first request starts the worker and warms it up; what it says of speed is not believed.
      const warm = await measure(this.#now.bench.model, { ...cell, run: 'threads', streams: 1, depthTokens: 48, decodeTokens: 1, text: 'story' }, 0, new Wording(), signal)
      loadMs = performance.now() - from
      const smaller = 'problem' in warm ? null : shrunk(this.#now.bench.status(), cell.variant)
      if (smaller !== null) return await bad(smaller)
      if ('problem' in warm) return signal.aborted || warm.problem === 'aborted' ? 'aborted' : await bad(problemText(warm.problem))
    }
    const found = await measure(this.#now.bench.model, cell, seed + 1, this.#wording, signal)
    if (!('problem' in found)) return { ...base, ...(found satisfies Measured), ms: performance.now() - from, loadMs, failed: null }
    return signal.aborted || found.problem === 'aborted' ? 'aborted' : await bad(problemText(found.problem))
  }

  async close(): Promise<void> {
    const { bench } = this.#now ?? { bench: null }
    this.#now = null
    await bench?.close()
  }
}

/** A worker that the memory plan made smaller does not measure what was asked. */
function shrunk(status: WorkerStatus | null, variant: Variant): string | null {
  const { contextTokens, sequences } = status ?? { contextTokens: null, sequences: null }
  if (contextTokens === null || sequences === null || (contextTokens >= variant.contextTokens && sequences >= variant.sequences)) return null
  return `the memory holds ${sequences} x ${contextTokens} tokens of the ${variant.sequences} x ${variant.contextTokens} that it needs`
}

function problemText(problem: 'aborted' | 'too_short' | Fault): string {
  return typeof problem === 'object' ? problem.message : problem === 'too_short' ? 'the model ended its answers before their speed could be told' : 'it was stopped'
}

function failed(why: Fault): TuneEvent {
  return { type: 'failed', fault: why }
}

function stopped(): Fault {
  return fault('cancelled', { by: 'the one who asked; the stored profile is as it was' })
}

function requestsText(count: number): string {
  return count === 1 ? 'a request is being answered' : `${count} requests are being answered`
}

/** The owner's configuration with exactly these settings, for one worker that nobody else uses. */
export function benchConfig(config: Config['engine'], variant: Variant): Config['engine'] {
  return {
    ...config, threads: variant.threads, contextTokens: variant.contextTokens, sequences: variant.sequences, batchTokens: null, speculation: variant.speculation, activeDecodes: null,
    idleUnloadSeconds: 0, savedStateBytes: 0, savedStateDiskBytes: 0, reserved: { interactive: 0, job: 0 }, goldenCheck: 'off',
    adapters: { ...config.adapters, llamaServer: { ...config.adapters.llamaServer, models: variant.adapter === 'llama-server' ? ['*'] : [] } },
  }
}

/** A profile that says nothing but the batch of a variant: the way by which a load learns it. */
export function benchProfile(model: string, identity: Identity, variant: Variant): ModelProfile {
  const why = 'being measured'
  return {
    model, ...identity, measuredAt: 0, seconds: 0, effort: 'quick', cpu: null, kernel: null, activeBytes: null, points: [], skipped: [],
    choices: { threads: null, batch: { batchTokens: variant.batchTokens, pieceTokens: variant.pieceTokens, why }, activeDecodes: null, speculation: null, adapter: null },
  }
}
