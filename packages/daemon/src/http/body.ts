// Owns reading the body of a request, within a limit. What is in it is parse.ts's business.
import { fault, FaultError } from '@hearth/protocol'
import type { Context } from 'hono'
import type { Env } from './api.ts'

const defaultLimitBytes = 4 * 2 ** 20

/** The body as JSON, at most 4 MiB of it if nothing else is said. Throws FaultError `bad_request` or `body_too_large`. */
export async function bodyOf(c: Context<Env>, limitBytes: number = defaultLimitBytes): Promise<unknown> {
  const parts: Uint8Array[] = []
  let bytes = 0
  // Counted as it comes: a length that a client states proves nothing.
  // Node's own stream where there is one: a web stream around it costs more than the request, and lives until a full collection.
  const body = (c.env?.incoming ?? c.req.raw.body ?? []) as AsyncIterable<Uint8Array>
  for await (const part of body) {
    bytes += part.byteLength
    if (bytes > limitBytes) throw new FaultError(fault('body_too_large', { limitBytes }))
    parts.push(part)
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'))
  } catch (error) {
    throw new FaultError(fault('bad_request', { where: 'the body', problem: `it is not JSON (${error instanceof Error ? error.message : String(error)})` }))
  }
}
