// A stronger model of this box that is not in memory, in a whole Hearth with real workers: loaded, asked and gone again when that pays, passed over when it does not, and
// killed in the middle of it. Memory holds one model. A seller of tokens stands by and hears nothing unless it is asked.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Client, isEnded, type EgressReply, type EventOf, type Job, type JobEvent, type Offer, type StatusReply } from '@hearth/protocol'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { Seller } from '../fixtures/seller.ts'
import { Box, family, starterFile } from './box.ts'

const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }

describe('a stronger model of this box that is not in memory', () => {
  const seller = new Seller(() => 'Write the file.\nGO ON')
  let box: Box
  let client: Client
  const configure = (localWaitSeconds: object): void => box.configure({
    sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 1024 }, engine: { backend: 'cpu', threads: 1, contextTokens: 4096, sequences: 2, goldenCheck: 'off', maxModels: 1 },
    escalation: {
      consent: 'auto', budget: { dayUsdMicros: 5_000_000 }, localWaitSeconds, routes: [{ models: ['big', 'far'] }],
      providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [price] }] }],
    },
  })
  before(async () => {
    await seller.open()
    box = new Box()
    client = new Client(join(box.env['HEARTH_HOME'] ?? '', 'hearth.sock'))
    configure({ job: 3600 })
    await box.up()
    await box.installStarter()
    const path = join(box.home, 'big.gguf')
    await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 5, tokenizerFrom: starterFile })
    assert.equal((await box.hearth(['models', 'import', path, '--id', 'big'])).code, 0)
  })
  after(async () => {
    await box.close()
    seller.close()
  })

  const chat = (model: string): Promise<unknown> => client.call('POST', '/v1/chat/completions', { model, messages: [{ role: 'user', content: 'Tell me of the sea and of all the ships on it.' }], max_tokens: 16 })
  /** A job that cannot be done and asks after its first step. */
  const begin = async (): Promise<string> => (await client.call<{ job: Job }>('POST', '/api/jobs', {
    prompt: 'copy a.txt to b.txt', cwd: box.folder({ 'a.txt': 'hello\n' }), model: 'smollm2-135m', checks: ['test -f never'], maxSteps: 2, escalation: { askAt: [1] },
  })).job.id
  const over = async (id: string): Promise<JobEvent[]> => {
    await box.until('the job ends', async () => isEnded((await client.call<Job>('GET', `/api/jobs/${id}`)).state), 200)
    return box.events(id)
  }
  /** What it offers first; the rest of the job is not waited for. */
  const offerOf = async (id: string): Promise<Offer> => {
    const offered = await box.until('it offers', async () => (await box.events(id)).find((event) => event.type === 'escalation_offered'), 200)
    await client.call('POST', `/api/jobs/${id}/cancel`)
    await over(id)
    seller.heard.length = 0
    assert.ok(offered.type === 'escalation_offered')
    return offered.offer
  }
  const one = <T extends JobEvent['type']>(events: readonly JobEvent[], type: T): EventOf<T> => {
    const found = events.find((event): event is JobEvent & EventOf<T> => event.type === type)
    assert.ok(found !== undefined, `${type} among ${events.map((event) => event.type).join(' ')}`)
    return found
  }
  const workers = async (): Promise<StatusReply['workers']> => (await client.call<StatusReply>('GET', '/api/status')).workers
  const nothingLeft = async (id: string): Promise<void> => assert.deepEqual([seller.heard.length, (await box.json<EgressReply>('egress', '--job', id)).totals.connections], [0, 0])

  it('is not asked while nothing tells how long it takes; who is asked instead says so', async () => {
    const offer = await offerOf(await begin())
    assert.deepEqual([offer.model, offer.passedOver?.map(({ model, why }) => `${model}: ${why}`)], ['far', ['big: nothing was measured that tells how long its answer takes']])
    assert.equal(offer.passedOver?.[0]?.swap?.loadFrom, 'smollm2-135m')
  })

  it('is loaded and asked when that pays; then the first one is back, its conversation is read no second time, and nothing leaves', async (t) => {
    await chat('big')
    const id = await begin()
    const events = await over(id)
    const { offer } = one(events, 'escalation_offered')
    assert.deepEqual([offer.model, offer.place, offer.swap?.leaves, offer.worstUsdMicros], ['big', 'local', ['smollm2-135m'], 0])
    assert.match(offer.because ?? '', /^it is on this box, and loading it pays: (\S+ s to make room, )?\S+ s to load, \S+ s to read and answer, \S+ s back, 3600 s allowed$/)
    assert.ok((offer.insteadUsdMicros ?? 0) > 0)
    assert.deepEqual([one(events, 'handed_back').model, one(events, 'handed_back').usdMicros], ['big', 0])
    await nothingLeft(id)
    const at = events.findIndex(({ type }) => type === 'handed_back')
    const [before, behind] = [events.slice(0, at).findLast((event) => event.type === 'turn'), events.slice(at).find((event) => event.type === 'turn')]
    assert.ok(before?.type === 'turn' && behind?.type === 'turn')
    const had = before.usage.promptTokens + before.usage.completionTokens
    assert.ok(behind.usage.reusedTokens >= 0.95 * had, `${behind.usage.reusedTokens} of ${had} tokens came back`)
    const ms = (a: JobEvent, b: JobEvent): string => `${((b.at - a.at) / 1000).toFixed(1)} s`
    const [asked, back] = [events[events.findIndex(({ type }) => type === 'escalation_offered')], events[at]]
    assert.ok(asked !== undefined && back !== undefined)
    t.diagnostic(`${behind.usage.reusedTokens} of ${had} tokens came back; ${offer.because ?? ''}; ${ms(asked, back)} until the answer, ${ms(back, behind)} until the end of the next turn (${Math.round(behind.timings.queuedMs)} ms of it waiting for the model)`)
    const told = (await box.hearth(['why', id])).stdout.replace(/\s+/g, ' ')
    assert.match(told, /e1: big on this box for advice: \d\S* (bytes|KiB), nothing leaves chosen: it is on this box, and loading it pays: .* s back, 3600 s allowed; a bought answer would have cost at most \$0\.\d+/)
  })

  it('is loaded again when its worker is killed while it loads, and nobody else is asked for that', async () => {
    await chat('big')
    const id = await begin()
    const pid = await box.until('it loads', async () => {
      // Loaded by the question of the job: before it the job's own model is in its place.
      const all = await workers()
      const big = all.find(({ model }) => model === 'big')
      return big?.state === 'starting' && big.pid !== null ? big.pid : null
    }, 200)
    for (const { pid: each } of family(pid).toReversed()) process.kill(each, 'SIGKILL')
    const events = await over(id)
    assert.deepEqual([one(events, 'escalation_offered').offer.model, one(events, 'handed_back').model], ['big', 'big'], JSON.stringify(events.find(({ type }) => type === 'escalation_denied')))
    assert.ok(((await workers()).find(({ model }) => model === 'big')?.restarts ?? 0) >= 1)
    await nothingLeft(id)
  })

  it('is not loaded when that takes longer than the job waits', async () => {
    await box.hearth(['down'])
    configure({})
    const file = join(box.env['HEARTH_HOME'] ?? '', 'cache/loads.json')
    const loads = JSON.parse(readFileSync(file, 'utf8')) as { loaded: { model: string; loadsMs: number[] }[] }
    for (const load of loads.loaded) if (load.model === 'big') load.loadsMs = [190_000]
    writeFileSync(file, JSON.stringify(loads))
    await box.up()
    await chat('big')
    const id = await begin()
    const offer = await offerOf(id)
    assert.equal(offer.model, 'far')
    assert.match(offer.passedOver?.[0]?.why ?? '', /^\d+ s is more than the 120 s allowed for a job of class job \((\S+ s to make room, )?190 s to load, \S+ s to read and answer, \S+ s back\)$/)
    assert.match((await box.hearth(['why', id])).stdout.replace(/\s+/g, ' '), /not asked: big, \d+ s is more than the 120 s allowed/)
  })
})
