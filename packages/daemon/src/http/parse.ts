// Owns the step from outside data to our words: JSON and zod in, a value or the fault `bad_request` with the field's path out.
import { fault, FaultError } from '@hearth/protocol'
import type { Context } from 'hono'
import type { z } from 'zod'
import type { Env } from './api.ts'

const defaultLimitBytes = 4 * 2 ** 20

/** The parsed value, or FaultError `bad_request` for the first thing that is wrong. `what` names the whole, e.g. 'the job'. */
export function parse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const where = issue === undefined ? [] : issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path
  const problem = issue === undefined ? 'it has the wrong shape' : issue.code === 'unrecognized_keys' ? 'there is no such field' : lower(issue.message)
  throw new FaultError(fault('bad_request', { where: where.length === 0 ? what : where.join('.'), problem }))
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '')
}

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
