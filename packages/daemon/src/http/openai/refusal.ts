// Owns how a wrong field of an OpenAI request is named: our fault, and the path of the field as their `param`. Pure.
import { fault, type Fault } from '@hearth/protocol'
import type { z } from 'zod'

export type Refusal = { ok: false; fault: Fault; param: string | null }

/** Their name of a sampling value -> ours. */
export const samplingFields = { temperature: 'temperature', top_p: 'topP', top_k: 'topK', min_p: 'minP', repeat_penalty: 'repeatPenalty' } as const

export function refuse(param: string | null, problem: string): Refusal {
  return { ok: false, fault: fault('bad_request', { where: param ?? 'the body', problem }), param }
}

/** The first thing wrong of a schema's verdict; `under` stands before its path. */
export function refusalOf(issue: z.core.$ZodIssue | undefined, value: unknown, under = ''): Refusal {
  if (issue === undefined) return refuse(null, 'it has the wrong shape')
  const path = issue.path.reduce<string>((text, part) => (typeof part === 'number' ? `${text}[${part}]` : text === '' ? String(part) : `${text}.${String(part)}`), under)
  if (issue.code === 'unrecognized_keys') {
    const param = [path, issue.keys[0] ?? ''].filter((part) => part !== '').join('.')
    return refuse(param, 'there is no such field, or it is not supported')
  }
  if (path in samplingFields && issue.code !== 'invalid_type') {
    const given = (value as Record<string, unknown>)[path]
    return { ok: false, param: path, fault: fault('bad_sampling', { field: path, value: String(given), allowed: rangeOf(issue) }) }
  }
  return refuse(path === '' ? null : path, issue.message.charAt(0).toLowerCase() + issue.message.slice(1).replace(/\.$/, ''))
}

function rangeOf(issue: z.core.$ZodIssue): string {
  if (issue.code === 'too_small') return `a number ${issue.inclusive === false ? 'over' : 'of at least'} ${issue.minimum}`
  if (issue.code === 'too_big') return `a number of at most ${issue.maximum}`
  return 'a number in its documented range'
}
