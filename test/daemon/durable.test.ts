// What a crash, a stop and a restart may do to a job: nothing that was said is taken back.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FaultError } from '@hearth/protocol'
import { Client } from '@hearth/protocol/client'
import { DaemonProcess, daemonsOfThisFile, numbers, script, upTo } from './process.ts'

const { place, start } = daemonsOfThisFile()

test('a job that was answered 201 is there after kill -9 and runs to its end', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ steps: 3, pauseMs: 50 }), cwd: here.work() })
  await first.kill('SIGKILL')
  const second = await start(here)
  const events = await second.all(job.id)
  assert.deepEqual(numbers(events), upTo(events.length))
  const end = events.at(-1)
  assert.equal(end?.type === 'ended' ? end.outcome : end?.type, 'resolved')
  const row = await second.job(job.id)
  assert.equal(row.state, 'resolved')
  assert.equal(row.lastSeq, events.length)
  assert.equal(row.exitCode, 0)
})

test('after kill -9 in the middle the numbers go on, the attempt is the second, and an unsafe call is not run again', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ steps: 2, pauseMs: 60_000 }), cwd: here.work() })
  const cut = await first.until(job.id, 'tool_started')
  await first.kill('SIGKILL')
  const second = await start(here)
  const resumed: string[] = []
  for await (const event of second.events(job.id, cut.seq)) {
    resumed.push(event.type)
    assert.equal(event.seq, cut.seq + resumed.length)
    if (event.type === 'started') assert.equal(event.attempt, 2)
    if (event.type === 'tool_started') break
  }
  assert.deepEqual(resumed, ['started', 'tool_unknown', 'step', 'text', 'turn', 'tool_planned', 'tool_started'])
  const planned = (await Array.fromAsync(second.events(job.id, 0, false))).filter((event) => event.type === 'tool_planned')
  assert.equal(planned.length, 2, 'one call of each step, the unsafe one not again')
})

test('the seed of a job is the same in every attempt', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ pauseMs: 60_000 }), cwd: here.work() })
  const before = await first.until(job.id, 'started')
  await first.kill('SIGKILL')
  const second = await start(here)
  const again = await second.until(job.id, 'started', before.seq)
  assert.ok(before.type === 'started' && again.type === 'started')
  assert.equal(again.seed, before.seed)
})

test('SIGTERM suspends a running job; the next start continues it, and waiting time is not run time', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ steps: 2, pauseMs: 60_000 }), cwd: here.work() })
  await first.until(job.id, 'tool_started')
  assert.equal(await first.kill('SIGTERM'), 0)
  const second = await start(here)
  const types: string[] = []
  for await (const event of second.events(job.id)) {
    types.push(event.type)
    if (types.filter((type) => type === 'tool_started').length === 2) break
  }
  assert.deepEqual(types.slice(types.indexOf('tool_result')), ['tool_result', 'suspended', 'started', 'step', 'text', 'turn', 'tool_planned', 'tool_started'])
})

test('a job that reaches no step edge in time does not hold up the stop, and is continued', async () => {
  const here = place()
  const first = await start(here, undefined, undefined, { STUB_GRACE_MS: '200' })
  const { job } = await first.submit({ prompt: script({ pauseMs: 60_000, deaf: true }), cwd: here.work() })
  await first.until(job.id, 'tool_started')
  assert.equal(await first.kill('SIGTERM'), 0)
  const second = await start(here)
  assert.equal((await second.until(job.id, 'ended')).type, 'ended')
})

test('queued jobs are queued again, in order', async () => {
  const here = place()
  const first = await start(here)
  const ids: string[] = []
  for (let n = 0; n < 4; n += 1) ids.push((await first.submit({ prompt: script({ pauseMs: 60_000 }), cwd: here.work(`w${n}`) })).job.id)
  const before = await first.until(ids[3] ?? '', 'queued')
  await first.kill('SIGKILL')
  const second = await start(here)
  await second.until(ids[3] ?? '', 'queued', before.seq)
  const last = (await Array.fromAsync(second.events(ids[3] ?? '', 0, false))).filter((event) => event.type === 'queued')
  assert.deepEqual(last.map((event) => ({ position: event.position, reason: event.reason })), [
    { position: 2, reason: '2 jobs are running, the limit is 2' }, { position: 2, reason: '2 jobs are running, the limit is 2' },
  ])
  await second.client.call('POST', `/api/jobs/${ids[0]}/cancel`)
  assert.equal((await second.until(ids[2] ?? '', 'started')).type, 'started')
})

test('a cancelled job does not come back to life', async () => {
  const here = place()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ pauseMs: 60_000, deaf: true }), cwd: here.work() })
  await first.until(job.id, 'tool_started')
  await first.client.call('POST', `/api/jobs/${job.id}/cancel`)
  await first.kill('SIGKILL')
  const second = await start(here)
  const end = await second.until(job.id, 'ended')
  assert.ok(end.type === 'ended')
  assert.equal(end.outcome, 'cancelled')
  assert.match(end.fault?.message ?? '', /^Cancelled by socket:\d+\.$/)
})

test('kill -9 at twenty moments of three running jobs: every acknowledged job ends, without a gap', async () => {
  const here = place()
  const ids: string[] = []
  for (let round = 0; round < 20; round += 1) {
    const daemon = await DaemonProcess.start(here)
    ids.push((await daemon.submit({ prompt: script({ steps: 4, pauseMs: 5, pieces: 5 }), cwd: here.work(`w${round % 3}`) })).job.id)
    for await (const event of daemon.events(ids.at(-1) ?? '')) if (event.seq >= 1 + (round * 7) % 16) break
    await daemon.kill('SIGKILL')
  }
  const daemon = await start(here)
  for (const id of ids) {
    const events = await daemon.all(id)
    assert.deepEqual(numbers(events), upTo(events.length))
    assert.equal(events.filter((event) => event.type === 'ended').length, 1)
    const started = events.filter((event) => event.type === 'started').map((event) => event.attempt)
    assert.deepEqual(started, upTo(started.length))
  }
  const report = await daemon.client.call<{ checks: { name: string; detail: string }[] }>('GET', '/api/doctor')
  assert.equal(report.checks.find((check) => check.name === 'database')?.detail, 'integrity_check: ok')
})

test('a full disk under the database: nothing is acknowledged that is not stored, the daemon answers on, and goes on when there is room', async () => {
  const here = place()
  mkdirSync(join(here.root, 'disk'))
  // A mount namespace of its own: the little disk goes with the process. Files of the state lie on it, the socket too.
  const setup = 'mount -t tmpfs -o size=9m,mode=700 tmpfs "$HEARTH_HOME" && echo \'{"storage":{"refuseBelowBytes":0}}\' > "$HEARTH_HOME/config.json" && exec "$@"'
  const daemon = await start(here, undefined, undefined, {}, ['unshare', ...(process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']), 'sh', '-c', setup, 'sh'])
  const client = new Client(`/proc/${daemon.child.pid}/root${here.home}/hearth.sock`)
  const prompt = script({ steps: 1, filler: 'x'.repeat(200_000) })
  const stored: string[] = []
  let refusal: unknown = null
  while (refusal === null && stored.length < 50) {
    await client.call<{ job: { id: string } }>('POST', '/api/jobs', { prompt, cwd: here.work(`w${stored.length % 2}`) })
      .then((reply) => stored.push(reply.job.id), (error: unknown) => { refusal = error })
  }
  assert.ok(refusal instanceof FaultError, 'the disk was never full')
  assert.equal(refusal.fault.code, 'disk_full')
  assert.match(refusal.fault.message, /^The disk of the state folder .* is full\.$/)
  assert.ok(stored.length > 0)
  const { jobs } = await client.call<{ jobs: { id: string }[] }>('GET', '/api/jobs')
  assert.deepEqual(jobs.map((job) => job.id).toSorted(), stored.toSorted())
  const grown = spawnSync('nsenter', [`--target=${daemon.child.pid}`, '--mount', ...(process.getuid?.() === 0 ? [] : ['--user', '--preserve-credentials']), 'mount', '-o', 'remount,size=64m', here.home], { encoding: 'utf8' })
  assert.equal(grown.status, 0, grown.stderr)
  for (const id of stored) {
    const events = await Array.fromAsync(client.stream<{ seq: number; type: string }>('GET', `/api/jobs/${id}/events?follow=1`))
    assert.deepEqual(events.map((event) => event.seq), upTo(events.length))
    assert.equal(events.at(-1)?.type, 'ended')
  }
  const { job } = await client.call<{ job: { id: string } }>('POST', '/api/jobs', { prompt: script({}), cwd: here.work() })
  assert.equal((await Array.fromAsync(client.stream<{ type: string }>('GET', `/api/jobs/${job.id}/events?follow=1`))).at(-1)?.type, 'ended')
})
