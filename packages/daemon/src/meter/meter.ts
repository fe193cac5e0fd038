// Owns billing of what costs no money: a Model around a Model that writes the ledger's entry before it passes the end of a call on. No call goes
// unbilled, whether it was answered, failed, was cancelled or was left in the middle. What costs money is in paid.ts.
import type { LedgerEntry, Model } from '@hearth/protocol'
import { billedCall, endWord, type Account } from './billed.ts'

export type { Account } from './billed.ts'

export type WriteEntry = (entry: Omit<LedgerEntry, 'id'>) => Promise<void>

/** A model whose every call is one ledger entry. When the entry cannot be stored, the call ends `failed` with that cause. */
export function metered(inner: Model, account: Account, write: WriteEntry, now: () => number = Date.now): Model {
  const { principal, jobId } = account
  return {
    info: inner.info,
    generate(request, signal) {
      // What another machine uses is not ours to measure.
      const call = inner.info.place === 'local' ? account.energy?.begin() : undefined
      return billedCall(inner, account, request, signal, async ({ end }) => write({
        at: now(), jobId, step: account.step(), principal: principal.id, origin: principal.origin, model: inner.info.id, place: inner.info.place,
        purpose: request.purpose, usage: end.usage, timings: end.timings, joules: await call?.end() ?? null, usdMicros: 0, ended: endWord(end),
      }), now, call?.heard)
    },
  }
}
