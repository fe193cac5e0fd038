// Owns how a failure is answered: in the envelope of the dialect that was spoken, with the headers that go with its status.
import { httpOf, type ErrorReply, type Fault } from '@hearth/protocol'
import { openAiError } from './openai/reply.ts'

const retryAfterSeconds = 2

/** The answer for a fault on this path. `param` names the field at fault where the dialect has a place for it. */
export function answer(path: string, cause: Fault, param: string | null = null): Response {
  const reply = path.startsWith('/v1/') ? openAiError(cause, param) : { status: httpOf(cause), body: { error: cause } satisfies ErrorReply }
  const headers: Record<string, string> = {}
  if (reply.status === 401) headers['www-authenticate'] = 'Bearer'
  if (reply.status === 503 || reply.status === 429) headers['retry-after'] = String(retryAfterSeconds)
  // What is left of a body that was too large is not read.
  if (reply.status === 413) headers['connection'] = 'close'
  return Response.json(reply.body, { status: reply.status, headers })
}
