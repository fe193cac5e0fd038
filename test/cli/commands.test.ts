// The real command against a daemon's double on a real socket: what it sends, prints and exits with.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exitOf, fault, JobEventBody, outcomes, outcomeTable, type JobEvent } from '@hearth/protocol'
import { played, receipt, starter } from '../fixtures/fake-daemon.ts'
import { launcher, makeHome, ndjson, withDaemon } from './cli.ts'

const escapes = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/

test('run: the id first, the story and the receipt on stderr, the words on stdout', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: played('resolved', 0, 'copied it') })
  const ran = await home.hearth('run', '--check', 'test -f b.txt', '--max-steps', '5', '--max-tokens', '900', '--timeout', '1h30m', '--seed', '3', '--tag', 'a=b=c', 'copy', 'a to b')
  assert.deepEqual([ran.code, ran.stdout], [0, 'copied it\n'])
  assert.deepEqual(ran.stderr.split('\n'), [
    'job1', `model tiny  folder ${home.dir}`, 'prompt copy a to b', 'check test -f b.txt', 'waiting, position 1: one job is running', '', 'step 1',
    '  620 prompt (465 reused) + 43 tokens in 1.5 s, 30.7 tokens/s', '$ cp a.txt b.txt', '  │ copied it', '  ✓ 12 ms', '✓ check  test -f b.txt  5 ms', '',
    '✓ resolved: the check passed', '  work          2 steps, 2 tool calls, 3 model calls',
    '  tokens        1,240 prompt (930 reused), 86 generated, 31.3 tokens/s', '  time          8.1 s, 7.5 s of it in the model', '  left the box  0 bytes', '',
  ])
  assert.deepEqual(daemon.requests.find((request) => request.method === 'POST')?.body, {
    prompt: 'copy a to b', cwd: home.dir, checks: ['test -f b.txt'], model: null, result: null, maxSteps: 5, maxTokens: 900, timeoutSeconds: 5400, seed: 3,
    tags: { a: 'b=c' }, idempotencyKey: null,
  })
})

test('run: the exit code of every outcome', async (t) => {
  for (const outcome of outcomes) {
    const exitCode = outcomeTable[outcome].exit
    const { home } = await withDaemon(t, { events: [{ type: 'ended', outcome, verified: outcomeTable[outcome].verified, summary: null, fault: null, receipt, exitCode }] })
    assert.equal((await home.hearth('run', '--quiet', 'x')).code, exitCode, outcome)
  }
})

test('run: a refused job exits with its fault, and nothing else is on stdout', async (t) => {
  for (const refused of [fault('unknown_model', { id: 'x', known: ['tiny'] }), fault('queue_full', { queued: 9, limit: 9 }), fault('bad_cwd', { path: '/', problem: 'it is the root' }), fault('not_allowed', { what: 'run jobs' })]) {
    const { home } = await withDaemon(t, { events: [], submitFault: refused })
    assert.deepEqual(await home.hearth('run', 'x'), { code: exitOf(refused), signal: null, stdout: '', stderr: `hearth: ${refused.message}\n${refused.remedy}\n` })
    const json = await home.hearth('run', '--json', 'x')
    assert.deepEqual([json.code, ndjson(json.stdout)], [exitOf(refused), [{ error: refused }]])
  }
})

test('a JOB that is empty or no id names no job, and nothing is asked of the daemon by it', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('job1', {}, [])
  for (const command of ['show', 'logs', 'attach', 'cancel']) {
    for (const word of ['', '..', 'a/b']) {
      assert.deepEqual(await home.hearth(command, word), { code: 65, signal: null, stdout: '', stderr: `hearth: There is no job '${word}'.\nRun 'hearth ps --all' for the ids.\n` }, `${command} '${word}'`)
    }
  }
})

test('run --json: numbered events without a gap on stdout and nothing else', async (t) => {
  const { home } = await withDaemon(t, { events: played('check_failed', 10) })
  const ran = await home.hearth('run', '--json', 'x')
  assert.equal(ran.code, 10)
  assert.equal(ran.stderr, 'job1\n')
  const events = ndjson(ran.stdout) as JobEvent[]
  events.forEach(({ seq, jobId, at, ...body }, i) => {
    assert.deepEqual([seq, jobId, typeof at], [i + 1, 'job1', 'number'])
    JobEventBody.parse(body)
  })
  assert.equal(events.at(-1)?.type, 'ended')
})

test('run: the prompt comes from arguments, from standard input, or from both', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: played('done_unverified', 0) })
  const prompts = async (words: string[], input: string | null): Promise<unknown> => {
    const ran = await home.launch(['run', '--quiet', ...words], { input }).done
    assert.equal(ran.code, 0, ran.stderr)
    return (daemon.requests.findLast((request) => request.method === 'POST')?.body as { prompt: string }).prompt
  }
  assert.equal(await prompts([], 'from input\n'), 'from input')
  assert.equal(await prompts(['summarise', 'this'], 'line 1\nline 2\n'), 'summarise this\n\nline 1\nline 2')
  assert.equal(await prompts(['--', '--not a flag'], ''), '--not a flag')
  const bad = home.launch(['run'], { input: null })
  bad.child.stdin?.end(Buffer.from([0xff, 0xfe]))
  assert.deepEqual(await bad.done, { code: 65, signal: null, stdout: '', stderr: 'hearth: The request is not valid at prompt: standard input is not UTF-8 text.\nCorrect that field and send it again.\n' })
})

test('run: --cwd and scripted:FILE are made absolute where the caller stands', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: played('done_unverified', 0) })
  const sub = join(home.dir, 'sub')
  mkdirSync(sub)
  await home.launch(['run', '-q', '--cwd', '..', '--model', 'scripted:turns.json', 'x'], { cwd: sub }).done
  const body = daemon.requests.findLast((request) => request.method === 'POST')?.body as { cwd: string; model: string }
  assert.deepEqual([body.cwd, body.model], [home.dir, `scripted:${join(sub, 'turns.json')}`])
})

test('run --detach: the id on stdout, and the command is gone while the job runs', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [{ type: 'started', attempt: 1, seed: 1, sandbox: 's' }, 'hold'] })
  assert.deepEqual(await home.hearth('run', '--detach', 'x'), { code: 0, signal: null, stdout: 'job1\n', stderr: 'job1\n' })
  const listed = await home.hearth('ps')
  assert.match(listed.stdout, /^JOB +STATE +CREATED +TIME +MODEL +PROMPT\njob1 +running +\d+ s ago .* tiny +x\n\nMODEL /)
  const json = await home.hearth('run', '-d', '--json', 'y')
  assert.equal((JSON.parse(json.stdout) as { job: { id: string } }).job.id, 'job2')
  assert.ok(!daemon.requests.some((request) => request.path.endsWith('/cancel')))
})

test('run: SIGINT cancels and waits for the end, exit 130', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [{ type: 'started', attempt: 1, seed: 1, sandbox: 's' }, { type: 'step', step: 1 }, 'hold'] })
  const running = home.launch(['run', 'x'])
  await running.said('stderr', 'step 1')
  running.child.kill('SIGINT')
  const ran = await running.done
  assert.equal(ran.code, 130)
  assert.match(ran.stderr, /cancelling the job; Ctrl-C again leaves at once\n\n✗ cancelled\n {2}Cancelled by socket:0\./)
  assert.ok(daemon.requests.some((request) => request.path === '/api/jobs/job1/cancel'))
})

test('run: SIGHUP leaves the job running', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [{ type: 'step', step: 1 }, 'hold'] })
  const running = home.launch(['run', 'x'])
  await running.said('stderr', 'step 1')
  running.child.kill('SIGHUP')
  assert.equal((await running.done).signal, 'SIGHUP')
  assert.ok(!daemon.requests.some((request) => request.path.endsWith('/cancel')))
})

test('attach: from the last event on, ends with the job\'s exit code; SIGINT only leaves', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('aa1', {}, played('check_failed', 10))
  daemon.add('bb2', {}, [{ type: 'step', step: 1 }, 'hold'])
  const over = await home.hearth('attach', 'aa')
  assert.deepEqual([over.code, over.stdout], [10, 'copied\n'])
  assert.match(over.stderr, /^aa1\n\n✗ check failed/)
  const running = home.launch(['attach', 'bb2', '--from', '1'])
  await running.said('stderr', 'step 1')
  running.child.kill('SIGINT')
  const left = await running.done
  assert.equal(left.code, 130)
  assert.match(left.stderr, /left; the job goes on, 'hearth attach bb2' watches it again\n$/)
  assert.ok(!daemon.requests.some((request) => request.path.endsWith('/cancel')))
})

test('a broken connection is mended by number, without a gap or a double', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: played('resolved', 0), breakAfter: 5 })
  const ran = await home.hearth('run', '--json', 'x')
  assert.equal(ran.code, 0)
  assert.deepEqual((ndjson(ran.stdout) as JobEvent[]).map((event) => event.seq), Array.from({ length: 13 }, (_, i) => i + 1))
  assert.ok(daemon.requests.some((request) => request.path === '/api/jobs/job1/events?after=5&follow=1'))
})

test('logs: text, NDJSON, from a number; a job by prefix; an ambiguous one is told', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('abc1', {}, played('resolved', 0), 1000)
  daemon.add('abd2', { prompt: 'second' }, played('done_unverified', 0), 2000)
  const text = await home.hearth('logs', 'abc')
  assert.match(text.stdout, /✓ resolved: the check passed\n/)
  assert.equal(text.stderr, '')
  const tail = await home.hearth('logs', 'abc1', '--json', '--from', '12')
  assert.deepEqual((ndjson(tail.stdout) as JobEvent[]).map((event) => event.seq), [12, 13])
  assert.match((await home.hearth('logs')).stdout, /prompt second/)
  assert.deepEqual(await home.hearth('show', 'ab'), {
    code: 65, signal: null, stdout: '', stderr: "hearth: The request is not valid at JOB: 'ab' fits 2 jobs: abd2, abc1.\nCorrect that field and send it again.\n",
  })
  assert.deepEqual(await home.hearth('show', 'zz'), { code: 65, signal: null, stdout: '', stderr: "hearth: There is no job 'zz'.\nRun 'hearth ps --all' for the ids.\n" })
})

test('foreign text reaches neither a pipe nor a terminal with its escapes, in any command', async (t) => {
  const evil = '\u001b]52;c;AAAA\u0007\u001b[2J\u202egnp.exe\u009b5n'
  const models = [{ ...starter, id: `m${evil}`, summary: evil, problem: evil }]
  const { home, daemon } = await withDaemon(t, {
    events: played('resolved', 0, evil), models,
    doctor: { ok: false, checks: [{ name: evil, state: 'fail', detail: evil, remedy: evil }] },
    transfer: [{ type: 'source', file: evil, source: evil, totalBytes: 5, resumedBytes: 0 }, { type: 'note', text: evil }, { type: 'failed', fault: fault('source_failed', { what: evil, tried: [evil] }) }],
    status: { stateDir: evil, sandbox: { available: true, limits: evil, detail: evil }, version: evil },
  })
  daemon.add('j', { prompt: evil, checks: [evil], tags: { [evil]: evil }, model: evil }, played('check_failed', 10, evil))
  for (const words of [['run', 'x'], ['run', '--json', 'x'], ['logs', 'j'], ['logs', '--json', 'j'], ['show', 'j'], ['show', '--json', 'j'], ['ps', '-a'], ['attach', 'j'], ['models', 'ls'], ['models', 'pull', 'tiny'], ['status'], ['doctor'], ['version']]) {
    const ran = await home.hearth(...words)
    assert.doesNotMatch(ran.stdout, escapes, words.join(' '))
    assert.doesNotMatch(ran.stderr, escapes, words.join(' '))
  }
})

test('a reader that goes away is no error', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('j', {}, [...Array.from({ length: 400 }, (): JobEventBody => ({ type: 'nudge', step: 1, text: 'x'.repeat(2000) })), ...played('resolved', 0)])
  for (const words of ['logs j', 'logs -f j', 'logs --json j', 'attach --json --from 1 j']) {
    const ran = await home.launch(['-c', `${launcher} ${words} | head -n 1; echo "\${PIPESTATUS[0]}"`], { program: 'bash' }).done
    assert.deepEqual([ran.stdout.trim().split('\n').at(-1), ran.stderr.replace(/^j\n/, '')], ['0', ''], words)
  }
})

test('show, ps, models, usage, status, doctor: one JSON object each', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('j1', {}, played('resolved', 0))
  const keys = async (...words: string[]): Promise<string[]> => {
    const ran = await home.hearth(...words, '--json')
    assert.deepEqual([ran.code, ran.stderr], [0, ''], words.join(' '))
    const values = ndjson(ran.stdout)
    assert.equal(values.length, 1)
    return Object.keys(values[0] as object)
  }
  assert.ok((await keys('show', 'j1')).includes('receipt'))
  assert.deepEqual(await keys('ps', '--all'), ['jobs', 'models'])
  assert.deepEqual(await keys('models', 'ls'), ['models', 'default'])
  assert.ok((await keys('usage', '--job', 'j1', '--since', '7d')).includes('escalations'))
  assert.ok(daemon.requests.some((request) => /^\/api\/usage\/report\?by=model&limit=10000&since=\d{13}&job=j1$/.test(request.path)))
  assert.ok((await keys('status')).includes('workers'))
  assert.deepEqual(await keys('doctor'), ['ok', 'checks'])
  assert.deepEqual(await keys('models', 'import', 'x.gguf'), Object.keys(starter))
  assert.deepEqual(daemon.requests.at(-1)?.body, { path: join(home.dir, 'x.gguf'), id: null, copy: false })
  assert.ok((await keys('cancel', 'j1')).includes('state'))
  assert.ok((await keys('help')).includes('commands'))
})

test('ps: the jobs, and the models in memory with who uses them', async (t) => {
  const now = Date.now()
  const worker = { pid: 4711, restarts: 0, lastFault: null, backend: 'cpu', contextTokens: 8192, sequences: 4, busy: 0, waiting: 0 }
  const { home, daemon } = await withDaemon(t, { events: [], status: { workers: [
    { ...worker, model: 'tiny', state: 'ready', busy: 1, waiting: 2, memoryBytes: 98_362_432, pinned: false, loadedAt: now - 300_500, idleSince: null, unloadsAt: null },
    { ...worker, model: 'large', state: 'ready', memoryBytes: 2 ** 30, pinned: false, loadedAt: now - 7_200_500, idleSince: now - 65_000, unloadsAt: now + 600_000 },
    { ...worker, model: 'gone', state: 'stopped', memoryBytes: null, pinned: true, loadedAt: null, idleSince: null, unloadsAt: null },
  ] } })
  daemon.add('j1', {}, [{ type: 'started', attempt: 1, seed: 1, sandbox: 's' }, 'hold'])
  const { stdout } = await home.hearth('ps')
  assert.match(stdout, /^JOB  STATE    CREATED  .*\nj1   running  \d s ago  .*\n\nMODEL  STATE    MEMORY  LOADED     BUSY  WAITING  KEPT +USED BY\ntiny   ready  93.8 MiB  5 m ago  1 of 4        2  - +job j1\nlarge  ready   1.0 GiB  2 h ago  0 of 4        0  idle 1 m \d\d s, (9 m 5\d|10 m 00) s left  -\n$/)
  assert.deepEqual((JSON.parse((await home.hearth('ps', '--json')).stdout) as { models: { model: string; jobs: string[] }[] }).models.map(({ model, jobs }) => [model, jobs]), [['tiny', ['j1']], ['large', []]])
})

test('show: one page', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: [] })
  daemon.add('j1', { checks: ['make test'], maxSteps: 9, timeoutSeconds: 600, tags: { ci: '7' } }, played('check_failed', 10))
  const { stdout } = await home.hearth('show')
  assert.match(stdout, /^job {7}j1\nprompt {4}do it\nfolder {4}\/tmp\nmodel {5}tiny\ncheck {5}make test\nlimits {4}9 steps, 10 m 00 s\ntag {7}ci=7\nasked by {2}socket:0\ncreated .*\nran .*\nverified {2}no\n\ncheck failed: /)
  assert.match(stdout, /left the box {2}0 bytes\n\ncopied\n\nlast events \('hearth logs j1' has all 13\)\n/)
})

test('doctor: a failed check is exit 1, with its remedy', async (t) => {
  const { home } = await withDaemon(t, { events: [], doctor: { ok: false, checks: [
    { name: 'sandbox', state: 'fail', detail: 'bwrap is missing', remedy: 'Install bubblewrap.' }, { name: 'disk', state: 'warn', detail: '3 GiB free', remedy: null },
  ] } })
  assert.deepEqual(await home.hearth('doctor'), { code: 1, signal: null, stderr: '', stdout: '✗ sandbox  bwrap is missing\n           Install bubblewrap.\n! disk     3 GiB free\n\n2 checks: 1 to repair, 1 worth a look\n' })
})

test('models pull: a line each tenth in a pipe, the events with --json, the fault of a failed one', async (t) => {
  const progress = (doneBytes: number) => ({ type: 'progress' as const, file: 'f.gguf', doneBytes, totalBytes: 1000, bytesPerSecond: 100 })
  const done = { type: 'done' as const, model: starter, downloadedBytes: 1000 }
  const events = [{ type: 'source' as const, file: 'f.gguf', source: 'https://models.example', totalBytes: 1000, resumedBytes: 100 }, ...Array.from({ length: 91 }, (_, i) => progress(100 + i * 10)), { type: 'verifying' as const, file: 'f.gguf' }, done]
  const { home } = await withDaemon(t, { events: [], transfer: events })
  const ran = await home.hearth('models', 'pull', 'tiny')
  assert.deepEqual([ran.code, ran.stdout], [0, 'tiny is installed: /models/tiny.gguf\n'])
  const lines = ran.stderr.trim().split('\n')
  assert.deepEqual([lines[0], lines[1], lines.at(-1), lines.length], ['f.gguf (1000 bytes) from https://models.example, going on after 100 bytes', '10%  100 bytes of 1000 bytes  100 bytes/s  9.0 s left', 'checking the sha256 of f.gguf', 12])
  const json = await home.hearth('models', 'pull', 'tiny', '--json')
  assert.deepEqual([ndjson(json.stdout).length, json.stderr], [events.length, ''])
  const failed = await withDaemon(t, { events: [], transfer: [{ type: 'failed', fault: fault('wrong_hash', { what: 'f', expected: 'a'.repeat(64), found: 'b'.repeat(64) }) }] })
  assert.equal((await failed.home.hearth('models', 'pull', 'tiny')).code, 65)
  assert.equal((await failed.home.hearth('models', 'rm', 'absent')).code, 65)
})

test('run without any model fetches the starter first and says so', async (t) => {
  const { home, daemon } = await withDaemon(t, { events: played('done_unverified', 0), models: [{ ...starter, id: 'large', bytes: 2 ** 34, installed: false }, { ...starter, installed: false }] })
  const ran = await home.hearth('run', 'x')
  assert.equal(ran.code, 0)
  assert.match(ran.stderr, /^hearth: no model is installed; fetching the starter tiny first, 93\.8 MiB\nhearth: tiny is installed and verified\njob1\n/)
  assert.deepEqual(daemon.requests.filter((request) => request.method === 'POST').map((request) => request.path), ['/api/models/tiny/pull', '/api/jobs'])
  await home.hearth('run', '--model', 'scripted:x.json', 'x')
  await home.hearth('run', '--model', 'large', 'x')
  assert.equal(daemon.requests.filter((request) => request.path.endsWith('/pull')).length, 1)
})

test('a daemon of another wire is refused by run and up', async (t) => {
  const { home } = await withDaemon(t, { events: [], wire: 99 })
  for (const words of [['run', 'x'], ['up']]) {
    const ran = await home.hearth(...words)
    assert.equal(ran.code, 69)
    assert.match(ran.stderr, /^hearth: The daemon is version 0\.1\.0 \(wire 99\), this command is 0\.1\.0 \(wire 1\)\.\nRun 'hearth down' and 'hearth up'\.\n$/)
  }
})

test('on a terminal: colours, a status line, and nothing of it left behind', async (t) => {
  const { home } = await withDaemon(t, { events: played('resolved', 0) })
  const tty = async (line: string, env: Record<string, string> = {}): Promise<string> => {
    const child = spawn('script', ['-qec', `stty cols 70 rows 24; ${line}`, '/dev/null'], { env: { ...home.env, ...env }, cwd: home.dir, stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    for await (const piece of child.stdout as AsyncIterable<Buffer>) text += piece.toString('utf8')
    return text
  }
  const seen = await tty(`${launcher} run x`)
  assert.match(seen, /\u001b\[1mstep 1\u001b\[22m/)
  assert.match(seen, /⠋ .*Ctrl-C cancels/)
  assert.match(seen, /\u001b\[32m\u001b\[1m✓ resolved: the check passed/)
  assert.doesNotMatch(await tty(`${launcher} run x`, { NO_COLOR: '1' }), /\u001b\[\d+m/)
  assert.doesNotMatch(await tty(`${launcher} run --no-color x`), /\u001b\[\d+m/)
  assert.doesNotMatch(await tty(`${launcher} run x`, { TERM: 'dumb' }), /\u001b/)
  for (const line of (await tty(`${launcher} models ls`)).replaceAll(/\u001b\[\d+m/g, '').split('\r\n')) assert.ok(line.length <= 70, line)
})

test('nothing is created by a command that fails before it starts anything', async (t) => {
  const home = makeHome(t)
  writeFileSync(join(home.dir, 'here'), '')
  await home.hearth('run')
  await home.hearth('ps')
  assert.ok(!existsSync(join(home.dir, 'state')))
})
