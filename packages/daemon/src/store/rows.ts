// Owns the translation between rows and the words of the protocol. What is in the database was checked before it was written.
import type { EgressEntry, Job, JobEvent, JobEventBody, LedgerEntry } from '@hearth/protocol'
import type { Write } from './statements.ts'

export type Row = Record<string, unknown>

export type NewJob = Pick<Job, 'id' | 'request' | 'principal' | 'project' | 'model' | 'createdAt'>

export function jobWrite(job: NewJob): Write {
  return ['insertJob', [job.id, JSON.stringify(job.request), JSON.stringify(job.principal), job.principal.id, JSON.stringify(job.project),
    job.project.path, job.model, job.request.idempotencyKey, job.createdAt]]
}

/** The row of an event and the change of the job's row that follows from it: the job's row is a projection of its stream. */
export function eventWrites(event: JobEvent): Write[] {
  const { seq, jobId, at, ...body } = event
  const writes: Write[] = [['insertEvent', [jobId, seq, at, event.type, JSON.stringify(body)]]]
  switch (event.type) {
    case 'queued': writes.push(['setState', ['queued', jobId]]); break
    case 'started': writes.push(['setStarted', [at, jobId]]); break
    case 'suspended': writes.push(['setState', [event.state ?? 'suspended', jobId]]); break
    // What a job waited for has come: a start of the daemon that finds it so takes it up.
    case 'said': case 'approval_given': case 'resumed': writes.push(['setWoken', [jobId]]); break
    case 'ended':
      writes.push(['setEnded', [event.outcome, event.verified === null ? null : Number(event.verified), event.summary,
        event.fault === null ? null : JSON.stringify(event.fault), JSON.stringify(event.receipt), event.exitCode, at, jobId]])
      break
    default:
  }
  return writes
}

export function ledgerWrite(entry: Omit<LedgerEntry, 'id'>): Write {
  const { usage, timings } = entry
  return ['insertLedger', [entry.at, entry.jobId, entry.step, entry.principal, entry.origin, entry.model, entry.place, entry.purpose,
    usage.promptTokens, usage.reusedTokens, usage.completionTokens, timings.queuedMs, timings.prefillMs, timings.decodeMs, timings.ttftMs, timings.totalMs,
    entry.joules, entry.usdMicros, entry.ended, usage.cacheWriteTokens ?? 0, entry.prepaidUsdMicros ?? 0, entry.escalation ?? null]]
}

export function egressWrite(entry: Omit<EgressEntry, 'id'>): Write {
  return ['insertEgress', [entry.at, entry.jobId, entry.purpose, entry.host, entry.bytes]]
}

/** What was bought, in SQL: each reservation with its settlement. */
export const moneyFrom = 'reservations r LEFT JOIN settlements s ON s.reservation = r.id'
/** A reservation that is not settled counts at its worst price. */
export const usd = 'coalesce(s.usd_micros, r.usd_micros)'
export const drawn = 'coalesce(s.covered, r.covered)'

/** Whether a check decided a job or would have, and its kind as routes know it: clauses about a row of jobs. */
export const checkedJob = "(coalesce(json_array_length(request, '$.checks'), 0) > 0 OR state IN ('resolved', 'check_failed'))"
export const jobKind = "coalesce(json_extract(request, '$.tags.kind'), json_extract(request, '$.kind'), 'task')"

export const jobColumns = 'jobs.*, (SELECT coalesce(max(seq), 0) FROM events WHERE job_id = jobs.id) AS last_seq'

export function jobOf(row: Row): Job {
  return {
    id: text(row, 'id'), state: text(row, 'state') as Job['state'], verified: row['verified'] === null ? null : row['verified'] === 1,
    request: json(row, 'request') as Job['request'], principal: json(row, 'principal') as Job['principal'], project: json(row, 'project') as Job['project'],
    model: text(row, 'model'), createdAt: number(row, 'created_at'), startedAt: numberOrNull(row, 'started_at'), endedAt: numberOrNull(row, 'ended_at'),
    lastSeq: number(row, 'last_seq'), summary: row['summary'] as string | null, fault: json(row, 'fault') as Job['fault'],
    receipt: json(row, 'receipt') as Job['receipt'], exitCode: numberOrNull(row, 'exit_code'),
  }
}

export function eventOf(row: Row): JobEvent {
  const body = json(row, 'body') as JobEventBody
  return { seq: number(row, 'seq'), jobId: text(row, 'job_id'), at: number(row, 'at'), ...body }
}

export function ledgerOf(row: Row): LedgerEntry {
  return {
    id: number(row, 'id'), at: number(row, 'at'), jobId: row['job_id'] as string | null, step: numberOrNull(row, 'step'),
    principal: text(row, 'principal'), origin: text(row, 'origin') as LedgerEntry['origin'], model: text(row, 'model'),
    place: text(row, 'place') as LedgerEntry['place'], purpose: text(row, 'purpose') as LedgerEntry['purpose'],
    usage: { promptTokens: number(row, 'prompt_tokens'), reusedTokens: number(row, 'reused_tokens'), completionTokens: number(row, 'completion_tokens'), ...(number(row, 'cache_write_tokens') === 0 ? {} : { cacheWriteTokens: number(row, 'cache_write_tokens') }) },
    timings: {
      queuedMs: number(row, 'queued_ms'), prefillMs: number(row, 'prefill_ms'), decodeMs: number(row, 'decode_ms'),
      ttftMs: numberOrNull(row, 'ttft_ms'), totalMs: number(row, 'total_ms'),
    },
    joules: numberOrNull(row, 'joules'), usdMicros: number(row, 'usd_micros'), ended: text(row, 'ended'),
    ...(number(row, 'prepaid_usd_micros') === 0 ? {} : { prepaidUsdMicros: number(row, 'prepaid_usd_micros') }), ...(row['escalation'] === null ? {} : { escalation: text(row, 'escalation') }),
  }
}

export function text(row: Row, key: string): string {
  return String(row[key])
}

export function number(row: Row, key: string): number {
  return Number(row[key] ?? 0)
}

export function numberOrNull(row: Row, key: string): number | null {
  return row[key] === null || row[key] === undefined ? null : Number(row[key])
}

function json(row: Row, key: string): unknown {
  const value = row[key]
  return typeof value === 'string' ? JSON.parse(value) : null
}
