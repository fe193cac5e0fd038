// Owns which sequence of a worker serves which request, and who waits for one. Knows texts and keys, not tokens; sends nothing.
import type { JobClass } from '@hearth/protocol'
import { commonLength, inOrder, mayRun, waitsMs, type Limits } from './queue-order.ts'

export type SlotRequest = {
  sessionKey: string | null
  class: JobClass
  prompt: string
  /** A title, a summary, a call without a session: it never takes a session's memory when there is other room. */
  side?: boolean
  /** Nothing but this request speaks for its session yet: it keeps its memory, but takes and leaves it before sessions that went on. */
  tentative?: boolean
  /** For whom: memory of another owner is neither looked at nor reused. */
  owner?: string | null
  /** The memory of its session lies on disk or in a file: it need not borrow the beginning of another session's. */
  saved?: boolean
  /** How long it will hold the sequence; null = nothing was measured yet. */
  expectedMs?: number | null
}

/** What a sequence holds for a session that another request now displaces. `tokens` as the worker counted them. */
export type Displaced = { sessionKey: string; tokens: number }

/** A taken sequence. `grew` tells what it now holds behind the prompt, `holds` how many tokens that are once its run has begun; `free` gives it back, once. */
export type Slot = {
  readonly sequence: number
  /** Another session's memory that is lost unless it is saved before the first token. */
  readonly displaced: Displaced | null
  /** It still holds what this very session left in it. */
  readonly own: boolean
  /** What it holds was read for another owner. */
  readonly foreign: boolean
  grew(text: string): void
  holds(tokens: number): void
  free(): void
}

type Held = {
  busy: boolean; sessionKey: string | null; class: JobClass; text: string; usedAt: number; tentative: boolean; owner: string | null
  /** Tokens at the end of the last run; 0 = none, or a run is going on. */
  tokens: number
  /** A saved state holds all of it. */
  saved: boolean
  startedMs: number
  expectedMs: number | null
  /** It was taken for another owner than its memory was read for, and no run has begun since: the worker still holds those tokens. */
  foreign: boolean
}
type Waiter = { request: SlotRequest; arrived: number; position: number; take: (slot: Slot) => void; queued: (position: number, etaMs: number | null) => void }

const empty: Omit<Held, 'startedMs'> = { busy: false, sessionKey: null, class: 'interactive', text: '', usedAt: 0, tentative: false, owner: null, tokens: 0, saved: false, expectedMs: null, foreign: false }

export class Slots {
  readonly #limits: Limits
  readonly #held: Held[] = []
  #waiting: Waiter[] = []
  #uses = 0
  #arrivals = 0
  /** End of the last interactive answer. */
  #chattedMs = -Infinity

  constructor(limits: Limits = { interactive: 0, job: 0, active: null }) {
    this.#limits = limits
  }

  /** Sequences the worker has; may grow or shrink only while none is taken. Everything held is forgotten. */
  resize(count: number): void {
    this.#held.length = 0
    for (let i = 0; i < count; i++) this.#held.push({ ...empty, startedMs: 0 })
    this.#serve()
  }

  get count(): number {
    return this.#held.length
  }

  get busy(): number {
    return this.#held.filter((held) => held.busy).length
  }

  get waiting(): number {
    return this.#waiting.length
  }

  /** The worker is gone and its memory with it. Taken slots stay taken until they are freed. */
  forget(): void {
    for (const held of this.#held) Object.assign(held, { sessionKey: null, text: '', tokens: 0, saved: false })
  }

  /** Sessions whose memory lies in an idle sequence and nowhere else, the last used first. */
  unsaved(): (Displaced & { sequence: number })[] {
    return this.#held.map((held, sequence) => ({ ...held, sequence })).filter((held) => !held.busy && !held.saved && held.tokens > 0)
      .toSorted((a, b) => b.usedAt - a.usedAt)
      .flatMap(({ sessionKey, tokens, sequence }) => (sessionKey === null ? [] : [{ sessionKey, tokens, sequence }]))
  }

  /** Tokens that a sequence holds for this session; 0 = none. */
  tokensOf(sessionKey: string): number {
    return this.#held.find((held) => held.sessionKey === sessionKey)?.tokens ?? 0
  }

  /** Whether somebody at a keyboard was answered in the last `withinMs`. */
  chattedWithin(withinMs: number): boolean {
    return this.#chattedMs > performance.now() - withinMs
  }

  /** A saved state now holds all that an idle sequence does. */
  markSaved(sequence: number): void {
    const held = this.#held[sequence]
    if (held !== undefined && !held.busy) held.saved = true
  }

  /**
   * Asks for a sequence. `take` is called once, at once when one is free; `queued` with each new position (1 = next) before that.
   * A higher class goes first; inside a class sessions take turns. The returned function leaves the queue and does nothing later.
   */
  ask(request: SlotRequest, take: (slot: Slot) => void, queued: (position: number, etaMs: number | null) => void): () => void {
    const waiter: Waiter = { request, arrived: ++this.#arrivals, position: 0, take, queued }
    this.#waiting.push(waiter)
    this.#serve()
    return () => {
      const at = this.#waiting.indexOf(waiter)
      if (at < 0) return
      this.#waiting.splice(at, 1)
      this.#tellPositions()
    }
  }

  #serve(): void {
    for (;;) {
      this.#waiting = inOrder(this.#waiting, this.#running())
      const first = this.#waiting[0]
      if (first === undefined || !mayRun(first.request.class, this.#running(), this.#held.length, this.#limits)) break
      const sequence = choose(this.#held, first.request, this.#uses)
      if (sequence === null) break
      this.#waiting.shift()
      first.take(this.#occupy(sequence, first.request))
    }
    this.#tellPositions()
  }

  #running(): Held[] {
    return this.#held.filter((held) => held.busy)
  }

  #tellPositions(): void {
    const now = performance.now()
    const left = this.#running().map((held) => (held.expectedMs === null ? null : Math.max(0, held.expectedMs - (now - held.startedMs))))
    const waits = waitsMs(left, this.#waiting.map((waiter) => waiter.request.expectedMs ?? null))
    for (const [index, waiter] of this.#waiting.entries()) {
      if (waiter.position === index + 1) continue
      waiter.position = index + 1
      waiter.queued(index + 1, waits[index] ?? null)
    }
  }

  #occupy(sequence: number, request: SlotRequest): Slot {
    const before = this.#held[sequence]
    const own = before !== undefined && before.tokens > 0 && before.sessionKey !== null && before.sessionKey === request.sessionKey
    const displaced = before === undefined || own || before.sessionKey === null || before.saved || before.tokens === 0 ? null
      : { sessionKey: before.sessionKey, tokens: before.tokens }
    const owner = request.owner ?? null
    const foreign = before !== undefined && before.text !== '' && (before.owner !== owner || before.foreign)
    const held: Held = {
      busy: true, tentative: request.tentative === true, owner, sessionKey: request.side === true ? null : request.sessionKey, class: request.class, text: request.prompt, usedAt: ++this.#uses,
      tokens: 0, saved: false, startedMs: performance.now(), expectedMs: request.expectedMs ?? null, foreign,
    }
    this.#held[sequence] = held
    let taken = true
    return {
      sequence, displaced, own, foreign,
      grew: (text) => {
        if (taken) held.text += text
      },
      holds: (tokens) => {
        if (!taken) return
        held.tokens = tokens
        held.foreign = false
      },
      free: () => {
        if (!taken) return
        taken = false
        held.busy = false
        held.usedAt = ++this.#uses
        if (held.class === 'interactive') this.#chattedMs = performance.now()
        this.#serve()
      },
    }
  }
}

/**
 * The idle sequence for a request: the one of the same session; else the one with the longest common beginning of the same owner, if taking it throws away less than
 * it saves (another session with the same system prompt must not lose its memory); else one without a session; else a tentative session's, the one unused for
 * longest; else the session of least value (its length, worth less the longer it was not used). A side call or a tentative request takes the memory of a
 * session that went on only when nothing else is idle. Null when none is idle. `now` counts uses.
 */
export function choose(held: readonly Readonly<Held>[], request: SlotRequest, now = 0): number | null {
  const idle = held.map((slot, sequence) => ({ ...slot, sequence })).filter((slot) => !slot.busy)
  const own = request.sessionKey === null || request.side === true ? undefined : idle.find((slot) => slot.sessionKey === request.sessionKey)
  if (own !== undefined) return own.sequence
  const free = idle.filter((slot) => slot.sessionKey === null)
  const tentative = idle.filter((slot) => slot.sessionKey !== null && slot.tentative)
  const yielding = request.side === true && free.length > 0 ? free : request.side === true || request.tentative === true ? [...free, ...tentative] : idle
  const open = yielding.length > 0 ? yielding : idle
  const shared = request.saved === true ? [] : open.filter((slot) => slot.owner === (request.owner ?? null))
    .map((slot) => ({ sequence: slot.sequence, common: commonLength(slot.text, request.prompt), length: slot.text.length }))
    .filter((slot) => slot.common > 0 && slot.common * 2 >= slot.length)
  if (shared.length > 0) return shared.reduce((best, slot) => (slot.common > best.common ? slot : best)).sequence
  const oldest = (slots: typeof idle): number | null => (slots.length === 0 ? null : slots.reduce((best, slot) => (slot.usedAt < best.usedAt ? slot : best)).sequence)
  const worth = (slot: Held): number => slot.text.length / (now - slot.usedAt + 1)
  return oldest(free) ?? oldest(tentative) ?? (idle.length === 0 ? null : idle.reduce((best, slot) => (worth(slot) < worth(best) ? slot : best)).sequence)
}
