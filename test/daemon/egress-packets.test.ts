// What is sent to models is on record before it leaves, as the very bytes; bodies are sealed and go when they are old; what cannot be recorded does not leave.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { throughDoor } from '@hearth/engine'
import { Config, FaultError } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { credentialName, keptKey, packetKey } from '../../packages/daemon/src/egress/packets-key.ts'
import { Packets, recordedSend, type About } from '../../packages/daemon/src/egress/packets.ts'
import { HeldSecrets } from '../../packages/daemon/src/egress/scan-held.ts'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'
import { makeApp } from '../../packages/daemon/src/http/app.ts'
import type { Api } from '../../packages/daemon/src/http/api.ts'
import { Store } from '../../packages/daemon/src/store/store.ts'

const root = mkdtempSync(join(tmpdir(), 'hearth-packets-'))
after(() => rmSync(root, { recursive: true, force: true }))
let folders = 0
const folder = (): string => mkdtempSync(join(root, `${folders++}-`))

const about: About = { jobId: null, escalation: 'e1', principal: 'socket:0', purpose: 'advise', host: 'models.test', model: 'm', redactions: [{ kind: 'password', count: 2 }, { kind: 'jwt', count: 1 }] }
const dayMs = 86_400_000

async function opened(bodyDays = 30, now?: () => number): Promise<{ store: Store; packets: Packets; state: string; path: string }> {
  const state = folder()
  const path = join(state, 'hearth.db')
  const store = await Store.open(path)
  return { store, state, path, packets: new Packets({ store, key: keptKey(state, null), bodyDays, ...(now === undefined ? {} : { now }) }) }
}

const faultOf = (code: string) => (error: unknown): boolean => error instanceof FaultError && error.fault.code === code

test('the row says what was sent, and the body comes back byte for byte, after a restart too', async () => {
  const { store, packets, state, path } = await opened()
  const body = `{"messages":["Grüße ‹secret:password:abc123›",${JSON.stringify('x'.repeat(50_000))}]}`
  const made = await packets.record(about, body)
  assert.ok(made.ok)
  await store.close()

  const again = await Store.open(path)
  const later = new Packets({ store: again, key: keptKey(state, null), bodyDays: 30 })
  const found = await later.body(made.id)
  assert.equal(found.body.toString(), body)
  const { at, ...entry } = found.entry
  assert.deepEqual(entry, { id: made.id, ...about, bytes: Buffer.byteLength(body), sha256: createHash('sha256').update(body).digest('hex') })
  assert.ok(Math.abs(Date.now() - at) < 60_000)
  const reply = again.read.egress(null, null, 10)
  assert.deepEqual(reply.totals, { connections: 0, bytes: 0, uncounted: 0, packets: 1, packetBytes: Buffer.byteLength(body), redactions: 3 })
  assert.deepEqual(reply.packets.map(({ id, hasBody }) => [id, hasBody]), [[made.id, true]])
  await again.close()
  // Sealed: neither the words nor what they look like packed.
  for (const file of ['hearth.db', 'hearth.db-wal']) {
    try {
      assert.equal(readFileSync(join(state, file)).includes('secret:password'), false)
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOENT')
    }
  }
})

test('rows cannot be changed or taken away, a body cannot be changed or put behind another row', async () => {
  const { store, packets, path } = await opened()
  const [one, two] = [await packets.record(about, 'first body'), await packets.record(about, 'second body')]
  assert.ok(one.ok && two.ok)
  const db = new DatabaseSync(path, { timeout: 5000 })
  for (const sql of ['UPDATE packets SET bytes = 0', 'DELETE FROM packets', "UPDATE packet_bodies SET sealed = x'00'"]) assert.throws(() => db.exec(sql), /append-only|does not change/)
  const bodies = db.prepare('SELECT packet_id, at, key_id, sealed FROM packet_bodies').all() as { packet_id: string; at: number; key_id: string; sealed: Uint8Array }[]
  db.exec('DELETE FROM packet_bodies')
  const put = db.prepare('INSERT INTO packet_bodies (packet_id, at, key_id, sealed) VALUES (?, ?, ?, ?)')
  const first = bodies.find(({ packet_id }) => packet_id === one.id)
  assert.ok(first !== undefined)
  put.run(two.id, first.at, first.key_id, first.sealed)
  put.run(one.id, first.at, first.key_id, Uint8Array.from(first.sealed, (byte, i) => (i === 20 ? byte ^ 1 : byte)))
  db.close()
  for (const id of [one.id, two.id]) {
    await assert.rejects(packets.body(id), (error: unknown) => error instanceof FaultError && error.message === `The body of packet ${id} cannot be shown: what lies there is not what was sealed.`)
  }
  await store.close()
})

test('bodies go when they are old, rows stay, and the reply says which is which', async () => {
  let now = 1_800_000_000_000
  const { store, packets, path } = await opened(30, () => now)
  const old = await packets.record(about, 'an old body')
  now += 29 * dayMs
  const young = await packets.record(about, 'a young body')
  await packets.prune()
  assert.ok(old.ok && young.ok)
  assert.equal((await packets.body(old.id)).body.toString(), 'an old body')
  const sealed = store.read.packet(old.id)?.body?.sealed ?? assert.fail('no body')
  now += 2 * dayMs
  await packets.prune()
  await assert.rejects(packets.body(old.id), (error: unknown) => error instanceof FaultError && error.message === `The body of packet ${old.id} cannot be shown: it was removed after 30 days.`)
  assert.equal((await packets.body(young.id)).body.toString(), 'a young body')
  assert.deepEqual(store.read.egress(null, null, 10).packets.map(({ id, hasBody }) => [id, hasBody]), [[young.id, true], [old.id, false]])
  await assert.rejects(packets.body('000000000000'), faultOf('not_found'))
  await store.close()
  assert.equal(readFileSync(path).includes(Buffer.from(sealed.subarray(0, 30))), false, 'what was removed is overwritten')
  assert.equal(Number(Object.values(new DatabaseSync(path).prepare('SELECT count(*) FROM packet_bodies').get() ?? {})[0]), 1)
})

test('the key is private, made once, never replaced, and a credential of the service manager goes before it', async () => {
  const state = folder()
  const made = await Promise.all([1, 2, 3].map(() => packetKey(state, null)))
  assert.equal(new Set(made.map(({ id }) => id)).size, 1)
  const path = join(state, 'packet.key')
  assert.equal(statSync(path).mode & 0o777, 0o600)
  assert.equal(statSync(path).size, 32)
  chmodSync(path, 0o644)
  await assert.rejects(packetKey(state, null), (error: unknown) => error instanceof FaultError && error.message === `${path} cannot be used: others may read this key (mode 644); chmod 600 it, or remove it, and with it what was sealed.`)
  chmodSync(path, 0o600)
  writeFileSync(path, 'short')
  await assert.rejects(packetKey(state, null), faultOf('bad_file'))
  const credentials = folder()
  writeFileSync(join(credentials, credentialName), 'a long text from the service manager\n', { mode: 0o440 })
  const given = await packetKey(state, credentials)
  assert.notEqual(given.id, made[0]?.id)
  assert.ok(given.hold.includes('a long text from the service manager'))
  await assert.rejects(packetKey(join(state, 'absent'), null), faultOf('cannot_create'))
})

test('a body sealed with another key says so', async () => {
  const { store, packets, state } = await opened()
  const made = await packets.record(about, 'body')
  assert.ok(made.ok)
  rmSync(join(state, 'packet.key'))
  const other = new Packets({ store, key: keptKey(state, null), bodyDays: 30 })
  await assert.rejects(other.body(made.id), (error: unknown) => error instanceof FaultError && error.message === `The body of packet ${made.id} cannot be shown: it was sealed with another key.`)
  await store.close()
})

/** A server that keeps what it read. */
async function listener(): Promise<{ port: number; read: () => string; close(): void }> {
  let read = ''
  const server = createServer((socket) => socket.setEncoding('latin1').on('data', (text) => {
    read += String(text)
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
  })).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { port: (server.address() as AddressInfo).port, read: () => read, close: () => server.close() }
}

test('what is recorded is what arrives, each time it is sent; and what cannot be recorded does not leave', async () => {
  const { store, packets } = await opened()
  const server = await listener()
  const url = `http://127.0.0.1:${server.port}/v1/messages`
  const { host: _host, ...said } = about
  const send = recordedSend(throughDoor(createDoor((entry) => store.egress(entry)), null), { ...said, packets, held: new KnownTexts([{ kind: 'provider-key', value: 'sk-held-0123456789abcdef' }]) })
  const post = (body: string): Promise<Response> => send({ url, headers: {}, body, signal: AbortSignal.timeout(5000) })
  await (await post('{"a":1}')).text()
  await (await post('{"a":1}')).text()
  const sent = store.read.egress(null, null, 10)
  assert.equal(sent.packets.length, 2)
  assert.equal(sent.entries.length, 2)
  for (const { id, host, sha256 } of sent.packets) {
    assert.equal(host, `127.0.0.1:${server.port}`)
    assert.equal(createHash('sha256').update((await packets.body(id)).body).digest('hex'), sha256)
    assert.ok(server.read().endsWith((await packets.body(id)).body.toString()))
  }
  assert.equal(sent.totals.bytes, server.read().length)

  const before = server.read()
  await assert.rejects(post(`{"a":"${Buffer.from('key: sk-held-0123456789abcdef!').toString('base64')}"}`), (error: unknown) => error instanceof FaultError
    && error.message === `Nothing was sent to 127.0.0.1:${server.port}: a secret stands in it (provider-key).`)
  await store.close()
  await assert.rejects(post('{"b":2}'), faultOf('egress_unrecorded'))
  assert.equal(server.read(), before)
  server.close()
})

test('on a full disk nothing leaves, and what left before is on record', () => {
  const disk = folder()
  const program = fileURLToPath(new URL('../fixtures/packets-until-full.ts', import.meta.url))
  // A mount namespace of its own: the little disk goes with the process.
  const run = spawnSync('unshare', [...(process.getuid?.() === 0 ? ['--mount'] : ['--mount', '--map-root-user']), 'sh', '-c', 'mount -t tmpfs -o size=3m,mode=700 tmpfs "$1" && exec "$2" --disable-warning=ExperimentalWarning "$3" "$1"', 'sh', disk, process.execPath, program], { encoding: 'utf8' })
  assert.equal(run.status, 0, run.stderr)
  const { left, rows, refusal } = JSON.parse(run.stdout) as { left: number; rows: number; refusal: string }
  assert.ok(left > 0 && left < 100)
  assert.equal(rows, left)
  assert.equal(refusal, `Nothing was sent to models.test: what would leave could not be written down first (The disk of the state folder ${disk} is full).`)
})

test('the routes: sums for who may see jobs, a body for an admin, with its own answer when it is gone', async () => {
  let now = 1_800_000_000_000
  const { store, packets } = await opened(1, () => now)
  await store.egress({ at: now, jobId: null, purpose: 'provider', host: 'models.test', bytes: 700 })
  await store.egress({ at: now + 1, jobId: null, purpose: 'mcp', host: 'tools.test', bytes: null })
  await store.egress({ at: now + 2, jobId: null, purpose: 'provider', host: 'models.test', bytes: 50 })
  const made = await packets.record(about, 'the body')
  assert.ok(made.ok)
  const api = { store, packets } as unknown as Api
  const asked = (scopes: readonly ('admin' | 'jobs:read')[], path: string): Promise<Response> => Promise.resolve(makeApp(api, () => ({ id: 'key:x', kind: 'key', origin: 'human', scopes: [...scopes], class: 'job' }), () => undefined).request(path))
  const reply = await (await asked(['jobs:read'], '/api/egress')).json() as ReturnType<typeof store.read.egress>
  assert.deepEqual(reply.totals, { connections: 3, bytes: 750, uncounted: 1, packets: 1, packetBytes: 8, redactions: 3 })
  assert.deepEqual(reply.by.purpose, [{ name: 'provider', connections: 2, bytes: 750, uncounted: 0 }, { name: 'mcp', connections: 1, bytes: 0, uncounted: 1 }])
  assert.deepEqual(reply.by.day, [{ name: '2027-01-15', connections: 3, bytes: 750, uncounted: 1 }])
  assert.deepEqual(reply.by.job.map(({ name }) => name), [''])
  assert.deepEqual(reply.entries.map(({ host }) => host), ['models.test', 'tools.test', 'models.test'])
  assert.equal((await asked(['jobs:read'], `/api/egress/${made.id}/body`)).status, 403)
  assert.equal(await (await asked(['admin'], `/api/egress/${made.id}/body`)).text(), 'the body')
  now += 2 * dayMs
  await packets.prune()
  assert.equal((await asked(['admin'], `/api/egress/${made.id}/body`)).status, 410)
  assert.equal((await asked(['admin'], '/api/egress/nothing/body')).status, 404)
  await store.close()
})

test('what this daemon holds is read from the files of its configuration, anew when they change; one that cannot be read is no small thing', async () => {
  const place = folder()
  const file = (name: string, text: string): string => {
    const path = join(place, name)
    writeFileSync(path, text, { mode: 0o600 })
    return path
  }
  const config = Config.parse({
    engine: { endpoints: [{ id: 'lan', url: 'http://10.0.0.2/v1', model: 'm', contextTokens: 4096, keyFile: file('endpoint', 'endpoint-key-4711\n') }] },
    models: { hubTokenFile: file('hub', 'hub-token-0815') },
    escalation: { denyFile: file('deny', 'Project Falcon\r\n\r\n  +49 170 1234567  \n'), providers: [{ id: 'p', kind: 'anthropic', keyFile: file('provider', 'provider-key-9999') }] },
    agent: { mcpServers: { local: { command: ['x'], env: { TOKEN: 'env-token-12345', MODE: 'production', HOME: '/home/you/x' } }, far: { url: 'https://tools.test/mcp?key=query-key-777', tokenFile: join(place, 'absent') } } },
  })
  const held = new HeldSecrets(config, () => Promise.resolve([{ kind: 'packet-key', value: 'the-key-of-packets' }]))
  const kinds = async (text: string): Promise<string[]> => (await scan(text, await held.texts())).map(({ kind }) => kind)
  assert.deepEqual(await kinds('a endpoint-key-4711 b hub-token-0815 c PROJECT FALCON d +49 170 1234567 e provider-key-9999 f env-token-12345 g query-key-777 h the-key-of-packets i production /home/you/x'),
    ['endpoint-key', 'hub-token', 'denied', 'denied', 'provider-key', 'mcp-secret', 'mcp-secret', 'packet-key'])
  assert.equal(await held.texts(), await held.texts(), 'nothing changed, nothing is made anew')
  file('provider', 'another-provider-key-2')
  assert.deepEqual(await kinds('x provider-key-9999 another-provider-key-2'), ['provider-key'])
  rmSync(join(place, 'deny'))
  writeFileSync(join(place, 'deny'), 'x'.repeat(1_000_001))
  await assert.rejects(held.texts(), /deny holds 1000001 bytes/)
})

