// The real command with the real daemon and the scripted model: start, run, cancel, stop, and what a killed daemon means for who watches.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { JobEventBody, type JobEvent } from '@hearth/protocol'
import { makeHome, ndjson, type Home } from './cli.ts'

type Turn = { text?: string; calls?: { name: string; arguments: Record<string, unknown> }[]; hang?: boolean }

const copy: Turn = { text: 'I copy it.', calls: [{ name: 'bash', arguments: { command: "cp a.txt b.txt; printf 'done \\033]0;evil\\007\\n'" } }] }
const idle: Turn = { calls: [{ name: 'bash', arguments: { command: 'true' } }] }
const finish: Turn = { calls: [{ name: 'finish', arguments: { answer: 'I copied a.txt to b.txt.' } }] }

/** A home with a workspace and a scripted model; its daemon is stopped after the test. */
function makeWorkshop(t: TestContext, turns: Turn[]): { home: Home; work: string; words: string[] } {
  const home = makeHome(t, true)
  const work = join(home.dir, 'work')
  mkdirSync(work)
  writeFileSync(join(work, 'a.txt'), 'hello\n')
  writeFileSync(join(home.dir, 'turns.json'), JSON.stringify({ version: 1, turns }))
  return { home, work, words: ['run', '--cwd', work, '--model', `scripted:${join(home.dir, 'turns.json')}`, 'copy a.txt to b.txt'] }
}

async function daemonPid(home: Home): Promise<number> {
  return (JSON.parse((await home.hearth('status', '--json')).stdout) as { pid: number }).pid
}

test('up says so when the daemon that runs was started for one job and will end by itself', async (t) => {
  const home = makeHome(t, true)
  await home.hearth('models', 'ls')
  const up = await home.hearth('up')
  assert.match(up.stdout, /^hearth is up already: pid \d+, socket \S+\nIt was started for one command and ends after 1 m 00 s without work; 'hearth down', then 'hearth up' starts one that stays\.\n$/)
})

test('run without a daemon starts one, resolves by its check, and says what it cost', async (t) => {
  const { home, work, words } = makeWorkshop(t, [copy, finish])
  const ran = await home.hearth(...words, '--check', 'test -f b.txt')
  assert.equal(ran.code, 0, ran.stderr)
  assert.equal(ran.stdout, 'I copied a.txt to b.txt.\n')
  assert.equal(readFileSync(join(work, 'b.txt'), 'utf8'), 'hello\n')
  assert.match(ran.stderr, /^[0-9a-z]+\nno daemon was running: started one for this job \(pid \d+\); it ends after 10 m 00 s without work\n/)
  assert.match(ran.stderr, /\nstep 1\n {2}I copy it\.\n.*\n\$ cp a\.txt b\.txt; .*\n {2}│ done\b/)
  assert.match(ran.stderr, /✓ check {2}test -f b\.txt .*\nresult: 1 file in \S+; 'hearth undo \w+' puts them back\n\n✓ resolved: the check passed\n {2}work {10}2 steps, 1 tool call, 2 model calls\n/)
  assert.match(ran.stderr, /\n {2}left the box {2}0 bytes\n$/)
  assert.doesNotMatch(ran.stdout + ran.stderr, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/)
  assert.equal(statSync(join(home.dir, 'state/daemon.log')).mode & 0o777, 0o600)

  const id = ran.stderr.split('\n')[0] ?? ''
  const events = ndjson((await home.hearth('logs', id, '--json')).stdout) as JobEvent[]
  events.forEach(({ seq, jobId, at, ...body }, i) => {
    assert.deepEqual([seq, jobId, typeof at], [i + 1, id, 'number'])
    JobEventBody.parse(body)
  })
  assert.match((await home.hearth('show', id.slice(0, 6))).stdout, /\nverified {2}yes, a check passed\n/)
  assert.match((await home.hearth('ps', '--all')).stdout, new RegExp(`^JOB .*\\n${id} +resolved `))
  assert.match((await home.hearth('ps')).stdout, /^nothing runs or waits/)
  assert.match((await home.hearth('usage', '--job', id)).stdout, /^since +the beginning, the first call on [-\d]{10}; days are UTC\njobs +1 ended, 1 resolved\nmodel calls +2\n/)
  assert.equal((await home.hearth('attach', id)).code, 0)
})

test('up, status, doctor and down; both ends say when there is nothing to do', async (t) => {
  const { home } = makeWorkshop(t, [finish])
  const up = await home.hearth('up')
  const [, pid] = /^hearth is up: pid (\d+), socket .*hearth\.sock\n$/.exec(up.stdout) ?? assert.fail(up.stdout + up.stderr)
  assert.equal((await home.hearth('up')).stdout, `hearth is up already: pid ${pid}, socket ${home.socket}\n`)
  assert.match((await home.hearth('version')).stdout, new RegExp(`daemon {2}0\\.1\\.0 \\(wire 1\\), pid ${pid}\n`))
  assert.match((await home.hearth('status')).stdout, new RegExp(`^daemon +0\\.1\\.0, pid ${pid}, up .*\n`))
  const doctor = await home.hearth('doctor')
  assert.match(doctor.stdout, /^✓ node +v24\./)
  assert.deepEqual(await home.hearth('down'), { code: 0, signal: null, stdout: `hearth is down (pid ${pid} is gone)\n`, stderr: '' })
  assert.ok(!existsSync(home.socket))
  assert.deepEqual(await home.hearth('down'), { code: 0, signal: null, stdout: 'hearth is not running\n', stderr: '' })
  assert.match((await home.hearth('doctor')).stdout, /; no daemon is running\n$/)
  assert.ok(!existsSync(home.socket), 'doctor starts no daemon')
})

test('a check that fails is exit 10, with --json nothing but events on stdout', async (t) => {
  const { home, words } = makeWorkshop(t, [idle, finish, finish, finish])
  const ran = await home.hearth(...words, '--check', 'test -f b.txt', '--json')
  assert.equal(ran.code, 10, ran.stderr)
  const last = (ndjson(ran.stdout) as JobEvent[]).at(-1)
  assert.ok(last?.type === 'ended' && last.outcome === 'check_failed' && last.exitCode === 10)
})

test('what is wrong with a job has its own code', async (t) => {
  const { home, words } = makeWorkshop(t, [finish])
  const cases: [string[], number, RegExp][] = [
    [['run', '--cwd', join(home.dir, 'work'), '--model', 'nowhere', 'x'], 65, /^hearth: There is no model 'nowhere' here\./m],
    [['run', '--cwd', join(home.dir, 'absent'), '--model', 'scripted:turns.json', 'x'], 65, /The working directory .*absent cannot be used: /],
    [['run', '--cwd', '/', '--model', 'scripted:turns.json', 'x'], 65, /The working directory \/ cannot be used: /],
    [['run', '--cwd', join(home.dir, 'work'), '--model', 'scripted:absent.json', 'x'], 65, /The scripted model .*absent\.json is not valid: /],
    [[...words, '--check', 'no-such-program --at-all'], 65, /The check 'no-such-program --at-all' cannot start: /],
  ]
  for (const [command, code, sentence] of cases) {
    const ran = await home.hearth(...command)
    assert.equal(ran.code, code, ran.stderr)
    assert.match(ran.stderr, sentence)
    assert.equal(ran.stdout, '')
  }
})

test('SIGINT cancels a running job; detached, another command does', async (t) => {
  const { home, words } = makeWorkshop(t, [{ text: 'thinking', hang: true }])
  const running = home.launch(words)
  await running.said('stderr', 'step 1')
  running.child.kill('SIGINT')
  const ran = await running.done
  assert.equal(ran.code, 130)
  assert.match(ran.stderr, /\n✗ cancelled\n {2}Cancelled by socket:\d+\.\n/)
  const id = (await home.hearth(...words, '--detach')).stdout.trim()
  const attached = home.launch(['attach', id, '--from', '1'])
  await attached.said('stderr', 'step 1')
  assert.equal((await home.hearth('cancel', id)).stdout, `${id} is cancelled\n`)
  assert.equal((await attached.done).code, 130)
  assert.equal((await home.hearth('cancel', id)).stdout, `${id} is over already: cancelled\n`)
})

test('closing the terminal leaves the job and the daemon that was started for it', async (t) => {
  const { home, words } = makeWorkshop(t, [{ text: 'thinking', hang: true }])
  const running = home.launch(words)
  await running.said('stderr', 'step 1')
  running.child.kill('SIGHUP')
  assert.equal((await running.done).signal, 'SIGHUP')
  assert.match((await home.hearth('ps')).stdout, / running /)
})

test('kill -9 of the daemon: who watches is told, and after a restart watches on without a gap', async (t) => {
  const { home, words } = makeWorkshop(t, [{ calls: [{ name: 'bash', arguments: { command: 'sleep 2' } }] }, finish])
  await home.hearth('up')
  const running = home.launch([...words, '--json'])
  await running.said('stdout', '"tool_started"')
  process.kill(await daemonPid(home), 'SIGKILL')
  await running.said('stderr', 'the connection to the daemon broke; waiting for it to come back')
  await home.hearth('up')
  const ran = await running.done
  assert.equal(ran.code, 0, ran.stderr)
  const events = ndjson(ran.stdout) as JobEvent[]
  assert.deepEqual(events.map((event) => event.seq), events.map((_, i) => i + 1))
  assert.ok(events.some((event) => event.type === 'started' && event.attempt === 2))
})

test('a daemon that stays away is exit 69, and the job is said to be kept', async (t) => {
  const { home, words } = makeWorkshop(t, [{ text: 'thinking', hang: true }])
  await home.hearth('up')
  const running = home.launch(words)
  await running.said('stderr', 'step 1')
  process.kill(await daemonPid(home), 'SIGKILL')
  const ran = await running.done
  assert.equal(ran.code, 69)
  assert.match(ran.stderr, /The job ([0-9a-z]+) is kept and goes on when the daemon is back; 'hearth attach \1' shows it\.\nhearth: The daemon cannot be reached at /)
})

test('a daemon that cannot start says why, with its own code', async (t) => {
  const { home } = makeWorkshop(t, [finish])
  writeFileSync(join(home.dir, 'config.json'), '{"engine": {"thraeds": 2}}')
  const up = await home.hearth('up')
  assert.equal(up.code, 65)
  assert.match(up.stderr, /^hearth: The configuration .*config\.json is not valid at .*thraeds/)
})

test('two at once start one daemon', async (t) => {
  const { home } = makeWorkshop(t, [finish])
  const both = await Promise.all([home.hearth('up', '--json'), home.hearth('up', '--json')])
  const pids = both.map((ran) => (JSON.parse(ran.stdout) as { pid: number }).pid)
  assert.deepEqual(both.map((ran) => ran.code), [0, 0])
  assert.equal(pids[0], pids[1])
})
