// Bad moments and bad words for the daemon: a folder that changes while its job waits, a log that cannot be written, two events at once.
import assert from 'node:assert/strict'
import { closeSync, openSync, renameSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { Client } from '@hearth/protocol/client'
import { JobRequest, type Fault, type JobEventBody, type Principal, type StatusReply } from '@hearth/protocol'
import { Journal } from '../../packages/daemon/src/queue/journal.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import type { DaemonProcess} from './process.ts';
import { daemonsOfThisFile, real, script } from './process.ts'

const { place, start } = daemonsOfThisFile()

const faultOf = (error: unknown): Fault => (error as { fault: Fault }).fault

test('a folder that was swapped for a link while its job waited is not used', async () => {
  const here = place()
  const daemon = await start(here)
  const outer = here.work('outer')
  const inner = here.work('outer/inner')
  const first = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: outer })
  const second = await daemon.submit({ prompt: script({}), cwd: inner })
  await daemon.until(second.job.id, 'queued')
  renameSync(inner, `${outer}/moved`)
  symlinkSync(join(here.home, 'state'), inner)
  await daemon.client.call('POST', `/api/jobs/${first.job.id}/cancel`)
  const end = (await daemon.all(second.job.id)).at(-1)
  assert.ok(end?.type === 'ended')
  assert.deepEqual([end.outcome, end.exitCode, end.receipt.steps], ['bad_input', 65, 0])
  assert.equal(end.fault?.message, `The working directory ${inner} cannot be used: it is the daemon's state folder.`)
})

test('a folder that was swapped for a link to another harmless one is not used either', async () => {
  const here = place()
  const daemon = await start(here)
  const first = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: here.work('a') })
  const second = await daemon.submit({ prompt: script({}), cwd: here.work('a/b') })
  await daemon.until(second.job.id, 'queued')
  rmSync(join(here.root, 'a/b'), { recursive: true })
  symlinkSync(here.work('other'), join(here.root, 'a/b'))
  await daemon.client.call('POST', `/api/jobs/${first.job.id}/cancel`)
  const end = (await daemon.all(second.job.id)).at(-1)
  assert.equal(end?.type === 'ended' && end.fault?.message, `The working directory ${here.root}/a/b cannot be used: it leads to ${here.root}/other now.`)
})

test('a folder that is gone when its job is continued ends the job as bad input', async () => {
  const here = place()
  const cwd = here.work()
  const first = await start(here)
  const { job } = await first.submit({ prompt: script({ steps: 2, pauseMs: 60_000 }), cwd })
  await first.until(job.id, 'tool_started')
  assert.equal(await first.kill('SIGTERM'), 0)
  rmSync(cwd, { recursive: true })
  const end = (await (await start(here)).all(job.id)).at(-1)
  assert.equal(end?.type === 'ended' && end.fault?.message, `The working directory ${cwd} cannot be used: it does not exist.`)
})

test('a NUL character in a check or a path is refused by its field', async () => {
  const here = place()
  const daemon = await start(here, real)
  const refusal = (request: Parameters<DaemonProcess['submit']>[0]): Promise<string> =>
    daemon.submit(request).then(() => 'accepted', (error: unknown) => `${faultOf(error).code}: ${faultOf(error).message}`)
  assert.equal(await refusal({ prompt: 'p', cwd: here.work(), checks: ['true', 'tr\0ue'] }), 'bad_request: The request is not valid at checks.1: it holds a NUL character.')
  assert.equal(await refusal({ prompt: 'p', cwd: here.work(), model: 'scripted:/a\0b' }), 'bad_request: The request is not valid at model: it holds a NUL character.')
})

test('a log that cannot be written does not end the daemon', async () => {
  const here = place()
  const full = openSync('/dev/full', 'w')
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', real, 'serve'], { env: { PATH: process.env['PATH'], HEARTH_HOME: here.home }, stdio: ['ignore', 'pipe', full] })
  closeSync(full)
  assert.ok(child.stdout !== null)
  const exited = once(child, 'exit')
  try {
    await Promise.race([once(createInterface(child.stdout), 'line'), exited.then(([code]) => assert.fail(`it ended with ${code}`))])
    const status = await new Client(join(here.home, 'hearth.sock')).call<StatusReply>('GET', '/api/status')
    assert.equal(status.pid, child.pid)
  } finally {
    child.kill('SIGTERM')
  }
  assert.deepEqual(await exited, [0, null])
})

async function withJournal(work: (journal: Journal, store: Store) => Promise<void>): Promise<void> {
  const here = place()
  const store = await Store.open(join(here.root, 'journal.db'))
  try {
    const principal: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: [], class: 'job' }
    const request = JobRequest.parse({ prompt: 'p', cwd: '/w' })
    await store.accept({ id: 'j', request, principal, project: { id: 'w', path: '/w', dataClass: 'local-only', consent: 'never' }, model: 'm', createdAt: 1 },
      { type: 'accepted', request, principal, model: 'm', seq: 1, jobId: 'j', at: 1 })
    await work(new Journal('j', 1, store, () => undefined), store)
  } finally {
    await store.close()
  }
}
const output = (text: string): JobEventBody => ({ type: 'tool_output', step: 1, callId: 'c', text })

test('events of one moment are one transaction', async () => {
  await withJournal(async (journal, store) => {
    const before = await store.stats()
    await Promise.all([journal.emit({ type: 'step', step: 1 }), journal.emit({ type: 'nudge', step: 1, text: 'x' })])
    const now = await store.stats()
    assert.deepEqual([now.batches - before.batches, now.commits - before.commits], [1, 1])
  })
})

test('a drained journal has stored what came while it was writing', async () => {
  await withJournal(async (journal, store) => {
    const written = journal.emit({ type: 'step', step: 1 })
    await Promise.resolve()
    await journal.emit(output('late'))
    await journal.drained()
    assert.deepEqual(store.read.events('j', 0, -1).map((event) => event.type), ['accepted', 'step', 'tool_output'])
    await written
  })
})

test('what a job is continued from holds no pieces of text, but their times', async () => {
  await withJournal(async (journal, store) => {
    await journal.emit(output('x'.repeat(5_000_000)))
    await journal.emit({ type: 'step', step: 2 })
    const past = store.read.journal('j')
    assert.deepEqual(past.map((event) => [event.seq, event.type]), [[1, 'accepted'], [2, 'tool_output'], [3, 'step']])
    assert.ok(JSON.stringify(past).length < 2000)
    assert.deepEqual(past[1], { ...output(''), seq: 2, jobId: 'j', at: past[1]?.at })
  })
})
