// Owns what the forks of an evaluation say: how often help would be asked for, whether it was needed there, and what each arm makes of the very same moments. Pure.
import { evalArms, type EvalRow, type ForkSummary } from '@hearth/protocol'
import { difference, meanOf, pairOf, passRate } from './statistics.ts'

type Forked = EvalRow & { fork: NonNullable<EvalRow['fork']> }

/** Null when nothing was forked. A trigger was needed when the local model alone fails from there, and an arm was useful when it solves such a one. */
export function forksOf(rows: readonly EvalRow[], seed: number): ForkSummary | null {
  const forked = rows.filter((row): row is Forked => row.fork !== undefined)
  // Some arms may have gone on from a course before what was kept of it was removed: it is one that was forked.
  const courses = pairs(forked)
  const unforked = pairs(rows.filter((row) => row.unforked !== undefined && !courses.has(pairOf(row))))
  if (forked.length === 0 && unforked.size === 0) return null
  const moments = forked.filter(({ fork }) => fork.step !== null)
  const local = moments.filter(({ arm }) => arm === 'local')
  const needed = pairs(local.filter(({ solved }) => !solved))
  return {
    courses: courses.size + unforked.size, triggers: pairs(moments).size, unforked: unforked.size,
    needed: forked.some(({ arm }) => arm === 'local') ? needed.size : null, missed: pairs(forked.filter(({ fork, solved }) => fork.step === null && !solved)).size,
    arms: evalArms.flatMap((arm) => {
      const mine = moments.filter((row) => row.arm === arm)
      const [rate, usdMicros, seconds] = [passRate(mine, seed), meanOf(mine, ({ fork }) => fork?.usdMicros ?? null, seed), meanOf(mine, ({ fork }) => fork?.seconds ?? null, seed)]
      if (rate === null || usdMicros === null || seconds === null) return []
      const where = mine.filter((row) => needed.has(pairOf(row)))
      return [{
        arm, triggers: mine.length, passRate: rate, gain: arm === 'local' ? null : difference(mine, local, seed),
        useful: arm === 'local' || where.length === 0 ? null : where.filter(({ solved }) => solved).length / where.length, usdMicros, seconds,
      }]
    }),
  }
}

function pairs(rows: readonly EvalRow[]): Set<string> {
  return new Set(rows.map(pairOf))
}
