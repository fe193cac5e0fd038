// Money over real sockets: the official clients, the daemon's door, and a foreign mock of each wire format that bills what it is told to. The ledger is its bill.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { ChatCompletionRequest, FixtureResponse } from '@copilotkit/aimock'
import { Config, ModelRequest, usdMicrosOf } from '@hearth/protocol'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { kinds, mockWith, remoteAt } from '../fixtures/provider.ts'
import { newJob, price, principals, seeded } from '../fixtures/spending.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

for (const kind of kinds) {
  test(`${kind}: each call of forty, eight at a time, is in the ledger as the mock billed it, and the day's budget holds`, async () => {
    const random = seeded(3)
    let requests = 0
    const asked = new Set<string>()
    const bills = new Map<string, { prompt: number; cached: number; completion: number }>()
    const mock = await mockWith((request: ChatCompletionRequest): FixtureResponse => {
      const call = /call (\d+)/.exec(JSON.stringify(request.messages))?.[1] ?? ''
      asked.add(call)
      if ((requests += 1) % 5 === 3) return { status: 529, error: { message: 'overloaded', type: 'overloaded_error' } }
      const bill = { prompt: 20 + random(40), cached: kind === 'compatible' ? random(20) : 0, completion: 1 + random(80) }
      bills.set(call, bill)
      return { content: 'so it is', finishReason: 'stop', usage: { prompt_tokens: bill.prompt, completion_tokens: bill.completion, ...(bill.cached === 0 ? {} : { prompt_tokens_details: { cached_tokens: bill.cached } }) } }
    })
    const store = await Store.open(join(place.root, `${kind}.db`))
    const remote = remoteAt(kind, `${mock.url}${{ anthropic: '', openai: '/v1', compatible: '/api/v1' }[kind]}`)
    try {
      const { escalation } = Config.parse({
        escalation: { budget: { dayUsdMicros: 18_000 }, providers: [{ id: 'far', kind, url: mock.url, models: [{ id: 'far/big', model: 'big-1', contextTokens: 1000, maxOutputTokens: 600, prices: [price] }] }] },
      })
      const [provider] = escalation.providers
      const model = provider?.models[0]
      const principal = principals[2]
      assert.ok(provider !== undefined && model !== undefined && principal !== undefined)
      const purse = new Purse({ store, config: escalation, now: () => Date.parse('2026-05-01') })
      const job = newJob('j1', principal)
      await store.accept(job, { type: 'accepted', request: job.request, principal, model: 'm', seq: 1, jobId: 'j1', at: 1 })
      let next = 0
      const codes = new Set<string>()
      const worker = async (): Promise<void> => {
        for (let turn = 0; turn < 5; turn += 1) {
          const call = next += 1
          const bought = purse.paid(remote.model, { principal, jobId: 'j1', step: () => call }, { escalation: `e${call}`, provider, model, project: null })
          const request = ModelRequest.parse({ messages: [{ role: 'user', text: `call ${call} of the test` }], maxTokens: 100, purpose: 'advise' })
          for await (const event of bought.generate(request, new AbortController().signal)) codes.add(event.type === 'failed' ? event.fault.code : event.type)
        }
      }
      await Promise.all(Array.from({ length: 8 }, worker))
      const entries = new Map(store.read.usage(null, 'j1', 100).entries.map((entry) => [String(entry.step), entry]))
      let billed = 0
      for (const [call, { prompt, cached, completion }] of bills) {
        const entry = entries.get(call)
        const usage = { promptTokens: prompt, reusedTokens: cached, completionTokens: completion }
        assert.deepEqual([entry?.usage, entry?.usdMicros], [usage, usdMicrosOf(price, usage)], `call ${call}`)
        billed += usdMicrosOf(price, usage)
      }
      const refused = [...entries.values()].filter(({ step }) => !bills.has(String(step)))
      assert.deepEqual(new Set(refused.map(({ usdMicros, usage }) => usdMicros + usage.promptTokens + usage.completionTokens)), new Set([0]), 'a refusal costs nothing')
      assert.ok(billed <= 18_000 && bills.size > 5, `${billed} for ${bills.size} calls`)
      assert.ok(codes.has('over_budget') && codes.has('provider_overloaded'), [...codes].join(' '))
      assert.deepEqual([...asked].toSorted(), [...entries.keys()].toSorted(), 'what was denied was never sent')
      assert.equal(store.read.query('SELECT count(*) AS n FROM reservations WHERE id NOT IN (SELECT reservation FROM settlements)')[0]?.['n'], 0)
    } finally {
      remote.close()
      await mock.stop()
      await store.close()
    }
  })
}
