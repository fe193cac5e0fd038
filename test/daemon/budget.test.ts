// The decider as a table: what was spent, what is asked, what a person is told. And the arithmetic of one call. No clock, no I/O.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Budget, Config, Package, type Price } from '@hearth/protocol'
import { costOf, promptTokensAtMost, worstUsdMicros, type Hold } from '../../packages/daemon/src/meter/amounts.ts'
import type { Ask, Limit, Spent } from '../../packages/daemon/src/meter/ask.ts'
import { reserve } from '../../packages/daemon/src/meter/budget.ts'
import { packageRow, sharesOf } from '../../packages/daemon/src/meter/packages.ts'
import { chanceOf, type Tally, type Worth } from '../../packages/daemon/src/meter/worth.ts'
import { seeded } from '../fixtures/spending.ts'

const price: Price = { from: '2026-01-01', input: 1_000_000, cacheRead: 100_000, cacheWrite: 2_000_000, output: 10_000_000 }
const at = Date.parse('2026-03-31T23:00:00Z')
const onThe20th = Date.parse('2026-03-20T12:00:00Z')
const box = (budget: Partial<Budget>): Limit => ({ scope: 'box', id: 'box', budget: Budget.parse(budget) })
// 1,000 prompt tokens at 2 USD a million and 100 completion tokens at 10: 3,000 micro-dollars at worst.
const asked = (more: Partial<Ask> = {}): Ask => ({
  now: at, principal: 'key:a', origin: 'automation', jobId: 'j1', step: 3, project: null, escalation: 'e1', purpose: 'advise', model: 'frontier', place: 'remote',
  provider: { id: 'shop', tokensPerMinute: null, reservedTokensPerMinute: {} }, worst: { promptTokens: 1000, completionTokens: 100 }, price,
  limits: [box({ dayUsdMicros: 1_000_000 })], worth: null, earmarks: [], packages: [], ...more,
})
const nothing = { dayUsdMicros: 0, monthUsdMicros: 0 }
const spentBefore = (more: Partial<Spent> = {}, limits = 4): Spent => ({
  at, escalationUsdMicros: 0, jobUsdMicros: 0, jobOthers: 0, limits: Array.from({ length: limits }, () => ({ ...nothing, dayOthers: 0, monthOthers: 0 })), earmarks: [nothing, nothing], packages: [0, 0, 0], throughput: new Map(), ...more,
})
const day = (dayUsdMicros: number, dayOthers = 0): Spent['limits'][number] => ({ dayUsdMicros, monthUsdMicros: dayUsdMicros, dayOthers, monthOthers: dayOthers })
const told = (ask: Partial<Ask>, spent: Partial<Spent> = {}): string => {
  const decision = reserve(spentBefore(spent), asked(ask))
  return decision.ok ? `${decision.hold.usdMicros} of ${decision.hold.listUsdMicros}${decision.hold.cover === null ? '' : `, ${decision.hold.cover.source} ${decision.hold.cover.held}`}` : `${decision.denial.rule}: ${decision.denial.why} ${decision.denial.remedy}`
}
const worth = (usdMicros: number, like: Tally = { jobs: 0, resolved: 0 }, others: Tally = { jobs: 0, resolved: 0 }): Worth => ({ usdMicros, kind: 'bug', like, others, assumed: 0.5 })
const pack = (more: Partial<Package>): Package => Package.parse({ id: 'p', provider: 'shop', boughtAt: '2026-01-01', ...more })

const cases: readonly { name: string; ask?: Partial<Ask>; spent?: Partial<Spent>; is: string }[] = [
  { name: 'the dearest price of a prompt token, and the whole answer', is: '3000 of 3000' },
  { name: 'an unknown price is refused', ask: { price: null }, is: "price: No price of 'frontier' is known for 2026-03-31, so nothing is bought from it. Put its prices into escalation.providers of the configuration." },
  { name: 'a box without a limit in money buys nothing', ask: { limits: [box({ jobCount: 5 })] }, is: 'budget: This box has no budget, so nothing is bought. Set escalation.budget.dayUsdMicros in the configuration; 1000000 is one dollar.' },
  { name: 'to the last micro-dollar', spent: { limits: [day(997_000)] }, is: '3000 of 3000' },
  {
    name: 'and not one more', spent: { limits: [day(997_001)] },
    is: 'budget: The budget of this box for 2026-03-31 is $1.00: $0.997001 are spent or reserved, and this call may cost $0.003000. Raise escalation.budget.dayUsdMicros in the configuration, or wait for the next day (UTC).',
  },
  {
    name: 'a clock that was turned back is told', ask: { now: at - 86_400_000 }, spent: { limits: [day(1_000_000)] },
    is: 'budget: The budget of this box for 2026-03-31 is $1.00: $1.00 are spent or reserved, and this call may cost $0.003000. The clock was turned back to 2026-03-30; what is bought counts as on 2026-03-31 until then. Raise escalation.budget.dayUsdMicros in the configuration, or wait for the next day (UTC).',
  },
  {
    name: 'the month', ask: { limits: [box({ monthUsdMicros: 5000 })] }, spent: { limits: [{ dayUsdMicros: 0, monthUsdMicros: 4000, dayOthers: 0, monthOthers: 0 }] },
    is: 'budget: The budget of this box for 2026-03 is $0.005000: $0.004000 are spent or reserved, and this call may cost $0.003000. Raise escalation.budget.monthUsdMicros in the configuration, or wait for the next month (UTC).',
  },
  {
    name: 'one escalation over its calls', ask: { limits: [box({ escalationUsdMicros: 5000 })] }, spent: { escalationUsdMicros: 2001 },
    is: 'budget: The budget of this box for one escalation is $0.005000: $0.002001 are spent or reserved, and this call may cost $0.003000. Raise escalation.budget.escalationUsdMicros in the configuration.',
  },
  {
    name: "a job's own budget", ask: { limits: [box({ dayUsdMicros: 1e6 }), { scope: 'job', id: 'j1', budget: Budget.parse({ jobUsdMicros: 2000 }) }] },
    is: "budget: The budget of this job is $0.002000: $0.00 are spent or reserved, and this call may cost $0.003000. Give it more with 'hearth resume j1 --budget USD'.",
  },
  { name: 'limits of a job are none of a chat', ask: { jobId: null, limits: [box({ dayUsdMicros: 1e6, jobUsdMicros: 0, jobCount: 0 })] }, is: '3000 of 3000' },
  {
    name: 'of two limits the stricter holds: a key', ask: { limits: [box({ dayUsdMicros: 1e6 }), { scope: 'principal', id: 'key:a', budget: Budget.parse({ dayUsdMicros: 4000 }) }] }, spent: { limits: [day(1001), day(1001)] },
    is: 'budget: The budget of key:a for 2026-03-31 is $0.004000: $0.001001 are spent or reserved, and this call may cost $0.003000. Ask the owner of this box for a larger budget, or wait for the next day (UTC).',
  },
  { name: 'escalations of a job', ask: { limits: [box({ dayUsdMicros: 1e6, jobCount: 2 })] }, spent: { jobOthers: 2 }, is: 'limit: The limit of this box is 2 escalations for one job, and nothing of it is left. Raise escalation.budget.jobCount in the configuration.' },
  {
    name: 'escalations of a day in a project', ask: { limits: [box({ dayUsdMicros: 1e6 }), { scope: 'project', id: 'lab', budget: Budget.parse({ dayCount: 7 }) }] }, spent: { limits: [day(0), day(0, 7)] },
    is: 'limit: The limit of the project lab is 7 escalations for 2026-03-31, and nothing of it is left. Raise the budget of the project, or wait for the next day (UTC).',
  },
  {
    name: 'escalations of a month', ask: { limits: [box({ dayUsdMicros: 1e6, monthCount: 60 })] }, spent: { limits: [day(0, 60)] },
    is: 'limit: The limit of this box is 60 escalations for 2026-03, and nothing of it is left. Raise escalation.budget.monthCount in the configuration, or wait for the next month (UTC).',
  },
  { name: 'a key that was made before there were limits of a month', ask: { limits: [box({ dayUsdMicros: 1e6 }), { scope: 'principal', id: 'key:a', budget: { escalationUsdMicros: null, jobUsdMicros: null, dayUsdMicros: null, monthUsdMicros: null, jobCount: null, dayCount: null } }] }, is: '3000 of 3000' },
  {
    name: 'what is kept of each day is kept of the month for all days that are left', ask: { now: onThe20th, limits: [box({ monthUsdMicros: 1_000_000 })], earmarks: [{ principals: ['key:vip'], dayUsdMicros: 30_000, monthUsdMicros: 0 }] },
    spent: { at: onThe20th, limits: [{ dayUsdMicros: 0, monthUsdMicros: 650_000, dayOthers: 0, monthOthers: 0 }], earmarks: [{ dayUsdMicros: 10_000, monthUsdMicros: 90_000 }] },
    is: 'budget: The budget of this box for 2026-03 is $1.00: $0.65 are spent or reserved, $0.35 are kept for others, and this call may cost $0.003000. Raise escalation.budget.monthUsdMicros in the configuration, or wait for the next month (UTC).',
  },
  { name: 'of a month that could not hold so many days, today', ask: { now: onThe20th, limits: [box({ monthUsdMicros: 900_000 })], earmarks: [{ principals: ['key:vip'], dayUsdMicros: 30_000, monthUsdMicros: 0 }] }, spent: { at: onThe20th, limits: [{ dayUsdMicros: 0, monthUsdMicros: 867_000, dayOthers: 0, monthOthers: 0 }] }, is: '3000 of 3000' },
  {
    name: 'what is kept for others is not touched', ask: { earmarks: [{ principals: ['key:vip'], dayUsdMicros: 500_000, monthUsdMicros: 0 }] }, spent: { limits: [day(700_000)], earmarks: [{ dayUsdMicros: 100_000, monthUsdMicros: 0 }] },
    is: 'budget: The budget of this box for 2026-03-31 is $1.00: $0.70 are spent or reserved, $0.40 are kept for others, and this call may cost $0.003000. Raise escalation.budget.dayUsdMicros in the configuration, or wait for the next day (UTC).',
  },
  { name: 'and is there for those it is kept for', ask: { principal: 'key:vip', earmarks: [{ principals: ['key:vip'], dayUsdMicros: 500_000, monthUsdMicros: 0 }] }, spent: { limits: [day(700_000)] }, is: '3000 of 3000' },
  {
    name: 'a job that is worth little', ask: { worth: worth(5000) },
    is: "budget: A resolved job is worth $0.005000, and its chance is 0.50 (0.50 is assumed and counts as 10 jobs): it may spend $0.002500 in all. $0.00 are spent or reserved, and this call may cost $0.003000. Say that it is worth more with 'hearth resume j1 --worth USD'.",
  },
  { name: 'a chance that was counted', ask: { worth: worth(5000, { jobs: 40, resolved: 30 }) }, is: '3000 of 3000' },
  {
    name: 'all that a job spent counts', ask: { worth: worth(5000, { jobs: 40, resolved: 30 }, { jobs: 10, resolved: 0 }) }, spent: { jobUsdMicros: 251 },
    is: "budget: A resolved job is worth $0.005000, and its chance is 0.65 (30 of 40 'bug' jobs that bought help were resolved; 0 of 10 of other kinds; 0.50 is assumed and counts as 10 jobs): it may spend $0.003250 in all. $0.000251 are spent or reserved, and this call may cost $0.003000. Say that it is worth more with 'hearth resume j1 --worth USD'.",
  },
  { name: 'a package is drawn first', ask: { packages: [pack({ usdMicros: 10_000 })] }, is: '0 of 3000, package:p 3000' },
  { name: 'money pays for what it does not hold', ask: { packages: [pack({ usdMicros: 1000 })] }, is: '2000 of 3000, package:p 1000' },
  { name: 'of tokens the share', ask: { packages: [pack({ tokens: 110 })] }, is: '2700 of 3000, package:p 110' },
  { name: 'the one that lapses first, if it holds all', ask: { packages: [pack({ id: 'late', tokens: 5000 }), pack({ id: 'soon', tokens: 5000, expiresAt: '2026-04-01' })] }, is: '0 of 3000, package:soon 1100' },
  { name: 'each to its end: what the one that lapses first does not hold, the next does', ask: { packages: [pack({ id: 'late', tokens: 5000 }), pack({ id: 'soon', tokens: 1000, expiresAt: '2026-04-01' }), pack({ id: 'small', tokens: 50, expiresAt: '2026-03-31' })] }, is: '0 of 3000, packages:small*50+soon*1000+late*50 1100' },
  { name: 'and money what none of them does', ask: { packages: [pack({ id: 'late', usdMicros: 500 }), pack({ id: 'soon', usdMicros: 100, expiresAt: '2026-04-01' })] }, is: '2400 of 3000, packages:soon*100+late*500 600' },
  { name: 'tokens and money are not mixed: what leaves less', ask: { packages: [pack({ id: 'soon', tokens: 50, expiresAt: '2026-03-31' }), pack({ id: 'late', usdMicros: 5000 })] }, is: '0 of 3000, package:late 3000' },
  { name: 'not one that lapsed, is empty, is of another or for another', ask: { packages: [pack({ tokens: 5000, expiresAt: '2026-03-30' }), pack({ tokens: 5000, provider: 'other' }), pack({ tokens: 5000, principals: ['key:b'] })] }, is: '3000 of 3000' },
  { name: 'what a package covers needs no budget', ask: { limits: [box({})], packages: [pack({ tokens: 5000 })] }, is: '0 of 3000, package:p 1100' },
  { name: 'paid throughput goes before a package', ask: { provider: { id: 'shop', tokensPerMinute: 1100, reservedTokensPerMinute: {} }, packages: [pack({ tokens: 5000 })] }, is: '0 of 3000, throughput 1100' },
  { name: 'a full minute spills over', ask: { provider: { id: 'shop', tokensPerMinute: 1100, reservedTokensPerMinute: {} } }, spent: { throughput: new Map([['key:b', 1]]) }, is: '3000 of 3000' },
  { name: 'throughput that is kept for another spills over too', ask: { provider: { id: 'shop', tokensPerMinute: 2000, reservedTokensPerMinute: { 'key:b': 1000 } } }, spent: { throughput: new Map([['key:b', 99]]) }, is: '3000 of 3000' },
  { name: 'what the other has used of its part is free again for nobody', ask: { provider: { id: 'shop', tokensPerMinute: 2000, reservedTokensPerMinute: { 'key:b': 1000 } } }, spent: { throughput: new Map([['key:b', 900]]) }, is: '3000 of 3000' },
  { name: 'a part of its own', ask: { provider: { id: 'shop', tokensPerMinute: 2000, reservedTokensPerMinute: { 'key:a': 1100 } } }, spent: { throughput: new Map([['key:b', 900]]) }, is: '0 of 3000, throughput 1100' },
]
for (const { name, ask = {}, spent = {}, is } of cases) test(name, () => assert.equal(told(ask, spent), is))

test('the chance of a kind: never sure, never hopeless, and with its jobs it forgets what was thought before', () => {
  const like = (jobs: number, resolved: number, others: Tally = { jobs: 0, resolved: 0 }, assumed = 0.5): number => chanceOf({ like: { jobs, resolved }, others, assumed })
  assert.deepEqual([like(0, 0), like(0, 0, undefined, 0.2), like(10, 10), like(10, 0)], [0.5, 0.2, 0.75, 0.25])
  // A kind that nothing is known of is thought to be as the others are.
  assert.equal(like(0, 0, { jobs: 90, resolved: 90 }), 0.95)
  for (let jobs = 0; jobs <= 200; jobs += 20) {
    for (let resolved = 0; resolved <= jobs; resolved += 10) {
      const chance = like(jobs, resolved, { jobs: 30, resolved: 6 })
      assert.ok(chance > 0 && chance < 1 && chance >= like(jobs + 1, resolved, { jobs: 30, resolved: 6 }))
      if (jobs >= 100) assert.ok(Math.abs(chance - resolved / jobs) < 0.1)
    }
  }
})

test('the chance is calibrated: over 3,000 jobs of six kinds, of those that it gives p about p are resolved, and it says more than the assumption or the bare share', () => {
  const random = seeded(5)
  const uniform = (): number => random(1_000_000) / 1_000_000
  const truths: Readonly<Record<string, number>> = { bug: 0.8, docs: 0.95, flaky: 0.1, port: 0.35, triage: 0.6, rare: 0.5 }
  const kinds = Object.keys(truths)
  const tallies = new Map(kinds.map((kind): [string, Tally] => [kind, { jobs: 0, resolved: 0 }]))
  const told: { chance: number; bare: number; resolved: number }[] = []
  for (let n = 0; n < 3000; n += 1) {
    const kind = random(60) === 0 ? 'rare' : kinds[random(5)] ?? 'rare'
    const like = tallies.get(kind) ?? assert.fail()
    const others = [...tallies].filter(([other]) => other !== kind).reduce((sum, [, { jobs, resolved }]) => ({ jobs: sum.jobs + jobs, resolved: sum.resolved + resolved }), { jobs: 0, resolved: 0 })
    const resolved = uniform() < (truths[kind] ?? 0) ? 1 : 0
    told.push({ chance: chanceOf({ like, others, assumed: 0.5 }), bare: like.jobs === 0 ? 0.5 : like.resolved / like.jobs, resolved })
    tallies.set(kind, { jobs: like.jobs + 1, resolved: like.resolved + resolved })
  }
  const mean = (all: readonly number[]): number => all.reduce((sum, one) => sum + one, 0) / all.length
  let worst = 0
  for (const [, bin] of Map.groupBy(told, ({ chance }) => Math.min(4, Math.floor(chance * 5)))) {
    if (bin.length >= 100) worst = Math.max(worst, Math.abs(mean(bin.map(({ chance }) => chance)) - mean(bin.map(({ resolved }) => resolved))))
  }
  assert.ok(worst < 0.05, `a fifth of the scale is off by ${worst.toFixed(3)}`)
  // Bits that the outcomes cost; a share that said 0 or 1 and was wrong costs all there is.
  const bits = (of: (one: (typeof told)[number]) => number): number => mean(told.map((one) => -Math.log2(Math.max(1e-6, one.resolved === 1 ? of(one) : 1 - of(one)))))
  const [calibrated, bare, assumed] = [bits(({ chance }) => chance), bits((one) => one.bare), 1]
  assert.ok(calibrated < bare && calibrated < assumed, `${calibrated.toFixed(3)} bits, ${bare.toFixed(3)} by the bare share`)
})

test('no call costs more than was held for it, whatever pays first', () => {
  const worst = { promptTokens: 200, completionTokens: 50 }
  const listUsdMicros = worstUsdMicros(price, worst)
  for (const cover of [null, ...[1, 60, 249, 250].map((held) => ({ source: 'package:p' as const, unit: 'tokens' as const, held })), ...[1, 300, 899, 900].map((held) => ({ source: 'package:p' as const, unit: 'usdMicros' as const, held }))]) {
    const packages = cover === null ? [] : [pack(cover.unit === 'tokens' ? { tokens: cover.held } : { usdMicros: cover.held })]
    const decision = reserve(spentBefore(), asked({ worst, packages }))
    assert.ok(decision.ok)
    const hold: Hold = decision.hold
    for (let promptTokens = 0; promptTokens <= 200; promptTokens += 8) {
      for (let completionTokens = 0; completionTokens <= 50; completionTokens += 5) {
        for (const cacheWriteTokens of [0, promptTokens]) {
          const cost = costOf(hold, { promptTokens, reusedTokens: 0, cacheWriteTokens, completionTokens })
          assert.ok(cost.usdMicros <= hold.usdMicros && cost.listUsdMicros <= listUsdMicros && cost.covered <= (hold.cover?.held ?? 0) && cost.usdMicros <= cost.listUsdMicros)
        }
      }
    }
    assert.deepEqual(costOf(hold, null), { usdMicros: hold.usdMicros, listUsdMicros, covered: hold.cover?.held ?? 0 })
  }
})

test('a prompt has no more tokens than bytes', () => {
  const text = '🜁'.repeat(50)
  assert.ok(promptTokensAtMost({ messages: [{ role: 'user', text }], tools: [], responseFormat: { type: 'text' } }) >= Buffer.byteLength(text))
})

test('a package tells when it is empty, what lapses, and whether it pays', () => {
  const now = Date.parse('2026-03-31T00:00:00Z')
  const row = (of: Partial<Package>, used: number, lately: number, listUsdMicros = used * 3): [number, string | null, number, boolean | null, string[]] => {
    const { perDay, emptyAt, lapses, pays, warnings } = packageRow(pack(of), { used, lately, listUsdMicros }, now)
    return [perDay, emptyAt, lapses, pays, warnings]
  }
  assert.deepEqual(row({ tokens: 10_000 }, 0, 0), [0, null, 0, null, []])
  assert.deepEqual(row({ tokens: 10_000, paidUsdMicros: 20_000 }, 9300, 1400), [200, '2026-04-03', 0, true, ['700 tokens of 10,000 tokens are left.', 'At the pace of the last days it is empty on 2026-04-03.']])
  assert.deepEqual(row({ usdMicros: 10_000_000, expiresAt: '2026-04-02', paidUsdMicros: 9_000_000 }, 2_000_000, 700_000, 2_000_000),
    [100_000, null, 7_700_000, false, ['It lapses after 2026-04-02, at the pace of the last days with $7.70 unused.']])
  assert.deepEqual(row({ tokens: 500, expiresAt: '2026-03-30' }, 100, 0), [0, null, 400, null, ['It lapsed on 2026-03-30 with 400 tokens unused.']])
  assert.deepEqual(row({ tokens: 1e15 }, 1, 1), [1 / 7, null, 0, null, []])
  assert.deepEqual(row({ tokens: 500 }, 500, 500), [500 / 7, null, 0, null, ['It is empty.']])
})

test('what several packages gave: the first ones all that they held', () => {
  const shares = (drawn: number): unknown[] => [...sharesOf('packages:small*50+soon*1000+late*50', drawn)]
  assert.deepEqual([shares(0), shares(30), shares(600), shares(1100)].map((all) => all.map((one) => (one as unknown[])[1])), [[0, 0, 0], [30, 0, 0], [50, 550, 0], [50, 1000, 50]])
})

test('a package that is thought of: what it would have covered says whether it would pay', () => {
  const now = Date.parse('2026-03-31T00:00:00Z')
  const row = (of: Partial<Package>, tokens: number, usdMicros: number): [number, string | null, number, number | null | undefined, boolean | null, string[]] => {
    const { perDay, emptyAt, lapses, forecastUsdMicros, pays, warnings } = packageRow(pack({ boughtAt: '2026-04-10', ...of }), { used: 0, lately: 0, listUsdMicros: 0, wouldHave: { tokens, usdMicros } }, now)
    return [perDay, emptyAt, lapses, forecastUsdMicros, pays, warnings]
  }
  // 1,000 tokens a day at 3 micro-dollars each: 21 days until it lapses.
  assert.deepEqual(row({ tokens: 50_000, expiresAt: '2026-04-30', paidUsdMicros: 60_000 }, 7000, 21_000), [1000, null, 29_000, 63_000, true, []])
  assert.deepEqual(row({ tokens: 50_000, expiresAt: '2026-04-30', paidUsdMicros: 63_000 }, 7000, 21_000), [1000, null, 29_000, 63_000, false, []])
  assert.deepEqual(row({ tokens: 5000, paidUsdMicros: 10_000 }, 7000, 21_000), [1000, '2026-04-15', 0, 15_000, true, []])
  assert.deepEqual(row({ usdMicros: 30_000, paidUsdMicros: 25_000 }, 7000, 21_000), [3000, '2026-04-20', 0, 30_000, true, []])
  assert.deepEqual(row({ tokens: 5000, paidUsdMicros: 10_000 }, 0, 0), [0, null, 0, null, null, []])
})

test('the configuration refuses what cannot be meant', () => {
  const problem = (escalation: unknown): string => {
    const read = Config.safeParse({ escalation })
    return read.success ? 'none' : `${read.error.issues[0]?.path.join('.')}: ${read.error.issues[0]?.message}`
  }
  const shop = { id: 'shop', kind: 'openai' }
  const one = { id: 'p', provider: 'shop', tokens: 5, boughtAt: '2026-01-01' }
  assert.equal(problem({ providers: [shop], packages: [one] }), 'none')
  assert.equal(problem({ packages: [one] }), "escalation.packages.0.provider: there is no provider 'shop'")
  assert.equal(problem({ providers: [shop], packages: [one, one] }), "escalation.packages.1.id: another package is called 'p'")
  assert.equal(problem({ providers: [shop], packages: [{ ...one, usdMicros: 3 }] }), 'escalation.packages.0.tokens: a package holds either tokens or usdMicros')
  assert.equal(problem({ providers: [shop], packages: [{ ...one, expiresAt: '2025-12-31' }] }), 'escalation.packages.0.expiresAt: it ends before it begins')
  assert.equal(problem({ budget: { dayUsdMicros: 5 }, reserved: [{ principals: ['key:a'], monthUsdMicros: 3 }] }), 'escalation.reserved.0.monthUsdMicros: escalation.budget.monthUsdMicros is not set, so there is nothing to keep a part of')
  assert.equal(problem({ budget: { dayUsdMicros: 5 }, reserved: [{ principals: ['key:a'], dayUsdMicros: 3 }] }), 'none')
  assert.equal(problem({ providers: [{ ...shop, tokensPerMinute: 10, reservedTokensPerMinute: { a: 11 } }] }), 'escalation.providers.0.reservedTokensPerMinute: more is reserved than tokensPerMinute holds')
})
