// Owns the energy of calls: the power of the box, sampled while something is computed, less what it takes idle, shared among the calls of each moment by their
// tokens. Reads no sensor itself and guesses nothing: what was not measured is null.
import type { PowerReader } from '@hearth/engine'
import type { ModelEvent } from '@hearth/protocol'

export type EnergyOptions = {
  /** Asked once. */
  reader: () => Promise<PowerReader | null>
  /** Milliseconds that only go forward. */
  now?: () => number
  sampleMs?: number
  /** Pause between looks at the idle box. */
  idleEveryMs?: number
}

/** One call that is being measured. */
export interface MeasuredCall {
  /** Told every event of the call: tokens that were read or written are its share of the work. */
  heard(this: void, event: ModelEvent): void
  /** Joules of it above idle, whole; null when the box cannot say. Only the first end counts. */
  end(): Promise<number | null>
}

/** `counted`: tokens of intervals that are shared already; `read`: prompt tokens so far. */
type Call = { tokens: number; counted: number; read: number; joules: number; known: boolean }

const second = 1000
const minute = 60_000
/** Two readings of a power sensor further apart than this say little of what was between them. */
const longestIntervalMs = 5000
/** Looks at the idle box that are remembered, half an hour of them. Their least is idle: whatever else ran only made it more. */
const idleLooks = 30

export class EnergyMeter {
  readonly #o: EnergyOptions
  readonly #now: () => number
  readonly #calls = new Set<Call>()
  readonly #idleWatts: number[] = []
  #reader: Promise<PowerReader | null> | null = null
  /** Readings, one after the other. */
  #line: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | null = null
  #lastAt: number | null = null
  #closed = false
  #absent = false

  constructor(options: EnergyOptions) {
    this.#o = options
    this.#now = options.now ?? ((): number => performance.now())
  }

  /** What is measured, for people; null when this box cannot say. */
  async source(): Promise<string | null> {
    return (await this.#find())?.source ?? null
  }

  /** Watts of the idle box, the least that was seen lately; null = not yet. */
  get idleWatts(): number | null {
    return this.#idleWatts.length === 0 ? null : Math.min(...this.#idleWatts)
  }

  /** Begins to look at the idle box: now, and every minute in which nothing is computed. */
  watch(): void {
    void this.#find().then((reader) => { if (reader !== null) this.#tickIn(0) })
  }

  begin(): MeasuredCall {
    if (this.#absent) return unmeasured
    const call: Call = { tokens: 0, counted: 0, read: 0, joules: 0, known: true }
    // What was used until now is not this call's.
    void this.#sample().then(() => {
      this.#calls.add(call)
      this.#tickIn(this.#sampleMs)
    })
    let ended: Promise<number | null> | null = null
    return {
      heard: (event) => count(call, event),
      end: () => ended ??= this.#sample().then(() => {
        this.#calls.delete(call)
        return call.known && this.idleWatts !== null ? Math.round(call.joules) : null
      }),
    }
  }

  close(): void {
    this.#closed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  get #sampleMs(): number {
    return this.#o.sampleMs ?? second
  }

  #find(): Promise<PowerReader | null> {
    this.#reader ??= this.#o.reader().catch(() => null).then((reader) => {
      this.#absent = reader === null
      return reader
    })
    return this.#reader
  }

  #tickIn(ms: number): void {
    if (this.#closed) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#sample().then((intervalMs) => {
      // The first reading of a look at the idle box closes a long interval, the second a short one; then there is time until the next look.
      const looked = this.#calls.size === 0 && intervalMs !== null && intervalMs <= longestIntervalMs
      this.#tickIn(looked ? this.#o.idleEveryMs ?? minute : this.#sampleMs)
    }), ms).unref()
  }

  /** Closes the interval since the last reading; in all of it the same calls were under way. Its length, null for the first. */
  #sample(): Promise<number | null> {
    const done = this.#line.then(async () => {
      const reader = await this.#find()
      if (reader === null) return this.#unknown()
      const at = this.#now()
      const elapsedMs = this.#lastAt === null ? null : at - this.#lastAt
      this.#lastAt = at
      const joules = await reader.since(elapsedMs ?? 0).catch(() => null)
      if (elapsedMs === null || joules === null) return this.#unknown()
      if (this.#calls.size > 0) this.#share(joules, elapsedMs)
      else if (elapsedMs >= this.#sampleMs / 2 && elapsedMs <= longestIntervalMs) this.#remember(joules / elapsedMs * 1000)
      return elapsedMs
    })
    this.#line = done
    return done
  }

  #unknown(): null {
    for (const call of this.#calls) call.known = false
    return null
  }

  #remember(watts: number): void {
    this.#idleWatts.push(watts)
    if (this.#idleWatts.length > idleLooks) this.#idleWatts.shift()
  }

  /** By the tokens of this interval; where there were none (a model is waiting for its turn), alike. */
  #share(joules: number, elapsedMs: number): void {
    const idle = this.idleWatts
    const above = Math.max(0, joules - (idle ?? 0) * elapsedMs / 1000)
    const calls = [...this.#calls]
    const moved = calls.map((call) => call.tokens - call.counted)
    const all = moved.reduce((sum, count) => sum + count, 0)
    calls.forEach((call, index) => {
      call.joules += above * (all > 0 ? (moved[index] ?? 0) / all : 1 / calls.length)
      call.counted = call.tokens
      if (idle === null) call.known = false
    })
  }
}

const unmeasured: MeasuredCall = { heard: () => undefined, end: () => Promise.resolve(null) }

/** A piece of text is a token, near enough: only the shares of calls of the same moment hang on it. */
function count(call: Call, event: ModelEvent): void {
  if (event.type === 'text' || event.type === 'reasoning') call.tokens += 1
  if (event.type === 'prefill') {
    call.tokens += Math.max(0, event.doneTokens - call.read)
    call.read = event.doneTokens
  }
}
