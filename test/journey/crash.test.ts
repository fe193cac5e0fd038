// Things are killed while jobs run, for real: the daemon at random moments, the engine's worker in the middle of a token.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { isEnded, type JobEvent } from '@hearth/protocol'
import { Box, family, gapless, integrity, processes } from './box.ts'

const turn = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })

describe('the daemon is killed at 25 random moments', () => {
  let box: Box
  before(() => { box = new Box({ sandbox: { limits: 'weak' }, jobs: { running: 3 } }) })
  after(() => box.close())

  it('and every acknowledged job is there, true to what was done, with no process left over', async (t) => {
    const seed = Number(process.env['HEARTH_TEST_SEED'] ?? Date.now() % 1e9)
    t.diagnostic(`seed ${seed}`)
    const random = randomFrom(seed)
    const acknowledged = new Map<string, string>()
    // Each step appends its number once; a command that ran twice would stand there twice.
    const steps = 6
    const model = box.script({
      tokensPerSecond: 400,
      turns: [...Array.from({ length: steps }, (_, index) => turn('bash', { command: `echo ${index} >> log; sleep 0.05` })), turn('finish', { answer: 'all' })],
    })
    for (let round = 0; round < 25; round += 1) {
      const pid = await box.up()
      if (round % 2 === 0) {
        const folder = box.folder()
        const { stdout, code } = await box.hearth(['run', '--detach', '--json', '--cwd', folder, '--model', model, `round ${round}`])
        assert.equal(code, 0)
        acknowledged.set(idOf(stdout), folder)
      }
      await pause(random(700))
      process.kill(pid, 'SIGKILL')
      await box.until('the daemon is gone', () => Promise.resolve(!processes().some((one) => one.pid === pid)))
      assert.equal(integrity(box), 'ok')
    }
    await box.up()
    for (const [id, folder] of acknowledged) {
      const job = await box.until(`job ${id} ends`, async () => (await box.jobs()).find((one) => one.id === id && isEnded(one.state)))
      const events = await box.events(id)
      assert.ok(gapless(events), `job ${id} has a gap`)
      assert.equal(job.state, 'done_unverified')
      const lines = readFileSync(join(folder, 'log'), 'utf8').split('\n').filter((line) => line !== '')
      assert.equal(new Set(lines).size, lines.length, `a command of job ${id} ran twice: ${lines.join(' ')}`)
      // What was reported as done was done; what was interrupted is said to be unknown.
      const done = events.filter((event) => event.type === 'tool_result' && event.name === 'bash').length
      const unknown = events.filter((event) => event.type === 'tool_unknown').length
      assert.equal(done + unknown, steps)
      assert.ok(lines.length >= done && lines.length <= steps)
    }
    const { pid } = await box.status()
    await box.hearth(['down'])
    assert.deepEqual(processes().filter((one) => one.pid === pid || one.command.includes(box.home)), [])
    assert.equal(integrity(box), 'ok')
  })
})

describe('the engine\'s worker in the middle of a token', () => {
  let box: Box
  let pid = 0
  before(async () => { box = new Box({ sandbox: { limits: 'weak' } }); pid = await box.up(); await box.installStarter() })
  after(() => box.close())

  for (const signal of ['SIGKILL', 'SIGSTOP'] as const) {
    it(`${signal}: found within 10 s, started again, the step resumed`, async () => {
      const folder = box.folder({ 'a.txt': 'hello\n' })
      const { stdout } = await box.hearth(['run', '--detach', '--json', '--cwd', folder, '--check', 'test -f b.txt', '--model', 'smollm2-135m', 'copy a.txt to b.txt'])
      const id = idOf(stdout)
      const worker = await box.until('the worker answers a request', async () => {
        const status = await box.status()
        return status.workers.find((one) => one.busy > 0)?.pid
      })
      const inside = family(worker).findLast((one) => one.command.includes('worker.ts'))?.pid ?? worker
      const hit = Date.now()
      process.kill(inside, signal)
      const failed = await box.until('the failed turn is told', async () => (await box.events(id)).find((event) => event.type === 'turn_failed'), 30)
      assert.ok(failed.at - hit < 11_000, `found after ${failed.at - hit} ms`)
      assert.equal(failed.type === 'turn_failed' && failed.fault.code, signal === 'SIGKILL' ? 'worker_exited' : 'worker_stuck')
      const job = await box.until('the job ends', async () => (await box.jobs()).find((one) => one.id === id && isEnded(one.state)))
      assert.equal(job.state, 'resolved', JSON.stringify(job.fault))
      assert.ok(gapless(await box.events(id)))
      const status = await box.status()
      assert.equal(status.pid, pid, 'the daemon itself went on')
      assert.ok((status.workers[0]?.restarts ?? 0) >= 1)
      assert.ok(!processes().some((one) => one.pid === inside), 'the dead worker is gone')
    })
  }
})

function idOf(stdout: string): string {
  const said = JSON.parse(stdout.split('\n')[0] ?? '') as JobEvent & { job?: { id: string }; id?: string }
  return said.job?.id ?? said.jobId ?? said.id ?? ''
}

/** The same seed gives the same moments. */
function randomFrom(seed: number): (below: number) => number {
  let state = (Math.imul(seed, 2_654_435_761) + 1) >>> 0
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
