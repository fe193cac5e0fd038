// Owns every statement that reads, on one read-only connection of the main thread. Sums are made by SQL over the rows, never kept beside them.
import type { ApiKey, EgressReply, Job, JobEvent, JobRequest, JobState, LiveState, ProjectEntry, Receipt, UsageReply } from '@hearth/protocol'
import { keyOf, type StoredKey } from './key-rows.ts'
import { openDb, queryOn, type Db, type Query } from './db.ts'
import { egressReply, packetWithBody } from './packet-rows.ts'
import { projectRow, projectsNow } from './project-rows.ts'
import { unusualByModel } from './usage-jobs.ts'
import { eventOf, jobColumns, jobOf, ledgerOf, number, numberOrNull, text, type Row } from './rows.ts'

/** Sums of one job over ledger, events and egress. */
export type JobSums = {
  steps: number; toolCalls: number; modelCalls: number; promptTokens: number; reusedTokens: number; completionTokens: number
  modelMs: number; decodeMs: number; joules: number | null; usdMicros: number; bytesLeftBox: number
  network: NonNullable<Receipt['network']>
}

const ledgerSums = `count(*) AS calls, coalesce(sum(prompt_tokens), 0) AS prompt, coalesce(sum(reused_tokens), 0) AS reused,
  coalesce(sum(completion_tokens), 0) AS completion, coalesce(sum(total_ms), 0) AS model_ms, coalesce(sum(decode_ms), 0) AS decode_ms,
  CASE WHEN count(joules) = count(*) THEN sum(joules) END AS joules, coalesce(sum(usd_micros), 0) AS usd`

export class Reads {
  readonly #db: Db
  /** Any one query; the statements of a subject stand beside its rows. */
  readonly query: Query

  constructor(path: string) {
    this.#db = openDb(path, 'read')
    this.query = queryOn(this.#db)
  }

  close(): void {
    this.#db.close()
  }

  job(id: string): Job | null {
    const row = this.#one(`SELECT ${jobColumns} FROM jobs WHERE id = ?`, id)
    return row === null ? null : jobOf(row)
  }

  /** Jobs whose id begins with the prefix; two at most, enough to know that it is not unique. */
  jobsByPrefix(prefix: string): Job[] {
    return this.#all(`SELECT ${jobColumns} FROM jobs WHERE substr(id, 1, length(?1)) = ?1 AND id >= ?1 LIMIT 2`, prefix).map(jobOf)
  }

  jobByKey(principalId: string, key: string): Job | null {
    const row = this.#one(`SELECT ${jobColumns} FROM jobs WHERE principal_id = ? AND idempotency_key = ?`, principalId, key)
    return row === null ? null : jobOf(row)
  }

  /** Newest first. */
  jobs(state: JobState | null, limit: number): Job[] {
    const rows = state === null
      ? this.#all(`SELECT ${jobColumns} FROM jobs ORDER BY created_at DESC, rowid DESC LIMIT ?`, limit)
      : this.#all(`SELECT ${jobColumns} FROM jobs WHERE state = ? ORDER BY created_at DESC, rowid DESC LIMIT ?`, state, limit)
    return rows.map(jobOf)
  }

  /** Jobs that are not over, oldest first: what a start has to pick up. */
  unfinished(): { id: string; request: JobRequest; state: LiveState; cancelledBy: string | null }[] {
    return this.#all('SELECT id, request, state, cancelled_by FROM jobs WHERE ended_at IS NULL ORDER BY created_at, rowid')
      .map((row) => ({ id: text(row, 'id'), request: JSON.parse(text(row, 'request')) as JobRequest, state: text(row, 'state') as LiveState, cancelledBy: row['cancelled_by'] as string | null }))
  }

  counts(): Map<string, number> {
    return new Map(this.#all('SELECT state, count(*) AS n FROM jobs GROUP BY state').map((row) => [text(row, 'state'), number(row, 'n')]))
  }

  modelsInUse(): Set<string> {
    return new Set(this.#all('SELECT DISTINCT model FROM jobs WHERE ended_at IS NULL AND state <> \'paused\'').map((row) => text(row, 'model')))
  }

  /** Events after a number, oldest first; a limit of -1 is none. */
  events(jobId: string, after: number, limit: number): JobEvent[] {
    return this.#all('SELECT job_id, seq, at, body FROM events WHERE job_id = ? AND seq > ? ORDER BY seq LIMIT ?', jobId, after, limit).map(eventOf)
  }

  /** All events, oldest first; of pieces of text and output only their numbers and times, because their whole is in the `turn` and `tool_result` that follow. */
  journal(jobId: string): JobEvent[] {
    const body = "CASE WHEN type IN ('text', 'thought', 'tool_output') THEN json_set(body, '$.text', '') ELSE body END AS body"
    return this.#all(`SELECT job_id, seq, at, ${body} FROM events WHERE job_id = ? ORDER BY seq`, jobId).map(eventOf)
  }

  /** Projects that hold now. */
  projects(): ProjectEntry[] {
    return this.#all(projectsNow).map(projectRow)
  }

  key(id: string): StoredKey | null {
    const row = this.#one('SELECT * FROM keys WHERE id = ?', id)
    return row === null ? null : keyOf(row)
  }

  /** Newest first, also those that were revoked. */
  keys(): ApiKey[] {
    return this.#all('SELECT * FROM keys ORDER BY created_at DESC, id').map((row) => keyOf(row).key)
  }

  lastSeq(jobId: string): number {
    return number(this.#one('SELECT coalesce(max(seq), 0) AS n FROM events WHERE job_id = ?', jobId) ?? {}, 'n')
  }

  sums(jobId: string): JobSums {
    const sum = this.#one(`SELECT ${ledgerSums} FROM ledger WHERE job_id = ?`, jobId) ?? {}
    const count = this.#one("SELECT count(*) FILTER (WHERE type = 'step') AS steps, count(*) FILTER (WHERE type = 'tool_started') AS tools FROM events WHERE job_id = ?", jobId) ?? {}
    return {
      steps: number(count, 'steps'), toolCalls: number(count, 'tools'), modelCalls: number(sum, 'calls'),
      promptTokens: number(sum, 'prompt'), reusedTokens: number(sum, 'reused'), completionTokens: number(sum, 'completion'),
      modelMs: number(sum, 'model_ms'), decodeMs: number(sum, 'decode_ms'), joules: numberOrNull(sum, 'joules'), usdMicros: number(sum, 'usd'),
      bytesLeftBox: number(this.#one('SELECT coalesce(sum(bytes), 0) AS n FROM egress WHERE job_id = ?', jobId) ?? {}, 'n'),
      network: this.#all("SELECT host, count(*) AS n, coalesce(sum(bytes), 0) AS bytes FROM egress WHERE job_id = ? AND purpose = 'tool' GROUP BY host ORDER BY bytes DESC, host LIMIT 20", jobId)
        .map((row) => ({ host: text(row, 'host'), connections: number(row, 'n'), bytes: number(row, 'bytes') })),
    }
  }

  usage(since: number | null, jobId: string | null, limit: number): UsageReply {
    const where = '(?1 IS NULL OR at >= ?1) AND (?2 IS NULL OR job_id = ?2)'
    const sum = this.#one(`SELECT ${ledgerSums} FROM ledger WHERE ${where}`, since, jobId) ?? {}
    const sent = this.#one(`SELECT coalesce(sum(bytes), 0) AS n FROM egress WHERE ${where}`, since, jobId) ?? {}
    const jobs = this.#one(`SELECT count(*) AS n, count(*) FILTER (WHERE state = 'resolved') AS resolved FROM jobs
      WHERE (?1 IS NULL OR created_at >= ?1) AND (?2 IS NULL OR id = ?2)`, since, jobId) ?? {}
    const unusual = new Map(unusualByModel(this.query, since ?? 0, Number.MAX_SAFE_INTEGER, jobId === null ? '1' : 'jobs.id = ?3', ...(jobId === null ? [] : [jobId])).map((row) => [row.model, row]))
    return {
      since,
      totals: {
        calls: number(sum, 'calls'), promptTokens: number(sum, 'prompt'), reusedTokens: number(sum, 'reused'), completionTokens: number(sum, 'completion'),
        modelSeconds: number(sum, 'model_ms') / 1000, joules: numberOrNull(sum, 'joules'), usdMicros: number(sum, 'usd'),
        bytesLeftBox: number(sent, 'n'), jobs: number(jobs, 'n'), resolved: number(jobs, 'resolved'),
      },
      byModel: this.#all(`SELECT model, place, ${ledgerSums} FROM ledger WHERE ${where} GROUP BY model, place ORDER BY calls DESC`, since, jobId).map((row) => ({
        model: text(row, 'model'), place: text(row, 'place'), calls: number(row, 'calls'), promptTokens: number(row, 'prompt'),
        reusedTokens: number(row, 'reused'), completionTokens: number(row, 'completion'), modelSeconds: number(row, 'model_ms') / 1000, usdMicros: number(row, 'usd'),
        mendedCalls: unusual.get(text(row, 'model'))?.mended ?? 0, refusedCalls: unusual.get(text(row, 'model'))?.refused ?? 0,
      })),
      entries: this.#all(`SELECT * FROM ledger WHERE ${where} ORDER BY id DESC LIMIT ?3`, since, jobId, limit).map(ledgerOf),
    }
  }

  egress(since: number | null, jobId: string | null, limit: number): EgressReply {
    return egressReply(this.query, since, jobId, limit)
  }

  packet(id: string): ReturnType<typeof packetWithBody> {
    return packetWithBody(this.query, id)
  }

  #one(sql: string, ...values: (string | number | null)[]): Row | null {
    return this.#all(sql, ...values)[0] ?? null
  }

  #all(sql: string, ...values: (string | number | null)[]): Row[] {
    return this.query(sql, ...values)
  }
}
