// Owns the rows of money: what was spent and reserved (the sums a decision is made of), a reservation, its settlement, and what a crash left open.
// The decision itself is made in meter/budget.ts, in the transaction that writes the reservation: two who ask at once cannot both have the last dollar.
import type { LedgerEntry } from '@hearth/protocol'
import { dayMs, dayOf, type Cost, type Hold } from '../meter/amounts.ts'
import type { Ask, Limit, Spent } from '../meter/ask.ts'
import { reserve, type Decision } from '../meter/budget.ts'
import { throughputWindowMs } from '../meter/packages.ts'
import type { Tally } from '../meter/worth.ts'
import type { Db, Query } from './db.ts'
import { drawnFrom } from './package-rows.ts'
import { checkedJob, drawn, jobKind, ledgerWrite, moneyFrom, number, numberOrNull, text, usd } from './rows.ts'
import type { Value, Write } from './statements.ts'

/** `id` names the reservation until it is settled. */
export type Reserved = { ok: true; id: number; hold: Hold } | Extract<Decision, { ok: false }>

/** How it was settled: with what was used; at its worst because nobody knows what was used; or at its worst because a crash left it open. */
export type Settled = 'used' | 'unknown' | 'charged'

// Names of escalations are unique within a job only.
export const escalationKey = "coalesce(r.job_id, '') || ' ' || r.escalation"

/** Decides, and writes the reservation when it is granted. To be called in a transaction of the writing connection. */
export function reserveIn(query: Query, insert: (values: readonly Value[]) => number, ask: Ask): Reserved {
  const decision = reserve(spentOf(query, ask), ask)
  if (!decision.ok) return decision
  const { hold } = decision
  const id = insert([hold.at, dayOf(hold.at), ask.jobId, ask.step, ask.escalation, ask.project, ask.principal, ask.origin, ask.purpose, ask.provider.id, ask.model, ask.place,
    hold.promptTokens, hold.completionTokens, hold.usdMicros, hold.listUsdMicros, hold.cover?.source ?? null, hold.cover?.held ?? 0])
  return { ok: true, id, hold }
}

/** The settlement and its ledger entry; both or neither. */
export function settlementWrites(reservation: number, how: Settled, cost: Cost, entry: Omit<LedgerEntry, 'id'>): Write[] {
  return [['insertSettlement', [reservation, entry.at, how, cost.usdMicros, cost.listUsdMicros, cost.covered]], ledgerWrite(entry)]
}

/** Charges what an earlier process reserved and did not settle: a call may have been made, so it counts at its worst price, on the day it was reserved. */
export function chargeOpen(db: Db, now: number): void {
  db.exec('BEGIN IMMEDIATE')
  try {
    db.exec(`INSERT INTO ledger (at, job_id, step, principal, origin, model, place, purpose, prompt_tokens, reused_tokens, completion_tokens, queued_ms, prefill_ms, decode_ms,
      ttft_ms, total_ms, joules, usd_micros, ended, prepaid_usd_micros, escalation)
      SELECT r.at, job_id, step, principal, origin, model, place, purpose, 0, 0, 0, 0, 0, 0, NULL, 0, NULL, r.usd_micros, 'charged', r.list_usd_micros - r.usd_micros, escalation
      FROM ${moneyFrom} WHERE s.reservation IS NULL ORDER BY r.id`)
    db.prepare(`INSERT INTO settlements (reservation, at, how, usd_micros, list_usd_micros, covered)
      SELECT r.id, ?, 'charged', r.usd_micros, r.list_usd_micros, r.covered FROM ${moneyFrom} WHERE s.reservation IS NULL`).run(now)
    db.exec('COMMIT')
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

/** Moment that something bought now is booked at: never before what was booked last, so that a clock that is turned back reopens no day. */
export function bookedAt(query: Query, now: number): number {
  return Math.max(now, number(query('SELECT max(at) AS at FROM reservations')[0] ?? {}, 'at'))
}

/** What the decision about an ask is made of. */
export function spentOf(query: Query, ask: Ask): Spent {
  const at = bookedAt(query, ask.now)
  const one = (sql: string, ...values: (string | number | null)[]): Record<string, unknown> => query(sql, ...values)[0] ?? {}
  const { jobId, escalation } = ask
  const job = jobId === null ? {} : one(`SELECT sum(${usd}) AS usd, count(DISTINCT r.escalation) FILTER (WHERE r.escalation <> ?2) AS others FROM ${moneyFrom} WHERE r.job_id = ?1`, jobId, escalation)
  return {
    at,
    escalationUsdMicros: number(one(`SELECT sum(${usd}) AS usd FROM ${moneyFrom} WHERE r.job_id IS ? AND r.escalation = ?`, jobId, escalation), 'usd'),
    jobUsdMicros: number(job, 'usd'), jobOthers: number(job, 'others'),
    limits: ask.limits.map((limit) => spentIn(query, limit, at, jobId, escalation)),
    earmarks: ask.earmarks.map(({ principals, monthUsdMicros }) => periods(query, anyOf, JSON.stringify(principals), at, monthUsdMicros > 0)),
    packages: ask.packages.map((each) => drawnFrom(query, each, 0).used),
    throughput: ask.provider.tokensPerMinute === null ? new Map<string, number>() : throughputOf(query, ask.provider.id, at),
  }
}

export const within: Readonly<Record<Limit['scope'], string>> = { box: '?2 IS NOT NULL', project: 'r.project = ?2', principal: 'r.principal = ?2', job: 'r.job_id = ?2' }
/** Of these principals, a list in JSON. */
export const anyOf = 'r.principal IN (SELECT value FROM json_each(?2))'

function spentIn(query: Query, { scope, id, budget }: Limit, at: number, jobId: string | null, escalation: string): Spent['limits'][number] {
  const others = (limit: number | null | undefined, from: string): number => (limit == null ? 0 : escalationsSince(query, { scope, id }, from, at, `${jobId ?? ''} ${escalation}`))
  const counts = { dayOthers: others(budget.dayCount, dayOf(at)), monthOthers: others(budget.monthCount, monthStart(at)) }
  if (budget.dayUsdMicros === null && budget.monthUsdMicros === null) return { dayUsdMicros: 0, monthUsdMicros: 0, ...counts }
  return { ...periods(query, within[scope], id, at, budget.monthUsdMicros !== null), ...counts }
}

/** Escalations from a day on until that of a moment, but for the one of this key. */
export function escalationsSince(query: Query, { scope, id }: Pick<Limit, 'scope' | 'id'>, from: string, at: number, but = ''): number {
  return number(query(`SELECT count(DISTINCT ${escalationKey}) AS n FROM reservations r WHERE r.day BETWEEN ?3 AND ?1 AND ${within[scope]} AND ${escalationKey} <> ?4`, dayOf(at), id, from, but)[0] ?? {}, 'n')
}

export function monthStart(at: number): string {
  return `${dayOf(at).slice(0, 7)}-01`
}

/** Money of the day of a moment, and of its month until then if that is asked for, where `clause` holds with `?2`. Nothing is booked on a later day. */
export function periods(query: Query, clause: string, value: string, at: number, month = true): { dayUsdMicros: number; monthUsdMicros: number; heldDay: number; heldMonth: number } {
  const open = 's.reservation IS NULL'
  const [row] = query(`SELECT sum(${usd}) AS month, sum(${usd}) FILTER (WHERE r.day = ?1) AS day, sum(${usd}) FILTER (WHERE ${open}) AS held_month,
    sum(${usd}) FILTER (WHERE ${open} AND r.day = ?1) AS held_day FROM ${moneyFrom} WHERE r.day BETWEEN ?3 AND ?1 AND ${clause}`, dayOf(at), value, month ? monthStart(at) : dayOf(at))
  return { dayUsdMicros: number(row ?? {}, 'day'), monthUsdMicros: number(row ?? {}, 'month'), heldDay: number(row ?? {}, 'held_day'), heldMonth: number(row ?? {}, 'held_month') }
}

/** Tokens of paid throughput by principal: of calls under way, however long they are, and of those that began or ended in the window. */
export function throughputOf(query: Query, provider: string, at: number): Map<string, number> {
  // The sign keeps SQLite from the index of all that was ever covered. No call takes longer than a day.
  return new Map(query(`SELECT r.principal AS principal, sum(${drawn}) AS n FROM ${moneyFrom} WHERE r.at > ?1 - ${dayMs} AND +r.cover = 'throughput' AND r.provider = ?2
    AND (r.at > ?1 - ${throughputWindowMs} OR s.reservation IS NULL OR s.at > ?1 - ${throughputWindowMs}) GROUP BY r.principal`, at, provider)
    .map((row) => [text(row, 'principal'), number(row, 'n')]))
}

/** What a job may spend and is worth: by the last resume that said so, else by its own request. `kind`: as routes know it. */
export function jobMoney(query: Query, jobId: string): { budgetUsdMicros: number | null; worthUsdMicros: number | null; kind: string } {
  const said = (field: string): string => `coalesce((SELECT json_extract(body, '$.${field}') FROM events WHERE job_id = ?1 AND type = 'resumed'
    AND json_extract(body, '$.${field}') IS NOT NULL ORDER BY seq DESC LIMIT 1), json_extract(request, '$.${field}'))`
  const [row] = query(`SELECT ${said('worthUsdMicros')} AS worth, ${said('budgetUsdMicros')} AS budget, ${jobKind} AS kind FROM jobs WHERE id = ?1`, jobId)
  return { budgetUsdMicros: numberOrNull(row ?? {}, 'budget'), worthUsdMicros: numberOrNull(row ?? {}, 'worth'), kind: text(row ?? {}, 'kind') }
}

// What is older says little of the models of today, and a box that ceased to buy is asked again some day.
const talliedDays = 90
const talliedCalls = 5000

/** Of the newest calls that were bought: jobs with a check that are over and were no trial of `hearth eval`, and how many of them were resolved; those of this kind, and all others. */
export function boughtJobs(query: Query, kind: string, now: number): { like: Tally; others: Tally } {
  const rows = query(`SELECT ${jobKind} = ?1 AS alike, count(*) AS n, count(*) FILTER (WHERE state = 'resolved') AS resolved FROM jobs
    WHERE ended_at >= ?2 AND state <> 'cancelled' AND ${checkedJob} AND json_extract(request, '$.tags.eval') IS NULL AND id IN (SELECT job_id FROM reservations ORDER BY id DESC LIMIT ${talliedCalls}) GROUP BY 1`, kind, now - talliedDays * dayMs)
  const tally = (alike: number): Tally => {
    const row = rows.find((one) => one['alike'] === alike) ?? {}
    return { jobs: number(row, 'n'), resolved: number(row, 'resolved') }
  }
  return { like: tally(1), others: tally(0) }
}

/** What was bought from each model of a provider: calls, when the last one was, new money (what is under way at its worst price), and what packages covered at list price. */
export function boughtByModel(query: Query): Map<string, { calls: number; lastUsedAt: number | null; usdMicros: number; prepaidUsdMicros: number }> {
  const rows = query(`SELECT r.model, count(*) AS calls, max(r.at) AS last, sum(${usd}) AS usd, sum(coalesce(s.list_usd_micros, r.list_usd_micros) - ${usd}) AS prepaid FROM ${moneyFrom} GROUP BY r.model`)
  return new Map(rows.map((row) => [text(row, 'model'), { calls: number(row, 'calls'), lastUsedAt: numberOrNull(row, 'last'), usdMicros: number(row, 'usd'), prepaidUsdMicros: number(row, 'prepaid') }]))
}

/** What the calls of one escalation outside of a job cost; those under way at their worst price. */
export function boughtFor(query: Query, escalation: string): number {
  return number(query(`SELECT sum(${usd}) AS usd FROM ${moneyFrom} WHERE r.job_id IS NULL AND r.escalation = ?`, escalation)[0] ?? {}, 'usd')
}
