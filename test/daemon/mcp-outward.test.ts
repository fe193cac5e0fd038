// What leaves for an MCP server outside of this box is judged as everything else is: policy, strangers' words, files that stay, secrets, a person's yes, the record.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Config, fault, JobRequest, McpServer, Project, ProjectRules, type EgressReply, type Job, type JobEvent, type JobEventBody, type PinnedDoor, type Principal } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import { JobTerms, type Terms } from '../../packages/daemon/src/egress/terms.ts'
import { Logins } from '../../packages/daemon/src/mcp/logins.ts'
import type { Asking, OutwardOptions } from '../../packages/daemon/src/mcp/outward.ts'
import { RemoteServers } from '../../packages/daemon/src/mcp/remote.ts'
import { Projects } from '../../packages/daemon/src/projects.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { call, finish, ofType, Workbench, type Options, type Ran } from '../agent/workbench.ts'
import { asking, outwardParts } from '../fixtures/asking.ts'
import { McpHttpServer, type Behaviour } from '../fixtures/mcp-http-server.ts'
import { DaemonProcess, makePlace, real } from './process.ts'

const place = makePlace()
const secret = 'ghp_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R'
let bench: Workbench
const open: McpHttpServer[] = []
before(async () => { bench = await Workbench.open() })
after(async () => {
  for (const one of open) await one.close()
  await bench.close()
  place.clear()
})

type Kept = NonNullable<Parameters<typeof outwardParts>[0]>
type Told = Ran & { server: McpHttpServer; kept: Kept; bodies: string[]; answers: string[] }

/** One job that calls the echo of a server which is not this box, as far as the daemon knows. */
async function told(terms: Terms & { why?: string }, args: Record<string, unknown>, more: { behave?: Behaviour; past?: JobEventBody[]; held?: KnownTexts; parts?: Partial<OutwardOptions>; turns?: Options['script']['turns'] } = {}): Promise<Told> {
  const server = await McpHttpServer.open(more.behave)
  open.push(server)
  const real = createDoor(() => Promise.resolve())
  const door: PinnedDoor = { request: (_url, options) => real.request(server.url, { ...options, nearHosts: ['127.0.0.1'] }) }
  const servers = { far: McpServer.parse({ url: 'https://far.example/mcp' }) }
  const kept: Kept = []
  const live = [...more.past ?? []]
  const remote = new RemoteServers({ servers, logins: new Logins(place.root), door, ...outwardParts(kept, more.held), ...more.parts })
  const way: Asking = asking({ terms: { ofServer: () => terms }, events: () => live as JobEvent[] })
  const ran = await bench.run({
    mcpServers: servers, mcp: remote.forJob(way, bench.workspace, {}), past: more.past ?? [], script: { turns: more.turns ?? [call('mcp', { name: 'far__echo', arguments: args }), finish()] },
    abortAt: { when: (event) => (live.push(event), false), cause: { kind: 'cancel', by: 'nobody' } },
  })
  return { ...ran, server, kept, bodies: server.of('tools/call').map(({ text }) => text), answers: ofType(ran.events, 'tool_result').map(({ observation }) => observation) }
}

const redact: Terms = { ok: true, consent: 'auto', secrets: 'redact' }
const hold: Terms = { ok: true, consent: 'auto', secrets: 'hold' }

describe('a call to a server outside', () => {
  it('leaves with placeholders, is on record as it left, and its answer has the secrets again, also in pieces', async () => {
    const { bodies, kept, answers, server } = await told(redact, { text: `use ${secret} here`, password: 'Tr0ub4dor&3' }, {
      behave: ({ message }, response) => {
        if (message.method !== 'tools/call') return false
        const body = JSON.stringify({ jsonrpc: '2.0', id: message.id, result: { content: [{ type: 'text', text: `${String(message.params?.arguments?.['text'])} ${String(message.params?.arguments?.['password'])} ‹secret:github-token:zzzzzz›` }] } })
        const bytes = Buffer.from(body)
        response.writeHead(200, { 'content-type': 'application/json' })
        // In the middle of a bracket of three bytes, and in the middle of a tag.
        const cut = bytes.indexOf('‹') + 1
        response.write(bytes.subarray(0, cut))
        setImmediate(() => {
          response.write(bytes.subarray(cut, cut + 20))
          setImmediate(() => response.end(bytes.subarray(cut + 20)))
        })
        return true
      },
    })
    assert.equal(bodies.length, 1)
    assert.match(bodies[0] ?? '', /"arguments":\{"text":"use ‹secret:github-token:[0-9a-z]{6}› here","password":"‹secret:password:[0-9a-z]{6}›"\}/)
    assert.deepEqual(answers, [`use ${secret} here Tr0ub4dor&3 ‹secret:github-token:zzzzzz›`])
    assert.deepEqual(kept.map(({ body }) => body), server.asked.filter(({ text }) => text !== '').map(({ text }) => text))
    assert.deepEqual(kept.flatMap(({ about }) => (about.redactions.length === 0 ? [] : [about])), [{ purpose: 'mcp', host: 'far.example', model: 'far', redactions: [{ kind: 'github-token', count: 1 }, { kind: 'password', count: 1 }] }])
  })

  it('does not leave with a secret where secrets are not replaced; its kind and its place are told, not the secret', async () => {
    const { bodies, answers } = await told(hold, { list: [{ text: `use ${secret}` }] })
    assert.deepEqual([bodies, answers], [[], ['far__echo failed: nothing was sent to it: a secret stands in the request (github-token at params.arguments.list[0].text)']])
  })

  it('does not leave when a secret is cut over several texts, or is a word of the owner that is held', async () => {
    const held = new KnownTexts([{ kind: 'denied', value: 'Projekt Falke' }, { kind: 'provider-key', value: 'sk-live-0a1B2c3D4e5F6g7H' }])
    for (const args of [{ text: 'about PROJEKT FALKE' }, { text: 'sk-live-0a1B\n2c3D4e5F6g7H' }, { text: Buffer.from('sk-live-0a1B2c3D4e5F6g7H').toString('base64') }, { parts: ['sk-live-0a1B', '2c3D4e5F6g7H'] }]) {
      assert.deepEqual((await told(hold, args, { held })).bodies, [], JSON.stringify(args))
    }
    assert.deepEqual((await told(redact, { parts: ['sk-live-0a1B', '2c3D4e5F6g7H'] }, { held })).answers, ['far__echo failed: nothing was sent to it: a secret stands in the request (provider-key)'])
    assert.equal((await told(redact, { text: 'use the other key' }, { held })).bodies.length, 1)
  })

  it('does not leave where policy says no, and not a byte of anything else does', async () => {
    const { server, events } = await told({ ok: false, denial: { rule: 'consent', why: "The server 'far' may not be asked: the project of this folder says never.", remedy: 'Allow it there, or go on without.' } }, { text: 'hi' })
    assert.equal(server.bytes, 0)
    assert.equal(ofType(events, 'opened')[0]?.servers[0]?.problem, "The server 'far' may not be asked: the project of this folder says never. Allow it there, or go on without")
  })

  it('does not leave when it cannot be put on record', async () => {
    const { server } = await told(redact, { text: 'hi' }, { parts: { packets: { record: () => Promise.resolve({ ok: false, fault: fault('egress_unrecorded', { host: 'far.example', problem: 'the disk is full' }) }) } } })
    assert.equal(server.bytes, 0)
  })
})

describe('a call that a person has to allow', () => {
  const ask: Terms & { why: string } = { ok: true, consent: 'ask', secrets: 'redact', why: 'the project of this folder says ask' }
  const given = (approved: boolean, callId: string): JobEventBody => ({ type: 'approval_given', callId, approved, by: 'owner', note: '' })

  it('waits with what would leave, leaves as it was shown after a yes, and not after a no', async () => {
    const first = await told(ask, { text: `use ${secret}` })
    assert.deepEqual([first.end.type === 'suspended' && first.end.state, first.bodies], ['waiting_approval', []])
    const asked = ofType(first.events, 'approval_asked')[0]
    assert.match(asked?.question ?? '', /^May this be sent to far\.example \(far__echo, \d+ bytes; replaced: 1 github-token\)\? It is asked because the project of this folder says ask\.\n\{\n "text": "use ‹secret:github-token:[0-9a-z]{6}›"\n\}$/)
    assert.ok(!JSON.stringify(asked).includes(secret))
    const yes = await told(ask, {}, { past: [...first.events, given(true, asked?.callId ?? '')], turns: [finish(), finish()] })
    const shown = /"text": "(.*)"/.exec(asked?.question ?? '')?.[1] ?? ''
    assert.equal(yes.bodies.length, 1)
    assert.ok(yes.bodies[0]?.includes(JSON.stringify(shown)), yes.bodies[0])
    assert.equal(ofType(yes.events, 'approval_asked').length, 0)
    const no = await told(ask, {}, { past: [...first.events, given(false, asked?.callId ?? '')], turns: [finish(), finish()] })
    assert.deepEqual([no.bodies, no.answers], [[], ['The person did not allow this call. It was not run. Do not try the same in another way.']])
  })

  it('is not the one that was allowed when its words differ', async () => {
    const turns = [{ type: 'tool_planned', call: { id: 'c1', name: 'mcp', arguments: { name: 'far__echo', arguments: { text: 'hi' } } } }, given(true, 'c1')] as unknown as JobEvent[]
    const sent: string[] = []
    const door: PinnedDoor = { request: (_url, { body }) => (sent.push(body ?? ''), Promise.resolve(new Response(null, { status: 202 }))) }
    const way = new RemoteServers({ servers: { far: McpServer.parse({ url: 'https://far.example/mcp' }) }, logins: new Logins(place.root), door, ...outwardParts() }).forJob(asking({ terms: { ofServer: () => ask }, events: () => turns }), '/x', {})
    const say = (body: unknown): Promise<Response> => way.send('far', { method: 'POST', headers: {}, body: JSON.stringify(body), signal: AbortSignal.timeout(1000) })
    const named = (name: string, args: unknown): unknown => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args } })
    for (const other of [named('echo', { text: 'ho' }), named('other', { text: 'hi' }), { jsonrpc: '2.0', id: 1, method: 'resources/read', params: { uri: 'x' } }, { jsonrpc: '2.0', id: 1, result: { text: 'x' } }]) {
      await assert.rejects(say(other), /^Error: nothing was sent to it: a person has to allow this call first \(the project of this folder says ask\)$/)
    }
    await say(named('echo', { text: 'hi' }))
    assert.equal(sent.length, 1)
  })
})

describe('the terms of a server', () => {
  const owner: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['jobs:write'], class: 'job' }
  const config = Config.parse({ escalation: { neverPaths: ['conf/**'] }, agent: { mcpServers: { far: { url: 'https://far.example/mcp' }, other: { url: 'https://other.example/mcp' } } } })
  let store: Store
  let projects: Projects
  let made = 0
  before(async () => {
    store = await Store.open(join(place.root, 'terms.db'))
    projects = new Projects({ store, config })
  })
  after(() => store.close())

  /** A job in a folder of its own with these rules. */
  async function job(rules: Record<string, unknown> | null, escalation?: JobRequest['escalation']): Promise<{ job: Job; said(own?: 'never' | 'ask' | 'auto' | null): string; emit(...bodies: JobEventBody[]): Promise<void>; network(): string | null }> {
    const cwd = join(place.root, `p${made += 1}`)
    mkdirSync(cwd)
    if (rules !== null) await projects.add({ path: cwd, id: null, rules: ProjectRules.parse(rules) }, owner)
    const request = JobRequest.parse({ prompt: 'p', cwd, network: ['example.org'], ...(escalation === undefined ? {} : { escalation }) })
    const id = `j${made}`
    await store.accept({ id, request, principal: owner, project: Project.parse({ id: cwd, path: cwd }), model: 'm', createdAt: 1 }, { type: 'accepted', request, principal: owner, model: 'm', seq: 1, jobId: id, at: 1 })
    const found = store.read.job(id)
    assert.ok(found !== null)
    const terms = new JobTerms(found, {}, { config, projects, store }, Date.now)
    return {
      job: found, network: () => terms.ofNetwork()?.why ?? null,
      said: (own = null) => {
        const one = terms.ofServer('far', own)
        return one.ok ? `${one.consent} ${one.secrets}${one.why === undefined ? '' : `: ${one.why}`}` : `${one.denial.rule}: ${one.denial.why}`
      },
      emit: async (...bodies) => { for (const body of bodies) await store.append([{ ...body, seq: store.read.lastSeq(id) + 1, jobId: id, at: 1 }]) },
    }
  }
  let calls = 0
  const done = (name: string, args: Record<string, unknown>): JobEventBody[] => {
    const id = `c${calls += 1}`
    return [
      { type: 'tool_planned', step: 1, call: { id, name, arguments: args }, argsHash: '', idempotency: 'pure', before: null },
      { type: 'tool_result', step: 1, callId: id, name, ok: true, exitCode: null, cause: 'exited', observation: '', totalBytes: 0, outputFile: null, durationMs: 1, wrote: false },
    ]
  }

  it('are what its entry, the project, the key and the job say, the strictest; what the box says of buying is not asked', async () => {
    assert.equal((await job(null)).said(), 'auto redact')
    assert.equal((await job(null)).said('ask'), 'ask redact: its entry (agent.mcpServers.far.consent) says ask')
    assert.equal((await job(null)).said('never'), "consent: The server 'far' may not be asked: its entry (agent.mcpServers.far.consent) says never.")
    assert.equal((await job({ consent: 'ask' })).said('auto'), 'ask redact: the project of this folder says ask')
    assert.equal((await job({ consent: 'never' })).said('auto'), "consent: The server 'far' may not be asked: the project of this folder says never.")
    assert.equal((await job(null, { consent: 'never' })).said(), "consent: The server 'far' may not be asked: the job says never.")
    assert.equal((await job(null, { dataClass: 'local-only' })).said(), 'data_class: Nothing of this job may leave the house: the job says local-only.')
    assert.equal((await job(null, { dataClass: 'redact' })).said(), 'auto redact')
  })

  it('ask for a person when strangers’ words are in the job, but not for its own, and not where its entry says auto', async () => {
    const one = await job(null)
    await one.emit(...done('mcp', { name: 'far__echo', arguments: {} }))
    assert.equal(one.said(), 'auto redact')
    await one.emit(...done('mcp', { name: 'other__echo', arguments: {} }))
    assert.deepEqual([one.said(), one.said('auto'), one.network()], ["ask redact: words of strangers are in this job (it asked the server 'other')", 'auto redact', null])
  })

  it('are none, and neither is a network, once a file was touched that stays in the house; the owner’s own list counts for servers too', async () => {
    const kept = await job({ localOnly: ['private/**'] })
    assert.deepEqual([kept.said('auto'), kept.network()], ['auto redact', null])
    await kept.emit(...done('bash', { command: 'wc -l private/a.csv' }).slice(0, 1))
    const seen = 'This job has seen private/a.csv, which never leaves the house, so nothing of the job does.'
    assert.deepEqual([kept.said('auto'), kept.network()], [`data_class: ${seen}`, seen])
    const own = await job(null)
    await own.emit(...done('read', { path: 'conf/prod.ini' }))
    assert.deepEqual([own.said(), own.network()], ['data_class: This job has seen conf/prod.ini, which never leaves the house, so nothing of the job does.', null])
    assert.equal((await job({ dataClass: 'local-only' })).network(), 'Nothing of this job may leave the house: the project of this folder says local-only.')
  })
})

describe('in a whole daemon', () => {
  it('a call waits for its yes, leaves with placeholders and is on record; a local-only file that is named ends all of it', async () => {
    const here = makePlace()
    const server = await McpHttpServer.open()
    open.push(server)
    // This box by an address that nothing counts as this box.
    const url = server.url.replace('127.0.0.1', '0.0.0.0')
    writeFileSync(join(here.home, 'config.json'), JSON.stringify({ sandbox: { limits: 'weak' }, agent: { mcpServers: { far: { url, consent: 'ask' } } } }))
    const daemon = await DaemonProcess.start(here, real)
    try {
      const cwd = here.work()
      mkdirSync(join(cwd, 'private'))
      writeFileSync(join(cwd, 'private/a.csv'), 'words')
      await daemon.client.call('POST', '/api/projects', { path: cwd, id: null, rules: { localOnly: ['private/**'] } })
      const script = join(here.root, 'script.json')
      const asked = call('mcp', { name: 'far__echo', arguments: { text: `use ${secret}` } })
      writeFileSync(script, JSON.stringify({ version: 1, contextTokens: 32_768, turns: [asked, call('bash', { command: 'cat private/a.csv' }), asked, finish()] }))
      const { job } = await daemon.submit({ prompt: 'Look.', cwd, model: `scripted:${script}` })
      const waits = await daemon.until(job.id, 'approval_asked')
      assert.ok(waits.type === 'approval_asked' && waits.question.startsWith('May this be sent to 0.0.0.0:'), JSON.stringify(waits))
      assert.equal(server.of('tools/call').length, 0)
      await daemon.until(job.id, 'suspended')
      await daemon.client.call('POST', `/api/jobs/${job.id}/approve`, { callId: waits.callId, approved: true })
      const results = (await daemon.all(job.id)).flatMap((event) => (event.type === 'tool_result' && event.name !== 'finish' ? [event.observation] : []))
      assert.deepEqual(results, [`echo use ${secret}`, 'words', 'far__echo failed: This job has seen private/a.csv, which never leaves the house, so nothing of the job does. Do that part in a job of its own'])
      assert.deepEqual(server.of('tools/call').map(({ text }) => text.includes(secret)), [false])
      const { packets, entries } = await daemon.client.call<EgressReply>('GET', '/api/egress')
      assert.deepEqual(new Set(packets.map(({ purpose, model, jobId }) => `${purpose} ${model} ${jobId ?? ''}`)), new Set([`mcp far ${job.id}`]))
      assert.equal(entries.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0), server.bytes)
    } finally {
      await daemon.kill('SIGTERM')
      here.clear()
    }
  })
})
