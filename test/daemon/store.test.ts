// The database: what is resolved is on disk, groups share a commit, one failure is one failure, and nothing written is changed.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { DatabaseSync } from 'node:sqlite'
import { FaultError, JobRequest, type JobEvent, type JobEventBody, type Principal } from '@hearth/protocol'
import { versionFault, holdLock, openDb } from '../../packages/daemon/src/store/db.ts'
import { helpRecords } from '../../packages/daemon/src/store/help-rows.ts'
import { checkIntegrity } from '../../packages/daemon/src/store/integrity.ts'
import { migrate, migrations, unusualCalls } from '../../packages/daemon/src/store/migrations.ts'
import type { NewJob } from '../../packages/daemon/src/store/rows.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
let made = 0
const newPath = (): string => join(place.root, `${made += 1}.db`)

const principal: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: [], class: 'interactive' }
const newJob = (id: string): NewJob => ({
  id, request: JobRequest.parse({ prompt: 'p', cwd: '/w' }), principal, project: { id: '/w', path: '/w', dataClass: 'local-only', consent: 'never' }, model: 'm', createdAt: 1,
})
const accepted = (job: NewJob): JobEvent => ({ type: 'accepted', request: job.request, principal, model: job.model, seq: 1, jobId: job.id, at: 1 })
const step = (jobId: string, seq: number): JobEvent => ({ type: 'step', step: seq, seq, jobId, at: seq })

test('five hundred writes at once share a few commits, and all are there', async () => {
  const store = await Store.open(newPath())
  const jobs = Array.from({ length: 500 }, (_, index) => newJob(`job${index}`))
  await Promise.all(jobs.map((job) => store.accept(job, accepted(job))))
  const { commits, batches } = await store.stats()
  assert.equal(batches, 500)
  assert.ok(commits <= 50, `${commits} commits for 500 writes`)
  assert.equal(store.read.jobs(null, 1000).length, 500)
  await store.close()
  assert.equal(existsSync(`${store.path}-wal`), false, 'a clean end leaves no log behind')
})

test('a batch that fails takes no other with it, and is undone whole', async () => {
  const store = await Store.open(newPath())
  const job = newJob('a')
  await store.accept(job, accepted(job))
  const results = await Promise.allSettled([
    store.append([step('a', 2)]), store.append([step('a', 3), step('a', 5)]), store.append([step('a', 3)]), store.append([step('nobody', 1)]), store.append([step('a', 4)]),
  ])
  assert.deepEqual(results.map((result) => result.status), ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'])
  const [, gap, , orphan] = results.map((result) => result.status === 'rejected' && result.reason instanceof FaultError ? result.reason.fault.message : null)
  assert.equal(gap, `The database ${store.path} cannot be used: event number out of order.`)
  assert.equal(orphan, `The database ${store.path} cannot be used: FOREIGN KEY constraint failed.`)
  assert.deepEqual(store.read.events('a', 0, -1).map((event) => event.seq), [1, 2, 3, 4])
  await store.close()
})

test('events, ledger and egress cannot be changed or taken away, by anybody', async () => {
  const store = await Store.open(newPath())
  const job = newJob('a')
  await store.accept(job, accepted(job))
  await store.egress({ at: 1, jobId: null, purpose: 'model-download', host: 'h', bytes: 10 })
  await store.ledger({
    at: 1, jobId: 'a', step: 1, principal: 'p', origin: 'human', model: 'm', place: 'local', purpose: 'agent', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 1 },
    timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }, joules: null, usdMicros: 0, ended: 'end',
  })
  await store.close()
  const db = new DatabaseSync(store.path)
  for (const table of ['events', 'ledger', 'egress']) {
    assert.throws(() => db.exec(`UPDATE ${table} SET at = 2`), /append-only/)
    assert.throws(() => db.exec(`DELETE FROM ${table}`), /append-only/)
  }
  db.close()
})

test('a row of a job follows from its events', async () => {
  const store = await Store.open(newPath())
  const job = newJob('a')
  await store.accept(job, accepted(job))
  assert.equal(store.read.job('a')?.state, 'queued')
  await store.append([{ type: 'started', attempt: 1, seed: 1, sandbox: 's', seq: 2, jobId: 'a', at: 50 }])
  assert.deepEqual([store.read.job('a')?.state, store.read.job('a')?.startedAt], ['running', 50])
  await store.append([{ type: 'suspended', reason: 'r', seq: 3, jobId: 'a', at: 60 }, { type: 'started', attempt: 2, seed: 1, sandbox: 's', seq: 4, jobId: 'a', at: 70 }])
  assert.deepEqual([store.read.job('a')?.state, store.read.job('a')?.startedAt], ['running', 50])
  assert.deepEqual(store.read.unfinished(), [{ id: 'a', request: job.request, state: 'running', cancelledBy: null }])
  await store.close()
})

test('a database of a newer Hearth is refused and left as it is', async () => {
  const path = join(mkdtempSync(join(place.root, 'newer-')), 'hearth.db')
  const reserve = join(dirname(path), 'hearth.reserve')
  writeFileSync(reserve, 'only for a full disk')
  const db = openDb(path, 'write')
  migrate(db, path)
  db.exec("UPDATE meta SET value = '99' WHERE key = 'schema'")
  db.close()
  await assert.rejects(Store.open(path), (error: unknown) => error instanceof FaultError
    && error.fault.message === `The database ${path} cannot be used: its schema is number 99 and this program knows ${migrations.length}, so a newer Hearth made it; update Hearth or use another folder.`)
  assert.ok(existsSync(reserve))
})

test('calls that were mended or refused are counted by model, from an index of their own', async () => {
  const store = await Store.open(newPath())
  const job = newJob('a')
  await store.accept(job, accepted(job))
  const usage = { promptTokens: 1, reusedTokens: 0, completionTokens: 1 }
  const timings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 1 }
  await store.ledger({ at: 1, jobId: 'a', step: 1, principal: 'p', origin: 'human', model: 'm', place: 'local', purpose: 'agent', usage, timings, joules: null, usdMicros: 0, ended: 'end' })
  const result = (name: string, cause: string, durationMs: number) => ({ type: 'tool_result' as const, step: 1, callId: 'c', name, ok: false, exitCode: null, cause, observation: '', totalBytes: 0, outputFile: null, durationMs, wrote: false })
  const bodies: JobEventBody[] = [
    { type: 'call_repaired', step: 1, callId: 'c', format: 'hermes', changes: ['trailing comma'] }, { type: 'call_repaired', step: 1, callId: 'd', format: 'native', changes: [] },
    { type: 'call_rejected', step: 1, text: '', problem: '' },
    // Not run at all; run and refused by the tool; a refused end; run.
    result('bash', 'refused', 0), result('edit', 'refused', 3), result('finish', 'refused', 0), result('bash', 'exited', 0),
  ]
  await store.append(bodies.map((body, index) => ({ ...body, seq: index + 2, jobId: 'a', at: index + 2 })))
  const counts = (since: number | null) => store.read.usage(since, null, 10).byModel.map((row) => [row.mendedCalls, row.refusedCalls])
  // One that goes on from it was not that which called.
  await store.accept(newJob('b'), ...[accepted(newJob('b')), ...bodies.map((body, index) => ({ ...body, seq: index + 2, jobId: 'b', at: 1 }))])
  assert.deepEqual(counts(null), [[2, 2]])
  assert.deepEqual(store.read.usage(null, 'a', 10).byModel.map((row) => row.mendedCalls), [2])
  await store.close()
  const db = openDb(store.path, 'read')
  const plan = db.prepare(`EXPLAIN QUERY PLAN SELECT count(*) FROM events WHERE ${unusualCalls} AND at >= 5`).all().map((row) => String(row['detail'])).join()
  assert.match(plan, /USING (COVERING )?INDEX events_calls/)
  db.close()
})

test('what came of help is not judged by jobs that were told when to ask', async () => {
  const store = await Store.open(newPath())
  for (const [id, askAt] of [['a', null], ['b', [1]]] as const) {
    const job = { ...newJob(id), request: JobRequest.parse({ prompt: 'p', cwd: '/w', ...(askAt === null ? {} : { escalation: { askAt } }) }) }
    const bodies: JobEventBody[] = [
      { type: 'handed_back', step: 1, id: 'e1', mode: 'advise', how: 'answered', text: '', turns: 1, usdMicros: 0, model: 'big' }, { type: 'effect', step: 2, id: 'e1', effect: 'same', evidence: '' },
    ]
    await store.accept(job, accepted(job), ...bodies.map((body, index) => ({ ...body, seq: index + 2, jobId: id, at: index + 2 })))
  }
  assert.equal(helpRecords(store.read.query, 'advise', 'task').get('big')?.asked, 1)
  await store.close()
})

test('a migration that fails leaves the schema before it', () => {
  const path = newPath()
  const db = openDb(path, 'write')
  assert.throws(() => migrate(db, path, ['CREATE TABLE one (a)', 'CREATE TABLE two (a); CREATE TABLE one (a)']), /already exists/)
  assert.equal(db.prepare("SELECT value FROM meta WHERE key = 'schema'").get()?.['value'], '1')
  assert.equal(db.prepare("SELECT count(*) AS n FROM sqlite_schema WHERE name = 'two'").get()?.['n'], 0)
  db.close()
})

test('a file that is no database is refused with a sentence, and so is a folder', async () => {
  const path = newPath()
  writeFileSync(path, 'this is not a database, not at all, and longer than a header of a hundred bytes has to be to be read as one by it')
  await assert.rejects(Store.open(path), (error: unknown) => error instanceof FaultError && error.fault.message === `The database ${path} cannot be used: file is not a database.`)
  await assert.rejects(checkIntegrity(path), FaultError)
  await assert.rejects(Store.open(place.root), (error: unknown) => error instanceof FaultError && error.fault.code === 'database')
})

for (const [version, refused] of [['3.51.3', false], ['3.53.4', false], ['4.0.0', false], ['3.51.2', true], ['3.7.0', true], ['3.9.9', true], ['0', true]] as const) {
  test(`SQLite ${version} is ${refused ? 'refused' : 'good'}`, () => assert.equal(versionFault(version, 'x') !== null, refused))
}

test('every write is synced: FULL, WAL, with the pragmas that distrust a file', () => {
  const path = newPath()
  const db = openDb(path, 'write')
  const pragma = (name: string): unknown => Object.values(db.prepare(`PRAGMA ${name}`).get() ?? {})[0]
  assert.deepEqual(['journal_mode', 'synchronous', 'foreign_keys', 'trusted_schema', 'cell_size_check', 'busy_timeout', 'mmap_size'].map(pragma), ['wal', 2, 1, 0, 1, 5000, 0])
  db.close()
})

test('the lock is held by one and free after it', () => {
  const path = newPath()
  const first = holdLock(path)
  assert.ok(first !== null)
  assert.equal(holdLock(path), null)
  first.release()
  const second = holdLock(path)
  assert.ok(second !== null)
  second.release()
})

test('the writing thread loads no schemas: they took 25 MiB in it', () => {
  const writer = new URL('../../packages/daemon/src/store/writer.ts', import.meta.url).href
  const program = `import { registerHooks } from 'node:module'
    const seen = []
    registerHooks({ resolve(name, context, next) { const found = next(name, context); seen.push(found.url); return found } })
    await import(${JSON.stringify(writer)})
    console.log(seen.filter((url) => url.includes('/zod/')).length, seen.length > 5)`
  const ran = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program], { encoding: 'utf8' })
  assert.equal(ran.stdout.trim(), '0 true', ran.stderr)
})
