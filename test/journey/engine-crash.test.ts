// A crash of the engine is never a reason to ask anybody outside: a provider with money and consent `auto` stands by while the worker of a job is killed, once and until
// the job gives up. The real worker, and a seller that keeps every byte it hears, connections that say nothing too.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, afterEach, before, describe, it } from 'node:test'
import { Client, isEnded, type BudgetReply, type EgressReply, type Job, type JobEvent, type StatusReply } from '@hearth/protocol'
import { Seller } from '../fixtures/seller.ts'
import { Box, family, gapless } from './box.ts'

const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }

describe('the engine\'s worker is killed with a provider at hand and consent auto', () => {
  const seller = new Seller(() => 'Write the file.\nGO ON')
  let box: Box
  let client: Client
  before(async () => {
    await seller.open()
    box = new Box({
      sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 }, engine: { backend: 'cpu', threads: 1, contextTokens: 4096, sequences: 2 },
      escalation: {
        consent: 'auto', modes: ['advise', 'step', 'rest'], budget: { dayUsdMicros: 5_000_000 },
        providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [price] }] }],
      },
    })
    client = new Client(join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock'))
    await box.up()
    await box.installStarter()
  })
  afterEach(async () => {
    assert.deepEqual([seller.connections, seller.heard], [0, []])
    const { totals } = await box.json<EgressReply>('egress')
    assert.deepEqual([totals.connections, totals.bytes, totals.packets], [0, 0, 0])
    assert.equal((await box.json<BudgetReply>('budget')).open.count, 0)
  })
  after(async () => {
    await box.close()
    seller.close()
  })

  const begin = async (): Promise<string> => (await client.call<{ job: Job }>('POST', '/api/jobs', {
    prompt: 'copy a.txt to b.txt', cwd: box.folder({ 'a.txt': 'hello\n' }), model: 'smollm2-135m', checks: ['test -f b.txt'],
  })).job.id
  /** Kills the worker, with the sandbox around it, when it computes; false = the job is over. */
  const kill = async (id: string): Promise<boolean> => {
    const pid = await box.until('the worker computes or the job is over', async () => {
      if (isEnded((await client.call<Job>('GET', `/api/jobs/${id}`)).state)) return 'over'
      return (await client.call<StatusReply>('GET', '/api/status')).workers.find(({ busy }) => busy > 0)?.pid
    }, 120)
    if (pid === 'over') return false
    for (const { pid: each } of family(pid).toReversed()) {
      try {
        process.kill(each, 'SIGKILL')
      } catch {
        // It went with the one before.
      }
    }
    await box.until('it is gone', async () => (await client.call<StatusReply>('GET', '/api/status')).workers.every((worker) => worker.pid !== pid))
    return true
  }
  const over = async (id: string): Promise<{ job: Job; events: JobEvent[] }> => ({
    job: await box.until('the job ends', async () => { const job = await client.call<Job>('GET', `/api/jobs/${id}`); return isEnded(job.state) && job }, 120),
    events: await box.events(id),
  })
  const asksNobody = (events: readonly JobEvent[]): void => {
    assert.ok(gapless(events))
    assert.deepEqual(events.flatMap((event) => (/^(escalation|remote|handed_back)/.test(event.type) || (event.type === 'signals' && event.acts) ? [event] : [])), [])
  }

  it('once: the step is done again here, and the job goes on to its end', async () => {
    const id = await begin()
    assert.ok(await kill(id))
    const { job, events } = await over(id)
    assert.equal(job.state, 'resolved', JSON.stringify(job.fault))
    assert.deepEqual(events.flatMap((event) => (event.type === 'turn_failed' ? [[event.fault.code, event.retry]] : [])), [['worker_exited', true]])
    assert.equal(job.receipt?.usdMicros, 0)
    asksNobody(events)
  })

  it('again and again: the job ends because there is no engine, exit 69, and still nobody is asked', async () => {
    const id = await begin()
    let kills = 0
    while (await kill(id)) kills += 1
    const { job, events } = await over(id)
    assert.deepEqual([job.state, job.exitCode], ['engine_down', 69], JSON.stringify(job.fault))
    assert.ok(kills >= 3, `${kills} kills`)
    asksNobody(events)
    assert.equal((await box.hearth(['models', 'reset', 'smollm2-135m'])).code, 0)
    const again = await over(await begin())
    assert.equal(again.job.state, 'resolved', JSON.stringify(again.job.fault))
  })
})
