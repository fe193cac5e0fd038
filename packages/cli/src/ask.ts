// Owns quick questions to the daemon: those that must be answered soon, so that a stopped daemon is told and not waited for.
import type { Client } from '@hearth/protocol/client'

const patienceMs = 10_000

/** GET with a time limit. Throws FaultError, `daemon_unreachable` when it passes. */
export function ask<T>(client: Client, path: string, withinMs: number = patienceMs): Promise<T> {
  return client.call<T>('GET', path, undefined, AbortSignal.timeout(withinMs))
}
