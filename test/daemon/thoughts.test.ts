// A step that is taken over by a model that thinks: its sealed thoughts go back through the gate from turn to turn. They are in what is held, in what is on record and in
// no log; another run of the daemon goes on without them. Over the real gate, purse, store, door and official client; the seller is a server of this file.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createRemoteModel, KeptThoughts, throughDoor } from '@hearth/engine'
import { Config, JobRequest, ModelRequest, Project, type Consultation, type Message, type ModelEvent, type Principal } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { Experts } from '../../packages/daemon/src/egress/experts.ts'
import { Packets } from '../../packages/daemon/src/egress/packets.ts'
import { keptKey } from '../../packages/daemon/src/egress/packets-key.ts'
import { HeldSecrets } from '../../packages/daemon/src/egress/scan-held.ts'
import { promptTokensAtMost } from '../../packages/daemon/src/meter/amounts.ts'
import { EnergyMeter } from '../../packages/daemon/src/meter/energy.ts'
import { Purse } from '../../packages/daemon/src/meter/purse.ts'
import { Projects } from '../../packages/daemon/src/projects.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'
import { events, stream } from '../fixtures/provider.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())
const owner: Principal = { id: 'socket:0', kind: 'socket', origin: 'human', scopes: ['escalate'], class: 'job' }
const counts = { prompt: 50, completion: 20 }
// Long beside all else that is said, so that what is held shows whether it counts.
const signature = 'c2VhbGVk'.repeat(1000)
const thought = { type: 'thinking', thinking: 'Look first.', signature }

test('sealed thoughts of a step go back, are held, recorded and never logged', async (t) => {
  const root = join(place.root, 'w')
  mkdirSync(root)
  writeFileSync(join(root, 'key'), 'sk-ant-0123456789abcdef', { mode: 0o600 })
  const bodies: { messages: { role: string; content: { type: string }[] }[] }[] = []
  const server = createServer((request, to) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece: string) => { text += piece }).on('end', () => {
      bodies.push(JSON.parse(text) as (typeof bodies)[number])
      stream(to, [
        ...events.begin('anthropic', counts), { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
        { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: thought.thinking } }, { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature } },
        ...events.call('anthropic', 1, `toolu_${bodies.length}`, 'read', ['{"path":"a"}']), ...events.end('anthropic', 'calls', counts),
      ])
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => server.close())
  const config = Config.parse({ escalation: {
    consent: 'auto', modes: ['step'], budget: { dayUsdMicros: 100_000_000 },
    providers: [{ id: 'shop', kind: 'anthropic', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, keyFile: join(root, 'key'), models: [{
      id: 'big', model: 'b', contextTokens: 100_000, maxOutputTokens: 4096, prices: [{ from: '2026-01-01', input: 1_000_000, cacheRead: 100_000, cacheWrite: 1_000_000, output: 5_000_000 }],
      profile: { toolMode: 'native', reasoning: { ask: 'medium' } },
    }] }],
  } })
  const store = await Store.open(join(root, 'db'))
  t.after(() => store.close())
  const packetKey = keptKey(root, null)
  const packets = new Packets({ store, key: packetKey, bodyDays: 1 })
  const log: string[] = []
  const door = createDoor(() => Promise.resolve())
  const experts = (): Experts => new Experts({
    store, config, projects: new Projects({ store, config }), energy: new EnergyMeter({ reader: () => Promise.resolve(null) }), held: new HeldSecrets(config), log: (line) => log.push(line),
    parts: { workers: () => [], model: () => Promise.resolve({ ok: false, fault: { code: 'unknown_model', message: '', remedy: '' } }) } as never,
    door, purse: new Purse({ store, config: config.escalation }), packets, placeholderKey: async () => (await packetKey()).placeholders, unreachable: () => Promise.resolve(null), throughDoor: (jobId) => Promise.resolve(throughDoor(door, jobId)),
    thoughts: () => Promise.resolve(new KeptThoughts()), remote: (options) => Promise.resolve(createRemoteModel({ ...options, log: (line) => log.push(line) })), lan: () => assert.fail(),
  })
  const request = JobRequest.parse({ prompt: 'p', cwd: root })
  await store.accept({ id: 'j1', request, principal: owner, project: Project.parse({ id: root, path: root }), model: 'm', createdAt: 1 }, { type: 'accepted', request, principal: owner, model: 'm', seq: 1, jobId: 'j1', at: 1 })
  const job = store.read.job('j1')
  assert.ok(job !== null)
  const step: Consultation = { id: 'e1', mode: 'step', step: 1, signals: [], packet: { prefix: '', body: 'help', files: [] }, maxTokens: 1000, maxTurns: 3 }
  const model = async (): ReturnType<NonNullable<ReturnType<Experts['forJob']>>['model']> => {
    const expert = experts().forJob(job, () => 1, {})
    assert.ok(expert !== null)
    const said = await expert.offer(step)
    assert.ok(said.ok, JSON.stringify(said))
    return expert.model(step, said.offer, null)
  }
  const turn = (n: number): Message[] => [{ role: 'assistant', text: '', toolCalls: [{ id: `toolu_${n}`, name: 'read', arguments: { path: 'a' } }] }, { role: 'tool', callId: `toolu_${n}`, name: 'read', text: 'words' }]
  const asking = (...turns: number[]): ModelRequest => ModelRequest.parse({
    messages: [{ role: 'user', text: 'help' }, ...turns.flatMap(turn)], tools: [{ name: 'read', description: 'Reads.', parameters: { type: 'object', properties: { path: { type: 'string' } } } }], maxTokens: 1000, purpose: 'step', reasoning: 'medium',
  })
  const heard: ModelEvent[] = []
  const say = async (one: Awaited<ReturnType<typeof model>>, what: ModelRequest): Promise<void> => {
    for await (const event of one.generate(what, new AbortController().signal)) heard.push(event)
    assert.equal(heard.at(-1)?.type, 'done', JSON.stringify(heard.at(-1)))
  }
  const first = await model()
  await say(first, asking())
  await say(first, asking(1))
  const back = { ...thought, cache_control: undefined }
  assert.deepEqual({ ...bodies[1]?.messages[1]?.content[0], cache_control: undefined }, back)
  const held = store.read.query('SELECT prompt_tokens AS tokens FROM reservations ORDER BY id').map((row) => Number(row['tokens']))
  assert.equal(held[0], promptTokensAtMost(asking()))
  assert.equal(held[1], promptTokensAtMost(asking(1)) + Buffer.byteLength(JSON.stringify([thought])))
  const newest = store.read.query('SELECT id FROM packets ORDER BY rowid DESC LIMIT 1')[0]?.['id']
  assert.match((await packets.body(String(newest))).body.toString(), new RegExp(signature))

  // Another run of the daemon has none of them, and the turn goes on: thoughts that are adaptive may be missing.
  const second = await model()
  await say(second, asking(1, 2))
  assert.deepEqual(bodies[2]?.messages.flatMap(({ content }) => content.map(({ type }) => type)), ['text', 'tool_use', 'tool_result', 'tool_use', 'tool_result'])
  await say(second, asking(1, 2, 3))
  assert.deepEqual(bodies[3]?.messages.flatMap(({ content }) => content.map(({ type }) => type)), ['text', 'tool_use', 'tool_result', 'tool_use', 'tool_result', 'thinking', 'tool_use', 'tool_result'])
  assert.doesNotMatch(JSON.stringify([log, heard]), /c2VhbGVk/)
})
