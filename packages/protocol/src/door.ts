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
