// On which terms a job asks: what projects around it and inside it say, what it touched, who gave it, whom a person approved; and what the gate hides over a start.
// Over the real store, scanner, packets and purse; the seller is a function.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { Config, JobRequest, ModelRequest, Project, ProjectRules, type Consultation, type Expert, type Job, type JobEventBody, type Model, type ModelEvent, type Principal } from '@hearth/protocol'
import { Experts } from '../../packages/daemon/src/egress/experts.ts'
import { Packets } from '../../packages/daemon/src/egress/packets.ts'
import { keptKey } from '../../packages/daemon/src/egress/packets-key.ts'
import { HeldSecrets } from '../../packages/daemon/src/egress/scan-held.ts'
import { EnergyMeter } from '../../packages/daemon/src/meter/energy.ts'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Projects } from '../../packages/daemon/src/projects.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const owner: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['escalate'], class: 'job' }
let made = 0

type World = {
  root: string; store: Store; projects: Projects; sent: ModelRequest[]; config: Config
  job(cwd?: string, more?: { principal?: Principal; model?: string; network?: string[] }): Promise<Job>
  emit(job: Job, ...bodies: JobEventBody[]): Promise<void>
  /** Each call is a new run of the daemon, as far as a job sees it. */
  experts(): Experts
}

async function world(escalation: Record<string, unknown>, run: (at: World) => Promise<void>, endpoints: unknown[] = []): Promise<void> {
  const root = join(place.root, `w${made += 1}`)
  mkdirSync(root)
  const config = Config.parse({
    engine: { endpoints },
    escalation: {
      consent: 'auto', modes: ['advise', 'step'], budget: { dayUsdMicros: 100_000_000 },
      providers: [{ id: 'shop', kind: 'compatible', url: 'https://api.example.org/v1', models: [{ id: 'big', model: 'b', contextTokens: 100_000, maxOutputTokens: 4096, prices: [{ from: '2026-01-01', input: 1_000_000, cacheRead: 100_000, cacheWrite: 1_000_000, output: 5_000_000 }] }] }],
      ...escalation,
    },
  })
  const store = await Store.open(join(root, 'db'))
  const projects = new Projects({ store, config })
  const packetKey = keptKey(root, null)
  const sent: ModelRequest[] = []
  const answers = (id: string, where: 'remote' | 'lan'): Model => ({
    info: { id, place: where, contextTokens: 100_000, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } },
    async *generate(request): AsyncGenerator<ModelEvent> {
      sent.push(request)
      yield { type: 'text', text: 'Well.' }
      yield { type: 'done', stop: 'end', usage: { promptTokens: 1000, reusedTokens: 0, completionTokens: 10 }, timings: { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 } }
    },
  })
  try {
    await run({
      root, store, projects, sent, config,
      async job(cwd = root, { principal = owner, model = 'm', network } = {}) {
        const id = `j${randomBytes(4).toString('hex')}`
        const request = JobRequest.parse({ prompt: 'p', cwd, ...(network === undefined ? {} : { network }) })
        await store.accept({ id, request, principal, project: Project.parse({ id: cwd, path: cwd }), model, createdAt: 1 }, { type: 'accepted', request, principal, model, seq: 1, jobId: id, at: 1 })
        const job = store.read.job(id)
        assert.ok(job !== null)
        return job
      },
      emit: async (job, ...bodies) => { for (const body of bodies) await store.append([{ ...body, seq: store.read.lastSeq(job.id) + 1, jobId: job.id, at: 1 }]) },
      experts: () => new Experts({
        store, config, projects, energy: new EnergyMeter({ reader: () => Promise.resolve(null) }), held: new HeldSecrets(config), log: () => undefined,
        parts: { workers: () => [], model: () => Promise.resolve({ ok: false, fault: { code: 'unknown_model', message: '', remedy: '' } }) } as never,
        door: {} as never, purse: new Purse({ store, config: config.escalation }), packets: new Packets({ store, key: packetKey, bodyDays: 1 }),
        placeholderKey: async () => (await packetKey()).placeholders, throughDoor: () => Promise.resolve(() => Promise.reject(new Error('not here'))),
        remote: ({ model }) => Promise.resolve(answers(model.id, 'remote')), lan: ({ id }) => Promise.resolve(answers(id, 'lan')),
      }),
    })
  } finally {
    await store.close()
  }
}

const asked = (body: string, more: Partial<Consultation> = {}): Consultation => ({ id: 'e1', mode: 'advise', step: 1, signals: [], packet: { prefix: '', body, files: [] }, maxTokens: 700, maxTurns: 1, ...more })
const expertOf = (experts: Experts, job: Job): Expert => {
  const expert = experts.forJob(job, () => 1, {})
  assert.ok(expert !== null)
  return expert
}
const why = (said: Awaited<ReturnType<Expert['offer']>>): string => (said.ok ? `${said.offer.consent}` : `${said.denial.rule}: ${said.denial.why}`)
let calls = 0
const result = (name: string, args: Record<string, unknown>, more: Partial<Extract<JobEventBody, { type: 'tool_result' }>> = {}): JobEventBody[] => {
  calls += 1
  return [
    { type: 'tool_planned', step: 1, call: { id: `c${calls}`, name, arguments: args }, argsHash: 'x', idempotency: 'pure', wasHash: null } as unknown as JobEventBody,
    { type: 'tool_result', step: 1, callId: `c${calls}`, name, ok: true, exitCode: 0, cause: 'exited', observation: '', totalBytes: 0, outputFile: null, durationMs: 1, wrote: false, ...more },
  ]
}

describe('projects', () => {
  it('hold for jobs in folders inside them and around them', () => world({}, async ({ root, projects, job, emit, experts }) => {
    const shop = join(root, 'shop')
    mkdirSync(join(shop, 'data', 'raw'), { recursive: true })
    await projects.add({ id: 'shop', path: shop, rules: ProjectRules.parse({ localOnly: ['data/**'], consent: 'ask' }) }, owner)
    const seen = async (cwd: string, path: string): Promise<string> => {
      const one = await job(cwd)
      await emit(one, ...result('read', { path }, { file: { path, sha256: '' } }))
      return why(await expertOf(experts(), one).offer(asked('help')))
    }
    assert.equal(await seen(shop, 'src/a.ts'), 'ask')
    for (const [cwd, path] of [[shop, 'data/raw/a'], [join(shop, 'data'), 'raw/a'], [join(shop, 'data', 'raw'), 'a'], [root, 'shop/data/raw/a']] as const) {
      assert.equal(await seen(cwd, path), `data_class: This job has seen ${path}, which never leaves the house, so nothing of the job does.`, cwd)
    }
    assert.equal(await seen(root, 'other/a'), 'ask', 'the stricter consent of a project inside')
  }))

  it('that let nothing leave keep their files in a job around them, and the rest may leave', () => world({}, async ({ root, projects, job, emit, experts }) => {
    mkdirSync(join(root, 'customers'))
    await projects.add({ id: 'customers', path: join(root, 'customers'), rules: ProjectRules.parse({ dataClass: 'local-only' }) }, owner)
    const one = await job(root)
    const expert = expertOf(experts(), one)
    assert.equal(why(await expert.offer(asked('help'))), 'auto')
    assert.match(why(await expert.offer(asked('help', { packet: { prefix: '', body: 'x', files: ['customers/list.md'] } }))), /^data_class: Something of customers\/list\.md would leave/)
    assert.notEqual(expert.withholds?.('customers/list.md'), null)
    await emit(one, ...result('bash', { command: 'wc -l customers/list.md' }))
    assert.match(why(await expert.offer(asked('help'))), /^data_class: This job has seen customers\/list\.md/)
  }))
})

it('a key that was revoked while its job waited buys nothing any more', () => world({}, async ({ store, job, experts }) => {
  await store.addKey({ id: 'k', name: 'k', scopes: ['escalate'], origin: 'automation', class: 'job', models: null, budget: null, createdAt: 1, expiresAt: null, lastUsedAt: null, revokedAt: null }, 'hash')
  const expert = expertOf(experts(), await job(undefined, { principal: { ...owner, id: 'key:k', kind: 'key' } }))
  assert.equal(why(await expert.offer(asked('help'))), 'auto')
  await store.revokeKey('k', 5)
  assert.equal(why(await expert.offer(asked('help'))), 'consent: Nothing may be bought: the key that gave the job says so.')
}))
