// Owns following a job's numbered events over a connection that may break: resumes by number, without a gap or a double. Prints nothing.
import type { Client } from '@hearth/protocol/client'
import { FaultError } from '@hearth/protocol/fault'
import type { JobEvent } from '@hearth/protocol'
import { setTimeout as sleep } from 'node:timers/promises'

export type Lost = { type: 'lost'; seq: number }

/** A daemon that restarts is back within this; systemd waits 100 ms, a recovery reads rows. */
const patienceMs = 5000
const retryMs = 200

/**
 * Events after number `after`, until `ended` or until the signal aborts. A broken connection is mended for five seconds; each break
 * yields one `lost`. Throws FaultError when the daemon stays away or refuses.
 */
export async function* follow(client: Client, jobId: string, after: number, signal: AbortSignal): AsyncGenerator<JobEvent | Lost> {
  let seq = after
  let brokenAt: number | null = null
  for (;;) {
    try {
      const path = `/api/jobs/${encodeURIComponent(jobId)}/events?after=${seq}&follow=1`
      for await (const event of client.stream<JobEvent>('GET', path, undefined, signal)) {
        brokenAt = null
        if (event.seq <= seq) continue
        seq = event.seq
        yield event
        if (event.type === 'ended') return
      }
      if (signal.aborted) return
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof FaultError) || error.fault.code !== 'daemon_unreachable') throw error
      if (brokenAt !== null && Date.now() - brokenAt > patienceMs) throw error
    }
    if (brokenAt === null) {
      brokenAt = Date.now()
      yield { type: 'lost', seq }
    } else if (Date.now() - brokenAt > patienceMs) {
      // The connection opens and closes again without an event: ask once more for the daemon's own words.
      await client.call('GET', `/api/jobs/${encodeURIComponent(jobId)}`)
    }
    await sleep(retryMs, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return
  }
}

/** The stored events after a number, without waiting for more. */
export function stored(client: Client, jobId: string, after: number): AsyncGenerator<JobEvent> {
  return client.stream<JobEvent>('GET', `/api/jobs/${encodeURIComponent(jobId)}/events?after=${after}&follow=0`)
}
