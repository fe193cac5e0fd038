// Owns what is left: of every limit of the box, its projects, keys and one job, of packages and of paid throughput. Only reads.
import type { BudgetReply, BudgetRow, Config, Job, Package, ProjectEntry } from '@hearth/protocol'
import type { Query } from '../store/db.ts'
import { anyOf, bookedAt, escalationsSince, monthStart, periods, throughputOf, within } from '../store/money-rows.ts'
import { drawnFrom } from '../store/package-rows.ts'
import { moneyFrom, number, usd } from '../store/rows.ts'
import type { Store } from '../store/store.ts'
import { dayOf } from './amounts.ts'
import type { Limit } from './ask.ts'
import { packageRow, paceSince } from './packages.ts'
import { limitsOf, worthOf } from './purse.ts'
import { worthWords } from './worth.ts'

/** `job`: whose own limits are told too; null = only the box, its projects and its keys. */
export function whatIsLeft(store: Store, config: Config['escalation'], job: Job | null, projectOf: (path: string) => ProjectEntry | null, now: number): BudgetReply {
  const { query } = store.read
  const at = bookedAt(query, now)
  const project = job === null ? null : projectOf(job.project.path)
  const all: Limit[] = job === null
    ? [
      ...limitsOf(store, config, { id: '' }, null, null), ...store.read.projects().map((one): Limit => ({ scope: 'project', id: one.id, budget: one.rules.budget })),
      ...store.read.keys().flatMap((key): Limit[] => (key.budget == null || key.revokedAt !== null ? [] : [{ scope: 'principal', id: `key:${key.id}`, budget: key.budget }])),
    ]
    : limitsOf(store, config, job.principal, project === null ? null : { id: project.id, budget: project.rules.budget }, job.id)
  const worth = job === null ? null : worthOf(store, config, job.id, now)
  const sums = (sql: string, ...values: (string | number)[]): { count: number; usdMicros: number } => {
    const [row] = query(`SELECT count(*) AS n, sum(${usd}) AS usd FROM ${moneyFrom} WHERE ${sql}`, ...values)
    return { count: number(row ?? {}, 'n'), usdMicros: number(row ?? {}, 'usd') }
  }
  return {
    day: dayOf(at), clockBack: dayOf(now) < dayOf(at), rows: all.flatMap((limit) => rowsOf(query, limit, at, job?.id ?? null)),
    ...(worth === null ? {} : { worth: worthWords(worth) }),
    reserved: config.reserved.flatMap(({ principals, dayUsdMicros, monthUsdMicros }) => {
      const spent = periods(query, anyOf, JSON.stringify(principals), at)
      const kept = (period: 'day' | 'month', usdMicros: number, used: number): BudgetReply['reserved'] => (usdMicros === 0 ? [] : [{ principals, period, usdMicros, left: Math.max(0, usdMicros - used) }])
      return [...kept('day', dayUsdMicros, spent.dayUsdMicros), ...kept('month', monthUsdMicros, spent.monthUsdMicros)]
    }),
    packages: config.packages.map((one) => {
      const drawnSoFar = drawnFrom(query, one, paceSince(at))
      return packageRow(one, dayOf(at) < one.boughtAt ? { ...drawnSoFar, wouldHave: coverable(query, config, one, at) } : drawnSoFar, at)
    }),
    throughput: config.providers.flatMap(({ id, tokensPerMinute }) => (tokensPerMinute === null ? [] : [{ provider: id, tokensPerMinute, used: [...throughputOf(query, id, at).values()].reduce((sum, tokens) => sum + tokens, 0) }])),
    open: sums('s.reservation IS NULL'),
    charged: sums("s.how = 'charged' AND r.day >= substr(?, 1, 7)", dayOf(at)),
  }
}

/** Of what was bought for new money in the days of the pace: tokens and money that a package would have covered. */
function coverable(query: Query, { providers }: Config['escalation'], { provider, models, principals }: Package, at: number): { tokens: number; usdMicros: number } {
  const sold = models ?? providers.flatMap((one) => (one.id === provider ? one.models.map(({ id }) => id) : []))
  const [row] = query(`SELECT sum(prompt_tokens + completion_tokens) AS tokens, sum(usd_micros) AS usd FROM ledger WHERE escalation IS NOT NULL AND usd_micros > 0 AND at >= ?1
    AND model IN (SELECT value FROM json_each(?2)) AND (?3 IS NULL OR principal IN (SELECT value FROM json_each(?3)))`, paceSince(at), JSON.stringify(sold), principals === null ? null : JSON.stringify(principals))
  return { tokens: number(row ?? {}, 'tokens'), usdMicros: number(row ?? {}, 'usd') }
}

function rowsOf(query: Query, { scope, id, budget }: Limit, at: number, jobId: string | null): BudgetRow[] {
  const money = periods(query, within[scope], id, at)
  const [job] = jobId === null ? [] : query(`SELECT sum(${usd}) AS usd, sum(${usd}) FILTER (WHERE s.reservation IS NULL) AS held, count(DISTINCT r.escalation) AS n FROM ${moneyFrom} WHERE r.job_id = ?`, jobId)
  const row = (period: BudgetRow['period'], unit: BudgetRow['unit'], limit: number | null, spent: number, held: number): BudgetRow[] =>
    (limit === null ? [] : [{ scope, id, period, unit, limit, spent, held, left: Math.max(0, limit - spent) }])
  return [
    ...(job === undefined ? [] : [
      ...row('job', 'usdMicros', budget.jobUsdMicros, number(job, 'usd'), number(job, 'held')),
      ...row('job', 'escalations', budget.jobCount, number(job, 'n'), 0),
    ]),
    ...row('day', 'usdMicros', budget.dayUsdMicros, money.dayUsdMicros, money.heldDay),
    ...row('day', 'escalations', budget.dayCount, escalationsSince(query, { scope, id }, dayOf(at), at), 0),
    ...row('month', 'usdMicros', budget.monthUsdMicros, money.monthUsdMicros, money.heldMonth),
    ...row('month', 'escalations', budget.monthCount ?? null, escalationsSince(query, { scope, id }, monthStart(at), at), 0),
  ]
}
