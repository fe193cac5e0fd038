// The program itself: one daemon on one folder, bad configuration, signals, idle end, doctor without a daemon.
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { DoctorReport, type Fault, type StatusReply } from '@hearth/protocol'
import { daemonsOfThisFile, real, runToEnd, script } from './process.ts'

const { place, start } = daemonsOfThisFile()

/** The fault a program ended with: the line `{"error": …}`. */
function lastWords(stderr: string): Fault {
  const line = stderr.trim().split('\n').findLast((one) => one.startsWith('{"error"'))
  assert.ok(line !== undefined, stderr)
  return (JSON.parse(line) as { error: Fault }).error
}

test('a second daemon on the same folder ends with 73 and names the first', async () => {
  const here = place()
  const first = await start(here, real)
  const second = await runToEnd(here, real, ['serve'])
  assert.equal(second.code, 73)
  assert.equal(lastWords(second.stderr).message, `Another daemon (pid ${first.child.pid}) already owns ${here.home}/state.`)
  assert.equal((await first.client.call<StatusReply>('GET', '/api/status')).pid, first.child.pid, 'the first is untouched')
})

test('what a killed daemon left is taken over, also when its pid belongs to another program now', async () => {
  const here = place()
  const first = await start(here, real)
  await first.kill('SIGKILL')
  writeFileSync(join(here.home, 'state/daemon.pid'), `${process.pid}\n`)
  assert.ok(existsSync(join(here.home, 'hearth.sock')), 'the dead daemon left its socket')
  const second = await start(here, real)
  assert.equal((await second.client.call<StatusReply>('GET', '/api/status')).pid, second.child.pid)
  assert.equal(readFileSync(join(here.home, 'state/daemon.pid'), 'utf8'), `${second.child.pid}\n`)
})

test('a socket where another daemon answers is not taken from it', async () => {
  const here = place()
  const folders = (name: string): Record<string, string> => ({ HEARTH_HOME: '', XDG_RUNTIME_DIR: here.work('run'), XDG_STATE_HOME: here.work(name) })
  await start(here, real, ['serve'], folders('one'))
  const other = await runToEnd(here, real, ['serve'], folders('two'))
  assert.equal(other.code, 73)
  const socket = join(here.root, 'run/hearth/hearth.sock')
  assert.equal(lastWords(other.stderr).message, `${socket} cannot be created: another daemon with another state folder listens there.`)
  assert.ok(existsSync(socket))
})

for (const [text, where, problem] of [
  ['{"jobs": {"runing": 3}}', 'jobs.runing', "there is no such key; did you mean 'running'?"],
  ['{"engin": {}}', 'engin', "there is no such key; did you mean 'engine'?"],
  ['{"jobs": {"running": "2"}}', 'jobs.running', 'Invalid input: expected number, received string'],
  ['{"jobs": ', 'the file', 'it is not JSON (Unexpected end of JSON input)'],
] as const) {
  test(`the configuration ${text} ends the start with 65 and names the place`, async () => {
    const here = place()
    writeFileSync(join(here.home, 'config.json'), text)
    const { code, stderr } = await runToEnd(here, real, ['serve'])
    assert.equal(code, 65)
    assert.equal(lastWords(stderr).message, `The configuration ${here.home}/config.json is not valid at ${where}: ${problem}.`)
    assert.equal(existsSync(join(here.home, 'state')), false, 'nothing was made')
  })
}

test('the first line on standard output is the ready line; SIGTERM ends it with 0 and takes socket and pid file away', async () => {
  const here = place()
  const daemon = await start(here, real)
  assert.equal(await daemon.kill('SIGTERM'), 0)
  for (const path of ['hearth.sock', 'state/daemon.pid', 'state/hearth.db-wal']) assert.equal(existsSync(join(here.home, path)), false, path)
})

test('a request can stop it as a signal does, and new jobs are then refused with 75', async () => {
  const here = place()
  const daemon = await start(here)
  const { job } = await daemon.submit({ prompt: script({ pauseMs: 1000, deaf: true }), cwd: here.work() })
  await daemon.until(job.id, 'tool_started')
  assert.deepEqual(await daemon.client.call('POST', '/api/shutdown'), { stopping: true })
  const refused = await daemon.submit({ prompt: 'p', cwd: here.work() }).then(() => null, (error: unknown) => (error as { fault: Fault }).fault)
  assert.equal(refused?.code, 'shutting_down')
  assert.equal(await daemon.exited, 0)
})

test('a daemon started for one job ends by itself when there is nothing to do', async () => {
  const here = place()
  const daemon = await start(here, real, ['serve', '--exit-when-idle', '0.3'])
  assert.equal(await daemon.exited, 0)
})

test('a second SIGTERM ends it at once', async () => {
  const here = place()
  writeFileSync(join(here.root, 'slow.json'), JSON.stringify({ version: 1, turns: [{ calls: [{ name: 'bash', arguments: { command: 'sleep 60' } }] }] }))
  const daemon = await start(here, real)
  const { job } = await daemon.submit({ prompt: 'wait', cwd: here.work(), model: `scripted:${here.root}/slow.json` })
  await daemon.until(job.id, 'tool_started')
  const stopping = new Promise<void>((resolve) => daemon.child.stderr?.on('data', () => daemon.stderr.includes('"stopping"') && resolve()))
  daemon.child.kill('SIGTERM')
  await stopping
  daemon.child.kill('SIGTERM')
  await daemon.exited
  assert.doesNotMatch(daemon.stderr, /"stopped"/)
})

test('a wrong command line ends with 64', async () => {
  for (const words of [[], ['serv'], ['serve', '--exit-when-idle'], ['serve', '--idle', '3'], ['doctor', '-j']]) {
    assert.equal((await runToEnd(place(), real, words)).code, 64, words.join(' '))
  }
})

test('doctor works with no daemon and makes nothing', async () => {
  const here = place()
  const { stdout } = await runToEnd(here, real, ['doctor', '--json'])
  const report = DoctorReport.parse(JSON.parse(stdout))
  assert.deepEqual(report.checks.slice(0, 3).map((check) => [check.name, check.detail]), [['node', process.version], ['sqlite', process.versions['sqlite']], ['database', 'not made yet']])
  assert.equal(existsSync(join(here.home, 'state/hearth.db')), false)
  const people = await runToEnd(here, real, ['doctor'])
  assert.match(people.stdout, /^ok {4}node: v24\./)
})

test('a real job end to end: scripted model, real agent, real sandbox, a check that passes', async () => {
  const here = place()
  const cwd = here.work()
  writeFileSync(join(cwd, 'a.txt'), 'hello\n')
  writeFileSync(join(here.root, 'copy.json'), JSON.stringify({
    version: 1, turns: [{ calls: [{ name: 'bash', arguments: { command: 'cp a.txt b.txt' } }] }, { calls: [{ name: 'finish', arguments: {} }] }],
  }))
  const daemon = await start(here, real)
  const { job } = await daemon.submit({ prompt: 'copy a.txt to b.txt', cwd, model: `scripted:${here.root}/copy.json`, checks: ['test -f b.txt'] })
  const events = await daemon.all(job.id)
  const end = events.at(-1)
  assert.ok(end?.type === 'ended')
  assert.deepEqual([end.fault?.message ?? end.outcome, end.verified, end.exitCode, end.receipt.modelCalls, end.receipt.bytesLeftBox], ['resolved', true, 0, 2, 0])
  assert.equal(readFileSync(join(cwd, 'b.txt'), 'utf8'), 'hello\n')
  const missing = await daemon.submit({ prompt: 'p', cwd, model: `scripted:${here.root}/absent.json` }).then(() => null, (error: unknown) => (error as { fault: Fault }).fault)
  assert.equal(missing?.code, 'bad_script')
})
