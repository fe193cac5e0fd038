// Owns billing of what costs money: the worst price of a call is held on disk before the first byte leaves, and what it cost is settled before its end is
// passed on. Never retries; decides nothing itself.
import { fault, faultFrom, noUsage, type Denial, type Fault, type LedgerEntry, type Model, type ModelEvent, type ModelRequest, type Usage } from '@hearth/protocol'
import type { Reserved, Settled } from '../store/money-rows.ts'
import { costOf, type Cost } from './amounts.ts'
import type { Ask } from './ask.ts'
import { billedCall, endWord, type Account, type CallEnd } from './billed.ts'

/** Where money is held and settled: the store. */
export type Till = {
  reserve(ask: Ask): Promise<Reserved>
  settle(reservation: number, how: Settled, cost: Cost, entry: Omit<LedgerEntry, 'id'>): Promise<void>
}

/** What a call asks for; made anew for each, because prices and limits change. */
export type AskFor = (request: ModelRequest, now: number) => Ask

/**
 * A model that is paid for. `inner` sends at most one request for each call: who tries again calls again, and reserves again. A call that a limit denies
 * ends `failed` with `over_budget` or `unpriced`, and nothing of it leaves. When the settlement cannot be stored the call ends `failed`, and stays
 * reserved at its worst price. A call of which nobody knows what it used costs its worst price.
 */
export function paid(inner: Model, account: Account, askFor: AskFor, till: Till, now: () => number = Date.now): Model {
  async function* generate(request: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    // Nothing was sent yet, so nothing is held.
    if (signal.aborted) {
      yield { type: 'done', stop: 'cancelled', usage: noUsage, timings: noTimings }
      return
    }
    let ask: Ask
    let held: Reserved
    try {
      ask = askFor(request, now())
      held = await till.reserve(ask)
    } catch (error) {
      yield unsent(faultFrom(error))
      return
    }
    if (!held.ok) {
      yield unsent(denialFault(held.denial, ask.model))
      return
    }
    const { id, hold } = held
    yield* billedCall(inner, account, request, signal, ({ end, told, arrived }) => {
      const used = usageOf({ end, told, arrived })
      const cost = costOf(hold, used)
      const prepaid = cost.listUsdMicros - cost.usdMicros
      return till.settle(id, used === null ? 'unknown' : 'used', cost, {
        at: now(), jobId: ask.jobId, step: ask.step, principal: ask.principal, origin: ask.origin, model: ask.model, place: inner.info.place, purpose: request.purpose,
        usage: used ?? (end.usage.estimated === true ? end.usage : noUsage), timings: end.timings, joules: null, usdMicros: cost.usdMicros, ...(prepaid === 0 ? {} : { prepaidUsdMicros: prepaid }),
        escalation: ask.escalation, ended: endWord(end),
      })
    }, now)
  }
  return { info: inner.info, generate }
}

function unsent(why: Fault): ModelEvent {
  return { type: 'failed', fault: why, usage: noUsage, timings: noTimings }
}

const noTimings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }

/**
 * What was used, or null when that is not known: the model broke off without a word, its numbers make no sense, or an answer comes without any (its tokens may
 * be guessed then, its price is not). Told without
 * numbers before anything arrived, a failure is a refusal, and a call that was taken back was not sent: both cost nothing. One that was sent and heard nothing
 * at all is not known either: what it thought in silence is billed.
 */
function usageOf({ end, told, arrived }: CallEnd): Usage | null {
  const { promptTokens, reusedTokens, completionTokens, cacheWriteTokens = 0 } = end.usage
  const sane = [promptTokens, reusedTokens, completionTokens, cacheWriteTokens].every((tokens) => Number.isSafeInteger(tokens) && tokens >= 0) && reusedTokens + cacheWriteTokens <= promptTokens
  if (end.type === 'failed' && !arrived && promptTokens > 0 && completionTokens === 0) return null
  if (end.usage.estimated === true) return null
  return told && sane && (promptTokens > 0 || (!arrived && (end.type === 'failed' || end.stop === 'cancelled'))) ? end.usage : null
}

/** The fault of a call that was denied. */
function denialFault({ rule, why, remedy }: Denial, model: string): Fault {
  return rule === 'price' ? fault('unpriced', { model }) : fault('over_budget', { why, remedy })
}
