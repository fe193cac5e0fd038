// Owns the queries about help that was bought: what an escalation cost, and what came of the answers of each model on this box.
import type { EscalationMode } from '@hearth/protocol'
import type { Query } from './db.ts'
import { jobKind, moneyFrom, number, text, usd } from './rows.ts'

/** Micro-dollars of one escalation of a job so far; what is not settled counts at its worst. */
export function escalationSpent(query: Query, jobId: string, escalation: string): number {
  const [row] = query(`SELECT sum(${usd}) AS usd FROM ${moneyFrom} WHERE r.job_id = ? AND r.escalation = ?`, jobId, escalation)
  return number(row ?? {}, 'usd')
}

// Answers that were judged: the newest of each mode, so that a model that became better or worse is known by what it is now.
const newest = 500

/**
 * By model: answers of this mode in jobs of this kind whose effect is known, how many helped, and what they cost in money and seconds. Not those that came when somebody
 * had said, also at random: they say nothing of who answered.
 */
export function helpRecords(query: Query, mode: EscalationMode, kind: string): Map<string, { asked: number; cleared: number; usdMicros: number; seconds: number }> {
  const rows = query(`SELECT model, count(*) AS asked, sum(effect = 'cleared') AS cleared, sum(usd) AS usd, sum(ms) AS ms FROM (
    SELECT json_extract(back.body, '$.model') AS model, json_extract(effect.body, '$.effect') AS effect, json_extract(back.body, '$.usdMicros') AS usd,
      coalesce((SELECT sum(total_ms) FROM ledger WHERE ledger.job_id = back.job_id AND ledger.escalation = json_extract(back.body, '$.id')), 0) AS ms
    FROM events AS effect
    JOIN jobs ON jobs.id = effect.job_id
    JOIN events AS back ON back.job_id = effect.job_id AND back.type = 'handed_back' AND json_extract(back.body, '$.id') = json_extract(effect.body, '$.id')
    WHERE effect.type = 'effect' AND json_extract(back.body, '$.mode') = ?1
      AND ${jobKind} = ?2 AND json_extract(jobs.request, '$.escalation.askAt') IS NULL
    ORDER BY effect.at DESC LIMIT ${newest}) GROUP BY model`, mode, kind)
  return new Map(rows.map((row) => [text(row, 'model'), { asked: number(row, 'asked'), cleared: number(row, 'cleared'), usdMicros: number(row, 'usd'), seconds: number(row, 'ms') / 1000 }]))
}

/** What jobs of this class that were resolved usually took, of the last hundred; null for fewer than ten. */
export function medianSeconds(query: Query, jobClass: string): number | null {
  const seconds = query(`SELECT json_extract(receipt, '$.seconds') AS seconds FROM jobs WHERE state = 'resolved' AND json_extract(request, '$.class') = ? AND json_extract(request, '$.tags.fork') IS NULL ORDER BY ended_at DESC LIMIT 100`, jobClass)
    .map((row) => number(row, 'seconds')).toSorted((a, b) => a - b)
  return seconds.length < 10 ? null : seconds[Math.floor(seconds.length / 2)] ?? null
}
