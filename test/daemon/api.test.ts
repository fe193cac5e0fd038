// The routes over the real socket: what they accept, what they refuse and in which words.
import assert from 'node:assert/strict'
import { chmodSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { FaultError, Job, JobEventBody, StatusReply, SubmitReply, UsageReply, UsageReport, UsageStatement, type Fault, type ModelList, type TransferEvent } from '@hearth/protocol'
import { DaemonProcess, makePlace, numbers, script, upTo } from './process.ts'

const place = makePlace()
let daemon: DaemonProcess
before(async () => {
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ jobs: { maxQueued: 60 }, storage: { refuseBelowBytes: 1024 } }))
  daemon = await DaemonProcess.start(place)
})
after(async () => {
  await daemon.kill('SIGTERM')
  place.clear()
})

async function refusal(work: Promise<unknown>): Promise<Fault> {
  const result = await work.then(() => null, (error: unknown) => error)
  assert.ok(result instanceof FaultError, 'it was not refused')
  return result.fault
}

/** The raw answer: status, headers and text. */
function raw(method: string, path: string, body?: string | Buffer): Promise<{ status: number; type: string | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath: daemon.client.socket, method, path }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => resolve({ status: answer.statusCode ?? 0, type: answer.headers['content-type'], text }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

test('fifty posts with one idempotency key at once are one job', async () => {
  const body = { prompt: script({}), cwd: place.work('same'), idempotencyKey: 'only-once' }
  const replies = await Promise.all(Array.from({ length: 50 }, () => daemon.submit(body)))
  assert.equal(new Set(replies.map((reply) => reply.job.id)).size, 1)
  assert.equal(replies.filter((reply) => !reply.duplicate).length, 1)
  const later = await daemon.submit(body)
  assert.deepEqual([later.job.id, later.duplicate], [replies[0]?.job.id, true])
  assert.equal((await raw('POST', '/api/jobs', JSON.stringify(body))).status, 200)
})

test('a job is answered 201 as the schema says, and its receipt is the sum of its ledger', async () => {
  const answer = await raw('POST', '/api/jobs', JSON.stringify({ prompt: script({ steps: 3 }), cwd: place.work('receipt'), tags: { a: 'b' } }))
  assert.equal(answer.status, 201)
  const { job } = SubmitReply.parse(JSON.parse(answer.text))
  const events = await daemon.all(job.id)
  for (const { seq: _seq, jobId: _jobId, at: _at, ...body } of events) JobEventBody.parse(body)
  const row = Job.parse(await daemon.job(job.id))
  const { totals, entries, byModel } = UsageReply.parse(await daemon.client.call('GET', `/api/usage?job=${job.id}`))
  assert.deepEqual(entries.map((entry) => entry.step), [3, 2, 1])
  assert.deepEqual([totals.calls, totals.promptTokens, totals.reusedTokens, totals.completionTokens, totals.jobs, totals.resolved], [3, 300, 120, 60, 1, 1])
  assert.deepEqual(byModel, [{ model: 'stub', place: 'local', calls: 3, promptTokens: 300, reusedTokens: 120, completionTokens: 60, modelSeconds: 0.033, usdMicros: 0, mendedCalls: 0, refusedCalls: 0 }])
  const { seconds, ...receipt } = row.receipt ?? assert.fail('no receipt')
  assert.ok(seconds > 0)
  assert.deepEqual(receipt, {
    steps: 3, toolCalls: 3, modelCalls: 3, promptTokens: 300, reusedTokens: 120, completionTokens: 60, modelSeconds: 0.033, tokensPerSecond: 2000, joules: null, usdMicros: 0, bytesLeftBox: 0,
  })
})

test('a report of usage and a statement are answered as the schemas say, and tell what was asked', async () => {
  const { job } = await daemon.submit({ prompt: script({ steps: 2 }), cwd: place.work('usage'), tags: { ticket: 'T=1' } })
  await daemon.all(job.id)
  const ask = (query: string): Promise<unknown> => daemon.client.call('GET', `/api/usage/${query}`)
  const { totals, rows, jobs } = UsageReport.parse(await ask('report?by=tag:ticket&tag=ticket=T%3D1'))
  assert.deepEqual([totals.calls, totals.jobs, rows.map(({ name, calls }) => [name, calls])], [2, 1, [['T=1', 2]]])
  assert.deepEqual(jobs.byOutcome.map(({ jobs: count }) => count), [1])
  const month = new Date().toISOString().slice(0, 7)
  const { statements, closed } = UsageStatement.parse(await ask(`statement?month=${month}`))
  assert.deepEqual([closed, statements.map(({ principal }) => principal)], [false, [job.principal.id]])
  for (const query of ['report?by=hour', 'report?tag=ticket', 'report?since=5&until=5', 'report?limit=0', 'statement', 'statement?month=2026-13']) assert.equal((await refusal(ask(query))).code, 'bad_request', query)
  assert.equal((await refusal(ask('report?job=nobody'))).code, 'unknown_job')
})

test('pieces of text are put together: many tokens, few events', async () => {
  const { job } = await daemon.submit({ prompt: script({ pieces: 2000 }), cwd: place.work('pieces') })
  const events = await daemon.all(job.id)
  const texts = events.filter((event) => event.type === 'text')
  assert.ok(texts.length <= 5, `${texts.length} events for 2000 pieces`)
  const turn = events.find((event) => event.type === 'turn')
  assert.equal(texts.map((event) => event.text).join(''), turn?.type === 'turn' ? turn.text : null)
})

test('a reader that begins anywhere gets the rest, without a gap or a double', async () => {
  const { job } = await daemon.submit({ prompt: script({ steps: 5, pauseMs: 20 }), cwd: place.work('resume') })
  const readers = Array.from({ length: 12 }, (_, start) => daemon.all(job.id, start))
  for (const [start, events] of (await Promise.all(readers)).entries()) {
    assert.deepEqual(numbers(events), upTo((await daemon.job(job.id)).lastSeq, start + 1))
  }
  assert.deepEqual(await daemon.all(job.id, 10_000), [], 'after the end there is nothing, and no waiting')
})

test('a reader that does not read gets everything in the end, and holds nobody up', async () => {
  const { job } = await daemon.submit({ prompt: script({ steps: 40, pieces: 2000 }), cwd: place.work('slow') })
  const slow = daemon.events(job.id)
  await slow.next()
  assert.equal((await daemon.until(job.id, 'ended')).type, 'ended')
  const rest = await Array.fromAsync(slow)
  assert.deepEqual(numbers(rest), upTo((await daemon.job(job.id)).lastSeq, 2))
})

test('without follow the stream ends where the job is', async () => {
  const { job } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: place.work('now') })
  await daemon.until(job.id, 'tool_started')
  const events = await Array.fromAsync(daemon.events(job.id, 0, false))
  assert.deepEqual(numbers(events), upTo(events.length))
  assert.equal(events.at(-1)?.type, 'tool_started')
  await daemon.client.call('POST', `/api/jobs/${job.id}/cancel`)
})

test('cancel ends a running job with 130, a waiting one too, and leaves one that is over alone', async () => {
  const cwd = place.work('cancel')
  const { job: running } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd })
  const { job: waiting } = await daemon.submit({ prompt: script({}), cwd })
  const queued = await daemon.until(waiting.id, 'queued')
  assert.equal(queued.type === 'queued' ? queued.reason : null, `job ${running.id} works in the same folder`)
  const dropped = await daemon.client.call<Job>('POST', `/api/jobs/${waiting.id}/cancel`)
  assert.deepEqual([dropped.state, dropped.exitCode, dropped.startedAt, dropped.receipt?.seconds], ['cancelled', 130, null, 0])
  const stopped = await daemon.client.call<Job>('POST', `/api/jobs/${running.id}/cancel`)
  assert.deepEqual([stopped.state, stopped.exitCode, stopped.verified], ['cancelled', 130, false])
  assert.deepEqual(await daemon.client.call<Job>('POST', `/api/jobs/${running.id}/cancel`), stopped)
})

test('the time limit of a job ends it with 124', async () => {
  const { job } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: place.work('late'), timeoutSeconds: 0.2 })
  const end = await daemon.until(job.id, 'ended')
  assert.ok(end.type === 'ended')
  assert.deepEqual([end.outcome, end.exitCode, end.fault?.message], ['timed_out', 124, 'The job passed its limit of 0.2 s.'])
})

test('an engine that is down ends the job with 69 and its cause; the call is billed', async () => {
  const { job } = await daemon.submit({ prompt: script({ down: true }), cwd: place.work('down') })
  const end = await daemon.until(job.id, 'ended')
  assert.ok(end.type === 'ended')
  assert.deepEqual([end.outcome, end.exitCode, end.fault?.code, end.receipt.modelCalls], ['engine_down', 69, 'worker_exited', 1])
})

test('the beginning of an id is enough when only one job has it', async () => {
  const { job } = await daemon.submit({ prompt: script({}), cwd: place.work('prefix') })
  assert.equal((await daemon.job(job.id.slice(0, 10))).id, job.id)
  assert.equal((await refusal(daemon.job(job.id.slice(0, 3)))).message, `There is no job '${job.id.slice(0, 3)}'.`)
  assert.equal((await refusal(daemon.job('____'))).code, 'unknown_job', 'no wildcard')
})

test('the list is newest first, by state and bounded', async () => {
  const { job } = await daemon.submit({ prompt: script({}), cwd: place.work('list') })
  await daemon.until(job.id, 'ended')
  const { jobs } = await daemon.client.call<{ jobs: Job[] }>('GET', '/api/jobs?state=resolved&limit=2')
  assert.equal(jobs.length, 2)
  assert.equal(jobs[0]?.id, job.id)
  assert.ok(jobs.every((one) => one.state === 'resolved'))
  assert.match((await refusal(daemon.client.call('GET', '/api/jobs?state=odd'))).message, /^The request is not valid at state: one of queued, running, /)
})

test('a folder that cannot be worked in is refused with the reason', async () => {
  const file = join(place.root, 'file')
  writeFileSync(file, '')
  const link = join(place.root, 'link-to-root')
  symlinkSync('/', link)
  const cases: readonly [string, string][] = [
    ['relative/path', 'it is not an absolute path'], [join(place.root, 'absent'), 'it does not exist'], [file, 'it is not a folder'], [`${file}/x`, 'a part of the path is not a folder'],
    ['/', 'it is the root of the file system'], [link, 'it is the root of the file system'],
    [place.home, `it holds the daemon's state folder (${place.home}/state)`], [join(place.home, 'state'), "it is the daemon's state folder"],
    [join(place.home, 'state/outputs'), `it lies inside the daemon's state folder (${place.home}/state)`], [join(place.home, 'models'), 'it is the folder of the models'],
  ]
  for (const [cwd, problem] of cases) {
    assert.equal((await refusal(daemon.submit({ prompt: 'p', cwd }))).message, `The working directory ${cwd} cannot be used: ${problem}.`)
  }
})

test('a request is refused at the field that is wrong, and nothing is stored for it', async () => {
  const cwd = place.work('wrong')
  const before_ = await daemon.client.call<{ jobs: Job[] }>('GET', '/api/jobs?limit=1000')
  const cases: readonly [unknown, string][] = [
    [{ prompt: 'p', cwd, promt: 1 }, 'The request is not valid at promt: there is no such field.'],
    [{ cwd }, 'The request is not valid at prompt: invalid input: expected string, received undefined.'],
    [{ prompt: 'p', cwd, checks: ['ok', 7] }, 'The request is not valid at checks.1: invalid input: expected string, received number.'],
    [[], 'The request is not valid at the job: invalid input: expected object, received array.'],
    [{ prompt: 'p', cwd, model: 'nobody' }, "There is no model 'nobody' here."],
  ]
  for (const [body, message] of cases) assert.equal((await refusal(daemon.client.call('POST', '/api/jobs', body))).message, message)
  const broken = await raw('POST', '/api/jobs', '{"prompt":')
  assert.equal(broken.status, 400)
  assert.match(broken.text, /"code":"bad_request".*not valid at the body: it is not JSON/)
  const large = await raw('POST', '/api/jobs', Buffer.alloc(5 * 2 ** 20, 0x20))
  assert.match(large.text, /"code":"body_too_large".*The body is larger than 4.0 MiB/)
  const after_ = await daemon.client.call<{ jobs: Job[] }>('GET', '/api/jobs?limit=1000')
  assert.equal(after_.jobs.length, before_.jobs.length)
})

test('an unknown route, and a known one with the wrong method, are 404 with a sentence', async () => {
  for (const [method, path] of [['GET', '/nope'], ['DELETE', '/api/status']] as const) {
    const { status, text } = await raw(method, path)
    assert.equal(status, 404)
    assert.equal((JSON.parse(text) as { error: Fault }).error.message, `There is no route ${method} ${path}.`)
  }
})

test('healthz says ok and nothing else; status fits its schema', async () => {
  const { status, text } = await raw('GET', '/healthz')
  assert.deepEqual([status, text], [200, 'ok'])
  const reply = StatusReply.parse(await daemon.client.call('GET', '/api/status'))
  assert.deepEqual([reply.pid, reply.stateDir, reply.socket], [daemon.child.pid, join(place.home, 'state'), join(place.home, 'hearth.sock')])
})

test('a full queue is refused with 75, and no job of it is lost', async () => {
  const cwd = place.work('full')
  const { job: running } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd })
  const results = await Promise.allSettled(Array.from({ length: 70 }, () => daemon.submit({ prompt: script({}), cwd })))
  const refused = results.flatMap((result) => result.status === 'rejected' ? [(result.reason as FaultError).fault] : [])
  assert.equal(refused.length, 10)
  assert.equal(refused[0]?.message, '60 jobs are waiting, the limit is 60.')
  await daemon.client.call('POST', `/api/jobs/${running.id}/cancel`)
  for (const result of results) if (result.status === 'fulfilled') assert.equal((await daemon.until(result.value.job.id, 'ended')).type, 'ended')
})

test('two pulls of one model at once are one pull; a transfer that breaks says so', async () => {
  const pull = (): Promise<TransferEvent[]> => Array.fromAsync(daemon.client.stream<TransferEvent>('POST', '/api/models/far/pull'))
  const [one, two] = await Promise.all([pull(), pull()])
  for (const events of [one, two]) {
    const [source] = events
    assert.equal(source?.type === 'source' ? source.source : null, 'pull number 1')
    assert.equal(events.filter((event) => event.type === 'done').length, 1)
    assert.equal(events.at(-1)?.type, 'done')
  }
  const verify = await Array.fromAsync(daemon.client.stream<TransferEvent>('POST', '/api/models/far/verify'))
  assert.deepEqual(verify.map((event) => event.type), ['verifying', 'failed'])
  assert.equal((await refusal(daemon.client.call('POST', '/api/models/nobody/pull'))).message, "There is no model 'nobody' here.")
})

test('models are listed, and one that a job uses is not removed', async () => {
  const list = await daemon.client.call<ModelList>('GET', '/api/models')
  assert.deepEqual([list.default, list.models.map((model) => model.id)], ['stub', ['stub', 'far']])
  const { job } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: place.work('uses') })
  assert.equal((await refusal(daemon.client.call('DELETE', '/api/models/stub'))).message, "The model 'stub' is in use by a job that is not over.")
  await daemon.client.call('POST', `/api/jobs/${job.id}/cancel`)
  assert.deepEqual(await daemon.client.call('DELETE', '/api/models/far'), { removed: 'far' })
  assert.equal((await refusal(daemon.client.call('POST', '/api/models/import', { path: 'relative' }))).code, 'bad_request')
})

test('the socket and what is behind it are the owner\'s alone', () => {
  assert.equal(statSync(join(place.home, 'hearth.sock')).mode & 0o777, 0o600)
  for (const path of ['state', 'models', 'cache']) assert.equal(statSync(join(place.home, path)).mode & 0o777, 0o700)
  for (const path of ['state/hearth.db', 'state/daemon.lock', 'state/daemon.pid']) assert.equal(statSync(join(place.home, path)).mode & 0o077, 0)
  chmodSync(place.home, 0o700)
})
