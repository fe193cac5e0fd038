// Owns the patience with jobs that wait for money: who waited longer than the owner allows ends as over_budget. Keeps nothing: the rows say since when.
import { fault, outcomeTable, type AgentEnd, type Fault } from '@hearth/protocol'
import type { Query } from '../store/db.ts'
import { number, text } from '../store/rows.ts'

/** Jobs whose last word was that they wait for money, and since when. */
export function waitingForMoney(query: Query): { id: string; since: number }[] {
  return query(`SELECT jobs.id AS id, events.at AS at FROM jobs JOIN events ON job_id = jobs.id AND seq = (SELECT max(seq) FROM events WHERE job_id = jobs.id)
    WHERE state = 'paused' AND type = 'suspended' AND json_extract(body, '$.lacks') = 'money'`).map((row) => ({ id: text(row, 'id'), since: number(row, 'at') }))
}

/** Ends those that waited too long. */
export function endLongPauses(query: Query, pauseSeconds: number, now: number, end: (id: string, end: Extract<AgentEnd, { type: 'ended' }>) => void): void {
  for (const { id, since } of waitingForMoney(query)) {
    if (now - since < pauseSeconds * 1000) continue
    const why: Fault = fault('over_budget', { why: `The job waited ${pauseSeconds} s for money and got none.`, remedy: 'Give it again with a larger --budget, or raise the limit that it met.' })
    end(id, { type: 'ended', outcome: 'over_budget', verified: outcomeTable.over_budget.verified, summary: null, fault: why })
  }
}
