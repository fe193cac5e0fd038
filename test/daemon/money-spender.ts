// Spends until it is killed: eight calls at a time, two of them stuck, against the database, with the seller's books in a file beside it. A line of stdout for each call.
import { appendFileSync } from 'node:fs'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { cronKey, escalation, newJob, principals, project, requestOf, seeded, sellerModel, stuck } from '../fixtures/spending.ts'

const [path = '', books = '', round = '0'] = process.argv.slice(2)
const random = seeded(1000 + Number(round))
const store = await Store.open(path)
if (store.read.key('cron') === null) await store.addKey(cronKey, 'hash')
// Each round is three days further on, so that there is money.
const purse = new Purse({ store, config: escalation, now: () => Date.parse('2026-03-01') + Number(round) * 3 * 86_400_000 })
let calls = Number(round) * 1_000_000

async function spend(worker: number): Promise<never> {
  for (let n = 0; ; n += 1) {
    const principal = principals[random(3)]
    const provider = escalation.providers[random(2)]
    const model = provider?.models[0]
    if (principal === undefined || provider === undefined || model === undefined) throw new Error('the box is empty')
    const job = newJob(`r${round}w${worker}n${n}`, principal)
    await store.accept(job, { type: 'accepted', request: job.request, principal, model: 'm', seq: 1, jobId: job.id, at: 1 })
    const call = { job: job.id, call: calls += 1 }
    const inner = sellerModel(model.id, call, stuck[worker] ?? 'done', random, (sale) => appendFileSync(books, JSON.stringify(sale) + '\n'))
    await Array.fromAsync(purse.paid(inner, { principal, jobId: job.id, step: () => call.call }, { escalation: 'e1', provider, model, project: random(3) === 0 ? project : null }).generate(requestOf(random), new AbortController().signal))
    process.stdout.write(`${call.call}\n`)
  }
}

await Promise.all(Array.from({ length: 8 }, (_, worker) => spend(worker)))
