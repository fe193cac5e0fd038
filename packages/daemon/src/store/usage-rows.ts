// Owns the queries of the meter: one pass over the ledger, a day at a time, folded into the sums that are asked for, and the connections beside it.
// Runs on a thread of its own (meter/usage-thread.ts) and so imports no schema. Derives nothing and keeps nothing.
import { dayMs, dayOf } from '../meter/amounts.ts'
import type { Query } from './db.ts'
import { number, numberOrNull, text, type Row } from './rows.ts'
import { burnOf, endedJobs, escalations, jobsWhere, pickJobs, unusualByModel, type EndedJobs, type UsageAsk } from './usage-jobs.ts'

/** Sums of calls. Times in milliseconds, money in micro-dollars. `busyMs`: reading and writing, without the time in a line. */
export type Sums = {
  calls: number; answered: number; promptTokens: number; reusedTokens: number; cacheWriteTokens: number; completionTokens: number; ms: number; busyMs: number
  localCalls: number; measuredCalls: number; joules: number; usdMicros: number; prepaidUsdMicros: number; chargedCalls: number
}

export type Group = { name: string; sums: Sums; bytes: number | null }
/** Calls of one person or program, as one model at one place answered them. */
export type SpenderSums = { principal: string; origin: 'human' | 'automation'; model: string; place: string; sums: Sums }
/** What one UTC day saw. `work`: without benchmarks and canaries. */
export type DaySums = { day: string; all: Sums; local: Sums; work: Readonly<Record<'local' | 'lan' | 'remote', Sums>>; bytes: number }
export type UsageRows = {
  /** First call of those asked for, and of all. */
  firstAt: number | null
  firstEverAt: number | null
  totals: Sums
  bytes: number
  uncounted: number
  groups: Group[]
  leftOut: number
  spenders: SpenderSums[]
  steps: Readonly<Record<'local' | 'lan' | 'remote', number>>
  days: DaySums[]
  ended: EndedJobs
  open: number
  escalations: ReturnType<typeof escalations>
  burn: ReturnType<typeof burnOf>
  unusual: ReturnType<typeof unusualByModel>
  keyNames: Record<string, string>
}

const sumsSql = `count(*) AS calls, count(*) FILTER (WHERE completion_tokens > 0) AS answered, sum(prompt_tokens) AS prompt, sum(reused_tokens) AS reused, sum(cache_write_tokens) AS written,
  sum(completion_tokens) AS completion, sum(total_ms) AS ms, sum(prefill_ms + decode_ms) AS busy, count(*) FILTER (WHERE place = 'local') AS local, count(joules) AS measured, sum(joules) AS joules,
  sum(usd_micros) AS usd, sum(prepaid_usd_micros) AS prepaid, count(*) FILTER (WHERE ended = 'charged') AS charged`
export function noSums(): Sums {
  return { calls: 0, answered: 0, promptTokens: 0, reusedTokens: 0, cacheWriteTokens: 0, completionTokens: 0, ms: 0, busyMs: 0, localCalls: 0, measuredCalls: 0, joules: 0, usdMicros: 0, prepaidUsdMicros: 0, chargedCalls: 0 }
}

function sumsOf(row: Row): Sums {
  return {
    calls: number(row, 'calls'), answered: number(row, 'answered'), promptTokens: number(row, 'prompt'), reusedTokens: number(row, 'reused'), cacheWriteTokens: number(row, 'written'),
    completionTokens: number(row, 'completion'), ms: number(row, 'ms'), busyMs: number(row, 'busy'), localCalls: number(row, 'local'), measuredCalls: number(row, 'measured'),
    joules: number(row, 'joules'), usdMicros: number(row, 'usd'), prepaidUsdMicros: number(row, 'prepaid'), chargedCalls: number(row, 'charged'),
  }
}

/** By name, not in a loop over keys: this runs for each cell of each day. */
export function add(to: Sums, more: Sums): void {
  to.calls += more.calls
  to.answered += more.answered
  to.promptTokens += more.promptTokens
  to.reusedTokens += more.reusedTokens
  to.cacheWriteTokens += more.cacheWriteTokens
  to.completionTokens += more.completionTokens
  to.ms += more.ms
  to.busyMs += more.busyMs
  to.localCalls += more.localCalls
  to.measuredCalls += more.measuredCalls
  to.joules += more.joules
  to.usdMicros += more.usdMicros
  to.prepaidUsdMicros += more.prepaidUsdMicros
  to.chargedCalls += more.chargedCalls
}

/** Sums by a key that is made of what they are counted for. */
function into<K>(map: Map<K, Sums>, key: K, more: Sums): void {
  const sums = map.get(key)
  if (sums === undefined) map.set(key, { ...more })
  else add(sums, more)
}

/** `exec` runs a statement without rows; it makes a temporary table, which is memory of this connection alone. */
export function usageRows(query: Query, exec: (sql: string) => void, ask: UsageAsk): UsageRows {
  const picked = pickJobs(query, exec, ask)
  // Many jobs may have a tag: the sign keeps SQLite from looking up each of them on each day.
  const rowsWhere = [...(picked ? [`${ask.job === null ? '+' : ''}job_id IN (SELECT id FROM picked)`] : []), ...(ask.principal === null ? [] : ['principal = ?3'])].map((clause) => ` AND ${clause}`).join('')
  const bound = (from: number, to: number): (string | number)[] => [from, to, ...(ask.principal === null ? [] : [ask.principal])]
  const from = ask.since ?? 0
  const to = ask.until ?? Number.MAX_SAFE_INTEGER
  const sent = connections(query, ask, picked)

  const groups = new Map<string, Sums>()
  const spenders = new Map<string, SpenderSums>()
  const days: DaySums[] = []
  const totals = noSums()
  const steps = { local: 0, lan: 0, remote: 0 }
  const firstAt = numberOrNull(query(`SELECT min(at) AS at FROM ledger WHERE at >= ?1 AND at < ?2${rowsWhere}`, ...bound(from, to))[0] ?? {}, 'at')
  // A day at a time: each is grouped in a little memory, and no row asks for its day. One GROUP BY of everything is slower; so is a grouping that compares places first.
  const cells = `SELECT principal, model, purpose, place, origin, ${sumsSql} FROM ledger WHERE at >= ?1 AND at < ?2${rowsWhere} GROUP BY 1, 2, 3, 4, 5`
  for (let at = firstAt; at !== null;) {
    const end = (Math.floor(at / dayMs) + 1) * dayMs
    const today: DaySums = { day: dayOf(at), all: noSums(), local: noSums(), work: { local: noSums(), lan: noSums(), remote: noSums() }, bytes: sent.byDay.get(dayOf(at)) ?? 0 }
    for (const row of query(cells, ...bound(at, Math.min(end, to)))) {
      const sums = sumsOf(row)
      const place = text(row, 'place') as keyof DaySums['work']
      const purpose = text(row, 'purpose')
      add(today.all, sums)
      if (place === 'local') add(today.local, sums)
      if (purpose !== 'bench' && purpose !== 'canary') add(today.work[place], sums)
      if (purpose === 'agent' || purpose === 'step' || purpose === 'rest') steps[place] += sums.answered
      const key = `${text(row, 'principal')}\0${text(row, 'origin')}\0${text(row, 'model')}\0${place}`
      const spender = spenders.get(key)
      if (spender === undefined) spenders.set(key, { principal: text(row, 'principal'), origin: text(row, 'origin') as SpenderSums['origin'], model: text(row, 'model'), place, sums: { ...sums } })
      else add(spender.sums, sums)
      const name = groupOf(ask.by, today.day, row)
      if (name !== null) into(groups, name, sums)
    }
    add(totals, today.all)
    days.push(today)
    at = numberOrNull(query(`SELECT min(at) AS at FROM ledger WHERE at >= ?1 AND at < ?2${rowsWhere}`, ...bound(end, to))[0] ?? {}, 'at')
  }
  // Of all times the rows come job by job out of their index, and nothing is sorted.
  const allTimes = ask.since === null && ask.until === null ? '+' : ''
  const ofJobs = jobGrouping(ask.by) ? groupJobs(query, ask, `SELECT job_id, ${sumsSql} FROM ledger WHERE ${allTimes}at >= ?1 AND ${allTimes}at < ?2${rowsWhere} GROUP BY job_id`, bound(from, to), sent.byJob) : null
  // A day without a call may have fetched a model.
  if (sent.byName !== null) for (const name of sent.byName.keys()) into(groups, name, noSums())
  const all = ofJobs ?? [...groups].map(([name, sums]): Group => ({ name, sums, bytes: sent.byName === null ? null : sent.byName.get(name) ?? 0 }))
  const cut = ofJobs !== null && ask.by !== 'project' ? all.toSorted(dearestFirst).slice(0, ask.limit) : all
  return {
    firstAt, firstEverAt: numberOrNull(query('SELECT min(at) AS at FROM ledger')[0] ?? {}, 'at'), totals, bytes: sent.bytes, uncounted: sent.uncounted, groups: cut, leftOut: all.length - cut.length, spenders: [...spenders.values()], steps, days,
    ...endedJobs(query, ask, picked, from, to), escalations: escalations(query, ask, picked, from, to), burn: burnOf(query, ask.now),
    unusual: unusualByModel(query, from, to, `1${jobsWhere(ask, picked, 'jobs.id', '?3')}`, ...(ask.principal === null ? [] : [ask.principal])),
    keyNames: Object.fromEntries(query('SELECT id, name FROM keys').map((row) => [`key:${text(row, 'id')}`, text(row, 'name')])),
  }
}

/** Dearest first, then most tokens, then by name. */
export function dearestFirst(a: Group, b: Group): number {
  const money = ({ sums }: Group): number => sums.usdMicros + sums.prepaidUsdMicros
  const tokens = ({ sums }: Group): number => sums.promptTokens + sums.completionTokens
  return money(b) - money(a) || tokens(b) - tokens(a) || (a.name < b.name ? -1 : 1)
}

/** The group of a cell; null = of none, or it is grouped by its job. */
function groupOf(by: string, day: string, row: Row): string | null {
  switch (by) {
    case 'day': return day
    case 'month': return day.slice(0, 7)
    case 'person': return text(row, 'origin') === 'human' ? text(row, 'principal') : null
    case 'automation': return text(row, 'origin') === 'automation' ? text(row, 'principal') : null
    case 'principal': case 'model': case 'place': case 'purpose': return text(row, by)
    default: return null
  }
}

function jobGrouping(by: string): boolean {
  return by === 'job' || by === 'project' || by.startsWith('tag:')
}

function groupJobs(query: Query, { by }: UsageAsk, sql: string, values: readonly (string | number)[], bytes: ReadonlyMap<string, number>): Group[] {
  const key = by === 'job' ? 'id' : by === 'project' ? 'workspace' : "(SELECT value FROM json_each(request, '$.tags') WHERE key = ?1)"
  const names = new Map(by === 'job' ? [] : query(`SELECT id, ${key} AS name FROM jobs`, ...(by === 'project' ? [] : [by.slice('tag:'.length)])).map((row) => [text(row, 'id'), row['name'] === null ? '' : text(row, 'name')]))
  const groups = new Map<string, Group>()
  const group = (job: string): Group => {
    const name = by === 'job' ? job : names.get(job) ?? ''
    const found = groups.get(name) ?? { name, sums: noSums(), bytes: 0 }
    groups.set(name, found)
    return found
  }
  for (const row of query(sql, ...values)) add(group(row['job_id'] === null ? '' : text(row, 'job_id')).sums, sumsOf(row))
  for (const [job, sent] of bytes) {
    const found = group(job)
    found.bytes = (found.bytes ?? 0) + sent
  }
  return [...groups.values()]
}

/** `byName`: by the names of the grouping; null = connections cannot be told apart so. */
type Sent = { bytes: number; uncounted: number; byDay: Map<string, number>; byJob: Map<string, number>; byName: Map<string, number> | null }

/** Bytes of connections; a connection without a job belongs to the totals, its day and the group of no job. */
function connections(query: Query, ask: UsageAsk, picked: boolean): Sent {
  const values = [ask.since ?? 0, ask.until ?? Number.MAX_SAFE_INTEGER, ...(ask.principal === null ? [] : [ask.principal])]
  const where = `at >= ?1 AND at < ?2${jobsWhere(ask, picked, 'job_id', '?3')}`
  const sums = (key: string, from: string, more: string): Map<string, number> => {
    const found = new Map<string, number>()
    for (const row of query(`SELECT ${key} AS name, coalesce(sum(coalesce(bytes, least)), 0) AS bytes FROM ${from} WHERE ${where}${more} GROUP BY 1`, ...values)) found.set(text(row, 'name'), number(row, 'bytes'))
    return found
  }
  const byDay = new Map([...sums(`at / ${dayMs}`, 'egress', '')].map(([day, bytes]) => [dayOf(Number(day) * dayMs), bytes]))
  const [open] = query(`SELECT count(*) FILTER (WHERE bytes IS NULL OR cut = 1) AS n FROM egress WHERE ${where}`, ...values)
  const ofPeople = (origin: string): Map<string, number> => sums('principal_id', 'egress JOIN jobs ON jobs.id = egress.job_id', origin === '' ? '' : ` AND json_extract(principal, '$.origin') = '${origin}'`)
  const named = (): Sent['byName'] => {
    switch (ask.by) {
      case 'day': return byDay
      case 'month': return [...byDay].reduce((months, [day, bytes]) => months.set(day.slice(0, 7), (months.get(day.slice(0, 7)) ?? 0) + bytes), new Map<string, number>())
      case 'person': return ofPeople('human')
      case 'automation': return ofPeople('automation')
      case 'principal': return ofPeople('')
      default: return null
    }
  }
  return {
    bytes: [...byDay.values()].reduce((sum, bytes) => sum + bytes, 0), uncounted: number(open ?? {}, 'n'), byDay,
    byJob: jobGrouping(ask.by) ? sums("coalesce(job_id, '')", 'egress', '') : new Map<string, number>(), byName: named(),
  }
}
