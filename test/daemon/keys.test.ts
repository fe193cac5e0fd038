// Keys against a real daemon on its loopback listener: every route with every kind of key, the addresses it refuses, revoking, the command.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { ApiKey, scopes, type KeyList, type KeyReply, type KeyRequestInput, type SubmitReply, type StatusReply } from '@hearth/protocol'
import { routes } from '../../packages/daemon/src/index.ts'
import { DaemonProcess, makePlace, script } from './process.ts'

const place = makePlace()
let daemon: DaemonProcess
let port: number
before(async () => {
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ http: { port: 0 }, storage: { refuseBelowBytes: 1024 } }))
  daemon = await DaemonProcess.start(place)
  await make({ name: 'first' })
  port = Number(new URL((await daemon.client.call<StatusReply>('GET', '/api/status')).http?.url ?? '').port)
})
after(async () => {
  await daemon.kill('SIGTERM')
  place.clear()
})

const make = (asked: KeyRequestInput): Promise<KeyReply> => daemon.client.call<KeyReply>('POST', '/api/keys', asked)
const bearer = (key: string): Record<string, string> => ({ authorization: `Bearer ${key}` })

type Answer = { status: number; text: string; headers: IncomingMessage['headers'] }
function ask(method: string, path: string, headers: Record<string, string> = {}, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, method, path, headers, agent: false }, (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part: string) => { text += part }).on('end', () => resolve({ status: answer.statusCode ?? 0, text, headers: answer.headers }))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

test('every route, for every kind of key', async (t) => {
  const expired = await make({ name: 'expired', scopes: [...scopes], expiresInSeconds: 0.001 })
  const revoked = await make({ name: 'revoked', scopes: [...scopes] })
  await daemon.client.call('DELETE', `/api/keys/${revoked.key.id}`)
  const live = await make({ name: 'all', scopes: [...scopes] })
  const wrongSecret = `${live.key.id}.${'A'.repeat(43)}`
  const without = new Map(await Promise.all(scopes.map(async (scope) => [scope, (await make({ name: `no ${scope}`, scopes: scopes.filter((one) => one !== scope) })).secret] as const)))
  const refusedKeys = { none: null, malformed: 'x.y', 'with a wrong secret': wrongSecret, unknown: `000000000000.${'A'.repeat(43)}`, expired: expired.secret, revoked: revoked.secret }
  // Stopping the daemon is asked for last.
  for (const route of routes.toSorted((a, b) => Number(a.path.includes('shutdown')) - Number(b.path.includes('shutdown')))) {
    const path = route.path.replace(':id', 'no-such-thing')
    await t.test(`${route.method} ${route.path}`, async () => {
      if (route.scope === null) {
        assert.deepEqual([(await ask(route.method, path)).status, (await ask(route.method, path, bearer('x.y'))).status], [200, 200])
        return
      }
      const bodies = new Set<string>()
      for (const [kind, key] of Object.entries(refusedKeys)) {
        const answer = await ask(route.method, path, key === null ? {} : bearer(key))
        assert.equal(answer.status, 401, kind)
        assert.equal(answer.headers['www-authenticate'], 'Bearer')
        bodies.add(answer.text)
      }
      assert.equal(bodies.size, 1, 'what is wrong with a key cannot be told from the answer')
      assert.equal((await ask(route.method, path, bearer(without.get(route.scope) ?? ''))).status, 403)
      if (route.path === '/api/shutdown') return
      for (const right of [bearer(live.secret), { 'x-api-key': live.secret }]) {
        const { status } = await ask(route.method, path, right)
        assert.ok(status !== 401 && status !== 403, `it was ${status}`)
      }
    })
  }
  assert.equal((await ask('GET', '/no/such/route')).status, 401)
  assert.equal((await ask('GET', '/no/such/route', bearer(live.secret))).status, 404)
})

test('a key in the address, two keys that differ and other schemes are refused', async () => {
  const { secret } = await make({ name: 'a' })
  const inQuery = await ask('GET', `/v1/models?api_key=${secret}`)
  assert.equal(inQuery.status, 400)
  assert.match(inQuery.text, /A key in the address \(api_key=\) is refused/)
  assert.ok(!inQuery.text.includes(secret))
  assert.equal((await ask('GET', '/v1/models', { ...bearer(secret), 'x-api-key': 'other' })).status, 401)
  assert.equal((await ask('GET', '/v1/models', { authorization: `Basic ${secret}` })).status, 401)
})

test('a strange Host and a page of another origin are refused before anything else', async () => {
  const key = bearer((await make({ name: 'b' })).secret)
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1', `127.0.0.1:${port + 1}`, '192.168.1.7']) {
    assert.equal((await ask('GET', '/healthz', { ...key, host })).status, 421, host)
  }
  for (const host of [`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]) assert.equal((await ask('GET', '/v1/models', { ...key, host })).status, 200, host)
  for (const origin of ['http://evil.example', 'null', `https://127.0.0.1:${port}`, `http://127.0.0.1:${port + 1}`]) {
    const answer = await ask('GET', '/v1/models', { ...key, origin })
    assert.equal(answer.status, 403, origin)
    assert.equal(Object.keys(answer.headers).filter((name) => name.startsWith('access-control')).length, 0)
  }
  assert.equal((await ask('GET', '/v1/models', { ...key, 'sec-fetch-site': 'cross-site' })).status, 403)
  assert.equal((await ask('GET', '/v1/models', { ...key, origin: `http://127.0.0.1:${port}` })).status, 200)
})

test('a head that is too large is refused', async () => {
  assert.equal((await ask('GET', '/healthz', { 'x-long': 'a'.repeat(20_000) })).status, 431)
})

test('no secret is at rest: not in the database, not in the list, not in the log', async () => {
  const { key, secret } = await make({ name: 'quiet', models: ['stub'], class: 'batch' })
  await ask('GET', '/v1/models', bearer(secret))
  const { keys } = await daemon.client.call<KeyList>('GET', '/api/keys')
  const listed = ApiKey.parse(keys.find((one) => one.id === key.id))
  assert.deepEqual([listed.name, listed.scopes, listed.models, listed.class, listed.origin, listed.revokedAt], ['quiet', ['infer'], ['stub'], 'batch', 'automation', null])
  const part = secret.split('.')[1] ?? assert.fail()
  for (const file of ['hearth.db', 'hearth.db-wal']) assert.ok(!readFileSync(join(place.home, 'state', file)).includes(part), file)
  assert.ok(!daemon.stderr.includes(part))
})

test('a key with a list of models reaches no other, in chats as in jobs', async () => {
  const { secret } = await make({ name: 'narrow', models: ['other'], scopes: ['infer', 'jobs:write'] })
  const chat = await ask('POST', '/v1/chat/completions', bearer(secret), JSON.stringify({ model: 'stub', messages: [{ role: 'user', content: '{}' }] }))
  assert.deepEqual([chat.status, (JSON.parse(chat.text) as { error: { code: string } }).error.code], [403, 'not_allowed'])
  const job = await ask('POST', '/api/jobs', bearer(secret), JSON.stringify({ prompt: script({}), cwd: place.work('narrow') }))
  assert.equal(job.status, 403)
  const { secret: wide } = await make({ name: 'wide', scopes: ['infer', 'jobs:write'] })
  const scripted = await ask('POST', '/v1/chat/completions', bearer(wide), JSON.stringify({ model: 'scripted:/etc/passwd', messages: [{ role: 'user', content: 'x' }] }))
  assert.equal(scripted.status, 403, 'a script is a file of this box')
})

test("a job of a key of class batch is a batch job, whatever it asks for", async () => {
  const { secret, key } = await make({ name: 'slow', class: 'batch', scopes: ['jobs:write'] })
  const answer = await ask('POST', '/api/jobs', bearer(secret), JSON.stringify({ prompt: script({}), cwd: place.work('slow'), class: 'interactive' }))
  const { job } = JSON.parse(answer.text) as SubmitReply
  assert.deepEqual([job.request.class, job.principal.id, job.principal.kind], ['batch', `key:${key.id}`, 'key'])
  await daemon.all(job.id)
})

test('revoking a key closes its open streams within a second, and nobody else\'s', async () => {
  const { job } = await daemon.submit({ prompt: script({ pauseMs: 60_000 }), cwd: place.work('open') })
  await daemon.until(job.id, 'tool_started')
  const [mine, other] = await Promise.all([make({ name: 'mine', scopes: ['jobs:read'] }), make({ name: 'other', scopes: ['jobs:read'] })])
  const open = (secret: string) => new Promise<IncomingMessage>((resolve, reject) => {
    request({ host: '127.0.0.1', port, path: `/api/jobs/${job.id}/events?follow=1`, headers: bearer(secret), agent: false }, resolve).on('error', reject).end()
  })
  const [cut, stays] = await Promise.all([open(mine.secret), open(other.secret)])
  stays.resume()
  const closed = new Promise<number>((resolve) => cut.on('error', () => undefined).once('close', () => resolve(performance.now())).resume())
  const begun = performance.now()
  await daemon.client.call('DELETE', `/api/keys/${mine.key.id}`)
  assert.ok(await closed - begun < 1000)
  assert.ok(!stays.destroyed)
  stays.destroy()
  assert.equal((await ask('GET', '/api/jobs', bearer(mine.secret))).status, 401)
  await daemon.client.call('POST', `/api/jobs/${job.id}/cancel`)
})

test('on the socket a request that brings a key is the key\'s, not the owner\'s', async () => {
  const { secret } = await make({ name: 'on the socket' })
  const status = (key: string | null): Promise<number> => new Promise((resolve, reject) => {
    request({ socketPath: daemon.client.socket, path: '/api/status', ...(key === null ? {} : { headers: bearer(key) }) }, (answer) => resolve(answer.resume().statusCode ?? 0)).on('error', reject).end()
  })
  assert.deepEqual([await status(null), await status(secret), await status('nonsense')], [200, 403, 401])
})

test('hearth keys: add, ls, revoke', () => {
  const main = fileURLToPath(new URL('../../packages/cli/src/main.ts', import.meta.url))
  const run = (...words: string[]) => spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...words], { encoding: 'utf8', env: { PATH: process.env['PATH'] ?? '', HOME: place.root, HEARTH_HOME: place.home } })
  const made = run('keys', 'add', 'laptop', '--scope', 'infer,jobs:read', '--expires', '30d', '--model', 'stub')
  assert.equal(made.status, 0, made.stderr)
  assert.match(made.stdout, /^[0-9a-z]{12}\.[A-Za-z0-9_-]{43}\n$/)
  assert.match(made.stderr, new RegExp(`^This is the only time it is shown\\. It may: infer, jobs:read, until \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC\\.\\nOpenAI clients: base URL http://127\\.0\\.0\\.1:${port}/v1\\n$`))
  const id = made.stdout.split('.')[0] ?? ''
  assert.match(run('keys').stdout, new RegExp(`^${id}  laptop +infer,jobs:read +interactive +never +\\d{4}-\\d\\d-\\d\\d  as the box  stub$`, 'm'))
  assert.equal(run('keys', 'revoke', made.stdout.trim()).stdout, `${id} (laptop) is revoked\n`)
  assert.ok(!run('keys', 'ls').stdout.includes(id))
  const json = JSON.parse(run('keys', 'ls', '--all', '--json').stdout) as KeyList
  assert.notEqual(json.keys.find((key) => key.id === id)?.revokedAt, null)
  const spender = run('keys', 'add', 'spender', '--budget', '2/day,0.25/job,3x/job').stdout.split('.')[0] ?? ''
  assert.match(run('keys').stdout, new RegExp(`^${spender}  spender .*  \\$0\\.25/job, \\$0\\.00 of \\$2\\.00/day, 3x/job  all$`, 'm'))
  const unknown = run('keys', 'revoke', 'nobody')
  assert.deepEqual([unknown.status, unknown.stderr], [65, "hearth: There is no key 'nobody'.\nRun 'hearth keys ls' for the ids.\n"])
  assert.equal(run('keys', 'add', 'x', '--scope', 'root').status, 64)

  const used = (name: string): [number | null, string] => { const ran = run('usage', '--principal', name); return [ran.status, ran.stderr] }
  assert.deepEqual(used('spender'), [0, ''])
  assert.deepEqual(used(spender), [0, ''])
  const twin = run('keys', 'add', 'spender').stdout.split('.')[0] ?? ''
  assert.deepEqual(used('spender'), [64, `hearth: 'spender' is the name of 2 keys: key:${twin}, key:${spender}. Give --principal one of these ids.\nRun 'hearth help' for the commands, or 'hearth help COMMAND' for one of them.\n`])
  assert.deepEqual(used('nobody')[1].split('\n')[0], "hearth: There is no key named 'nobody'; --principal also takes an id like socket:1000 or key:7k2m9x4tq8wz.")
})

test('without a usable key nothing listens; the last one that is revoked closes the port', async () => {
  const other = makePlace()
  writeFileSync(join(other.home, 'config.json'), JSON.stringify({ http: { port: 0 } }))
  const quiet = await DaemonProcess.start(other)
  const http = async () => (await quiet.client.call<StatusReply>('GET', '/api/status')).http
  assert.deepEqual(await http(), { url: null, problem: null })
  const { key, url } = await quiet.client.call<KeyReply>('POST', '/api/keys', { name: 'one' })
  const at = Number(new URL(url ?? '').port)
  await quiet.client.call('DELETE', `/api/keys/${key.id}`)
  assert.deepEqual(await http(), { url: null, problem: null })
  const refused = await new Promise((resolve) => connect(at, '127.0.0.1').once('error', (error: NodeJS.ErrnoException) => resolve(error.code)).once('connect', () => resolve('open')))
  assert.equal(refused, 'ECONNREFUSED')
  await quiet.kill('SIGTERM')
  other.clear()
})

test('a port that is taken is said, and the daemon works on', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const busy = (taken.address() as AddressInfo).port
  const other = makePlace()
  writeFileSync(join(other.home, 'config.json'), JSON.stringify({ http: { port: busy } }))
  const held = await DaemonProcess.start(other)
  assert.equal((await held.client.call<KeyReply>('POST', '/api/keys', { name: 'one' })).url, null)
  assert.deepEqual((await held.client.call<StatusReply>('GET', '/api/status')).http, {
    url: null, problem: `The daemon cannot listen on 127.0.0.1:${busy}: another program listens there.`,
  })
  await held.kill('SIGTERM')
  taken.close()
  other.clear()
})

test('it listens on 127.0.0.1 and on nothing else', () => {
  const lines = readFileSync(`/proc/${daemon.child.pid}/net/tcp`, 'utf8') + readFileSync(`/proc/${daemon.child.pid}/net/tcp6`, 'utf8')
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  const listening = lines.split('\n').map((line) => line.trim().split(/\s+/)).filter((fields) => fields[3] === '0A' && fields[1]?.endsWith(`:${hex}`))
  assert.deepEqual(listening.map((fields) => fields[1]), [`0100007F:${hex}`])
})
