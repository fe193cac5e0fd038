// Owns the choice between the kinds of limits: the strongest that this box has. Each kind is a file of its own.
import type { Limiter, LimiterOptions } from './limiter.ts'
import { findCgroup1 } from './limits-cgroup1.ts'
import { findCgroup2 } from './limits-cgroup2.ts'
import { weakLimits } from './limits-weak.ts'

/** The strongest kind this box has, or why there is none (the reasons of each kind, in one clause). */
export async function findLimiter(options: LimiterOptions): Promise<Limiter | { why: string }> {
  const reasons: string[] = []
  for (const find of [findCgroup2, findCgroup1]) {
    const found = await find(options)
    if ('open' in found) return found
    reasons.push(found.why)
  }
  if (options.config.limits === 'weak') return weakLimits()
  return { why: reasons.join('; ') }
}
