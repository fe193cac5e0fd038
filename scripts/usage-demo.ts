// node scripts/usage-demo.ts [--write]: what `hearth usage --svg` draws of a made-up ledger of 46 days: two people and a nightly program on one box with two models, a
// neighbour on the LAN, and a seller. Real store, report and drawing; the figures are nobody's. --write renews docs/usage.svg, else it is printed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Config, JobRequest, type JobEventBody, type LedgerEntry, type Principal } from '@hearth/protocol'
import { drawUsage } from '../packages/cli/src/usage-plot.ts'
import { usageReport } from '../packages/daemon/src/meter/usage.ts'
import { readUsage } from '../packages/daemon/src/meter/usage-thread.ts'
import { Store } from '../packages/daemon/src/store/store.ts'
import { seeded } from '../test/fixtures/spending.ts'

const hour = 3_600_000
const day = 24 * hour
const begin = Date.parse('2026-01-05T00:00:00Z')
const days = 46
const who: readonly (Principal & { name: string; from: number; jobs: number; checked: boolean })[] = [
  { id: 'key:ada', name: 'ada', kind: 'key', origin: 'human', scopes: [], class: 'interactive', from: 9 * hour, jobs: 9, checked: true },
  { id: 'key:lin', name: 'lin', kind: 'key', origin: 'human', scopes: [], class: 'interactive', from: 13 * hour, jobs: 4, checked: false },
  { id: 'key:nightly', name: 'nightly', kind: 'key', origin: 'automation', scopes: [], class: 'batch', from: 2 * hour, jobs: 6, checked: true },
]
const helped = [{ mode: 'advise', model: 'frontier-mini', usd: 14_000, cleared: 55 }, { mode: 'advise', model: 'frontier', usd: 48_000, cleared: 64 }, { mode: 'step', model: 'frontier', usd: 160_000, cleared: 72 }] as const
const receipt = { steps: 0, toolCalls: 0, modelCalls: 0, promptTokens: 0, reusedTokens: 0, completionTokens: 0, seconds: 0, modelSeconds: 0, tokensPerSecond: null, joules: null, usdMicros: 0, bytesLeftBox: 0 }

/** The picture: the same bytes each time. */
export async function usageDemo(): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-usage-demo-'))
  const store = await Store.open(join(folder, 'hearth.db'))
  try {
    await live(store)
    const ask = { since: null, until: null, by: 'model', job: null, principal: null, tag: null, limit: 1000, now: begin + days * day - hour } as const
    const facts = { config: Config.parse({}), projects: [], left: { packages: [], throughput: [] }, profiles: [], idleWatts: null, energySource: null }
    return drawUsage(usageReport(await readUsage(store.path, ask), ask, facts))
  } finally {
    await store.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Fewer jobs at weekends, more help while it is new, a package that pays from the fourth week on. */
async function live(store: Store): Promise<void> {
  const random = seeded(11)
  const writes: Promise<unknown>[] = []
  for (const { id, name, origin, class: jobClass } of who) await store.addKey({ id: id.slice(4), name, scopes: ['infer'], origin, class: jobClass, models: null, createdAt: begin, expiresAt: null, lastUsedAt: null, revokedAt: null }, name)
  for (let n = 0; n < days; n += 1) {
    const weekend = [5, 6].includes(n % 7)
    for (const one of who) {
      for (let job = random(weekend && one.origin === 'human' ? 2 : one.jobs) + 1; job > 0; job -= 1) {
        const at = begin + n * day + one.from + random(6 * hour)
        const jobId = `${one.name}-${n}-${job}`
        const request = JobRequest.parse({ prompt: 'p', cwd: '/w', checks: one.checked ? ['true'] : [] })
        const { name: _name, from: _from, jobs: _jobs, checked: _checked, ...principal } = one
        await store.accept({ id: jobId, request, principal, project: { id: '/w', path: '/w', dataClass: 'redact', consent: 'auto' }, model: 'qwen-30b', createdAt: at }, { type: 'accepted', request, principal, model: 'qwen-30b', seq: 1, jobId, at })
        const steps = 3 + random(14)
        for (let step = 1; step <= steps; step += 1) writes.push(store.ledger(turn(random, one, jobId, at + step * 40_000, step)))
        const help = random(100) < (n < 20 ? 16 : 11) ? helped[random(helped.length)] : undefined
        const cleared = help !== undefined && random(100) < help.cleared
        if (help !== undefined) {
          const usd = Math.round(help.usd * (0.7 + random(60) / 100))
          writes.push(store.ledger({ ...turn(random, one, jobId, at + 200_000, 4), model: help.model, place: 'remote', purpose: help.mode, joules: null, escalation: 'e1', usdMicros: n < 28 ? usd : 0, ...(n < 28 ? {} : { prepaidUsdMicros: usd }) }))
        }
        const resolved = random(100) < (help === undefined ? 74 : cleared ? 88 : 20)
        const events: JobEventBody[] = [
          ...(help === undefined ? [] : [{ type: 'handed_back', step: 4, id: 'e1', mode: help.mode, how: 'answered', text: '', turns: 1, usdMicros: 0, model: help.model }, { type: 'effect', step: 7, id: 'e1', effect: cleared ? 'cleared' : 'same', evidence: '' }] satisfies JobEventBody[]),
          { type: 'ended', outcome: one.checked ? resolved ? 'resolved' : 'check_failed' : 'done_unverified', verified: null, summary: null, fault: null, receipt, exitCode: 0 },
        ]
        writes.push(store.append(events.map((event, index) => ({ ...event, seq: index + 2, jobId, at: at + steps * 40_000 + 60_000 }))))
      }
    }
  }
  await Promise.all(writes)
}

function turn(random: (below: number) => number, { id, origin }: Principal, jobId: string, at: number, step: number): Omit<LedgerEntry, 'id'> {
  const place = random(14) === 0 ? 'lan' : 'local'
  const promptTokens = 3000 + step * 700 + random(2000)
  return {
    at, jobId, step, principal: id, origin, place, model: place === 'lan' ? 'neighbour' : 'qwen-30b', purpose: 'agent', usage: { promptTokens, reusedTokens: Math.floor(promptTokens * 0.9), cacheWriteTokens: 0, completionTokens: 100 + random(500) },
    timings: { queuedMs: 5, prefillMs: 900, decodeMs: 6000, ttftMs: 905, totalMs: 6905 }, joules: place === 'lan' ? null : 300 + random(300), usdMicros: 0, ended: 'end',
  }
}

if (import.meta.main) {
  const picture = await usageDemo()
  if (process.argv.includes('--write')) writeFileSync(join(import.meta.dirname, '../docs/usage.svg'), picture)
  else process.stdout.write(picture)
}
