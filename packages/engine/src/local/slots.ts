// Owns which sequence of a worker serves which request, and who waits for one. Knows texts and keys, not tokens; sends nothing.
import type { JobClass } from '@hearth/protocol'

export type SlotRequest = { sessionKey: string | null; class: JobClass; prompt: string }

/** A taken sequence. `grew` tells what it now holds behind the prompt; `free` gives it back, once. */
export type Slot = { readonly sequence: number; grew(text: string): void; free(): void }

type Held = { busy: boolean; sessionKey: string | null; text: string; usedAt: number }
type Waiter = { request: SlotRequest; position: number; take: (slot: Slot) => void; queued: (position: number) => void }

const rank: Record<JobClass, number> = { interactive: 0, job: 1, batch: 2 }

export class Slots {
  readonly #held: Held[] = []
  readonly #waiting: Waiter[] = []
  #uses = 0

  /** Sequences the worker has; may grow or shrink only while none is taken. Everything held is forgotten. */
  resize(count: number): void {
    this.#held.length = 0
    for (let i = 0; i < count; i++) this.#held.push({ busy: false, sessionKey: null, text: '', usedAt: 0 })
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
    for (const held of this.#held) {
      held.sessionKey = null
      held.text = ''
    }
  }

  /**
   * Asks for a sequence. `take` is called once, at once when one is free; `queued` with each new position (1 = next) before that.
   * First come, first served inside a class; a higher class goes first. The returned function leaves the queue and does nothing later.
   */
  ask(request: SlotRequest, take: (slot: Slot) => void, queued: (position: number) => void): () => void {
    const waiter: Waiter = { request, position: 0, take, queued }
    const behind = this.#waiting.findIndex((other) => rank[other.request.class] > rank[request.class])
    this.#waiting.splice(behind < 0 ? this.#waiting.length : behind, 0, waiter)
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
      const first = this.#waiting[0]
      const sequence = first === undefined ? null : choose(this.#held, first.request)
      if (first === undefined || sequence === null) break
      this.#waiting.shift()
      first.take(this.#occupy(sequence, first.request))
    }
    this.#tellPositions()
  }

  #tellPositions(): void {
    for (const [index, waiter] of this.#waiting.entries()) {
      if (waiter.position === index + 1) continue
      waiter.position = index + 1
      waiter.queued(index + 1)
    }
  }

  #occupy(sequence: number, request: SlotRequest): Slot {
    const held: Held = { busy: true, sessionKey: request.sessionKey, text: request.prompt, usedAt: ++this.#uses }
    this.#held[sequence] = held
    let taken = true
    return {
      sequence,
      grew: (text) => {
        if (taken) held.text += text
      },
      free: () => {
        if (!taken) return
        taken = false
        held.busy = false
        held.usedAt = ++this.#uses
        this.#serve()
      },
    }
  }
}

/**
 * The idle sequence for a request: the one of the same session; else the one with the longest common beginning, if taking it throws away less than it
 * saves (another session with the same system prompt must not lose its memory); else the one unused for longest. Null when none is idle.
 */
export function choose(held: readonly Readonly<Held>[], request: SlotRequest): number | null {
  const idle = held.map((slot, sequence) => ({ ...slot, sequence })).filter((slot) => !slot.busy)
  const own = request.sessionKey === null ? undefined : idle.find((slot) => slot.sessionKey === request.sessionKey)
  if (own !== undefined) return own.sequence
  const shared = idle.map((slot) => ({ sequence: slot.sequence, common: commonLength(slot.text, request.prompt), length: slot.text.length }))
    .filter((slot) => slot.common > 0 && slot.common * 2 >= slot.length)
  if (shared.length > 0) return shared.reduce((best, slot) => (slot.common > best.common ? slot : best)).sequence
  return idle.length === 0 ? null : idle.reduce((best, slot) => (slot.usedAt < best.usedAt ? slot : best)).sequence
}

function commonLength(a: string, b: string): number {
  const limit = Math.min(a.length, b.length)
  let length = 0
  while (length < limit && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}
