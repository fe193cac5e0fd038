// Owns one call of a model from its first event to its last: whatever the ending, its end is handed over exactly once, before it is passed on.
// Knows neither ledger nor money.
import { faultFrom, noUsage, type Model, type ModelEvent, type ModelRequest, type Principal, type Timings } from '@hearth/protocol'
import type { EnergyMeter } from './energy.ts'

/** For whom and for what a call is made. `step` is read at the end of each call; `energy` measures what is computed on this box. */
export type Account = { principal: Principal; jobId: string | null; step: () => number | null; energy?: EnergyMeter }

export type Terminal = Extract<ModelEvent, { type: 'done' | 'failed' }>
/** `told`: by the model; false = it threw or stopped without a word. `arrived`: something of an answer was there before. */
export type CallEnd = { end: Terminal; told: boolean; arrived: boolean }

/**
 * The events of one call. `bill` is awaited before the end is passed on, also when the reader leaves in the middle: then the call is aborted and drained
 * first. When it rejects, the call ends `failed` with that cause. `heard` sees every event of the model before anybody else.
 */
export async function* billedCall(inner: Model, account: Account, request: ModelRequest, signal: AbortSignal, bill: (end: CallEnd) => Promise<void>, now: () => number, heard?: (event: ModelEvent) => void): AsyncGenerator<ModelEvent> {
  const startedAt = now()
  const left = new AbortController()
  // By hand: signals made by AbortSignal.any stay until a full collection, and there is one of these for every call.
  const abort = (): void => left.abort(signal.reason)
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  const events = inner.generate({ ...request, owner: account.principal.id }, left.signal)[Symbol.asyncIterator]()
  let told = true
  let arrived = false
  const broken = (problem: unknown): Terminal => {
    told = false
    return { type: 'failed', fault: faultFrom(problem), usage: noUsage, timings: onlyTotal(now() - startedAt) }
  }
  const next = async (): Promise<ModelEvent> => {
    try {
      const step = await events.next()
      if (step.done === true) return broken(new Error(`the model '${inner.info.id}' ended without saying so`))
      heard?.(step.value)
      arrived ||= step.value.type !== 'queued' && !isTerminal(step.value)
      return step.value
    } catch (error) {
      return broken(error)
    }
  }
  // A generator that said its last word still stands there, with its slot and its run: it is told to leave before anything else is done.
  const close = async (end: Terminal): Promise<ModelEvent> => {
    try {
      await events.return?.(undefined)
    } catch {
      // It ended; how it tidied up changes nothing of its answer.
    }
    try {
      await bill({ end, told, arrived })
      return end
    } catch (error) {
      return { type: 'failed', fault: faultFrom(error), usage: end.usage, timings: end.timings }
    }
  }
  let billed = false
  try {
    for (;;) {
      const event = await next()
      if (isTerminal(event)) {
        billed = true
        yield await close(event)
        return
      }
      yield event
    }
  } finally {
    signal.removeEventListener('abort', abort)
    if (!billed) {
      // The reader left: what was used until then is still used.
      left.abort()
      let event = await next()
      while (!isTerminal(event)) event = await next()
      await close(event)
    }
  }
}

export function endWord(end: Terminal): string {
  return end.type === 'done' ? end.stop : end.fault.code
}

function isTerminal(event: ModelEvent): event is Terminal {
  return event.type === 'done' || event.type === 'failed'
}

function onlyTotal(totalMs: number): Timings {
  return { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs }
}
