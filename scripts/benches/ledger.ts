// What does the ledger cost beside the inserts it is made of? Through the store's writing thread, against the same rows put in with one prepared statement on
// a connection of the same kind: one entry after another, many at once, and money held and settled around a call.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Budget, type LedgerEntry } from '@hearth/protocol'
import { costOf } from '@hearth/daemon/meter/amounts'
import type { Ask } from '@hearth/daemon/meter/ask'
import { openDb, type Db } from '@hearth/daemon/store/db'
import { migrate } from '@hearth/daemon/store/migrations'
import { ledgerWrite } from '@hearth/daemon/store/rows'
import { statements, type StatementName, type Value } from '@hearth/daemon/store/statements'
import { Store } from '@hearth/daemon/store/store'
import { against, type Benchmark, takeTurns } from './frame.ts'

const few = 200
const many = 10_000
const group = 512
const bar = { is: 'at most', ratio: 3 } as const

const usage = { promptTokens: 8000, reusedTokens: 6000, cacheWriteTokens: 1000, completionTokens: 500 }
const entry: Omit<LedgerEntry, 'id'> = {
  at: 1_770_000_000_000, jobId: null, step: 3, principal: 'socket:1000', origin: 'human', model: 'frontier', place: 'remote', purpose: 'advise', usage,
  timings: { queuedMs: 0, prefillMs: 120.5, decodeMs: 2300.25, ttftMs: 130.5, totalMs: 2431 }, joules: 40, usdMicros: 10_000, escalation: 'e1', ended: 'end',
}
const price = { from: '2026-01-01', input: 3_000_000, cacheRead: 300_000, cacheWrite: 3_750_000, output: 15_000_000 }
const none = Budget.parse({})

export const ledger: Benchmark = {
  name: 'ledger',
  title: 'the ledger against bare inserts',
  async run({ rounds }) {
    const home = mkdtempSync(join(tmpdir(), 'hearth-ledger-'))
    const store = await Store.open(join(home, 'ours.db'))
    const bare = openDb(join(home, 'bare.db'), 'write')
    migrate(bare, join(home, 'bare.db'))
    const put = inserter(bare)
    const [name, row] = ledgerWrite(entry)
    let day = 0
    // A new month for each round, so that what is summed up does not grow.
    const ask = (): Ask => ({
      now: Date.UTC(2026, day, 1), principal: 'socket:1000', origin: 'human', jobId: null, step: 3, project: null, escalation: 'e1', purpose: 'advise', model: 'frontier', place: 'remote',
      provider: { id: 'shop', tokensPerMinute: null, reservedTokensPerMinute: {} }, worst: { promptTokens: 32_000, completionTokens: 700 }, price,
      limits: [{ scope: 'box', id: 'box', budget: { ...none, dayUsdMicros: 1e12, monthUsdMicros: 1e12 } }], worth: null, earmarks: [], packages: [],
    })
    const reservation: Value[] = [1, '2026-01-01', null, 3, 'e1', null, 'socket:1000', 'human', 'advise', 'shop', 'frontier', 'remote', 32_000, 700, 130_500, 130_500, null, 0]
    try {
      const one = await takeTurns(rounds, {
        ours: () => timed(async () => { for (let n = 0; n < few; n += 1) await store.ledger(entry) }),
        theirs: () => timed(() => { for (let n = 0; n < few; n += 1) put(name, row) }),
      })
      const all = await takeTurns(rounds, {
        ours: () => timed(() => Promise.all(Array.from({ length: many }, () => store.ledger(entry)))),
        theirs: () => timed(() => { for (let n = 0; n < many; n += group) inTransaction(bare, () => { for (let k = n; k < Math.min(many, n + group); k += 1) put(name, row) }) }),
      })
      const money = await takeTurns(rounds, {
        ours: () => timed(async () => {
          day += 1
          for (let n = 0; n < few; n += 1) {
            const held = await store.reserve(ask())
            if (!held.ok) throw new Error(held.denial.why)
            await store.settle(held.id, 'used', costOf(held.hold, usage), entry)
          }
        }),
        theirs: () => timed(() => {
          for (let n = 0; n < few; n += 1) {
            const id = put('insertReservation', reservation)
            inTransaction(bare, () => { put('insertSettlement', [id, 1, 'used', 1, 1, 0]); put(name, row) })
          }
        }),
      })
      const per = (samples: readonly number[], count: number): number[] => samples.map((ms) => ms / count)
      const names = { bench: 'ledger', unit: 'ms' }
      return [
        against({ ...names, figure: 'an entry, one after another', note: `${few} commits a sample` }, per(one.ours, few), { name: 'one prepared insert, committed', samples: per(one.theirs, few) }, bar),
        against({ ...names, figure: 'an entry, many at once', note: `${many} entries a sample` }, per(all.ours, many), { name: `one prepared insert, ${group} a commit`, samples: per(all.theirs, many) }, bar),
        against({ ...names, figure: 'money held, settled and entered', note: `${few} calls a sample; the sums of the month are read for each` }, per(money.ours, few), { name: 'the same three inserts, two commits', samples: per(money.theirs, few) }, bar),
      ]
    } finally {
      await store.close()
      bare.close()
      rmSync(home, { recursive: true, force: true })
    }
  },
}

async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now()
  await work()
  return performance.now() - begun
}

function inserter(db: Db): (name: StatementName, values: readonly Value[]) => number {
  const prepared = new Map<StatementName, ReturnType<Db['prepare']>>()
  return (name, values) => {
    const statement = prepared.get(name) ?? db.prepare(statements[name])
    prepared.set(name, statement)
    return Number(statement.run(...values).lastInsertRowid)
  }
}

function inTransaction(db: Db, work: () => void): void {
  db.exec('BEGIN IMMEDIATE')
  work()
  db.exec('COMMIT')
}
