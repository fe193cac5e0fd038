// Owns the check of a request before any engine hears of it: the schema of the port, with the cause named. Pure.
import { fault, ModelRequest, type Fault } from '@hearth/protocol'

const allowed: Record<string, string> = {
  temperature: 'a number from 0 to 5', topK: 'a whole number from 0 to 1000', topP: 'a number above 0 and up to 1', minP: 'a number from 0 to 1',
  repeatPenalty: 'a number from 0.5 to 2', seed: 'a whole number from 0 to 4294967295, or null',
}

/** The request with its defaults, or `bad_sampling` / `bad_request` for the first thing wrong with it. */
export function checkRequest(input: unknown): { request: ModelRequest } | { fault: Fault } {
  const parsed = ModelRequest.safeParse(input)
  if (parsed.success) return { request: parsed.data }
  const issue = parsed.error.issues[0]
  const [first, field] = issue?.path ?? []
  if (first === 'sampling' && typeof field === 'string') {
    const value = (input as { sampling: Record<string, unknown> }).sampling[field]
    return { fault: fault('bad_sampling', { field, value: String(value), allowed: allowed[field] ?? 'only the documented fields' }) }
  }
  const where = issue === undefined || issue.path.length === 0 ? 'its top level' : issue.path.join('.')
  return { fault: fault('bad_request', { where, problem: issue?.message ?? 'it is not a model request' }) }
}
