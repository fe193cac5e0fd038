// Owns the queries of the meter about jobs: which are asked for, those that are over and what they cost, what was bought for them and what came of it.
// Runs on a thread of its own (meter/usage-thread.ts) and so imports no schema. Derives nothing and keeps nothing.
import { dayMs, dayOf } from '../meter/amounts.ts'
import { wholeJob } from '../meter/ask.ts'
import type { Query } from './db.ts'
import { unusualCalls } from './migrations.ts'
import { checkedJob, number, numberOrNull, text } from './rows.ts'

export type UsageAsk = {
  /** Of the ledger's rows; `until` is the first moment after them. null = no bound. */
  since: number | null
  until: number | null
  /** A grouping of protocol/usage.ts. */
  by: string
  job: string | null
  principal: string | null
  tag: readonly [key: string, value: string] | null
  /** Rows at most, of groupings that can have very many. */
  limit: number
  now: number
}

/** Jobs that ended in this time. Money: all that they cost, whenever it was spent. */
export type EndedJobs = {
  outcomes: { state: string; checked: boolean; jobs: number; usdMicros: number; prepaidUsdMicros: number }[]
  /** Those with a check, by the UTC day of their end. */
  days: Map<string, { checked: number; resolved: number; usdMicros: number }>
  principals: Map<string, { jobs: number; checked: number; resolved: number }>
}

/** `mode` null: nothing came back; it was denied, cancelled or cut off on the way. `effect` null: not told yet. */
export type Escalation = {
  job: string; id: string; at: number; mode: string | null; model: string; effect: 'cleared' | 'same' | 'worse' | null; outcome: string; usdMicros: number; prepaidUsdMicros: number
}
export type EscalationSums = Pick<Escalation, 'mode' | 'model' | 'effect' | 'usdMicros' | 'prepaidUsdMicros'> & { resolved: boolean; count: number }

// Every call that costs money is bought for something (meter/paid.ts); these words are those of the index.
const bought = 'escalation IS NOT NULL'

// Played up to where help would be asked for, and gone on with by others (eval/forks.ts): nobody gave it up.
const onlyCourse = "(state = 'cancelled' AND coalesce(json_extract(request, '$.escalation.untilTrigger'), 0))"

/** Fills the table `picked` with the jobs that are asked for; false = all are, and calls without a job too. */
export function pickJobs(query: Query, exec: (sql: string) => void, { job, tag }: UsageAsk): boolean {
  if (job === null && tag === null) return false
  exec('CREATE TEMP TABLE picked (id TEXT PRIMARY KEY) WITHOUT ROWID')
  query(`INSERT INTO picked SELECT id FROM jobs WHERE (?1 IS NULL OR id = ?1)
    AND (?2 IS NULL OR EXISTS (SELECT 1 FROM json_each(request, '$.tags') AS tag WHERE tag.key = ?2 AND tag.value = ?3))`, job, tag?.[0] ?? null, tag?.[1] ?? null)
  return true
}

/** Further clauses: only jobs that were picked, and of the principal at this place among the values. `id` names the column. */
export function jobsWhere({ principal }: UsageAsk, picked: boolean, id: string, place: string): string {
  return [...(picked ? [`${id} IN (SELECT id FROM picked)`] : []), ...(principal === null ? [] : [`${id} IN (SELECT id FROM jobs WHERE principal_id = ${place})`])].map((clause) => ` AND ${clause}`).join('')
}

/** And how many were begun before its end and are not over. */
export function endedJobs(query: Query, ask: UsageAsk, picked: boolean, from: number, to: number): { ended: EndedJobs; open: number } {
  const who = ask.principal === null ? [] : [ask.principal]
  const rows = query(`SELECT ended_at / ${dayMs} AS day, state, ${checkedJob} AS checked, principal_id, count(*) AS n, coalesce(sum(usd), 0) AS usd, coalesce(sum(prepaid), 0) AS prepaid
    FROM jobs LEFT JOIN (SELECT job_id, sum(usd_micros) AS usd, sum(prepaid_usd_micros) AS prepaid FROM ledger WHERE ${bought} GROUP BY job_id) ON job_id = jobs.id
    WHERE ended_at >= ?1 AND ended_at < ?2 AND NOT ${onlyCourse}${jobsWhere(ask, picked, 'jobs.id', '?3')} GROUP BY 1, 2, 3, 4`, from, to, ...who)
  const [open] = query(`SELECT count(*) AS n FROM jobs WHERE ended_at IS NULL AND created_at < ?1${jobsWhere(ask, picked, 'jobs.id', '?2')}`, to, ...who)
  const outcomes = new Map<string, EndedJobs['outcomes'][number]>()
  const ended: EndedJobs = { outcomes: [], days: new Map(), principals: new Map() }
  for (const row of rows) {
    const [state, jobs, usdMicros, prepaidUsdMicros] = [text(row, 'state'), number(row, 'n'), number(row, 'usd'), number(row, 'prepaid')]
    const checked = number(row, 'checked') === 1
    const resolved = state === 'resolved' ? jobs : 0
    const outcome = entry(outcomes, `${state} ${checked}`, () => ({ state, checked, jobs: 0, usdMicros: 0, prepaidUsdMicros: 0 }))
    outcome.jobs += jobs
    outcome.usdMicros += usdMicros
    outcome.prepaidUsdMicros += prepaidUsdMicros
    const person = entry(ended.principals, text(row, 'principal_id'), () => ({ jobs: 0, checked: 0, resolved: 0 }))
    person.jobs += jobs
    person.checked += checked ? jobs : 0
    person.resolved += resolved
    if (!checked) continue
    const day = entry(ended.days, dayOf(number(row, 'day') * dayMs), () => ({ checked: 0, resolved: 0, usdMicros: 0 }))
    day.checked += jobs
    day.resolved += resolved
    day.usdMicros += usdMicros
  }
  return { ended: { ...ended, outcomes: [...outcomes.values()] }, open: number(open ?? {}, 'n') }
}

function entry<V>(map: Map<string, V>, key: string, make: () => V): V {
  const value = map.get(key) ?? make()
  map.set(key, value)
  return value
}

const newestEscalations = 100

/** Escalations of jobs that came back in this time, or that only cost something. What a job buys whose own model is sold is none. */
export function escalations(query: Query, ask: UsageAsk, picked: boolean, from: number, to: number): { sums: EscalationSums[]; newest: Escalation[] } {
  const where = (words: string): string => `JOIN jobs ON jobs.id = one.job_id WHERE ${words}${jobsWhere(ask, picked, 'jobs.id', '?1')}`
  const who = ask.principal === null ? [] : [ask.principal]
  const found = new Map<string, Escalation>()
  const effects = new Map(query(`SELECT one.job_id AS job, json_extract(body, '$.id') AS id, json_extract(body, '$.effect') AS effect FROM events AS one ${where("type = 'effect'")}`, ...who)
    .map((row) => [`${text(row, 'job')} ${text(row, 'id')}`, text(row, 'effect') as Escalation['effect']]))
  for (const row of query(`SELECT one.job_id AS job, json_extract(body, '$.id') AS id, at, json_extract(body, '$.mode') AS mode, json_extract(body, '$.model') AS model, state
    FROM events AS one ${where("type = 'handed_back'")}`, ...who)) {
    const key = `${text(row, 'job')} ${text(row, 'id')}`
    found.set(key, { job: text(row, 'job'), id: text(row, 'id'), at: number(row, 'at'), mode: text(row, 'mode'), model: text(row, 'model'), effect: effects.get(key) ?? null, outcome: text(row, 'state'), usdMicros: 0, prepaidUsdMicros: 0 })
  }
  for (const row of query(`SELECT one.job_id AS job, escalation AS id, max(at) AS at, one.model AS model, sum(usd_micros) AS usd, sum(prepaid_usd_micros) AS prepaid, state
    FROM ledger AS one ${where(`${bought} AND escalation <> '${wholeJob}'`)} GROUP BY 1, 2`, ...who)) {
    const key = `${text(row, 'job')} ${text(row, 'id')}`
    const known = found.get(key) ?? { job: text(row, 'job'), id: text(row, 'id'), at: number(row, 'at'), mode: null, model: text(row, 'model'), effect: null, outcome: text(row, 'state') }
    found.set(key, { ...known, usdMicros: number(row, 'usd'), prepaidUsdMicros: number(row, 'prepaid') })
  }
  const sums = new Map<string, EscalationSums>()
  const within = [...found.values()].filter(({ at }) => at >= from && at < to)
  for (const { mode, model, effect, outcome, usdMicros, prepaidUsdMicros } of within) {
    const resolved = outcome === 'resolved'
    const sum = entry(sums, `${mode} ${effect} ${resolved} ${model}`, () => ({ mode, model, effect, resolved, count: 0, usdMicros: 0, prepaidUsdMicros: 0 }))
    sum.count += 1
    sum.usdMicros += usdMicros
    sum.prepaidUsdMicros += prepaidUsdMicros
  }
  return { sums: [...sums.values()], newest: within.toSorted((a, b) => b.at - a.at || (a.job < b.job ? -1 : 1)).slice(0, newestEscalations) }
}

/** Money of the whole box in this month and in the last 7 days, and its first purchase. */
export function burnOf(query: Query, now: number): { month: number; week: number; firstAt: number | null } {
  const month = Date.parse(`${dayOf(now).slice(0, 7)}-01`)
  // The sign keeps SQLite from the index of all times: what was bought is little.
  const [row] = query(`SELECT sum(usd_micros) FILTER (WHERE at >= ?1) AS month, sum(usd_micros) FILTER (WHERE at >= ?2) AS week, min(at) FILTER (WHERE usd_micros > 0) AS first
    FROM ledger WHERE ${bought} AND +at <= ?3`, month, now - 7 * dayMs, now)
  return { month: number(row ?? {}, 'month'), week: number(row ?? {}, 'week'), firstAt: numberOrNull(row ?? {}, 'first') }
}

/** Tool calls that were mended before they ran, and those that did not run, by the model of their job. `jobs` is a clause on events.job_id. */
export function unusualByModel(query: Query, from: number, to: number, jobs: string, ...values: string[]): { model: string; mended: number; refused: number }[] {
  // The end of a job that is refused is an answer to the model, not to its call. What a job took over from another one stands at its beginning, and was counted there.
  return query(`SELECT jobs.model AS model, count(*) FILTER (WHERE type = 'call_repaired') AS mended, count(*) FILTER (WHERE type <> 'call_repaired') AS refused
    FROM events JOIN jobs ON jobs.id = events.job_id WHERE ${unusualCalls} AND (type <> 'tool_result' OR json_extract(body, '$.name') <> 'finish') AND at >= ?1 AND at < ?2 AND at > jobs.created_at AND ${jobs} GROUP BY jobs.model`, from, to, ...values)
    .map((row) => ({ model: text(row, 'model'), mended: number(row, 'mended'), refused: number(row, 'refused') }))
}
