// Logging in at MCP servers: the code flow against a login server of our own that checks it, renewal once for all, and servers that lead astray.
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, it } from 'node:test'
import { renewLogin } from '@hearth/agent/mcp/oauth'
import { FaultError, McpServer, type EgressEntry, type McpDoor, type McpLoginEvent } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { LoginDesk } from '../../packages/daemon/src/mcp/desk.ts'
import { FolderServerStore } from '../../packages/daemon/src/mcp/folder-servers.ts'
import { Logins } from '../../packages/daemon/src/mcp/logins.ts'
import { RemoteServers } from '../../packages/daemon/src/mcp/remote.ts'
import { readConfig } from '../../packages/daemon/src/settings.ts'
import { asking, outwardParts } from '../fixtures/asking.ts'
import { OAuthMcpServer, type Turns } from '../fixtures/oauth-mcp-server.ts'

type Row = Omit<EgressEntry, 'id'>

let dir: string
const open: OAuthMcpServer[] = []
before(async () => { dir = await mkdtemp(join(tmpdir(), 'hearth-login-')) })
after(async () => {
  for (const server of open) await server.http.close()
  await rm(dir, { recursive: true, force: true })
})

let rows: Row[]
let now: number
beforeEach(async () => {
  rows = []
  now = Date.now()
  await rm(join(dir, 'mcp-logins.json'), { force: true })
})

async function serverOf(turns?: Turns): Promise<OAuthMcpServer> {
  const server = await OAuthMcpServer.open(turns)
  open.push(server)
  return server
}

it('what a crash left of a file of logins goes with the next one that is written', async () => {
  const part = join(dir, 'mcp-logins.json.part')
  await writeFile(part, '{"secret":', { mode: 0o600 })
  const logins = new Logins(dir, () => now)
  await logins.keep({ folder: null, url: 'https://a.example/mcp' }, { token: 'abc', expiresAt: null, renewal: null })
  await Promise.all([logins.keep({ folder: null, url: 'https://b.example/mcp' }, { token: 'def', expiresAt: null, renewal: null }), logins.forget({ folder: null, url: 'https://a.example/mcp' })])
  assert.deepEqual([await logins.state({ folder: null, url: 'https://a.example/mcp' }), await logins.state({ folder: null, url: 'https://b.example/mcp' })], ['none', 'logged_in'])
  assert.deepEqual((await readdir(dir)).filter((name) => name.startsWith('mcp-logins')), ['mcp-logins.json'])
})

type Office = { desk: LoginDesk; door: McpDoor }

function office(server: OAuthMcpServer, more: Record<string, unknown> = {}): Office {
  const servers = { it: McpServer.parse({ url: server.http.url, ...more }) }
  const logins = new Logins(dir, () => now)
  const remote = new RemoteServers({ servers, logins, door: createDoor((row) => {
    rows.push(row)
    return Promise.resolve()
  }), ...outwardParts() })
  return { desk: new LoginDesk({ servers, folderServers: new FolderServerStore(dir), logins, remote }), door: remote.forJob(asking(), dir, {}) }
}

/** One login; `agree` does what the person and the browser do. */
async function login({ desk }: Office, agree: (opened: Extract<McpLoginEvent, { type: 'open' }>) => unknown = () => undefined, folder: string | null = null): Promise<McpLoginEvent> {
  for await (const [event] of (await desk.login('it', folder))(new AbortController().signal)) {
    if (event?.type === 'open') await agree(event)
    else if (event !== undefined) return event
  }
  throw new Error('the login ended without saying how')
}

const byBrowser = (server: OAuthMcpServer) => async ({ page }: { page: string }): Promise<void> => {
  const answer = await fetch(server.agree(page))
  assert.equal(await answer.text(), 'You are logged in. This page can be closed.\n')
}
const failed = (event: McpLoginEvent): string => (event.type === 'failed' ? event.fault.message : `it ${event.type}`)
const ask = (door: McpDoor): Promise<Response> => door.send('it', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"jsonrpc":"2.0","id":1,"method":"tools/list"}', signal: AbortSignal.timeout(5000) })
const state = async ({ desk }: Office): Promise<string | undefined> => (await desk.list())[0]?.login

describe('a login', () => {
  it('registers, agrees, proves its code, and is for this resource; what went out is in the rows', async () => {
    const server = await serverOf()
    const here = office(server)
    assert.equal(await state(here), 'none')
    let page = ''
    const end = await login(here, async (opened) => {
      page = opened.page
      await byBrowser(server)(opened)
    })
    assert.deepEqual(end, { type: 'done', server: { name: 'it', command: [], env: [], url: server.http.url, login: 'logged_in' } })
    const asked = new URL(page).searchParams
    assert.deepEqual([asked.get('client_id'), asked.get('code_challenge_method'), asked.get('resource'), asked.get('scope')], ['registered', 'S256', server.http.url, 'tools:use'])
    assert.ok((asked.get('state') ?? '').length >= 43)
    assert.equal(server.exchanges[0]?.get('resource'), server.http.url)
    assert.deepEqual(new Set(rows.map(({ purpose, jobId }) => `${purpose} ${jobId}`)), new Set(['mcp null']))
    // The browser of this test talks to the callback only.
    assert.equal(rows.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0), server.http.bytes)
    assert.equal((await stat(join(dir, 'mcp-logins.json'))).mode & 0o777, 0o600)
    assert.equal((await ask(here.door)).status, 200)
  })

  it('can be finished by hand, and what does not belong to it ends nothing', async () => {
    const server = await serverOf()
    const here = office(server)
    const end = await login(here, async ({ id, page, port }) => {
      const right = server.agree(page)
      const wrong = new URL(right)
      wrong.searchParams.set('state', 'x'.repeat(43))
      await assert.rejects(here.desk.bring(id, wrong.href), (error) => error instanceof FaultError && error.fault.message === 'That does not belong to this login.')
      await assert.rejects(here.desk.bring(id, 'the-code'), /it is no address/)
      await assert.rejects(here.desk.bring('other', right.href), /login under way of this id/)
      assert.equal((await fetch(wrong)).status, 400)
      assert.equal((await fetch(`http://localhost:${port}/callback${right.search}`)).status, 400)
      assert.equal((await fetch(`http://127.0.0.1:${port}/other`)).status, 404)
      await here.desk.bring(id, ` ${right.href}\n`)
    })
    assert.equal(end.type, 'done')
    assert.equal(server.exchanges.length, 1)
  })

  it('with an id of the owner registers nothing', async () => {
    const server = await serverOf({ metadata: ({ registration_endpoint: _none, ...said }) => said })
    const secret = join(dir, 'client-secret')
    await writeFile(secret, 'the client secret', { mode: 0o600 })
    const end = await login(office(server, { oauth: { clientId: 'mine', clientSecretFile: secret, scope: 'more' } }), async (opened) => {
      assert.deepEqual(['client_id', 'scope'].map((name) => new URL(opened.page).searchParams.get(name)), ['mine', 'more'])
      await byBrowser(server)(opened)
    })
    assert.equal(end.type, 'done')
    assert.equal(server.http.asked.some(({ path }) => path === '/register'), false)
  })

  it('is forgotten on request', async () => {
    const server = await serverOf()
    const here = office(server)
    await login(here, byBrowser(server))
    assert.equal(await here.desk.logout('it', null), true)
    assert.equal(await here.desk.logout('it', null), false)
    assert.equal(await state(here), 'none')
    await assert.rejects(ask(here.door), /^Error: it wants a login: run 'hearth mcp login it'$/)
    assert.doesNotMatch(await readFile(join(dir, 'mcp-logins.json'), 'utf8'), /token/)
  })

  it('of one address does not serve another one, nor a folder that names the same', async () => {
    const server = await serverOf()
    await login(office(server), byBrowser(server))
    const other = await serverOf()
    assert.equal(await state(office(other)), 'none')
    const folder = join(dir, 'folder')
    const remote = new RemoteServers({ servers: {}, logins: new Logins(dir), door: { request: (_url, { headers }) => Promise.resolve(new Response(null, { status: headers?.['authorization'] === undefined ? 204 : 500 })) }, ...outwardParts() })
    assert.equal((await ask(remote.forJob(asking(), folder, { it: McpServer.parse({ url: server.http.url }) }))).status, 204)
  })
})

describe('a token that runs out', () => {
  it('is kept when its login server has trouble, and nothing of that answer is said again; one that is refused is over', async () => {
    const login = { token: 't', expiresAt: 0, renewal: { server: 'https://as.example', client: { client_id: 'c', client_secret: 'very-secret' }, resource: 'https://x.example/mcp', refreshToken: 'very-secret' } }
    const renewed = (status: number, body: string): Promise<unknown> => renewLogin(login, () => Promise.resolve(new Response(body, { status })), Date.now)
    for (const [status, body, said] of [
      [429, '{"error":"rate_limited","error_description":"very-secret"}', 'rate_limited'], [503, '<p>you sent very-secret</p>', 'HTTP 503'], [502, '{"error":"very secret"}', 'without a reason'], [500, '{"error":"server_error"}', 'server_error'],
    ] as const) await assert.rejects(renewed(status, body), new Error(`its login server gives no token (${said})`), `${status}`)
    await assert.rejects(renewed(200, '{}'), new Error('its login server gives no token'))
    for (const code of ['invalid_grant', 'invalid_client', 'unauthorized_client']) assert.equal(await renewed(400, JSON.stringify({ error: code })), null)
  })


  it('is renewed before it is used, once for all who ask', async () => {
    const server = await serverOf()
    const here = office(server)
    await login(here, byBrowser(server))
    const [first] = server.valid
    server.valid.clear()
    now += 3600_000
    const got = await Promise.all([1, 2, 3, 4].map(() => ask(here.door)))
    assert.deepEqual(got.map(({ status }) => status), [200, 200, 200, 200])
    assert.deepEqual(server.exchanges.map((asked) => [asked.get('grant_type'), asked.get('resource')]), [['authorization_code', server.http.url], ['refresh_token', server.http.url]])
    assert.equal(server.http.asked.some(({ headers }) => headers.authorization === `Bearer ${first}`), false)
  })

  it('before it should is renewed when it was refused', async () => {
    const server = await serverOf()
    const here = office(server)
    await login(here, byBrowser(server))
    server.valid.clear()
    assert.equal((await ask(here.door)).status, 200)
    assert.equal(server.exchanges.length, 2)
  })

  it('and cannot be renewed is over, which is told; the login server is not asked again', async () => {
    const server = await serverOf({ refuseRenewal: true })
    const here = office(server)
    await login(here, byBrowser(server))
    server.valid.clear()
    for (let time = 0; time < 3; time++) await assert.rejects(ask(here.door), /^Error: its login is over: run 'hearth mcp login it'$/)
    assert.equal(await state(here), 'expired')
    assert.equal(server.exchanges.length, 2)
  })

  it('is refused for ever is asked for twice and no more', async () => {
    const server = await serverOf()
    const here = office(server)
    await login(here, byBrowser(server))
    server.valid.clear()
    server.valid.add = () => server.valid
    const before = server.http.asked.length
    await assert.rejects(ask(here.door), /^Error: it does not take its login, though that is fresh: run 'hearth mcp login it' again$/)
    assert.equal(server.http.asked.length - before, 3)
  })
})

describe('a login server that', () => {
  const cases: [string, Turns, RegExp][] = [
    ['wants the code over http from another host', { metadata: (said) => ({ ...said, registration_endpoint: 'http://elsewhere.example/register' }) }, /a login goes over https only, and elsewhere\.example is not asked so\.$/],
    ['is in this network, though nobody named it', { resource: () => ({ authorization_servers: ['https://10.0.0.1'] }) }, /10\.0\.0\.1 is an address of a private network, and the configuration names no server there\.$/],
    ['says it is another one', { metadata: (said) => ({ ...said, issuer: 'https://other.example' }) }, /Issuer mismatch/],
    ['is for another resource', { resource: () => ({ resource: 'https://other.example/mcp' }) }, /does not match expected/],
    ['has a page of another kind', { metadata: (said) => ({ ...said, authorization_endpoint: 'http://elsewhere.example/page' }) }, /the page to log in on is not https\.$/],
    ['registers nobody', { metadata: ({ registration_endpoint: _none, ...said }) => said }, /does not support dynamic client registration\.$/],
    ['says too much', { metadata: (said) => ({ ...said, more: 'x'.repeat(10e6) }) }, /an answer about a login has more than 1 MiB\.$/],
    ['is not one', { metadata: () => ({ hello: 1 }) }, /^Logging in at the MCP server 'it' failed: /],
  ]
  for (const [name, turns, expected] of cases) {
    it(name, async () => {
      const server = await serverOf(turns)
      const here = office(server)
      assert.match(failed(await login(here, () => assert.fail('nobody should be asked to agree'))), expected)
      assert.equal(await state(here), 'none')
      assert.equal(server.exchanges.length, 0)
    })
  }

  it('sends the browser back with a refusal, or in the name of another', async () => {
    const server = await serverOf()
    for (const [change, expected] of [
      [{ error: 'access_denied' }, /the login was refused \(access_denied\)/], [{ error: 'Visit evil.example' }, /the login was refused \(without a reason\)/], [{ iss: 'https://other.example', code: 'the-code' }, /Issuer mismatch/],
    ] as const) {
      const end = await login(office(server), async ({ page }) => {
        const back = server.agree(page)
        back.searchParams.delete('code')
        for (const [key, value] of Object.entries(change)) back.searchParams.set(key, value)
        assert.equal((await fetch(back)).status, 400)
      })
      assert.match(failed(end), expected)
    }
    assert.equal(server.exchanges.length, 0)
  })
})

it('a server that lets everybody in needs no login, one whose token is in a file has none, and a program neither', async () => {
  const server = await serverOf()
  server.http.asked.length = 0
  const free = office(server)
  server.valid.add('')
  const token = join(dir, 'token')
  await assert.rejects(login(office(server, { tokenFile: token })), /The token for 'it' is in its tokenFile/)
  const desk = new LoginDesk({ servers: { it: McpServer.parse({ command: ['x'] }) }, folderServers: new FolderServerStore(dir), logins: new Logins(dir), remote: new RemoteServers({ servers: {}, logins: new Logins(dir), door: createDoor(() => Promise.resolve()), ...outwardParts() }) })
  await assert.rejects(login({ ...free, desk }), /'it' is a program in the sandbox/)
  assert.match(failed(await login(free)), /'it' lets everybody in; it needs no login\./)
})

it('a configuration that would send a secret in the clear, or misspells a key, is refused by the name of the key', async () => {
  const path = join(dir, 'config.json')
  for (const [server, where, problem] of [
    [{ url: 'http://far.example/mcp', tokenFile: '/x' }, 'url', 'a secret is only sent over https, or to this box itself'], [{ url: 'https://far.example/mcp', tokenfile: '/x' }, 'tokenfile', 'there is no such key'],
    [{ url: 'https://me@far.example/mcp' }, 'url', 'no user and no fragment belongs here'], [{ url: 'https://far.example/mcp', headerFiles: { host: '/x' } }, 'headerFiles', 'one of these headers is set by the daemon itself, or has no usable name'],
  ] as const) {
    await writeFile(path, JSON.stringify({ agent: { mcpServers: { it: server } } }))
    await assert.rejects(readConfig(path), (error) => error instanceof FaultError && error.fault.message === `The configuration ${path} is not valid at agent.mcpServers.it.${where}: ${problem}.`)
  }
})
