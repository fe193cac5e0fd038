// The meter: every figure of a report equals one that is computed here from the plain rows, with nothing of what is judged.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { join } from 'node:path'
import { Config, JobRequest, priceAt, UsageReport, UsageStatement, type EgressEntry, type JobEventBody, type LedgerEntry, type Principal, type UsageFigures } from '@hearth/protocol'
import { usageReport, usageStatement } from '../../packages/daemon/src/meter/usage.ts'
import { readReply, readUsage } from '../../packages/daemon/src/meter/usage-thread.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import type { UsageAsk } from '../../packages/daemon/src/store/usage-jobs.ts'
import { price, seeded } from '../fixtures/spending.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

const day = 86_400_000
const begin = Date.parse('2026-02-20T00:00:00Z')
const now = Date.parse('2026-03-20T06:00:00Z')
const config = Config.parse({
  energy: { usdPerKwh: 0.3, boxUsd: 2400, boxMonths: 24, idleWatts: 8 },
  escalation: {
    budget: { monthUsdMicros: 60_000_000 },
    providers: [{ id: 'shop', kind: 'openai', models: [
      { id: 'cheap', model: 'c', contextTokens: 200_000, maxOutputTokens: 8000, prices: [{ ...price, input: 1, cacheRead: 1, cacheWrite: 1, output: 1 }] },
      { id: 'frontier', model: 'f', contextTokens: 200_000, maxOutputTokens: 8000, prices: [{ ...price, from: '2026-02-22' }, { ...price, from: '2026-03-01', output: 20_000_000 }] },
    ] }],
    routes: [{ modes: ['rest'], models: ['big', 'frontier'] }],
  },
})
const prices = config.escalation.providers[0]?.models[1]?.prices ?? []
const people: readonly Principal[] = [
  { id: 'socket:1000', kind: 'socket', origin: 'human', scopes: [], class: 'interactive' }, { id: 'key:cron', kind: 'key', origin: 'automation', scopes: [], class: 'job' },
]
const states = ['resolved', 'check_failed', 'done_unverified', 'failed', 'cancelled', null] as const

type SeededJob = { id: string; principal: Principal; state: string | null; checks: number; at: number; endedAt: number | null; customer: string | null; folder: string; effects: Map<string, string | null> }
const jobs: SeededJob[] = []
const ledger: Omit<LedgerEntry, 'id'>[] = []
const egress: Omit<EgressEntry, 'id'>[] = []
let store: Store

before(async () => {
  store = await Store.open(join(place.root, 'usage.db'))
  await store.addKey({ id: 'cron', name: 'nightly', scopes: ['infer'], origin: 'automation', class: 'job', models: null, createdAt: 1, expiresAt: null, lastUsedAt: null, revokedAt: null }, 'hash')
  await store.project({ id: 'shop', path: '/w/shop', rules: { consent: null, modes: null, dataClass: null, budget: config.escalation.budget, localOnly: [] }, createdAt: 1, changedAt: 1 }, 'me', false)
  const random = seeded(3)
  const pick = <T>(all: readonly T[]): T => all[random(all.length)] as T
  for (let n = 0; n < 240; n += 1) {
    const at = begin + n * 2_700_000 * 3 + random(day / 4)
    const state = pick(states)
    // Some span midnight, one spans the end of the month.
    jobs.push({ id: `job${n}`, principal: pick(people), state, checks: state === 'done_unverified' ? 0 : random(2), at, endedAt: state === null ? null : at + random(day), customer: pick(['a', 'b', null]), folder: pick(['/w/shop', '/w/shop/in', '/w/other']), effects: new Map() })
  }
  for (const job of jobs) {
    const span = (job.endedAt ?? job.at + day) - job.at
    const calls = random(18)
    for (let n = 0; n < calls; n += 1) ledger.push(entryOf(random, job, job.at + Math.floor(span * n / 20)))
    const bought = random(3)
    for (let e = 1; e <= bought; e += 1) {
      const id = `e${e}`
      for (let turn = 0, turns = 1 + random(3); turn < turns; turn += 1) ledger.push({ ...entryOf(random, job, job.at + Math.floor(span * e / 4) + turn), model: 'frontier', place: 'remote', purpose: 'advise', joules: null, usdMicros: random(90_000), ...(random(3) === 0 ? { prepaidUsdMicros: 1 + random(50_000) } : {}), escalation: id })
      // One in six is cut off on the way.
      if (random(6) > 0) job.effects.set(id, random(4) === 0 ? null : pick(['cleared', 'same', 'worse']))
    }
    // Its own model is sold: its turns are no escalation.
    if (random(8) === 0) ledger.push({ ...entryOf(random, job, job.at), model: 'frontier', place: 'remote', joules: null, usdMicros: random(90_000), escalation: 'main' })
    if (random(3) === 0) egress.push({ at: job.at, jobId: job.id, purpose: 'tool', host: 'h', bytes: random(4) === 0 ? null : random(5000) })
  }
  for (let n = 0; n < 400; n += 1) ledger.push({ ...entryOf(random, null, begin + random(28 * day)), purpose: pick(['chat', 'bench', 'canary']) })
  ledger.push({ ...entryOf(random, null, begin + 3 * day), model: 'frontier', place: 'remote', joules: null, usage: { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }, usdMicros: 70_000, escalation: 'chat9', ended: 'charged' })
  egress.push({ at: begin - 40 * day, jobId: null, purpose: 'model-download', host: 'hub', bytes: 777 })
  for (const job of jobs) {
    const request = JobRequest.parse({ prompt: 'p', cwd: job.folder, checks: Array<string>(job.checks).fill('true'), tags: job.customer === null ? {} : { customer: job.customer } })
    await store.accept({ id: job.id, request, principal: job.principal, project: { id: job.folder, path: job.folder, dataClass: 'redact', consent: 'auto' }, model: 'small', createdAt: job.at },
      { type: 'accepted', request, principal: job.principal, model: 'small', seq: 1, jobId: job.id, at: job.at })
    const bodies: JobEventBody[] = [...job.effects].flatMap(([id, effect]): JobEventBody[] => [
      { type: 'handed_back', step: 1, id, mode: id === 'e1' ? 'advise' : 'step', how: 'answered', text: '', turns: 1, usdMicros: 0, model: 'frontier' },
      ...(effect === null ? [] : [{ type: 'effect', step: 2, id, effect: effect as 'cleared', evidence: '' } as const]),
    ])
    if (bodies.length > 0) await store.append(bodies.map((body, index) => ({ ...body, seq: index + 2, jobId: job.id, at: job.at + 5 })))
    if (job.state !== null && job.endedAt !== null) {
      await store.append([{ type: 'ended', outcome: job.state as 'resolved', verified: null, summary: null, fault: null, receipt: receipt, exitCode: 0, seq: bodies.length + 2, jobId: job.id, at: job.endedAt }])
    }
  }
  // Only played up to where an evaluation forks: no figure of jobs that are over knows it.
  const request = JobRequest.parse({ prompt: 'p', cwd: '/w/shop', checks: ['true'], escalation: { untilTrigger: true } })
  const [principal, jobId, at] = [people[0] ?? assert.fail(), 'course', begin + day]
  await store.accept({ id: jobId, request, principal, project: { id: '/w/shop', path: '/w/shop', dataClass: 'redact', consent: 'auto' }, model: 'small', createdAt: at }, { type: 'accepted', request, principal, model: 'small', seq: 1, jobId, at })
  await store.append([{ type: 'ended', outcome: 'cancelled', verified: null, summary: null, fault: null, receipt, exitCode: 0, seq: 2, jobId, at: at + 1 }])
  await Promise.all([...ledger.map((entry) => store.ledger(entry)), ...egress.map((entry) => store.egress(entry))])
})
after(() => store.close())

const receipt = { steps: 0, toolCalls: 0, modelCalls: 0, promptTokens: 0, reusedTokens: 0, completionTokens: 0, seconds: 0, modelSeconds: 0, tokensPerSecond: null, joules: null, usdMicros: 0, bytesLeftBox: 0 }

function entryOf(random: (below: number) => number, job: SeededJob | null, at: number): Omit<LedgerEntry, 'id'> {
  const lan = random(6) === 0
  const failed = random(9) === 0
  const promptTokens = random(6000)
  const principal = job?.principal ?? people[random(2)] ?? assert.fail()
  return {
    at, jobId: job?.id ?? null, step: 1, principal: principal.id, origin: principal.origin, model: lan ? 'neighbour' : random(3) === 0 ? 'big' : 'small', place: lan ? 'lan' : 'local', purpose: job === null ? 'chat' : 'agent',
    usage: { promptTokens, reusedTokens: Math.floor(promptTokens / 2), cacheWriteTokens: 0, completionTokens: failed ? 0 : random(700) },
    timings: { queuedMs: 5, prefillMs: 100, decodeMs: 400, ttftMs: 105, totalMs: 505 }, joules: lan || random(4) === 0 ? null : random(900), usdMicros: 0, ended: failed ? 'engine_crashed' : 'end',
  }
}

const askOf = (more: Partial<UsageAsk> = {}): UsageAsk => ({ since: null, until: null, by: 'model', job: null, principal: null, tag: null, limit: 1000, now, ...more })
const facts = () => ({ config, projects: store.read.projects(), left: { packages: [], throughput: [] }, profiles: [], idleWatts: null, energySource: null })
const report = async (more: Partial<UsageAsk> = {}): Promise<UsageReport> => {
  const ask = askOf(more)
  return UsageReport.parse(usageReport(await readUsage(store.path, ask), ask, facts()))
}

const sum = <T>(all: readonly T[], of: (one: T) => number): number => all.reduce((total, one) => total + of(one), 0)
const utc = (at: number): string => new Date(at).toISOString().slice(0, 10)
const jobOf = (id: string | null): SeededJob | undefined => jobs.find((one) => one.id === id)

type Entry = Omit<LedgerEntry, 'id'>
function plain(entries: readonly Entry[], bytesLeftBox: number | null): UsageFigures {
  const measured = entries.filter((one) => one.joules !== null)
  const joules = measured.length === 0 ? null : sum(measured, (one) => one.joules ?? 0)
  return {
    calls: entries.length, promptTokens: sum(entries, (one) => one.usage.promptTokens), reusedTokens: sum(entries, (one) => one.usage.reusedTokens), cacheWriteTokens: 0,
    completionTokens: sum(entries, (one) => one.usage.completionTokens), modelSeconds: sum(entries, (one) => one.timings.totalMs) / 1000, joules, measuredCalls: measured.length,
    localCalls: entries.filter((one) => one.place === 'local').length, kwh: joules === null ? null : joules / 3_600_000, energyUsdMicros: joules === null ? null : Math.round(joules / 3_600_000 * 0.3 * 1e6),
    usdMicros: sum(entries, (one) => one.usdMicros), prepaidUsdMicros: sum(entries, (one) => one.prepaidUsdMicros ?? 0), chargedCalls: entries.filter((one) => one.ended === 'charged').length, bytesLeftBox,
  }
}
const sent = (of: (entry: Omit<EgressEntry, 'id'>) => boolean): number => sum(egress.filter(of), (one) => one.bytes ?? 0)
const byName = (rows: UsageReport['rows']): Record<string, UsageFigures> => Object.fromEntries(rows.map(({ name, label: _label, ...figures }) => [name, figures]))
const grouped = (entries: readonly Entry[], of: (entry: Entry) => string | null, bytes: (name: string) => number | null): Record<string, UsageFigures> => {
  const groups = Map.groupBy(entries, of)
  return Object.fromEntries([...groups].flatMap(([name, some]) => (name === null ? [] : [[name, plain(some, bytes(name))]])))
}

test('sums by everything there is equal those of the plain rows', async () => {
  const none = (): null => null
  const ofJobs = (is: (job: SeededJob | undefined) => boolean) => sent(({ jobId }) => jobId !== null && is(jobOf(jobId)))
  const project = (job: SeededJob | undefined): string => (job === undefined ? '' : job.folder === '/w/other' ? '/w/other' : 'shop')
  const withoutCalls = (rows: UsageReport['rows']): UsageReport['rows'] => rows.filter((row) => row.calls > 0)
  const all: [string, (entry: Entry) => string | null, (name: string) => number | null][] = [
    ['model', (one) => one.model, none], ['place', (one) => one.place, none], ['purpose', (one) => one.purpose, none],
    ['principal', (one) => one.principal, (name) => ofJobs((job) => job?.principal.id === name)],
    ['person', (one) => (one.origin === 'human' ? one.principal : null), (name) => ofJobs((job) => job?.principal.id === name)],
    ['automation', (one) => (one.origin === 'automation' ? one.principal : null), (name) => ofJobs((job) => job?.principal.id === name)],
    ['day', (one) => utc(one.at), (name) => sent(({ at }) => utc(at) === name)], ['month', (one) => utc(one.at).slice(0, 7), (name) => sent(({ at }) => utc(at).startsWith(name))],
    ['job', (one) => one.jobId ?? '', (name) => sent(({ jobId }) => (jobId ?? '') === name)],
    ['project', (one) => project(jobOf(one.jobId)), (name) => sent(({ jobId }) => project(jobOf(jobId)) === name)],
    ['tag:customer', (one) => jobOf(one.jobId)?.customer ?? '', (name) => sent(({ jobId }) => (jobOf(jobId)?.customer ?? '') === name)],
  ]
  for (const [by, of, bytes] of all) assert.deepEqual(byName(withoutCalls((await report({ by })).rows)), grouped(ledger, of, bytes), by)
  const { totals, rows } = await report({ by: 'day' })
  const { jobs: over, resolved, uncountedConnections, ...figures } = totals
  assert.deepEqual(figures, plain(ledger, sent(() => true)))
  assert.deepEqual([over, uncountedConnections], [jobs.filter((job) => job.state !== null).length, egress.filter((one) => one.bytes === null).length])
  assert.equal(resolved, jobs.filter((job) => job.state === 'resolved').length)
  assert.equal(rows.find((row) => row.name === utc(begin - 40 * day))?.bytesLeftBox, 777, 'a day on which only a model was fetched')
  assert.equal((await report({ by: 'automation' })).rows[0]?.label, 'nightly')
})

test('what is asked for by time, job, principal and tag is counted, nothing else', async () => {
  const since = begin + 5 * day + 12_345
  const until = begin + 9 * day + 54_321
  const within = ledger.filter(({ at }) => at >= since && at < until)
  assert.deepEqual(byName((await report({ since, until, by: 'purpose' })).rows), grouped(within, (one) => one.purpose, () => null))
  assert.deepEqual(byName((await report({ principal: 'key:cron' })).rows), grouped(ledger.filter((one) => one.principal === 'key:cron'), (one) => one.model, () => null))
  assert.deepEqual(byName((await report({ tag: ['customer', 'b'] })).rows), grouped(ledger.filter((one) => jobOf(one.jobId)?.customer === 'b'), (one) => one.model, () => null))
  assert.deepEqual(byName((await report({ job: 'job7' })).rows), grouped(ledger.filter((one) => one.jobId === 'job7'), (one) => one.model, () => null))
  assert.deepEqual((await report({ tag: ['customer', 'nobody'] })).rows, [])
  const few = await report({ by: 'job', limit: 5 })
  assert.equal(few.rows.length + few.leftOut, new Set([...ledger, ...egress].map(({ jobId }) => jobId)).size)
})

test('shares, cost of a resolved job, spenders, escalations and the curve equal those of the plain rows', async () => {
  const { tokens, steps, jobs: found, spenders, escalations } = await report()
  const work = ledger.filter(({ purpose }) => purpose !== 'bench' && purpose !== 'canary')
  for (const where of ['local', 'lan', 'remote'] as const) {
    assert.equal(tokens[where], sum(work.filter((one) => one.place === where), ({ usage }) => usage.promptTokens + usage.completionTokens))
    assert.equal(steps[where], ledger.filter((one) => one.place === where && one.purpose === 'agent' && one.usage.completionTokens > 0).length)
  }
  assert.equal(tokens.localShare, tokens.local / (tokens.local + tokens.lan + tokens.remote))
  const money = (of: (job: SeededJob) => boolean): number => sum(ledger.filter(({ jobId }) => { const job = jobOf(jobId); return job !== undefined && of(job) }), (one) => one.usdMicros)
  const checked = (job: SeededJob): boolean => job.state !== null && (job.checks > 0 || job.state === 'resolved' || job.state === 'check_failed')
  const resolved = jobs.filter((job) => job.state === 'resolved').length
  assert.deepEqual([found.checked.jobs, found.checked.resolved, found.checked.usdMicros, found.checked.usdMicrosPerResolved], [jobs.filter(checked).length, resolved, money(checked), money(checked) / resolved])
  assert.equal(found.open, jobs.filter((job) => job.state === null).length)
  for (const row of found.byOutcome) assert.deepEqual([row.jobs, row.usdMicros], [jobs.filter((job) => job.state === row.outcome).length, money((job) => job.state === row.outcome)], row.outcome)
  assert.deepEqual(spenders.map(({ principal, origin, calls, usdMicros }) => [principal, origin, calls, usdMicros]).toSorted(), people.map(({ id, origin }) => {
    const own = ledger.filter((one) => one.principal === id)
    return [id, origin, own.length, sum(own, (one) => one.usdMicros)]
  }).toSorted())

  const bought = [...Map.groupBy(ledger.filter((one) => one.jobId !== null && one.escalation !== undefined && one.escalation !== 'main'), (one) => `${one.jobId} ${one.escalation}`)].map(([key, entries]) => {
    const [id = '', name = ''] = key.split(' ')
    const job = jobOf(id) ?? assert.fail()
    return { mode: job.effects.has(name) ? name : null, effect: job.effects.get(name) ?? null, changed: job.effects.get(name) === 'cleared' && job.state === 'resolved', usd: sum(entries, (one) => one.usdMicros), prepaid: sum(entries, (one) => one.prepaidUsdMicros ?? 0) }
  })
  const of = (effect: string | null): number => bought.filter((one) => one.effect === effect).length
  const spent = sum(bought, (one) => one.usd)
  const changed = bought.filter((one) => one.changed).length
  assert.deepEqual([escalations.count, escalations.cleared, escalations.same, escalations.worse, escalations.untold, escalations.usdMicros, escalations.changed, escalations.usdMicrosPerChanged],
    [bought.length, of('cleared'), of('same'), of('worse'), of(null), spent, changed, spent / changed])
  const curve = (['e1', 'e2'] as const).map((name) => {
    const some = bought.filter((one) => one.mode === name)
    const cleared = some.filter((one) => one.effect === 'cleared').length
    const usd = sum(some, (one) => one.usd + one.prepaid)
    return { mode: name === 'e1' ? 'advise' : 'step', model: 'frontier', count: some.length, cleared, usdMicros: usd, usdMicrosPerCleared: usd / cleared }
  })
  assert.deepEqual(escalations.curve, curve.toSorted((a, b) => a.usdMicrosPerCleared - b.usdMicrosPerCleared))
  assert.equal(escalations.newest.length, 100)
})

test('a job counts on the day of its end, with all its money, also that of the day before', async () => {
  const spans = jobs.find((job) => job.state === 'resolved' && job.endedAt !== null && utc(job.endedAt) !== utc(job.at) && ledger.some((one) => one.jobId === job.id && one.usdMicros > 0 && utc(one.at) === utc(job.at)))
  assert.ok(spans?.endedAt != null)
  const since = Date.parse(utc(spans.endedAt))
  const { jobs: found, days } = await report({ since, until: since + day })
  const over = jobs.filter((job) => job.endedAt !== null && utc(job.endedAt) === utc(since))
  const checked = over.filter((job) => job.checks > 0 || job.state === 'resolved' || job.state === 'check_failed')
  const money = sum(ledger.filter((one) => checked.some((job) => job.id === one.jobId)), (one) => one.usdMicros)
  assert.ok(checked.includes(spans))
  assert.deepEqual([found.checked.jobs, found.checked.usdMicros], [checked.length, money])
  assert.deepEqual(days.map((one) => [one.day, one.checkedJobs, one.jobsUsdMicros]), [[utc(since), checked.length, money]])
})

test('frontier cost avoided is the dated price of the local work, and days without a price are told', async () => {
  const { avoided } = await report()
  const local = ledger.filter(({ place: where, purpose }) => where === 'local' && purpose !== 'bench' && purpose !== 'canary')
  const priced = local.flatMap((one) => { const dated = priceAt(prices, one.at); return dated === null ? [] : [{ one, dated }] })
  const usd = sum(priced, ({ one: { usage }, dated }) => ((usage.promptTokens - usage.reusedTokens) * dated.input + usage.reusedTokens * dated.cacheRead + usage.completionTokens * dated.output) / 1e6)
  assert.ok(avoided !== null && Math.abs(avoided.usdMicros - usd) <= 1, `${avoided?.usdMicros} and ${usd}`)
  assert.deepEqual([avoided.model, avoided.unpricedDays], ['frontier', new Set(local.filter((one) => priceAt(prices, one.at) === null).map((one) => utc(one.at))).size])
  assert.match(avoided.assumptions.join('; '), /2 days are left out, because no price is known for them/)
})

test('the price of the box: whole days, energy, idle, and the day on which it is even', async () => {
  const { box } = await report()
  assert.ok(box !== null)
  const days = Math.floor(now / day) - Math.floor(Math.min(...ledger.map(({ at }) => at)) / day)
  const local = ledger.filter(({ place: where, at }) => where === 'local' && at < Math.floor(now / day) * day)
  const tokens = sum(local, ({ usage }) => usage.promptTokens + usage.completionTokens)
  const writeOff = 2400e6 * days / (24 * 365.25 / 12)
  const energy = sum(local, (one) => one.joules ?? 0) / 3.6e6 * 0.3 * 1e6
  const idle = 8 * 24 / 1000 * 0.3 * 1e6 * days
  assert.deepEqual([box.days, box.localTokens, box.writeOffUsdMicros, box.energyUsdMicros, box.idleUsdMicros], [days, tokens, Math.round(writeOff), Math.round(energy), Math.round(idle)])
  assert.match(box.assumptions.join('; '), /on 2 of these days nothing is said to be saved, because no price of 'frontier' is known for them/)
  assert.ok(Math.abs((box.usdMicrosPerMillion ?? 0) - (writeOff + energy + idle) / tokens * 1e6) < 1)
  const { value, low, high } = box.netUsdMicrosPerDay
  assert.ok(value !== null && low !== null && high !== null && low < value && value < high)
  const work = local.filter(({ purpose }) => purpose !== 'bench' && purpose !== 'canary')
  const avoided = sum(work, ({ at, usage }) => { const dated = priceAt(prices, at); return dated === null ? 0 : ((usage.promptTokens - usage.reusedTokens) * dated.input + usage.reusedTokens * dated.cacheRead + usage.completionTokens * dated.output) / 1e6 })
  assert.ok(Math.abs(value - (avoided - energy - idle) / days) < 1)
  const even = value > 0 ? 2400e6 / value : null
  assert.equal(box.breakEvenDays.value, even)
  assert.equal(box.breakEvenOn, even === null ? null : utc(Math.floor(Math.min(...ledger.map(({ at }) => at)) / day) * day + Math.ceil(even) * day))
  assert.equal((await report({ principal: 'key:cron' })).box, null, 'a part of the work says nothing of the box')
})

test('the burn rate is of now, whatever was asked', async () => {
  const { burn } = await report({ until: begin + day })
  const paid = ledger.filter(({ at }) => at <= now)
  const month = sum(paid.filter(({ at }) => at >= Date.parse('2026-03-01')), (one) => one.usdMicros)
  const perDay = sum(paid.filter(({ at }) => at >= now - 7 * day), (one) => one.usdMicros) / 7
  assert.deepEqual([burn.month, burn.usdMicros, burn.perDayUsdMicros, burn.days], ['2026-03', month, perDay, 7])
  assert.equal(burn.monthEndUsdMicros, Math.round(month + perDay * 11.75))
})

test('a statement is what each used in one month', async () => {
  const since = Date.parse('2026-02-01')
  const until = Date.parse('2026-03-01')
  const rows = await readUsage(store.path, askOf({ since, until, by: 'month' }))
  const { statements, month, closed } = UsageStatement.parse(usageStatement(rows, '2026-02', true, 0.3))
  assert.deepEqual([month, closed], ['2026-02', true])
  const of = ledger.filter(({ at }) => at >= since && at < until)
  for (const { principal, totals, lines, jobs: over, resolved } of statements) {
    const own = of.filter((one) => one.principal === principal)
    assert.deepEqual(totals, plain(own, null))
    assert.deepEqual(Object.fromEntries(lines.map(({ model, place: _place, ...figures }) => [model, figures])), grouped(own, (one) => one.model, () => null))
    const ended = jobs.filter((job) => job.principal.id === principal && job.endedAt !== null && job.endedAt >= since && job.endedAt < until)
    assert.deepEqual([over, resolved], [ended.length, ended.filter((job) => job.state === 'resolved').length])
  }
  assert.deepEqual(statements.map(({ principal }) => principal).toSorted(), people.map(({ id }) => id).toSorted())
})

test('an empty ledger has no share, no price and no day', async () => {
  const empty = await Store.open(join(place.root, 'empty.db'))
  const bare = Config.parse({})
  const ask = askOf()
  const found = UsageReport.parse(usageReport(await readUsage(empty.path, ask), ask, { ...facts(), config: bare }))
  assert.deepEqual([found.firstAt, found.rows, found.tokens.localShare, found.steps.localShare, found.jobs.checked.usdMicrosPerResolved, found.escalations.usdMicrosPerChanged, found.avoided, found.box, found.days],
    [null, [], null, null, null, null, null, null, []])
  assert.deepEqual([found.totals.calls, found.totals.joules, found.totals.kwh, found.burn.perDayUsdMicros], [0, null, null, 0])
  await empty.close()
})

test('the older reply is the same from the thread as from the daemon', async () => {
  assert.deepEqual(await readReply(store.path, begin + day, 7), store.read.usage(begin + day, null, 7))
})
