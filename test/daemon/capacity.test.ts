// Paid throughput and money that is kept for some, over the real store: a long call holds its tokens to its end, and whoever asks at once takes nothing of what is kept.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Config, ModelRequest, type Model, type ModelEvent, type Principal } from '@hearth/protocol'
import { whatIsLeft } from '../../packages/daemon/src/meter/left.ts'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { throughputOf } from '../../packages/daemon/src/store/money-rows.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const minute = 60_000
const begin = Date.parse('2026-05-01T12:00:00Z')
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 }

type Shop = { store: Store; at(ms: number): void; ask(principal: string, escalation: string, inner?: Model['generate'], maxTokens?: number): AsyncIterable<ModelEvent> }

async function shop(escalation: object, more: object, run: (at: Shop) => Promise<void>): Promise<void> {
  const config = Config.parse({
    escalation: {
      ...escalation,
      providers: [{ id: 'lane', kind: 'openai', ...more, models: [{ id: 'rented', model: 'r', contextTokens: 100_000, maxOutputTokens: 1000, prices: [{ from: '2026-01-01', input: 0, cacheRead: 0, cacheWrite: 0, output: 1_000_000 }] }] }],
    },
  }).escalation
  const [provider] = config.providers
  const [model] = provider?.models ?? []
  assert.ok(provider !== undefined && model !== undefined)
  const purchase = { provider, model, project: null }
  const store = await Store.open(join(place.root, `${Math.random()}.db`))
  let clock = begin
  const purse = new Purse({ store, config, now: () => clock })
  const answering: Model['generate'] = async function* ({ maxTokens }) { yield { type: 'done', stop: 'end', usage: { promptTokens: 100, reusedTokens: 0, completionTokens: maxTokens }, timings } }
  try {
    await run({
      store, at: (ms) => { clock = begin + ms },
      ask(id, name, generate = answering, maxTokens = 100) {
        const principal: Principal = { id, kind: 'key', origin: 'automation', scopes: ['escalate'], class: 'job' }
        const inner: Model = { info: { id: model.id, place: 'remote', contextTokens: 100_000, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 700 } }, generate }
        return purse.paid(inner, { principal, jobId: null, step: () => null }, { ...purchase, escalation: name }).generate(ModelRequest.parse({ messages: [{ role: 'user', text: 'x' }], maxTokens, purpose: 'advise' }), new AbortController().signal)
      },
    })
  } finally {
    await store.close()
  }
}
const wordOf = (events: readonly ModelEvent[]): string => events.map((event) => (event.type === 'failed' ? event.fault.code : event.type)).at(-1) ?? ''

test('a call that takes longer than a minute holds its part of the throughput to its end, and a minute after it', () => shop({ budget: { dayUsdMicros: 1_000_000 } }, { tokensPerMinute: 1000 }, async ({ store, at, ask }) => {
  const used = (now: number): number => throughputOf(store.read.query, 'lane', begin + now).get('key:a') ?? 0
  const gate = Promise.withResolvers<void>()
  const begun = Promise.withResolvers<void>()
  const call = Array.fromAsync(ask('key:a', 'e1', async function* () {
    begun.resolve()
    await gate.promise
    yield { type: 'done', stop: 'end', usage: { promptTokens: 100, reusedTokens: 0, completionTokens: 50 }, timings }
  }))
  await begun.promise
  const held = used(0)
  assert.ok(held > 150)
  assert.equal(used(5 * minute), held)
  at(5 * minute)
  gate.resolve()
  await call
  assert.deepEqual([used(5 * minute), used(6 * minute - 1), used(6 * minute)], [150, 150, 0])
}))

test('fifty who ask at once leave what is kept for the pipeline, and the pipeline has all of it', () => shop({
  budget: { dayUsdMicros: 5000, monthUsdMicros: 200_000 }, reserved: [{ principals: ['key:pipeline'], dayUsdMicros: 2000 }],
}, {}, async ({ ask }) => {
  const others = await Promise.all(Array.from({ length: 50 }, (_, n) => Array.fromAsync(ask('key:other', `o${n}`))))
  assert.equal(others.filter((events) => wordOf(events) === 'done').length, 30)
  const pipeline = await Promise.all(Array.from({ length: 25 }, (_, n) => Array.fromAsync(ask('key:pipeline', `p${n}`))))
  assert.equal(pipeline.filter((events) => wordOf(events) === 'done').length, 20)
}))

test('a pipeline that has something of each day finds it on the last day of a month that others used up', () => shop({
  budget: { monthUsdMicros: 10_000 }, reserved: [{ principals: ['key:pipeline'], dayUsdMicros: 300 }],
}, {}, async ({ at, ask }) => {
  for (let day = 0; day < 31; day += 1) {
    at(day * 1440 * minute)
    const words = [...await Promise.all(Array.from({ length: 12 }, (_, n) => Array.fromAsync(ask('key:other', `o${day} ${n}`))))].map(wordOf)
    assert.equal(words.filter((word) => word === 'done').length, day === 0 ? 7 : 0, `day ${day}`)
    const kept = await Promise.all([1, 2, 3].map((n) => Array.fromAsync(ask('key:pipeline', `p${day} ${n}`))))
    assert.deepEqual(kept.map(wordOf), ['done', 'done', 'done'], `day ${day}`)
  }
}))

test('a package that is not good yet is forecast from what was bought, and a renewed one begins anew', async () => {
  const pack = (id: string, boughtAt: string, more: object = {}): object => ({ id, provider: 'lane', usdMicros: 1000, paidUsdMicros: 900, boughtAt, ...more })
  const left = (store: Store, packages: object[]): ReturnType<typeof whatIsLeft>['packages'] =>
    whatIsLeft(store, Config.parse({ escalation: { providers: [{ id: 'lane', kind: 'openai', models: [{ id: 'rented', model: 'r', contextTokens: 100_000, maxOutputTokens: 1000 }] }], packages } }).escalation, null, () => null, begin).packages
  await shop({ budget: { dayUsdMicros: 1_000_000 }, packages: [pack('month', '2026-04-01')] }, {}, async ({ store, ask }) => {
    // Ten hundredths of the first are covered by the package, 18 are bought.
    for (let n = 0; n < 28; n += 1) await Array.fromAsync(ask(n % 2 === 0 ? 'key:a' : 'key:b', `e${n}`))
    const rows = left(store, [pack('month', '2026-04-01'), pack('next', '2026-05-03', { expiresAt: '2026-05-09' }), pack('ours', '2026-05-03', { principals: ['key:a'] }), pack('other', '2026-05-03', { models: ['none'] })])
    assert.deepEqual(rows.map(({ id, used, perDay, lapses, forecastUsdMicros, pays }) => [id, used, Math.round(perDay), lapses, forecastUsdMicros, pays]), [
      ['month', 1000, 143, 0, 1000, true], ['next', 0, 257, 0, 1000, true], ['ours', 0, 129, 0, 1000, true], ['other', 0, 0, 0, null, null],
    ])
    assert.deepEqual(left(store, [pack('month', '2026-05-02')]).map(({ used, left: rest }) => [used, rest]), [[0, 1000]])
  })
})
