// Owns the port through which every outbound connection of the daemon and its helpers passes. Each use is one row of the egress table.
import type { EgressEntry } from './ledger.ts'

export type EgressPurpose = EgressEntry['purpose']

export interface Door {
  /**
   * GET with redirects followed; the audit row is on disk before the first byte is sent and holds the request's size.
   * Rejects with FaultError when the row cannot be written; with the network's own error otherwise.
   */
  fetch(url: string, options: { purpose: EgressPurpose; jobId: string | null; headers?: Record<string, string>; signal?: AbortSignal }): Promise<Response>
  /** POST of one body, same promises; a redirect is never followed: its status is the answer. */
  post(url: string, options: { purpose: EgressPurpose; jobId: string | null; headers?: Record<string, string>; body: string; signal?: AbortSignal }): Promise<Response>
  /** Records that a helper program is about to connect by itself; its bytes are unknown (null). */
  helper(purpose: EgressPurpose, host: string, jobId: string | null): Promise<void>
}

/** The same door for who must not be led elsewhere: servers whose answers stream, and addresses that others named. */
export interface PinnedDoor {
  /**
   * One request of any of these methods, with the promises of `post`: a redirect is never followed, its status is the answer. The host is
   * looked up once and the request goes to what was found; it rejects, before anything is recorded or sent, when that is on this box or
   * in its network and `nearHosts` does not name the host. An answer that streams stays open until it ends or the signal aborts.
   */
  request(url: string, options: {
    method: 'GET' | 'POST' | 'DELETE'; purpose: EgressPurpose; jobId: string | null; headers?: Readonly<Record<string, string>>
    body?: string | null; nearHosts: readonly string[]; signal?: AbortSignal
  }): Promise<Response>
}
