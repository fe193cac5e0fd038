// Owns which models are in memory: who may load, who must leave, who waits, in which order. Performs what admission.ts decides; starts no worker itself.
// A model is unloaded only when nobody holds it. What a load was promised counts from the moment of the decision, so two at once never share one place.
import { fault, type Fault, type MemoryPlan, type WorkerState } from '@hearth/protocol'
import { decide, freeBytes, heatHalfMs, type Member, type Need, type Room } from './admission.ts'
import { Line, type Waiting, type Wish } from './line.ts'
import { listed, notFitting, tooMany, untilDone, withEvicted, withPinned, withWaits } from './residency-words.ts'

/** A model as the residency sees it. `key`: its file. */
export interface Resident {
  readonly key: string
  readonly name: string
  readonly phase: WorkerState
  readonly pinned: boolean
  /** What of its promise the box's figures show as used, once it is loaded. */
  taken(promisedBytes: number): number
  /** Ends its worker when nothing runs on it; resolves when there is none. */
  unload(): Promise<void>
  /** The size to load it with; null = as it was wished. */
  resize(plan: MemoryPlan | null): void
}

/** What one load would take. `sharedBytes`: of that for saved conversations, which all models share. `plan`: its verdict when so much is free. */
export type Weighed = { need: Need; reloadBytes: number; sharedBytes: number; plan(freeBytes: number): MemoryPlan }
export type Scales<R extends Resident> = (wished: readonly R[]) => Promise<{ room: Room; weighed: ReadonlyMap<string, Weighed | null> }>

/** Keeps a model's worker loaded until it is released. */
export type Hold = { release(): void }
export type Held = Hold | 'aborted' | { fault: Fault }

export type ResidencyOptions<R extends Resident> = {
  maxModels: number | null
  /** Reads the box, and the files of the models that are asked for. */
  weigh: Scales<R>
  log: (line: string) => void
  now?: () => number
}

type Entry<R> = { resident: R; promisedBytes: number; reloadBytes: number; users: number; heat: number; heatAt: number; usedAt: number; leaving: boolean; loadedAt: number; idleAt: number }
type Waiter<R> = Waiting<{ kind: 'use' | 'unload'; resident: R }, Held>

export class Residency<R extends Resident = Resident> {
  readonly #options: ResidencyOptions<R>
  readonly #now: () => number
  readonly #entries = new Map<string, Entry<R>>()
  readonly #line: Line<{ kind: 'use' | 'unload'; resident: R }, Held>
  #passing = false
  #again = false
  #closed = false

  constructor(options: ResidencyOptions<R>) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#line = new Line(this.#now)
  }

  /** Resolves when `resident` may be loaded and used, until `release`. Waits when memory is taken by models that answer. */
  hold(resident: R, wish: Wish): Promise<Held> {
    // Its circuit is open: the answer comes from its supervisor, and nobody must leave for it.
    if (resident.phase === 'broken' && !this.#entries.has(resident.key)) return Promise.resolve({ release: () => undefined })
    return this.#ask({ kind: 'use', resident }, wish)
  }

  /** Unloads it when nobody uses it any more; whoever asks for it meanwhile waits and loads it again. The answer's hold is empty. */
  unload(resident: R, wish: Wish): Promise<Held> {
    return this.#ask({ kind: 'unload', resident }, wish)
  }

  /** Requests that hold it now. */
  users(key: string): number {
    return this.#entries.get(key)?.users ?? 0
  }

  /** What its place was planned with, since when it has it, and since when nobody uses it (milliseconds since 1970); null when it has no place. */
  placeOf(key: string): { promisedBytes: number; loadedAt: number; idleSince: number | null } | null {
    this.#tidy()
    const entry = this.#entries.get(key)
    return entry === undefined ? null : { promisedBytes: entry.promisedBytes, loadedAt: entry.loadedAt, idleSince: entry.users > 0 ? null : entry.idleAt }
  }

  /** What loading it now would mean for the others; changes nothing. */
  async preview(resident: R): Promise<MemoryPlan | null> {
    this.#tidy()
    const taken = this.#taken()
    const { room, weighed } = await this.#options.weigh([resident])
    const its = weighed.get(resident.key) ?? null
    if (its === null) return null
    // A model that is in memory is planned as if it were loaded anew in its place.
    const own = this.#entries.get(resident.key)
    const space: Room = room === null ? null : { ...room, freeBytes: room.freeBytes + (own === undefined ? 0 : taken.get(resident.key) ?? 0) }
    let members = this.#members(taken).filter((member) => member.key !== resident.key)
    const gone: Member[] = []
    for (;;) {
      const step = decide(members, { key: resident.key, need: its.need }, space, this.#options.maxModels)
      switch (step.type) {
        case 'load': return withEvicted(its.plan(step.freeBytes ?? Infinity), gone.map((member) => ({ model: this.#nameOf(member.key), bytes: member.promisedBytes })))
        case 'refuse': return this.#refusal(its.plan(step.freeBytes), step.full, resident)
        case 'wait': {
          const planned = its.plan(space === null ? Infinity : freeBytes(members, space, new Set(step.claims)))
          return withWaits(planned, step.keys.map((key) => this.#nameOf(key)))
        }
        case 'evict': {
          const leave = new Set(step.keys)
          gone.push(...members.filter((member) => leave.has(member.key)))
          if (space !== null) for (const member of members) if (leave.has(member.key)) space.freeBytes += member.takenBytes
          members = members.filter((member) => !leave.has(member.key))
          break
        }
        default: return step satisfies never
      }
    }
  }

  /** Looks again: a worker changed its phase. */
  changed(): void {
    if (this.#line.all.length > 0) this.#serve()
  }

  /** Whoever waits hears that the daemon shuts down. */
  close(): void {
    this.#closed = true
    for (const waiter of this.#line.all) waiter.answer({ fault: fault('shutting_down', {}) })
  }

  #ask(what: { kind: 'use' | 'unload'; resident: R }, wish: Wish): Promise<Held> {
    if (this.#closed && !wish.signal.aborted) return Promise.resolve({ fault: fault('shutting_down', {}) })
    return this.#line.join(what, wish, () => this.#serve())
  }

  /** One pass at a time; a pass that is asked for meanwhile follows. Without a load to decide on, it is over before this returns. */
  #serve(): void {
    if (this.#passing) {
      this.#again = true
      return
    }
    this.#passing = true
    this.#again = false
    this.#tidy()
    const loads = this.#line.all.filter((waiter) => waiter.kind === 'use' && !this.#usable(waiter.resident)).map((waiter) => waiter.resident)
    if (loads.length === 0) {
      this.#pass(null)
      this.#passed()
      return
    }
    // Taken before the box is read: what a worker takes in between is then counted twice, never not at all.
    const taken = this.#taken()
    const distinct = [...new Map(loads.map((resident) => [resident.key, resident])).values()]
    this.#options.weigh(distinct).then(({ room, weighed }) => this.#pass({ room, weighed, taken }), (error: unknown) => {
      const why = fault('internal', { problem: `the memory of the box was not read (${error instanceof Error ? error.message : String(error)})` })
      for (const waiter of this.#line.all.filter((one) => one.kind === 'use' && loads.includes(one.resident))) waiter.answer({ fault: why })
      // Who waits for something else was not looked at in this pass.
      this.#again = true
    }).finally(() => this.#passed()).catch((error: unknown) => this.#options.log(`the models in memory: ${error instanceof Error ? error.message : String(error)}`))
  }

  #passed(): void {
    this.#passing = false
    if (this.#again) this.#serve()
  }

  #pass(scale: { room: Room; weighed: ReadonlyMap<string, Weighed | null>; taken: ReadonlyMap<string, number> } | null): void {
    this.#tidy()
    const claimed = new Map<string, string>()
    let behind: string | null = null
    for (const waiter of this.#line.inTurn()) {
      const { resident } = waiter
      const { key } = resident
      const entry = this.#entries.get(key)
      const claim = claimed.get(key)
      if (waiter.kind === 'unload') {
        if (entry === undefined) waiter.answer({ release: () => undefined })
        else {
          claimed.set(key, `'${entry.resident.name}' is to be unloaded`)
          if (entry.users === 0) this.#leave(entry)
          waiter.reason = entry.users === 0 ? `unloading '${resident.name}'` : this.#untilDone([key])
        }
      } else if (entry !== undefined && this.#usable(resident)) {
        if (claim === undefined) this.#grant(waiter, entry)
        else waiter.reason = `waiting behind an older request: ${claim}`
      } else if (entry?.leaving === true) waiter.reason = `waiting until '${resident.name}' is unloaded, to load it again`
      else if (behind !== null) waiter.reason = behind
      else if (scale?.weighed.has(key) !== true) this.#again = true
      else behind = this.#decide(waiter, scale.weighed.get(key) ?? null, scale.room, scale.taken, claimed)
    }
    this.#line.tell()
  }

  /** Null when the next load may be looked at too; else why it stands behind this one. */
  #decide(waiter: Waiter<R>, weighed: Weighed | null, room: Room, taken: ReadonlyMap<string, number>, claimed: Map<string, string>): string | null {
    const { resident } = waiter
    const step = decide(this.#members(taken), { key: resident.key, need: weighed?.need ?? null }, room, this.#options.maxModels)
    const behind = `waiting behind a request that loads '${resident.name}'`
    switch (step.type) {
      case 'load': {
        const plan = weighed === null || step.freeBytes === null ? null : weighed.plan(step.freeBytes)
        if (plan?.verdict === 'refused' && weighed?.need.certain === true) {
          waiter.answer({ fault: notFitting(plan) })
          return null
        }
        if (plan?.verdict === 'smaller') this.#options.log(`${plan.said} ${plan.remedy ?? ''}`)
        resident.resize(plan)
        const now = this.#now()
        const promisedBytes = plan === null ? weighed?.need.fullBytes ?? 0 : plan.neededBytes - (weighed?.sharedBytes ?? 0)
        const entry: Entry<R> = { resident, promisedBytes: Math.max(0, promisedBytes), reloadBytes: weighed?.reloadBytes ?? 0, users: 0, heat: 0, heatAt: now, usedAt: now, leaving: false, loadedAt: now, idleAt: now }
        this.#entries.set(resident.key, entry)
        this.#grant(waiter, entry)
        return null
      }
      case 'evict': {
        const names = step.keys.map((key) => `'${this.#nameOf(key)}'`)
        for (const key of step.keys) {
          const entry = this.#entries.get(key)
          if (entry !== undefined) this.#leave(entry, resident.name)
          claimed.set(key, `its memory is given to '${resident.name}'`)
        }
        waiter.reason = `unloading ${listed(names)} to make room for '${resident.name}'`
        return behind
      }
      case 'wait':
        for (const key of step.claims) claimed.set(key, `its memory is given to '${resident.name}'`)
        // What leaves for this very waiter was told already.
        if (waiter.reason === '' || step.claims.length > 0 || step.keys.some((key) => this.#entries.get(key)?.leaving !== true)) waiter.reason = this.#untilDone(step.keys)
        return behind
      case 'refuse': {
        const plan = weighed?.plan(step.freeBytes) ?? null
        const refused = plan === null ? null : this.#refusal(plan, step.full, resident)
        waiter.answer({ fault: refused === null ? this.#tooMany(resident) : notFitting(refused) })
        return null
      }
      default: return step satisfies never
    }
  }

  #grant(waiter: Waiter<R>, entry: Entry<R>): void {
    const now = this.#now()
    entry.heat = entry.heat * 0.5 ** ((now - entry.heatAt) / heatHalfMs) + 1
    entry.heatAt = entry.usedAt = now
    entry.users++
    let held = true
    waiter.answer({
      release: () => {
        if (!held) return
        held = false
        entry.users--
        entry.idleAt = this.#now()
        this.changed()
      },
    })
  }

  #leave(entry: Entry<R>, heir: string | null = null): void {
    if (entry.leaving) return
    entry.leaving = true
    if (heir !== null) this.#options.log(`'${entry.resident.name}' is unloaded to make room for '${heir}'`)
    entry.resident.unload().catch((error: unknown) => this.#options.log(`'${entry.resident.name}' was not unloaded in order: ${error instanceof Error ? error.message : String(error)}`))
      .finally(() => {
        entry.leaving = false
        // They wanted it gone, and it was: whoever asks for it next is not their concern.
        for (const waiter of this.#line.all.filter((one) => one.kind === 'unload' && one.resident.key === entry.resident.key)) waiter.answer({ release: () => undefined })
        this.#serve()
      }).catch(() => undefined)
  }

  /** Places whose worker is gone for good are free again. A worker that failed starts again by itself, so its place stands. */
  #tidy(): void {
    for (const [key, { resident, users, leaving }] of this.#entries) {
      if (users === 0 && !leaving && (resident.phase === 'stopped' || resident.phase === 'broken')) this.#entries.delete(key)
    }
  }

  /** Whether a request may be put on it without a plan. A failed worker that nobody uses is planned anew: it may have died of its size. */
  #usable(resident: R): boolean {
    const entry = this.#entries.get(resident.key)
    return entry !== undefined && !entry.leaving && (entry.users > 0 || resident.phase !== 'failed')
  }

  #taken(): Map<string, number> {
    return new Map([...this.#entries].map(([key, { resident, promisedBytes }]) => [key, resident.phase === 'ready' || resident.phase === 'draining' ? resident.taken(promisedBytes) : 0]))
  }

  #members(taken: ReadonlyMap<string, number>): Member[] {
    const now = this.#now()
    return [...this.#entries].map(([key, { resident, promisedBytes, reloadBytes, users, heat, heatAt, usedAt, leaving }]) => ({
      key, promisedBytes, reloadBytes, users, usedAt, takenBytes: taken.get(key) ?? 0, pinned: resident.pinned, heat: heat * 0.5 ** ((now - heatAt) / heatHalfMs),
      phase: leaving || resident.phase === 'draining' ? 'leaving' : resident.phase === 'ready' ? 'loaded' : resident.phase === 'failed' ? 'down' : 'loading',
    }))
  }

  #nameOf(key: string): string {
    return this.#entries.get(key)?.resident.name ?? key
  }

  #untilDone(keys: readonly string[]): string {
    return untilDone(keys.map((key) => {
      const entry = this.#entries.get(key)
      const phase = entry?.leaving === true || entry?.resident.phase === 'draining' ? 'unloading' : entry?.resident.phase === 'ready' ? 'answering' : 'loading'
      return { name: this.#nameOf(key), phase, users: entry?.users ?? 0 }
    }))
  }

  /** A refusal that also names who holds the memory and may not leave. */
  #refusal(plan: MemoryPlan, full: boolean, resident: R): MemoryPlan {
    if (full) {
      const { message, remedy } = this.#tooMany(resident)
      return { ...plan, verdict: 'refused', said: message, remedy }
    }
    const others = [...this.#entries.values()].filter((entry) => entry.resident.pinned && entry.resident.key !== resident.key).toSorted((a, b) => b.promisedBytes - a.promisedBytes)
    return withPinned(plan, others.map((entry) => ({ name: entry.resident.name, bytes: entry.promisedBytes })))
  }

  #tooMany(resident: R): Fault {
    return tooMany(resident.name, this.#options.maxModels ?? 0, [...this.#entries.values()].filter((entry) => entry.resident.pinned).map((entry) => entry.resident.name))
  }
}
