// What does a report of usage cost over a million ledger rows? The command against a running daemon, beside the one SQL statement that sums the same rows by
// model; what both take in memory for it, and how long another request waits meanwhile.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Client } from '@hearth/protocol/client'
import { openDb, type Db } from '@hearth/daemon/store/db'
import { migrate } from '@hearth/daemon/store/migrations'
import { startDaemon } from './daemon.ts'
import { against, recorded, takeTurns, within, type Benchmark } from './frame.ts'

const rows = 1_000_000
const jobs = 50_000
const spanMs = 365 * 86_400_000
const limitBytes = 100e6

/** The same sums as one statement would make them. */
const raw = (by: string): string => `SELECT ${by}, count(*), sum(prompt_tokens), sum(reused_tokens), sum(cache_write_tokens), sum(completion_tokens), sum(total_ms), sum(prefill_ms + decode_ms), count(joules), sum(joules),
  sum(usd_micros), sum(prepaid_usd_micros) FROM ledger GROUP BY ${by}`

export const usage: Benchmark = {
  name: 'usage',
  title: 'A report of usage over a million rows',
  async run({ root, rounds, say }) {
    const home = mkdtempSync(join(tmpdir(), 'hearth-usage-'))
    mkdirSync(join(home, 'models'))
    const env = { ...process.env, HEARTH_HOME: home, HEARTH_MODELS: join(home, 'models') }
    const path = join(home, 'state', 'hearth.db')
    mkdirSync(join(home, 'state'), { mode: 0o700 })
    say(`writing ${rows} ledger rows of ${jobs} jobs over a year`)
    seed(path)
    const daemon = await startDaemon(root, env)
    const bare = openDb(path, 'read')
    const client = new Client(join(home, 'hearth.sock'))
    const grown: number[] = []
    const waited: number[] = []
    try {
      const hearth = async (...words: string[]): Promise<number> => {
        const before = memory(daemon.pid, 'VmRSS')
        // The peak is counted anew from here on.
        writeFileSync(`/proc/${daemon.pid}/clear_refs`, '5')
        const stop = new AbortController()
        const waits = longestWait(client, stop.signal)
        const ran = await command(root, ['usage', ...words], env).finally(() => {
          stop.abort()
          return waits
        })
        waited.push(await waits)
        grown.push((memory(daemon.pid, 'VmHWM') - before + ran.peakBytes) / 1e6)
        return ran.ms
      }
      const timed = (work: () => unknown): number => {
        const begun = performance.now()
        work()
        return performance.now() - begun
      }
      const theirs = (...by: readonly string[]) => () => Promise.resolve(timed(() => by.forEach((one) => bare.prepare(raw(one)).all())))
      // The first one compiles what the next ones load.
      await command(root, ['version'], env)
      const bareCommand = (await command(root, ['version'], env)).peakBytes / 1e6
      const byModel = await takeTurns(rounds, { ours: () => hearth(), theirs: theirs('model, place') })
      const all = { grown: grown.slice(1), waited: waited.slice(1) }
      const byJob = await takeTurns(rounds, { ours: () => hearth('--by', 'job'), theirs: theirs('model, place', 'job_id') })
      const bar = { is: 'at most', ratio: 3 } as const
      return [
        against({ bench: 'usage', figure: 'hearth usage', unit: 'ms', note: `${rows} rows; the command from its start to its end, all figures` }, byModel.ours, { name: 'SELECT sums GROUP BY model, place', samples: byModel.theirs }, bar),
        within({ bench: 'usage', figure: 'memory of daemon and command', unit: 'MB', note: `peak of the daemon over what it had before, and peak of the command over that of 'hearth version' (${bareCommand.toFixed(0)} MB)` },
          all.grown.map((value) => value - bareCommand), { name: 'limit', value: limitBytes / 1e6 }, { is: 'at most', ratio: 1 }),
        recorded({ bench: 'usage', figure: 'longest wait of another request', unit: 'ms', note: 'GET /api/jobs, one after another, while the report is made' }, all.waited),
        against({ bench: 'usage', figure: 'hearth usage --by job', unit: 'ms', note: `the same figures, and a further pass for the table of ${jobs} jobs` }, byJob.ours, { name: 'that, and the same GROUP BY job_id', samples: byJob.theirs }, bar),
      ]
    } finally {
      bare.close()
      await daemon.stop()
      rmSync(home, { recursive: true, force: true })
    }
  },
}

/** A box that was busy for a year: nine people and programs, two local models, one call in 25 bought, every fourth job unresolved. */
function seed(path: string): void {
  const db: Db = openDb(path, 'write')
  migrate(db, path)
  const begin = Date.now() - spanMs
  db.exec(`BEGIN; WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${jobs - 1})
    INSERT INTO jobs (id, state, request, principal, principal_id, project, workspace, model, created_at, started_at, ended_at)
    SELECT printf('job%05d', i), CASE i % 4 WHEN 0 THEN 'check_failed' WHEN 1 THEN 'done_unverified' ELSE 'resolved' END,
      json_object('prompt', 'do number ' || i, 'checks', json(CASE i % 4 WHEN 1 THEN '[]' ELSE '["true"]' END), 'tags', json_object('customer', 'c' || i % 7)),
      json_object('id', 'key:k' || i % 9, 'origin', iif(i % 9 < 2, 'human', 'automation')), 'key:k' || i % 9, '{}', '/w/' || i % 5, 'small',
      ${begin} + i * ${Math.floor(spanMs / jobs)}, ${begin} + i * ${Math.floor(spanMs / jobs)}, ${begin} + i * ${Math.floor(spanMs / jobs)} + 400000 FROM n; COMMIT`)
  db.exec(`BEGIN; WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows - 1})
    INSERT INTO ledger (at, job_id, step, principal, origin, model, place, purpose, prompt_tokens, reused_tokens, completion_tokens, queued_ms, prefill_ms, decode_ms, ttft_ms, total_ms, joules,
      usd_micros, ended, escalation)
    SELECT ${begin} + i * ${Math.floor(spanMs / rows)}, iif(i % 10 = 9, NULL, printf('job%05d', i / 20)), i % 20, 'key:k' || i / 20 % 9, iif(i / 20 % 9 < 2, 'human', 'automation'),
      CASE WHEN i % 25 = 0 THEN 'frontier' WHEN i % 3 = 0 THEN 'big' ELSE 'small' END, iif(i % 25 = 0, 'remote', 'local'),
      CASE WHEN i % 25 = 0 THEN 'advise' WHEN i % 10 = 9 THEN 'chat' ELSE 'agent' END, 5000 + i % 3000, 4000, 200 + i % 300, 0, 1000.5, 2000.25, 100, 3001, iif(i % 25 = 0, NULL, 40),
      iif(i % 25 = 0, 10000 + i % 777, 0), 'end', iif(i % 25 = 0, 'e1', NULL) FROM n; COMMIT`)
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
}

async function command(root: string, words: readonly string[], env: NodeJS.ProcessEnv): Promise<{ ms: number; peakBytes: number }> {
  const begun = performance.now()
  const child = spawn(join(root, 'node_modules/.bin/hearth'), words, { env, stdio: ['ignore', 'ignore', 'inherit'] })
  const exited = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('exit', resolve)
  })
  let peakBytes = 0
  const looking = setInterval(() => { peakBytes = Math.max(peakBytes, memory(child.pid ?? 0, 'VmHWM')) }, 10)
  const code = await exited
  clearInterval(looking)
  if (code !== 0) throw new Error(`hearth ${words.join(' ')} ended with ${code ?? 'a signal'}`)
  return { ms: performance.now() - begun, peakBytes }
}

async function longestWait(client: Client, stop: AbortSignal): Promise<number> {
  let longest = 0
  // The statement before held up this very thread: that the daemon closed an idle connection meanwhile has to be heard first.
  await delay(50)
  while (!stop.aborted) {
    const begun = performance.now()
    await client.call('GET', '/api/jobs?limit=1')
    longest = Math.max(longest, performance.now() - begun)
    await delay(5)
  }
  return longest
}

/** Bytes of one line of a process's status; 0 when it is gone. */
function memory(pid: number, line: 'VmRSS' | 'VmHWM'): number {
  try {
    return Number(new RegExp(`^${line}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) * 1024
  } catch {
    return 0
  }
}
