// Help that is bought on a box whose disk is full or whose clock jumps: the real daemon and sandbox, and a seller that keeps every byte it hears.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { isEnded, type Client, type BudgetReply, type EgressReply, type Job, type JobEvent, type UsageReply } from '@hearth/protocol'
import { DaemonProcess, makePlace, real, type Place } from '../daemon/process.ts'
import { startOnSmallDisk, until } from '../daemon/small-disk.ts'
import { Seller } from '../fixtures/seller.ts'

const dayMs = 86_400_000
const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }
/** 800 tokens read anew, 100 from the cache and 40 written. */
const usual = Math.ceil((800 * price.input + 100 * price.cacheRead + 40 * price.output) / 1e6)
const seller = new Seller(() => 'Write right into f.\nGO ON')
before(() => seller.open())
after(() => seller.close())

const config = (place: Place, dayCount: number | null): string => JSON.stringify({
  sandbox: { limits: 'weak' }, storage: { refuseBelowBytes: 0 },
  escalation: {
    consent: 'auto', budget: { dayUsdMicros: 5_000_000, dayCount },
    providers: [{ id: 'shop', kind: 'compatible', url: `http://127.0.0.1:${seller.port}/v1`, keyFile: join(place.root, 'key'), models: [{ id: 'far', model: 'far-1', contextTokens: 100_000, maxOutputTokens: 4000, prices: [price] }] }],
  },
})

function opened(): Place & { script: string } {
  const place = makePlace()
  writeFileSync(join(place.root, 'key'), 'sk-test-Zq81LmX0pTr55vNwY2\n', { mode: 0o600 })
  const script = join(place.root, 'stubborn.json')
  const call = (name: string, args: object): object => ({ calls: [{ name, arguments: args }] })
  writeFileSync(script, JSON.stringify({ version: 1, turns: [call('finish', { answer: 'done' }), call('finish', { answer: 'done!' }), call('write', { path: 'f', content: 'right\n' }), call('finish', { answer: 'now it is' })] }))
  return { ...place, script }
}

async function give(client: Client, { script, work }: Place & { script: string }, name: string, escalation: object = {}): Promise<string> {
  const cwd = work(name)
  writeFileSync(join(cwd, 'f'), 'wrong\n')
  return (await client.call<{ job: Job }>('POST', '/api/jobs', { prompt: 'make it right', cwd, model: `scripted:${script}`, checks: ['grep -q right f'], escalation })).job.id
}

const jobOf = (client: Client, id: string): Promise<Job> => client.call<Job>('GET', `/api/jobs/${id}`)
const eventsOf = (client: Client, id: string): Promise<JobEvent[]> => Array.fromAsync(client.stream<JobEvent>('GET', `/api/jobs/${id}/events`))

describe('a full disk', () => {
  it('lets nothing out that is not on record, wherever in an escalation it is full; the job goes on when there is room, and so does the next one', async (t) => {
    const place = opened()
    t.after(() => place.clear())
    writeFileSync(join(place.root, 'config.json'), config(place, null))
    const disk = await startOnSmallDisk(place, 24)
    t.after(() => disk.daemon.kill('SIGKILL'))
    const { client } = disk
    const ends: string[] = []
    for (const room of [0, 16, 32, 48, 64, 128]) {
      const id = await give(client, place, `w${room}`, { consent: 'ask' })
      const question = await until('a person is asked', async () => (await eventsOf(client, id)).find((event) => event.type === 'approval_asked'))
      await until('it waits', async () => (await jobOf(client, id)).state === 'waiting_approval')
      const yes = (): Promise<unknown> => client.call('POST', `/api/jobs/${id}/approve`, { callId: 'escalation:e1', approved: true, sha256: question.type === 'approval_asked' ? question.sha256 : '' })
      disk.inside(`rm ${place.home}/state/hearth.reserve`)
      disk.fill(room)
      const refused = await yes().then(() => null, (error: unknown) => (error as Error).message)
      // How far it comes is different each time.
      await pause(500)
      disk.empty()
      if (refused !== null) {
        assert.equal(refused, `The disk of the state folder ${place.home}/state is full.`)
        await yes()
      }
      const { state } = await until('it ends', async () => { const job = await jobOf(client, id); return isEnded(job.state) && job })
      assert.equal(state, 'resolved')
      await until('the reserve is there again', () => Promise.resolve(disk.inside(`ls ${place.home}/state/hearth.reserve 2>/dev/null`) !== ''))
      const attempts = (await eventsOf(client, id)).filter(({ type }) => type === 'started').length
      ends.push(`${room} KiB: ${refused === null ? '' : 'the yes was refused, then '}resolved in ${attempts} runs`)
    }
    t.diagnostic(ends.join('; '))
    const last = await give(client, place, 'last')
    assert.equal((await until('it ends', async () => { const job = await jobOf(client, last); return isEnded(job.state) && job })).state, 'resolved')
    const left = await client.call<EgressReply>('GET', '/api/egress?limit=100')
    assert.ok(left.totals.bytes >= seller.bytes && seller.heard.length <= left.packets.length)
    const sums = new Set(left.packets.map(({ sha256 }) => sha256))
    assert.ok(seller.bodies.every((body) => sums.has(createHash('sha256').update(body).digest('hex'))))
    // Nothing is held any more, and nothing was booked that nobody sold.
    assert.equal((await client.call<BudgetReply>('GET', '/api/budget')).open.count, 0)
    const { entries } = await client.call<UsageReply>('GET', '/api/usage?limit=200')
    const bought = entries.filter(({ place: where, usdMicros }) => where === 'remote' && usdMicros > 0)
    assert.deepEqual(bought.map(({ usdMicros }) => usdMicros), seller.heard.map(() => usual))
  })
})

describe('a clock that jumps', () => {
  it('a day ahead and back again reopens no budget, and the job goes on', async (t) => {
    const place = opened()
    t.after(() => place.clear())
    mkdirSync(place.home, { recursive: true })
    writeFileSync(join(place.home, 'config.json'), config(place, 1))
    const clock = join(place.root, 'clock')
    writeFileSync(clock, '0')
    writeFileSync(join(place.root, 'clock.mjs'), `import { readFileSync } from 'node:fs'; const now = Date.now; Date.now = () => now() + Number(readFileSync(${JSON.stringify(clock)}, 'utf8'))`)
    const daemon = await DaemonProcess.start(place, real, ['serve'], { NODE_OPTIONS: `--import=${join(place.root, 'clock.mjs')}` })
    t.after(() => daemon.kill('SIGKILL'))
    const { client } = daemon
    const play = async (name: string): Promise<JobEvent[]> => {
      const id = await give(client, place, name)
      const events = await daemon.all(id)
      assert.equal((await jobOf(client, id)).state, 'resolved', JSON.stringify(events.at(-1)))
      return events
    }
    const outcome = (events: readonly JobEvent[]): string => events.flatMap((event) => (event.type === 'handed_back' ? ['bought'] : event.type === 'escalation_denied' ? [event.denial.rule] : [])).join()
    assert.equal(outcome(await play('today')), 'bought')
    assert.equal(outcome(await play('today again')), 'limit')
    writeFileSync(clock, String(dayMs))
    assert.equal(outcome(await play('tomorrow')), 'bought')
    writeFileSync(clock, String(-dayMs))
    const back = await play('back')
    assert.equal(outcome(back), 'limit')
    const denied = back.find((event) => event.type === 'escalation_denied')
    assert.match(denied?.type === 'escalation_denied' ? denied.denial.why : '', /^The limit of this box is 1 escalation for ([-\d]{10}), and nothing of it is left\. The clock was turned back to [-\d]{10}; what is bought counts as on \1 until then\.$/)
    assert.equal((await client.call<BudgetReply>('GET', '/api/budget')).clockBack, true)
  })
})
