// Logging in at an MCP server as a person does it, against the official example with its own login server: by the browser, by pasting, out again.
import assert from 'node:assert/strict'
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { JobEvent } from '@hearth/protocol'
import { Box, root } from './box.ts'

describe('a login at the official example server', () => {
  let box: Box
  let example: ChildProcess
  let script: string
  before(async () => {
    const [port, loginPort] = await freePorts()
    // Strict: it takes only tokens that were asked for this very resource.
    example = spawn(process.execPath, [join(root, 'node_modules/@modelcontextprotocol/sdk/dist/esm/examples/server/simpleStreamableHttp.js'), '--oauth', '--oauth-strict'], {
      env: { MCP_PORT: String(port), MCP_AUTH_PORT: String(loginPort) }, stdio: ['ignore', 'pipe', 'inherit'],
    })
    await said(example, /MCP Streamable HTTP Server listening/)
    box = new Box({ sandbox: { limits: 'weak' }, agent: { mcpServers: { demo: { url: `http://localhost:${port}/mcp` } } } })
    await box.up()
    script = box.script({ contextTokens: 32_768, turns: [{ calls: [{ name: 'mcp', arguments: { name: 'demo__greet', arguments: { name: 'Ada' } } }] }, { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }] })
  })
  after(async () => {
    example.kill('SIGKILL')
    await box.close()
  })

  const job = async (): Promise<JobEvent[]> => (await box.job(['--model', script, '--cwd', box.folder(), 'Greet Ada.'])).events
  const greeting = (events: readonly JobEvent[]): string => events.flatMap((event) => (event.type === 'tool_result' ? [event.observation] : []))[0] ?? 'none'
  const shown = async (): Promise<string> => (await box.hearth(['mcp', 'show'])).stdout
  const begin = (): { child: ChildProcess; page: Promise<string>; over: Promise<{ code: number | null; stdout: string; stderr: string }> } => {
    const child = spawn(join(root, 'node_modules/.bin/hearth'), ['mcp', 'login', 'demo'], { cwd: box.home, env: box.env, stdio: ['pipe', 'pipe', 'pipe'] })
    const text = { stdout: '', stderr: '' }
    for (const stream of ['stdout', 'stderr'] as const) child[stream]?.setEncoding('utf8').on('data', (piece: string) => { text[stream] += piece })
    return { child, page: said(child, /\n {2}(http\S+)\n/), over: once(child, 'close').then(([code]) => ({ code: code as number | null, ...text })) }
  }

  it('is asked for, done by the browser, kept over a restart, and used', async () => {
    assert.match(await shown(), /^of the configuration\n {2}demo {2}at localhost:\d+ \(http:\/\/localhost:\d+\/mcp\) {2}not logged in\n$/)
    const refused = await job()
    assert.deepEqual(refused.flatMap((event) => (event.type === 'opened' ? event.servers.map(({ problem }) => problem) : [])), ["it wants a login: run 'hearth mcp login demo'"])

    const { page, over } = begin()
    // The example agrees for the person and sends the browser back at once.
    assert.equal(await (await fetch(await page)).text(), 'You are logged in. This page can be closed.\n')
    const { code, stdout } = await over
    assert.equal(code, 0)
    assert.match(stdout, /^Open this page in a browser and agree there:\n[\s\S]*\nlogged in at demo \(http:\/\/localhost:\d+\/mcp\)\n$/)
    await box.hearth(['down'])
    await box.up()
    assert.match(await shown(), / {2}logged in\n$/)
    const events = await job()
    assert.equal(greeting(events), 'Hello, Ada!')

    const state = join(box.env['HEARTH_HOME'] ?? '', 'state')
    const { token } = (JSON.parse(readFileSync(join(state, 'mcp-logins.json'), 'utf8')) as { logins: { login: { token: string } }[] }).logins[0]?.login ?? { token: '' }
    assert.ok(token.length > 20)
    const holders = readdirSync(state, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile() && readFileSync(join(entry.parentPath, entry.name)).includes(token)).map(({ name }) => name)
    assert.deepEqual(holders, ['mcp-logins.json'])
  })

  it('is forgotten, and done again by pasting where the browser ended', async () => {
    assert.equal((await box.hearth(['mcp', 'logout', 'demo'])).stdout, 'logged out of demo\n')
    assert.match(await shown(), / {2}not logged in\n$/)
    const { child, page, over } = begin()
    const back = (await fetch(await page, { redirect: 'manual' })).headers.get('location') ?? ''
    child.stdin?.write('http://127.0.0.1/callback?code=x&state=y\n')
    await said(child, /That does not belong to this login\./)
    child.stdin?.end(`${back}\n`)
    assert.equal((await over).code, 0)
    assert.equal(greeting(await job()), 'Hello, Ada!')
  })

  it('at a server that nobody knows, or that is given up, says so', async () => {
    const unknown = await box.hearth(['mcp', 'login', 'other'], { input: '' })
    assert.deepEqual([unknown.code, unknown.stderr.split('\n')[0]], [65, "hearth: There is no MCP server 'other' in the configuration (agent.mcpServers)."])
    const { child, page, over } = begin()
    await page
    child.kill('SIGINT')
    assert.equal((await over).code, 130)
  })
})

/** What the first group of the expression finds in what a child says, or all of it. */
function said(child: ChildProcess, words: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const hear = (part: Buffer | string): void => {
      text += part.toString()
      const found = words.exec(text)
      if (found !== null) resolve(found[1] ?? found[0])
    }
    child.stdout?.on('data', hear)
    child.stderr?.on('data', hear)
    child.once('exit', (code) => reject(new Error(`it ended with ${code} and never said ${words}: ${text}`)))
  })
}

async function freePorts(): Promise<[number, number]> {
  const servers = [createServer().listen(0), createServer().listen(0)]
  await Promise.all(servers.map((server) => once(server, 'listening')))
  const [one, other] = servers.map((server) => (server.address() as AddressInfo).port)
  for (const server of servers) server.close()
  return [one ?? 0, other ?? 0]
}
