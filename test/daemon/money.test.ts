// Money over a thousand jobs with faults at random points, and over processes that are killed: no limit is ever passed, and the books agree.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { audit, cronKey, endings, escalation, newJob, principals, project, requestOf, seeded, sellerModel, type Sale } from '../fixtures/spending.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

test('1,000 jobs with faults and kills at random points: no limit is passed, and the ledger is the books of the seller', async () => {
  const random = seeded(7)
  const path = join(place.root, 'sim.db')
  const sales: Sale[] = []
  const limits = new Map<string, number>()
  let clock = Date.parse('2026-03-20T08:00:00Z')
  let wrongBy = 0
  let calls = 0
  let denied = 0
  let dead = false
  let next = 0

  const job = async (store: Store, purse: Purse, id: string): Promise<void> => {
    const principal = principals[random(principals.length)] ?? principals[0]
    assert.ok(principal !== undefined)
    const own = random(4) === 0 ? { budgetUsdMicros: 25_000 } : random(4) === 0 ? { worthUsdMicros: 50_000 } : {}
    // Nothing was resolved yet, so a chance of one half is assumed.
    if ('budgetUsdMicros' in own || 'worthUsdMicros' in own) limits.set(id, 25_000)
    const row = newJob(id, principal, own)
    await store.accept(row, { type: 'accepted', request: row.request, principal, model: 'm', seq: 1, jobId: id, at: 1 })
    const inProject = random(3) === 0 ? project : null
    for (let e = 1, wanted = 1 + random(4); e <= wanted && !dead; e += 1) {
      const provider = escalation.providers[random(2)]
      const model = provider?.models[0]
      assert.ok(provider !== undefined && model !== undefined)
      for (let turn = 0, turns = 1 + random(3); turn < turns && !dead; turn += 1) {
        // Forward by minutes, now and then by hours; and at times it is wrong by days for a while.
        clock += random(20) === 0 ? random(12 * 3_600_000) : random(90_000)
        if (random(40) === 0) wrongBy = random(3) * 86_400_000
        const ending = random(2) === 0 ? 'done' : endings[random(endings.length)] ?? 'done'
        const call = { job: id, call: calls += 1 }
        const leave = ending === 'slow' ? 'leave' : random(12) === 0 ? 'leave' : random(12) === 0 ? 'abort' : 'read'
        const stop = new AbortController()
        const bought = purse.paid(sellerModel(model.id, call, ending, random, (sale) => sales.push(sale)), { principal, jobId: id, step: () => call.call }, { escalation: `e${e}`, provider, model, project: inProject })
        for await (const event of bought.generate(requestOf(random), stop.signal)) {
          if (event.type === 'failed' && event.fault.code === 'over_budget') denied += 1
          if (event.type === 'text' && leave === 'abort') stop.abort()
          if (event.type === 'text' && leave === 'leave') break
        }
      }
    }
  }

  while (next < 1000) {
    const store = await Store.open(path)
    if (store.read.key('cron') === null) await store.addKey(cronKey, 'hash')
    dead = false
    // From the kill on nothing reaches the disk any more: what was reserved before it stays open.
    const killed = (): Promise<never> => Promise.reject(new Error('the process is gone'))
    const till = new Proxy(store, { get: (target, name) => (dead && (name === 'reserve' || name === 'settle') ? killed : typeof target[name as keyof Store] === 'function' ? (target[name as keyof Store] as () => unknown).bind(target) : target[name as keyof Store]) })
    const purse = new Purse({ store: till, config: escalation, now: () => clock - wrongBy })
    const until = calls + 60 + random(400)
    const worker = async (): Promise<void> => {
      while (next < 1000 && !dead) {
        await job(store, purse, `job${next += 1}`)
        if (calls >= until) dead = true
      }
    }
    await Promise.all(Array.from({ length: 24 }, worker))
    await store.close()
    if (next < 1000) continue
    await (await Store.open(path)).close()
  }
  const found = audit(path, sales, limits)
  assert.ok(found.used > 400 && found.unknown > 100 && found.charged > 10 && denied > 300, JSON.stringify({ ...found, denied, calls }))
})

test('a process that is killed with kill -9 leaves nothing open and nothing unpaid', async () => {
  const path = join(place.root, 'killed.db')
  const books = join(place.root, 'books')
  const random = seeded(11)
  for (let round = 0; round < 5; round += 1) {
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', fileURLToPath(new URL('./money-spender.ts', import.meta.url)), path, books, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
    const exited = once(child, 'exit')
    let lines = 0
    const enough = 15 + random(40)
    for await (const _line of createInterface({ input: child.stdout })) if ((lines += 1) >= enough) break
    child.kill('SIGKILL')
    assert.deepEqual(await exited, [null, 'SIGKILL'])
  }
  await (await Store.open(path)).close()
  assert.ok(existsSync(books))
  // The last line of a book may be cut: it was never sold then, or the reservation of it is charged.
  const sales = readFileSync(books, 'utf8').split('\n').flatMap((line): Sale[] => { try { return [JSON.parse(line) as Sale] } catch { return [] } })
  const found = audit(path, sales)
  assert.ok(found.used > 50 && found.charged >= 10, JSON.stringify(found))
})
