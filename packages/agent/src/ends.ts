// Owns how a run may end: the few shapes of AgentEnd and what an abort means. Decides nothing about the work itself.
import { abortEnd, type AbortCause, type AgentEnd } from '@hearth/protocol'

/** At shutdown a running tool has this long to end by itself; then its outcome is unknown. The daemon itself waits 20 s. */
const suspendGraceMs = 12_000

export function ended(outcome: 'resolved' | 'done_unverified' | 'check_failed', summary: string | null): AgentEnd {
  const verified = outcome === 'resolved' ? true : outcome === 'check_failed' ? false : null
  return { type: 'ended', outcome, verified, summary, fault: null }
}

/** The end that an aborted signal asks for; null when it is not aborted. */
export function aborted(signal: AbortSignal): AgentEnd | null {
  return signal.aborted ? abortEnd(signal.reason as AbortCause) : null
}

/** Follows `signal` at once for a cancel or a timeout, and after a grace for a suspension: tools may end by themselves. */
export function patientSignal(signal: AbortSignal): AbortSignal {
  const own = new AbortController()
  const follow = (): void => {
    const cause = signal.reason as AbortCause
    if (cause.kind === 'suspend') setTimeout(() => own.abort(cause), suspendGraceMs).unref()
    else own.abort(cause)
  }
  if (signal.aborted) follow()
  else signal.addEventListener('abort', follow, { once: true })
  return own.signal
}
