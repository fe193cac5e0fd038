// Owns the step from outside data to our words: a value, or the fault `bad_request` with the field's path.
import { fault, FaultError } from '@hearth/protocol'
import type { z } from 'zod'

/** The parsed value, or FaultError `bad_request` for the first thing that is wrong. `what` names the whole, e.g. 'the job'. */
export function parse<S extends z.ZodType>(schema: S, value: unknown, what: string): z.output<S> {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const { where, problem } = firstIssue(result.error)
  throw new FaultError(fault('bad_request', { where: where ?? what, problem }))
}

/** The first thing that is wrong: the field's path (null = the whole), and a sentence's end. */
export function firstIssue({ issues: [issue] }: z.ZodError): { where: string | null; problem: string } {
  const where = issue === undefined ? [] : issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] ?? ''] : issue.path
  const problem = issue === undefined ? 'it has the wrong shape' : issue.code === 'unrecognized_keys' ? 'there is no such field' : lower(issue.message)
  return { where: where.length === 0 ? null : where.join('.'), problem }
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1).replace(/\.$/, '')
}
