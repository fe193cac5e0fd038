// What the tests of call repair share: tools of their own, so that a change of a real tool changes no expectation, and one call of the whole repair.
import { mend, type Malformed, type Mended, type MendInput } from '../../packages/agent/src/repair/mend.ts'
import type { Fitting } from '../../packages/agent/src/repair/fit.ts'
import { z } from 'zod'

const path = z.string().min(1)
export const tools: readonly Fitting[] = [
  { name: 'bash', parameters: z.strictObject({ command: z.string().min(1) }) },
  { name: 'edit', parameters: z.strictObject({ path, old: z.string().min(1), new: z.string() }) },
  { name: 'finish', parameters: z.strictObject({ answer: z.string() }) },
  { name: 'glob', parameters: z.strictObject({ pattern: z.string().min(1) }) },
  { name: 'grep', parameters: z.strictObject({ pattern: z.string().min(1), path: path.optional(), include: z.string().optional() }) },
  { name: 'plan', parameters: z.strictObject({ items: z.array(z.string()), mode: z.enum(['set', 'append']).optional() }) },
  { name: 'read', parameters: z.strictObject({ path, offset: z.int().min(1).optional(), limit: z.int().min(1).optional(), all: z.boolean().optional() }) },
  { name: 'rework', parameters: z.strictObject({ path, edits: z.array(z.strictObject({ old: z.string(), new: z.string() })) }) },
  { name: 'write', parameters: z.strictObject({ path, content: z.string() }) },
]

export type Told = { calls: { name: string; arguments: Record<string, unknown> }[] } | { problem: string } | { words: true }

export function mended(text: string, more: { cut?: boolean; mode?: 'json' | 'native'; read?: string[]; malformed?: Malformed[]; problem?: string } = {}): Mended {
  const malformed = more.malformed ?? []
  let count = 0
  const input: MendInput = {
    answer: { text, calls: [], malformed: malformed[0] ?? null, cut: more.cut ?? false }, malformed,
    understood: more.problem === undefined ? { type: 'said' } : { type: 'malformed', problem: more.problem },
    tools, mode: more.mode ?? 'native', read: () => more.read ?? [], id: () => `c${(count += 1)}`,
  }
  return mend(input)
}

/** What came of it, without ids and repairs. */
export function told(text: string, more: Parameters<typeof mended>[1] = {}): Told {
  const { understood } = mended(text, more)
  if (understood.type === 'calls') return { calls: understood.calls.map((call) => ({ name: call.name, arguments: call.arguments })) }
  return understood.type === 'malformed' ? { problem: understood.problem } : { words: true }
}
