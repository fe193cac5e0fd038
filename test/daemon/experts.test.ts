// On which terms a job asks: what projects around it and inside it say, what it touched, who gave it, whom a person approved; and what the gate hides over a start.
// Over the real store, scanner, packets and purse; the seller is a function.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { KeptThoughts, type Send } from '@hearth/engine'
import { Config, faultFrom, noUsage, JobRequest, ModelRequest, Project, ProjectRules, type Consultation, type Expert, type Job, type JobEventBody, type Model, type ModelEvent, type Offer, type Principal } from '@hearth/protocol'
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
const secret = 'q7Zr4vTm2KpX9wLs'
let made = 0

type World = {
  root: string; store: Store; projects: Projects; sent: ModelRequest[]; config: Config
  job(cwd?: string, more?: { principal?: Principal; model?: string; network?: string[] }): Promise<Job>
  emit(job: Job, ...bodies: JobEventBody[]): Promise<void>
  /** What a provider has a request wait for before it is sent. */
  waits(): Promise<void>
  /** Endpoints that were looked for, and those that are off. */
  looked: string[]; off: string[]
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
  const answers = (id: string, where: 'remote' | 'lan', send?: Send): Model => ({
    info: { id, place: where, contextTokens: 100_000, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 } },
    async *generate(request): AsyncGenerator<ModelEvent> {
      try {
        await at.waits()
        await send?.({ url: 'https://api.example.org/v1/chat', headers: {}, body: JSON.stringify(request), signal: new AbortController().signal })
      } catch (error) {
        yield { type: 'failed', fault: faultFrom(error), usage: noUsage, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
        return
      }
      sent.push(request)
      yield { type: 'text', text: 'Well.' }
      yield { type: 'done', stop: 'end', usage: { promptTokens: 1000, reusedTokens: 0, completionTokens: 10 }, timings: { queuedMs: 0, prefillMs: 1, decodeMs: 1, ttftMs: 1, totalMs: 2 } }
    },
  })
  const at: World = {
      looked: [], off: [], waits: () => Promise.resolve(), root, store, projects, sent, config,
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
        placeholderKey: async () => (await packetKey()).placeholders, unreachable: ({ id }) => { at.looked.push(id); return Promise.resolve(at.off.includes(id) ? 'nobody listens there' : null) }, throughDoor: () => Promise.resolve(() => Promise.resolve(new Response())),
        thoughts: () => Promise.resolve(new KeptThoughts()), remote: ({ model, send }) => Promise.resolve(answers(model.id, 'remote', send)), lan: ({ id }) => Promise.resolve(answers(id, 'lan')),
      }),
  }
  try {
    await run(at)
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

async function offered(expert: Expert, consultation: Consultation): Promise<Offer> {
  const said = await expert.offer(consultation)
  assert.ok(said.ok, JSON.stringify(said))
  return said.offer
}

async function endOf(model: Model, text: string, more: { system?: string } = {}): Promise<Extract<ModelEvent, { type: 'done' | 'failed' }>> {
  const request = ModelRequest.parse({ messages: [...(more.system === undefined ? [] : [{ role: 'system', text: more.system }]), { role: 'user', text }], maxTokens: 700, purpose: 'advise' })
  for await (const event of model.generate(request, new AbortController().signal)) if (event.type === 'done' || event.type === 'failed') return event
  throw new Error('no end')
}
const denialOf = (end: Awaited<ReturnType<typeof endOf>>): string => (end.type === 'failed' ? `${end.fault.code}: ${end.fault.message}` : 'sent')
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

  it('keep a file also under the name of a link to it, in the folder and in a copy of it', () => world({}, async ({ root, projects, job, emit, experts }) => {
    for (const folder of ['shop', 'copy']) {
      mkdirSync(join(root, folder, 'data'), { recursive: true })
      if (folder === 'copy') symlinkSync('data/a.csv', join(root, folder, 'late.txt'))
      symlinkSync('data/a.csv', join(root, folder, 'notes.txt'))
    }
    await projects.add({ id: 'shop', path: join(root, 'shop'), rules: ProjectRules.parse({ localOnly: ['data/**'], consent: 'auto' }) }, owner)
    const one = await job(join(root, 'shop'))
    const help = asked('help', { packet: { prefix: '', body: 'help', files: ['notes.txt'] } })
    const denied = 'data_class: Something of notes.txt would leave, and it may not: its project keeps it here (local-only).'
    assert.equal(why(await expertOf(experts(), one).offer(help)), denied)
    assert.deepEqual(['notes.txt', 'late.txt', 'readme.md'].map((path) => expertOf(experts(), one).withholds?.(path) ?? null), ['its project keeps it here (local-only)', null, null])
    await emit(one, { type: 'workspace', kind: 'copy', path: join(root, 'copy'), base: null, detail: '' })
    assert.deepEqual(['notes.txt', 'late.txt', 'readme.md'].map((path) => expertOf(experts(), one).withholds?.(path) ?? null), ['its project keeps it here (local-only)', 'its project keeps it here (local-only)', null])
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

describe('an approval', () => {
  const ask = { consent: 'ask' }

  it('is of a text, of a receiver and of a price', () => world(ask, async ({ job, experts, config, sent }) => {
    const one = await job()
    const offer = await offered(expertOf(experts(), one), asked('help'))
    assert.equal(offer.consent, 'ask')
    assert.equal(denialOf(await endOf(await expertOf(experts(), one).model(asked('help'), offer, offer.sha256), 'help')), 'sent')
    assert.match(denialOf(await endOf(await expertOf(experts(), one).model(asked('help'), offer, offer.sha256), 'help me')), /^not_bought: What would leave is not the text that was approved\.$/)
    assert.match(denialOf(await endOf(await expertOf(experts(), one).model(asked('help'), offer, null), 'help')), /^not_bought: It may leave only after a person approved it\.$/)
    const [provider] = config.escalation.providers
    assert.ok(provider !== undefined)
    provider.url = 'https://elsewhere.example.org/v1'
    assert.match(denialOf(await endOf(await expertOf(experts(), one).model(asked('help'), offer, offer.sha256), 'help')), /^not_bought: It was offered to api\.example\.org, and 'big' is at elsewhere\.example\.org now\.$/)
    assert.equal(sent.length, 1)
  }))

  it('holds for the later turns of a step, up to its price and no further', () => world(ask, async ({ job, experts, sent, store }) => {
    const one = await job()
    const step = asked('help', { mode: 'step', maxTurns: 3, maxTokens: 1000 })
    const expert = expertOf(experts(), one)
    const offer = await offered(expert, step)
    const model = await expert.model(step, offer, offer.sha256)
    const ends = []
    for (let turn = 0; turn < 200 && !(ends.at(-1) ?? '').startsWith('over'); turn += 1) ends.push(denialOf(await endOf(model, 'help', { system: 'x'.repeat(15_000) })))
    assert.match(ends.at(-1) ?? '', /^over_budget: \$[0-9.]+ were approved for this: \$[0-9.]+ are spent or reserved, and this call may cost \$[0-9.]+\.$/)
    assert.ok(sent.length >= 3, 'all its turns, as long as none is longer than the first')
    assert.ok(store.read.sums(one.id).usdMicros <= offer.worstUsdMicros)
  }))

  it('is worth nothing once a rule became stricter', () => world(ask, async ({ root, projects, job, experts, sent }) => {
    const one = await job()
    const expert = expertOf(experts(), one)
    const offer = await offered(expert, asked('help'))
    const model = await expert.model(asked('help'), offer, offer.sha256)
    await projects.add({ id: 'p', path: root, rules: ProjectRules.parse({ consent: 'never' }) }, owner)
    assert.match(denialOf(await endOf(model, 'help')), /^not_bought: Nothing may be bought: the project of this folder says so\.$/)
    assert.equal(sent.length, 0)
  }))
})

it('what holds is asked again for each body: a provider that has it wait may be forbidden meanwhile', () => world({}, async (at) => {
  const one = await at.job()
  const expert = expertOf(at.experts(), one)
  at.waits = async () => void await at.projects.add({ id: 'p', path: at.root, rules: ProjectRules.parse({ dataClass: 'local-only' }) }, owner)
  const model = await expert.model(asked('help'), await offered(expert, asked('help')), null)
  assert.match(denialOf(await endOf(model, 'help')), /^not_bought: Nothing of this job may leave the house: the project of this folder says local-only\.$/)
  assert.equal(at.sent.length, 0)
  assert.equal(at.store.read.sums(one.id).usdMicros, 0)
}))

describe('secrets', () => {
  it('that a packet named stay hidden where they stand bare, also after a start, and a shown text stays the same', () => world({ consent: 'ask' }, async ({ job, emit, experts }) => {
    const one = await job()
    const before = expertOf(experts(), one)
    const first = asked(`the check failed with password: ${secret}`)
    const offer = await offered(before, first)
    assert.ok(!offer.preview.includes(secret))
    await emit(one, { type: 'escalation_offered', ...first, signals: [], packet: { ...first.packet, files: [] }, offer })
    const second = asked(`it prints ${secret} now`, { id: 'e2' })
    const [running, started] = [await offered(before, second), await offered(expertOf(experts(), one), second)]
    assert.equal(started.preview, running.preview)
    assert.ok(!started.preview.includes(secret), started.preview)
  }))

  it('in a schema or in the texts of a list are hidden too', () => world({}, async ({ job, experts, sent }) => {
    const expert = expertOf(experts(), await job())
    const model = await expert.model(asked('help'), await offered(expert, asked('help')), null)
    const request = ModelRequest.parse({
      messages: [{ role: 'user', text: 'help' }, { role: 'assistant', text: '', toolCalls: [{ id: 'c', name: 'edit', arguments: { edits: [`${'x '.repeat(200_000)}password: ${secret}`, `bare ${secret}`] } }] }, { role: 'tool', callId: 'c', name: 'edit', text: 'ok' }],
      tools: [{ name: 'x', description: '', parameters: { type: 'object', properties: { q: { type: 'string', description: `password: ${secret}` } } } }],
      responseFormat: { type: 'json_schema', schema: { description: `token ${secret}` } }, maxTokens: 10, purpose: 'advise',
    })
    for await (const _ of model.generate(request, new AbortController().signal)) { /* to its end */ }
    assert.equal(sent.length, 1)
    assert.ok(!JSON.stringify(sent).includes(secret))
    assert.equal(JSON.stringify(sent).split('‹secret:').length - 1, 4)
  }))
})

describe('a machine of the network as the model of a job', () => {
  const desk = { id: 'desk', url: 'http://10.1.2.3:8080/v1', model: 'd', contextTokens: 32_768 }
  const main = (experts: Experts, job: Job): ReturnType<Experts['main']> => experts.main(job, () => 1, {})

  it('is asked without consent to buy, but with what is secret hidden', () => world({ consent: 'never', modes: [] }, async ({ job, experts, sent }) => {
    const found = await main(experts(), await job(undefined, { model: 'desk' }))
    assert.ok(found?.ok === true)
    assert.equal(denialOf(await endOf(found.model, `password: ${secret}`)), 'sent')
    assert.match(sent[0]?.messages[0]?.text ?? '', /^password: ‹secret:password:[0-9a-z]{6}›$/)
    assert.equal(sent[0]?.purpose, 'advise', 'as it was asked')
  }, [desk]))

  it('is not asked any more once the job has seen what never leaves', () => world({}, async ({ root, projects, job, emit, experts, sent }) => {
    await projects.add({ id: 'p', path: root, rules: ProjectRules.parse({ localOnly: ['data/**'] }) }, owner)
    const one = await job(undefined, { model: 'desk' })
    const found = await main(experts(), one)
    assert.ok(found?.ok === true)
    assert.equal(denialOf(await endOf(found.model, 'hello')), 'sent')
    await emit(one, ...result('read', { path: 'data/a' }, { file: { path: 'data/a', sha256: '' } }))
    assert.match(denialOf(await endOf(found.model, 'hello again')), /^not_bought: This job has seen data\/a/)
    assert.equal(sent.length, 1)
  }, [desk]))

  it('that counts as this box is asked as it is', () => world({ dataClass: 'local-only' }, async ({ job, experts }) => {
    assert.equal(await main(experts(), await job(undefined, { model: 'desk' })), null)
  }, [{ ...desk, local: true }]))
})

describe('a bought model as the model of a job', () => {
  it('is not sold to a job that is only played up to where help would be asked for', () => world({ modes: ['rest'] }, async ({ job, experts }) => {
    const one = await job(undefined, { model: 'big' })
    const found = (more: JobRequest['escalation']): ReturnType<Experts['main']> => experts().main({ ...one, request: { ...one.request, escalation: { modes: ['rest'], ...more } } }, () => 1, {})
    assert.equal((await found({}))?.ok, true)
    const held = await found({ untilTrigger: true })
    assert.equal(held?.ok === false && held.fault.message, 'This job is only played up to where help would be asked for, and nothing is bought for it.')
  }))
})

describe('machines of the network that a route names', () => {
  const endpoints = [{ id: 'desk', url: 'http://192.0.2.7/v1', model: 'm', contextTokens: 8192 }, { id: 'own', url: 'http://192.0.2.8/v1', model: 'm', contextTokens: 8192, local: true }]
  const routes = [{ models: ['big', 'desk', 'own'] }]
  const offer = async (at: World, more: { off?: string[] } = {}): Promise<string> => {
    at.off = more.off ?? []
    at.looked = []
    const said = await expertOf(at.experts(), await at.job()).offer(asked('help'))
    const passed = (said.ok ? said.offer : said.denial).passedOver?.map(({ model, why }) => ` (${model}: ${why})`).join('') ?? ''
    return `${said.ok ? `${said.offer.model} ${said.offer.consent}` : `${said.denial.rule}: ${said.denial.why}`}${passed}`
  }

  it('are asked before anything is bought, and passed over when they are off', () => world({ routes }, async (at) => {
    assert.equal(await offer(at), 'own auto')
    assert.deepEqual(at.looked, ['own'])
    assert.equal(await offer(at, { off: ['own'] }), 'desk auto (own: 192.0.2.8: nobody listens there)')
    assert.equal(await offer(at, { off: ['own', 'desk'] }), 'big auto (own: 192.0.2.8: nobody listens there) (desk: 192.0.2.7: nobody listens there)')
  }, endpoints))

  it('are outside of the box where it says local-only, unless they count as it, and are then not even looked for', () => world({ routes, dataClass: 'local-only' }, async (at) => {
    assert.equal(await offer(at), 'own auto')
    assert.equal(await offer(at, { off: ['own'] }), 'data_class: Nothing of this job may leave the house: the configuration of this box says local-only. (own: 192.0.2.8: nobody listens there)')
    assert.deepEqual(at.looked, ['own'])
  }, endpoints))

  it('are not looked for before a person said yes; with nobody left the reason stands in the denial', () => world({ routes: [{ models: ['desk'] }], consent: 'ask' }, async (at) => {
    assert.equal(await offer(at, { off: ['desk'] }), 'desk ask')
    assert.deepEqual(at.looked, [])
    at.config.escalation.consent = 'auto'
    assert.equal(await offer(at, { off: ['desk'] }), "provider: Nobody who is named for 'advise' can be asked now. (desk: 192.0.2.7: nobody listens there)")
  }, endpoints))
})

describe('throughput that is paid for', () => {
  const price = { from: '2026-01-01', input: 1_000_000, cacheRead: 100_000, cacheWrite: 1_000_000, output: 5_000_000 }
  const sold = (id: string): object => ({ id, model: id, contextTokens: 100_000, maxOutputTokens: 4096, prices: [price] })
  const lane = { id: 'lane', kind: 'compatible', url: 'https://lane.example.org/v1', models: [sold('rented')], tokensPerMinute: 3600 }
  const shop = { id: 'shop', kind: 'compatible', url: 'https://api.example.org/v1', models: [sold('big')] }
  const one = ({ model, worstUsdMicros, because }: Offer): unknown[] => [model, worstUsdMicros > 0, because]
  const nextWords = 'the next one of the route'

  it('is filled first, and spills over to the next of the route', () => world({ providers: [lane, shop], routes: [{ models: ['rented', 'big'] }] }, async ({ job, experts }) => {
    const expert = expertOf(experts(), await job())
    const offer = await offered(expert, asked('x'))
    assert.deepEqual(one(offer), ['rented', false, nextWords])
    assert.equal((await endOf(await expert.model(asked('x'), offer, null), 'x')).type, 'done')
    assert.deepEqual(one(await offered(expert, asked('x', { id: 'e2' }))), ['big', true, nextWords])
  }))

  it('is bought beyond only where nobody else is left', () => world({ providers: [{ ...lane, tokensPerMinute: 100 }], routes: [{ models: ['rented'] }] }, async ({ job, experts }) => {
    assert.deepEqual(one(await offered(expertOf(experts(), await job()), asked('x'))), ['rented', true, `${nextWords}; the throughput that is paid for is used up for this minute`])
  }))
})
