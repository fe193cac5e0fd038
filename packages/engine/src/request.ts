// Owns the check of a ModelRequest before a model hears of it: schema and ranges, turned into the fault that names the field.
import { fault, ModelRequest, type Fault } from '@hearth/protocol'
import type { z } from 'zod'

/** The request with its defaults filled in, or `bad_sampling` / `bad_request` with the first field that is wrong. */
export function checkRequest(request: unknown): { ok: true; request: ModelRequest } | { ok: false; fault: Fault } {
  const parsed = ModelRequest.safeParse(request)
  if (parsed.success) return { ok: true, request: parsed.data }
  const issue = parsed.error.issues[0]
  if (issue === undefined) return { ok: false, fault: fault('internal', { problem: 'a request was refused without a reason' }) }
  const [top, field] = issue.path
  if (top === 'sampling' && field !== undefined) {
    return { ok: false, fault: fault('bad_sampling', { field: String(field), value: valueAt(request, issue.path), allowed: allowed(issue) }) }
  }
  return { ok: false, fault: fault('bad_request', { where: issue.path.join('.') || 'the top', problem: issue.message }) }
}

function valueAt(request: unknown, path: readonly PropertyKey[]): string {
  let value = request
  for (const key of path) value = typeof value === 'object' && value !== null ? (value as Record<PropertyKey, unknown>)[key] : undefined
  return String(value)
}

function allowed(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'too_small': return `a number ${issue.inclusive === false ? 'over' : 'of at least'} ${issue.minimum}`
    case 'too_big': return `a number ${issue.inclusive === false ? 'under' : 'of at most'} ${issue.maximum}`
    case 'unrecognized_keys': return 'the documented sampling fields only'
    default: return issue.code === 'invalid_type' && issue.expected === 'int' ? 'a whole number' : 'a number in its documented range'
  }
}
