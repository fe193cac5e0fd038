// A call that costs money: held on disk before anything is asked, settled before its end is seen, whatever the end. Over the real store.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { DatabaseSync } from 'node:sqlite'
import { Config, fault, ModelRequest, type Model, type ModelEvent, type Principal } from '@hearth/protocol'
import { Purse, type Purchase } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { newJob } from '../fixtures/spending.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
let made = 0

const now = Date.parse('2026-05-01T12:00:00Z')
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 2, ttftMs: 1, totalMs: 3 }
const usage = { promptTokens: 100, reusedTokens: 40, cacheWriteTokens: 20, completionTokens: 10 }
const principal: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['escalate'], class: 'interactive' }
const config = Config.parse({
  escalation: {
    budget: { dayUsdMicros: 10_000 },
    providers: [{ id: 'shop', kind: 'openai', models: [{ id: 'frontier', model: 'f', contextTokens: 100_000, maxOutputTokens: 1000, prices: [{ from: '2026-01-01', input: 1_000_000, cacheRead: 100_000, cacheWrite: 2_000_000, output: 10_000_000 }] }] }],
  },
}).escalation
const request = ModelRequest.parse({ messages: [{ role: 'user', text: 'help' }], maxTokens: 100, purpose: 'advise' })

async function shop(run: (tools: { store: Store; purse: Purse; purchase: Purchase; ask: (inner: (signal: AbortSignal) => AsyncGenerator<ModelEvent>, step?: number) => AsyncIterable<ModelEvent>; rows: () => unknown[]; open: () => number }) => Promise<void>): Promise<void> {
  const store = await Store.open(join(place.root, `${made += 1}.db`))
  const job = newJob('j1', principal)
  await store.accept(job, { type: 'accepted', request: job.request, principal, model: 'm', seq: 1, jobId: 'j1', at: 1 })
  const purse = new Purse({ store, config, now: () => now })
  const [provider] = config.providers
  const model = provider?.models[0]
  assert.ok(provider !== undefined && model !== undefined)
  const purchase: Purchase = { escalation: 'e1', provider, model, project: null }
  const info: Model['info'] = { id: 'frontier', place: 'remote', contextTokens: 100_000, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } }
  try {
    await run({
      store, purse, purchase,
      ask: (inner, step = 1) => purse.paid({ info, generate: (_request, signal) => inner(signal) }, { principal, jobId: 'j1', step: () => step }, purchase).generate(request, new AbortController().signal),
      rows: () => store.read.usage(null, 'j1', 10).entries.map(({ usage: used, usdMicros, escalation, ended }) => [used, usdMicros, escalation, ended]),
      open: () => store.read.query('SELECT count(*) AS n FROM reservations WHERE id NOT IN (SELECT reservation FROM settlements)')[0]?.['n'] as number,
    })
  } finally {
    await store.close()
  }
}

// At worst: one token a byte of the prompt and what a provider puts around it, at the price of writing the cache.
const worst = 2 * (Buffer.byteLength(JSON.stringify([request.messages, [], { type: 'text' }])) + 32 + 64) + 10 * 100
const price = 40 * 1 + 20 * 2 + 4 + 10 * 10

test('it is held when the model is asked, and settled with its ledger entry when the end is seen', () => shop(async ({ ask, rows, open, purse, purchase }) => {
  const quote = purse.quote({ principal, jobId: 'j1', step: () => 1 }, purchase, request)
  assert.equal(quote.ok && quote.hold.usdMicros, worst)
  assert.equal(open(), 0, 'a quote holds nothing')
  const seen: [string, number][] = []
  for await (const event of ask(async function* () {
    seen.push(['asked', open()])
    yield { type: 'text', text: 'a' }
    yield { type: 'done', stop: 'end', usage, timings }
  })) seen.push([event.type, open()])
  assert.deepEqual(seen, [['asked', 1], ['text', 1], ['done', 0]])
  assert.deepEqual(rows(), [[usage, price, 'e1', 'end']])
}))

test('what a limit denies is never asked', () => shop(async ({ ask, rows, store }) => {
  await Array.fromAsync(ask(async function* () { yield { type: 'done', stop: 'end', usage: { ...usage, promptTokens: 9000, reusedTokens: 0, cacheWriteTokens: 0 }, timings } }))
  let asked = false
  const events = await Array.fromAsync(ask(async function* () { asked = true }))
  assert.equal(asked, false)
  assert.deepEqual(events.map((event) => event.type === 'failed' && event.fault), [fault('over_budget', {
    why: `The budget of this box for 2026-05-01 is $0.01: $0.009100 are spent or reserved, and this call may cost $0.00${worst}.`, remedy: 'Raise escalation.budget.dayUsdMicros in the configuration, or wait for the next day (UTC).',
  })])
  assert.equal(rows().length, 1)
  await store.close()
}))

test('a seller who counts more than there can be is written down as he counts, and nothing more is bought', () => shop(async ({ ask, rows }) => {
  await Array.fromAsync(ask(async function* () { yield { type: 'done', stop: 'end', usage: { promptTokens: 5_000_000, reusedTokens: 0, completionTokens: 0 }, timings } }))
  assert.deepEqual(rows(), [[{ promptTokens: 5_000_000, reusedTokens: 0, completionTokens: 0 }, 5_000_000, 'e1', 'end']])
  const [event] = await Array.fromAsync(ask(async function* () { throw new Error('asked') }))
  assert.equal(event?.type === 'failed' && event.fault.code, 'over_budget')
}))

const none = { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }
const unknown: readonly { name: string; inner: (signal: AbortSignal) => AsyncGenerator<ModelEvent>; ended: string; costs: number }[] = [
  { name: 'a refusal before anything arrived costs nothing', async *inner() { yield { type: 'failed', fault: fault('endpoint_busy', { endpoint: 'e', how: '429' }), usage: none, timings } }, ended: 'endpoint_busy', costs: 0 },
  { name: 'nor does a call that was taken back before it was sent', async *inner() { yield { type: 'queued', position: 1 }; yield { type: 'done', stop: 'cancelled', usage: none, timings } }, ended: 'cancelled', costs: 0 },
  { name: 'an answer without words and numbers', async *inner() { yield { type: 'done', stop: 'end', usage: none, timings } }, ended: 'end', costs: worst },
  { name: 'an answer that was cut, with its numbers', async *inner() { yield { type: 'text', text: 'a' }; yield { type: 'failed', fault: fault('endpoint_failed', { endpoint: 'e', how: 'cut' }), usage, timings } }, ended: 'endpoint_failed', costs: price },
  { name: 'and without them', async *inner() { yield { type: 'text', text: 'a' }; yield { type: 'failed', fault: fault('endpoint_failed', { endpoint: 'e', how: 'cut' }), usage: none, timings } }, ended: 'endpoint_failed', costs: worst },
  { name: 'a model that throws', async *inner() { yield { type: 'queued', position: 1 }; throw new Error('boom') }, ended: 'internal', costs: worst },
  { name: 'numbers without sense', async *inner() { yield { type: 'done', stop: 'end', usage: { promptTokens: 5, reusedTokens: 9, completionTokens: 1 }, timings } }, ended: 'end', costs: worst },
  { name: 'an answer whose tokens were guessed', async *inner() { yield { type: 'text', text: 'a' }; yield { type: 'done', stop: 'end', usage: { ...usage, estimated: true }, timings } }, ended: 'end', costs: worst },
]
for (const { name, inner, ended, costs } of unknown) {
  test(name, () => shop(async ({ ask, rows, open }) => {
    await Array.fromAsync(ask(inner))
    assert.deepEqual([rows().map((row) => (row as unknown[]).slice(1)), open()], [[[costs, 'e1', ended]], 0])
  }))
}

test('a reader who leaves pays for what came until then', () => shop(async ({ ask, rows, open }) => {
  for await (const _event of ask(async function* (signal) {
    while (!signal.aborted) yield { type: 'text', text: 'a' }
    yield { type: 'done', stop: 'cancelled', usage, timings }
  })) break
  assert.deepEqual([rows(), open()], [[[usage, price, 'e1', 'cancelled']], 0])
}))

test('a settlement that cannot be stored fails the call, which stays held and is charged by the next start', () => shop(async ({ store, ask }) => {
  const events = await Array.fromAsync(ask(async function* () {
    await store.close()
    yield { type: 'done', stop: 'end', usage, timings }
  }))
  assert.deepEqual(events.map((event) => event.type === 'failed' && event.fault.code), ['database'])
  const again = await Store.open(store.path)
  const [entry] = again.read.usage(null, 'j1', 10).entries
  assert.deepEqual([entry?.usdMicros, entry?.ended, entry?.usage, entry?.at], [worst, 'charged', none, now])
  await again.close()
}))

test('what was settled is settled: a second time is refused with its entry, and no row changes', () => shop(async ({ ask, rows, store }) => {
  await Array.fromAsync(ask(async function* () { yield { type: 'done', stop: 'end', usage, timings } }))
  const [entry] = store.read.usage(null, 'j1', 10).entries
  assert.ok(entry !== undefined)
  const { id: _id, ...same } = entry
  await assert.rejects(store.settle(1, 'used', { usdMicros: 1, listUsdMicros: 1, covered: 0 }, same), /UNIQUE constraint failed/)
  assert.equal(rows().length, 1)
  await store.close()
  const db = new DatabaseSync(store.path)
  for (const table of ['reservations', 'settlements']) {
    assert.throws(() => db.exec(`UPDATE ${table} SET usd_micros = 0`), /append-only/)
    assert.throws(() => db.exec(`DELETE FROM ${table}`), /append-only/)
  }
  db.close()
}))

test('when nothing can be held nothing is asked', () => shop(async ({ ask, store }) => {
  await store.close()
  let asked = false
  const events = await Array.fromAsync(ask(async function* () { asked = true }))
  assert.deepEqual([asked, events.map((event) => event.type)], [false, ['failed']])
}))

test('two who ask at once cannot both have the last money', () => shop(async ({ ask }) => {
  const gate = Promise.withResolvers<void>()
  const all = Array.from({ length: 20 }, () => Array.fromAsync(ask(async function* () {
    await gate.promise
    yield { type: 'done', stop: 'end', usage, timings }
  })))
  const early = all.map((one) => Promise.race([one.then(([event]) => (event?.type === 'failed' ? 'denied' : 'sold')), gate.promise.then(() => 'sold')]))
  const denied = 20 - Math.floor(10_000 / worst)
  let left = denied
  const enough = Promise.withResolvers<void>()
  for (const one of early) void one.then((word) => { if (word === 'denied' && (left -= 1) === 0) enough.resolve() })
  await enough.promise
  gate.resolve()
  assert.equal((await Promise.all(early)).filter((word) => word === 'denied').length, denied)
  await Promise.all(all)
}))

test('a settlement that cannot be stored holds the worst price, until the next call finds that there is room again', () => shop(async ({ ask, rows, open, store }) => {
  const settle = store.settle.bind(store)
  store.settle = () => Promise.reject(new Error('database or disk is full'))
  const answering = async function* (): AsyncGenerator<ModelEvent> { yield { type: 'done', stop: 'end', usage, timings } }
  const ended = (await Array.fromAsync(ask(answering))).at(-1)
  assert.match(ended?.type === 'failed' ? ended.fault.message : '', /database or disk is full/)
  assert.deepEqual([open(), rows()], [1, []])
  // Still none: the next call is held beside it.
  await Array.fromAsync(ask(answering, 2))
  assert.equal(open(), 2)
  store.settle = settle
  await Array.fromAsync(ask(answering, 3))
  assert.deepEqual([open(), rows()], [0, [[usage, price, 'e1', 'end'], [usage, price, 'e1', 'end'], [usage, price, 'e1', 'end']]])
}))

test('one that was sent and heard nothing costs what was held: what it thought in silence is billed', () => shop(async ({ ask, rows }) => {
  for await (const _ of ask(async function* () {
    await Promise.resolve()
    yield { type: 'failed', fault: fault('provider_silent', { provider: 'shop', how: 'it said nothing for 300 s' }), usage: { promptTokens: 50, reusedTokens: 0, completionTokens: 0 }, timings }
  })) { /* to its end */ }
  assert.deepEqual(rows(), [[{ promptTokens: 0, reusedTokens: 0, completionTokens: 0 }, worst, 'e1', 'provider_silent']])
}))
