// What a job is worth bounds what it holds: the chance is counted over the jobs of this box, by kind, over the real store.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Config, JobRequest, ModelRequest, type JobEventBody, type Model, type Principal } from '@hearth/protocol'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { receipt } from '../fixtures/fake-daemon.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const now = Date.parse('2026-05-01T12:00:00Z')
const day = 86_400_000
const principal: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['escalate'], class: 'job' }
const config = Config.parse({
  escalation: {
    budget: { dayUsdMicros: 1e15 },
    providers: [{ id: 'shop', kind: 'openai', models: [{ id: 'frontier', model: 'f', contextTokens: 100_000, maxOutputTokens: 1000, prices: [{ from: '2026-01-01', input: 0, cacheRead: 0, cacheWrite: 0, output: 1_000_000 }] }] }],
  },
}).escalation
const [provider] = config.providers
const [model] = provider?.models ?? []
assert.ok(provider !== undefined && model !== undefined)
const purchase = { provider, model, project: null }
const answering: Model = {
  info: { id: 'frontier', place: 'remote', contextTokens: 100_000, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 700 } },
  async *generate({ maxTokens }) { yield { type: 'done', stop: 'end', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: maxTokens }, timings: { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 } } },
}

async function shop(run: (at: { store: Store; purse: Purse; job(id: string, more?: object): Promise<void>; say(id: string, ...bodies: JobEventBody[]): Promise<void>; buy(id: string, tokens: number): Promise<string> }) => Promise<void>): Promise<void> {
  const store = await Store.open(join(place.root, `${Math.random()}.db`))
  const purse = new Purse({ store, config, now: () => now })
  let bought = 0
  try {
    await run({
      store, purse,
      async job(id, more = {}) {
        const request = JobRequest.parse({ prompt: 'p', cwd: '/w', ...more })
        await store.accept({ id, request, principal, project: { id: '/w', path: '/w', dataClass: 'open', consent: 'auto' }, model: 'm', createdAt: 1 }, { type: 'accepted', request, principal, model: 'm', seq: 1, jobId: id, at: 1 })
      },
      say: async (id, ...bodies) => { for (const body of bodies) await store.append([{ ...body, seq: store.read.lastSeq(id) + 1, jobId: id, at: now - 1 }]) },
      async buy(id, tokens) {
        const request = ModelRequest.parse({ messages: [{ role: 'user', text: 'x' }], maxTokens: tokens, purpose: 'advise' })
        const paid = purse.paid(answering, { principal, jobId: id, step: () => 1 }, { ...purchase, escalation: `e${bought += 1}` })
        for await (const event of paid.generate(request, new AbortController().signal)) if (event.type === 'failed') return `${event.fault.message} ${event.fault.remedy}`
        return 'bought'
      },
    })
  } finally {
    await store.close()
  }
}
const ended = (outcome: 'resolved' | 'stuck' | 'cancelled'): JobEventBody => ({ type: 'ended', outcome, verified: outcome === 'resolved', summary: null, fault: null, receipt, exitCode: 0 })

test('the chance is that of jobs of the same kind which had a check, bought something and are over', () => shop(async ({ job, say, buy, purse, store }) => {
  const past = async (id: string, outcome: 'resolved' | 'stuck' | 'cancelled', more: object): Promise<void> => {
    await job(id, more)
    await buy(id, 10)
    await say(id, ended(outcome))
  }
  const bug = { tags: { kind: 'bug' }, checks: ['true'] }
  for (let n = 0; n < 8; n += 1) await past(`good${n}`, 'resolved', bug)
  await past('bad', 'stuck', bug)
  for (let n = 0; n < 5; n += 1) await past(`docs${n}`, 'stuck', { checks: ['true'] })
  // None of these says anything: no check could have resolved it, it was cancelled, it bought nothing, it is not over, it was a trial.
  await past('unchecked', 'stuck', { tags: { kind: 'bug' } })
  await past('cancelled', 'cancelled', bug)
  await past('trial', 'stuck', { ...bug, tags: { kind: 'bug', eval: 'x' } })
  await job('poor', bug)
  await say('poor', ended('stuck'))
  await job('open', bug)
  await buy('open', 10)
  await job('new', { ...bug, worthUsdMicros: 1000 })
  // (8 + 10 p) of 19, where p = (0 + 5) of 15.
  assert.equal(purse.worthWords('new'), "A resolved job is worth $0.001000, and its chance is 0.60 (8 of 9 'bug' jobs that bought help were resolved; 0 of 5 of other kinds; 0.50 is assumed and counts as 10 jobs): it may spend $0.000596 in all")
  assert.equal(await buy('new', 596), 'bought')
  assert.match(await buy('new', 1), /it may spend \$0\.000596 in all\. \$0\.000596 are spent or reserved, and this call may cost \$0\.000001\. Say that it is worth more with 'hearth resume new --worth USD'\.$/)
  // What is older than a quarter of a year is forgotten.
  assert.match(new Purse({ store, config, now: () => now + 91 * day }).worthWords('new') ?? '', /its chance is 0\.50 \(0\.50 is assumed and counts as 10 jobs\)/)
}))

test('a resume may say that it is worth more; a job that is worth nothing buys nothing', () => shop(async ({ job, say, buy }) => {
  await job('j', { worthUsdMicros: 0 })
  assert.match(await buy('j', 1), /worth \$0\.00, .* it may spend \$0\.00 in all/)
  await say('j', { type: 'resumed', by: 'me', budgetUsdMicros: null, worthUsdMicros: 200 }, { type: 'resumed', by: 'me', budgetUsdMicros: 90 })
  assert.match(await buy('j', 91), /The budget of this job is \$0\.000090/)
  assert.equal(await buy('j', 90), 'bought')
}))

test('many at once hold no more than the job is worth', () => shop(async ({ job, buy }) => {
  await job('j', { worthUsdMicros: 2000 })
  const said = await Promise.all(Array.from({ length: 50 }, () => buy('j', 30)))
  assert.equal(said.filter((word) => word === 'bought').length, 33)
}))
