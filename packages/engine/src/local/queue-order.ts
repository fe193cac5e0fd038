// Owns the rules of the waiting line: order, who may run beside whom, and how long the wait will be. Pure; holds no state.
import type { JobClass } from '@hearth/protocol'

/** Sequences kept free for a class and those above it; `active`: runs at the same time, null = as many as there are sequences. */
export type Limits = { interactive: number; job: number; active: number | null }

type Waiting = { request: { sessionKey: string | null; class: JobClass }; arrived: number }
type Running = { sessionKey: string | null; class: JobClass }

const rank: Record<JobClass, number> = { interactive: 0, job: 1, batch: 2 }

/** Higher classes first; inside a class sessions take turns: the n-th request of one session stands behind the first ones of all others. */
export function inOrder<W extends Waiting>(waiting: readonly W[], running: readonly Running[]): W[] {
  const turns = new Map<string, number>()
  const turnOf = (one: Running): number => {
    if (one.sessionKey === null) return 0
    const name = `${one.class} ${one.sessionKey}`
    const turn = turns.get(name) ?? 0
    turns.set(name, turn + 1)
    return turn
  }
  for (const one of running) turnOf(one)
  return waiting.toSorted((a, b) => a.arrived - b.arrived).map((waiter) => ({ waiter, turn: turnOf(waiter.request) }))
    .toSorted((a, b) => rank[a.waiter.request.class] - rank[b.waiter.request.class] || a.turn - b.turn || a.waiter.arrived - b.waiter.arrived)
    .map(({ waiter }) => waiter)
}

/** Whether one more run of this class fits. Reserved sequences never take the last one from a class. */
export function mayRun(jobClass: JobClass, running: readonly Running[], sequences: number, limits: Limits): boolean {
  const room = Math.min(sequences, limits.active ?? sequences)
  if (running.length >= room) return false
  if (jobClass === 'interactive') return true
  const reserved = limits.interactive + (jobClass === 'batch' ? limits.job : 0)
  return running.filter((one) => one.class !== 'interactive').length < Math.max(1, room - reserved)
}

/**
 * Milliseconds until each waiter begins, in their order: each takes the sequence that is free first. `left`: what the running ones still need;
 * `needs`: what each waiter will hold it for. Null from the first unknown on.
 */
export function waitsMs(left: readonly (number | null)[], needs: readonly (number | null)[]): (number | null)[] {
  const ends: (number | null)[] = [...left]
  return needs.map((need) => {
    if (ends.length === 0 || ends.includes(null)) return null
    const soonest = ends.reduce<number>((least, end) => Math.min(least, end ?? 0), Infinity)
    ends[ends.indexOf(soonest)] = need === null ? null : soonest + need
    return Math.round(soonest)
  })
}

export function commonLength(a: string, b: string): number {
  const limit = Math.min(a.length, b.length)
  let length = 0
  while (length < limit && a.charCodeAt(length) === b.charCodeAt(length)) length++
  return length
}
