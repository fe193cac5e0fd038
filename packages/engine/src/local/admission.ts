// Decides which model may be loaded next to which: a pure function of what is in memory, what the box can give and what is wished. No clock, no I/O.
import type { JobClass } from '@hearth/protocol'

/** A model that is in memory, or was promised its place there. */
export type Member = {
  key: string
  /** What the plan of its load counted, without the memory of saved conversations, which all models share. */
  promisedBytes: number
  /** What of that the box's own figures already show as used; 0 while it loads. */
  takenBytes: number
  /** Bytes that loading it again reads. */
  reloadBytes: number
  /** Requests that hold it, also those that wait for a sequence of it. */
  users: number
  pinned: boolean
  /** down: its worker failed and starts again by itself. */
  phase: 'loading' | 'loaded' | 'leaving' | 'down'
  /** Uses, each worth half after `heatHalfMs`. */
  heat: number
  usedAt: number
}

/** What a load takes: as it was wished, and at the least. `certain`: false = the file does not tell enough to refuse it. */
export type Need = { fullBytes: number; leastBytes: number; certain: boolean }
/** What the box could give at the last look: `freeBytes` at that moment, `limitBytes` if only models used it. Null = not known. */
export type Room = { freeBytes: number; limitBytes: number } | null

export type Step =
  /** `freeBytes`: what the load may take; null = not known. */
  | { type: 'load'; freeBytes: number | null }
  /** These are idle and go first; then the question is asked again. */
  | { type: 'evict'; keys: string[] }
  /** `keys` must end what they do. `claims`: these will leave for it, so nothing new of lower rank may begin on them. */
  | { type: 'wait'; keys: string[]; claims: string[] }
  /** Not even without all that may leave. `full`: engine.maxModels is reached by pinned models. */
  | { type: 'refuse'; freeBytes: number; full: boolean }

export const heatHalfMs = 600_000
/** A request that waited this long counts as one class higher; after twice as long nothing newer goes before it. */
export const patienceMs = 60_000

const rank: Record<JobClass, number> = { interactive: 0, job: 1, batch: 2 }

/** Higher classes first, by age inside a class; waiting lifts a class. */
export function inTurn<W extends { class: JobClass; arrivedMs: number; number: number }>(waiting: readonly W[], nowMs: number): W[] {
  const rankOf = (one: W): number => Math.max(0, rank[one.class] - Math.floor(Math.max(0, nowMs - one.arrivedMs) / patienceMs))
  return waiting.toSorted((a, b) => rankOf(a) - rankOf(b) || a.number - b.number)
}

/** What is lost when it is unloaded: the cost of reading it again for each byte it holds, times how much it was used of late. */
export function valueOf(member: Pick<Member, 'reloadBytes' | 'promisedBytes' | 'heat'>): number {
  return member.heat * member.reloadBytes / Math.max(1, member.promisedBytes)
}

/**
 * What a new load may take when the models in `gone` have left. Never more than the limit minus every promise that stands; and of what is free
 * now, what was promised and not taken yet is spoken for.
 */
export function freeBytes(members: readonly Member[], room: NonNullable<Room>, gone: ReadonlySet<string> = new Set()): number {
  let now = room.freeBytes
  let ledger = room.limitBytes
  for (const { key, promisedBytes, takenBytes } of members) {
    if (gone.has(key)) now += takenBytes
    else {
      now -= Math.max(0, promisedBytes - takenBytes)
      ledger -= promisedBytes
    }
  }
  return Math.max(0, Math.min(now, ledger))
}

/**
 * How a model that is not in memory gets there. Idle models leave before the load is made smaller, the least valuable first and none for nothing;
 * a smaller load is preferred to waiting for a model that answers; pinned ones and those that answer never leave.
 * `need` null: nothing is known of it, so only the number of models counts.
 */
export function decide(all: readonly Member[], wish: { key: string; need: Need | null }, room: Room, maxModels: number | null): Step {
  const others = all.filter((member) => member.key !== wish.key)
  const { need } = wish
  const counted = (gone: ReadonlySet<string>): boolean => maxModels === null || others.length - gone.size < maxModels
  const fits = (gone: ReadonlySet<string>, bytes: number): boolean => counted(gone) && (need === null || room === null || bytes <= freeBytes(others, room, gone))
  const full = need?.fullBytes ?? 0
  const least = need?.leastBytes ?? 0
  const none: ReadonlySet<string> = new Set()
  const load = (): Step => ({ type: 'load', freeBytes: room === null ? null : freeBytes(others, room) })

  if (fits(none, full)) return load()
  // What leaves or loads changes the figures; they are not guessed.
  const moving = others.filter((member) => member.phase === 'leaving' || (member.phase === 'loading' && member.users > 0))
  if (moving.length > 0) return { type: 'wait', keys: moving.map((member) => member.key), claims: [] }
  const byValue = others.filter((member) => !member.pinned).toSorted((a, b) => valueOf(a) - valueOf(b) || a.usedAt - b.usedAt)
  const idle = byValue.filter((member) => member.users === 0)
  const chosen = cheapest(idle, (gone) => fits(gone, full))
  if (chosen !== null) return { type: 'evict', keys: chosen }
  if (fits(keysOf(idle), least)) return idle.length > 0 ? { type: 'evict', keys: [...keysOf(idle)] } : load()
  const leaving = cheapest([...idle, ...byValue.filter((member) => member.users > 0)], (gone) => fits(gone, full))
    ?? (fits(keysOf(byValue), least) ? [...keysOf(byValue)] : null)
  if (leaving !== null) return { type: 'wait', keys: leaving.filter((key) => idle.every((member) => member.key !== key)), claims: leaving }
  if (need !== null && !need.certain && counted(keysOf(idle))) return idle.length > 0 ? { type: 'evict', keys: [...keysOf(idle)] } : load()
  return { type: 'refuse', freeBytes: room === null ? 0 : freeBytes(others, room, keysOf(byValue)), full: !counted(keysOf(byValue)) }
}

function keysOf(members: readonly Member[]): Set<string> {
  return new Set(members.map((member) => member.key))
}

/** The first of `candidates` that make room, without those that turn out not to be needed; null when all of them together do not. */
function cheapest(candidates: readonly Member[], enough: (gone: ReadonlySet<string>) => boolean): string[] | null {
  const gone = new Set<string>()
  for (const { key } of candidates) {
    gone.add(key)
    if (!enough(gone)) continue
    for (const kept of [...gone].toReversed()) {
      gone.delete(kept)
      if (!enough(gone)) gone.add(kept)
    }
    return [...gone]
  }
  return null
}
