// Owns billing: a Model around a Model that writes the ledger's entry before it passes the end of a call on. No call goes unbilled,
// whether it was answered, failed, was cancelled or was left in the middle.
import { faultFrom, noUsage, type LedgerEntry, type Model, type ModelEvent, type ModelRequest, type Principal, type Timings } from '@hearth/protocol'

/** For whom and for what a call is made. `step` is read at the end of each call. */
export type Account = { principal: Principal; jobId: string | null; step: () => number | null }

export type WriteEntry = (entry: Omit<LedgerEntry, 'id'>) => Promise<void>

type Terminal = Extract<ModelEvent, { type: 'done' | 'failed' }>

/** A model whose every call is one ledger entry. When the entry cannot be stored, the call ends `failed` with that cause. */
export function metered(inner: Model, account: Account, write: WriteEntry, now: () => number = Date.now): Model {
  const bill = async (request: ModelRequest, end: Terminal): Promise<ModelEvent> => {
    try {
      await write({
        at: now(), jobId: account.jobId, step: account.step(), principal: account.principal.id, origin: account.principal.origin,
        model: inner.info.id, place: inner.info.place, purpose: request.purpose, usage: end.usage, timings: end.timings,
        joules: null, usdMicros: 0, ended: end.type === 'done' ? end.stop : end.fault.code,
      })
      return end
    } catch (error) {
      return { type: 'failed', fault: faultFrom(error), usage: end.usage, timings: end.timings }
    }
  }

  async function* generate(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const startedAt = now()
    const left = new AbortController()
    // By hand: signals made by AbortSignal.any stay until a full collection, and there is one of these for every call.
    const abort = (): void => left.abort(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
    const events = inner.generate({ ...request, owner: account.principal.id }, left.signal)[Symbol.asyncIterator]()
    const broken = (problem: unknown): Terminal =>
      ({ type: 'failed', fault: faultFrom(problem), usage: noUsage, timings: onlyTotal(now() - startedAt) })
    const next = async (): Promise<ModelEvent> => {
      try {
        const step = await events.next()
        return step.done === true ? broken(new Error(`the model '${inner.info.id}' ended without saying so`)) : step.value
      } catch (error) {
        return broken(error)
      }
    }
    // A generator that said its last word still stands there, with its slot and its run: it is told to leave before anything else is done.
    const release = async (): Promise<void> => {
      try {
        await events.return?.(undefined)
      } catch {
        // It ended; how it tidied up changes nothing of its answer.
      }
    }
    let billed = false
    try {
      for (;;) {
        const event = await next()
        if (isTerminal(event)) {
          billed = true
          await release()
          yield await bill(request, event)
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
        await release()
        await bill(request, event)
      }
    }
  }
  return { info: inner.info, generate }
}

function isTerminal(event: ModelEvent): event is Terminal {
  return event.type === 'done' || event.type === 'failed'
}

function onlyTotal(totalMs: number): Timings {
  return { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs }
}
