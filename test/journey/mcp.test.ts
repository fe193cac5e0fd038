// A folder's own MCP servers as its owner sees them: told, shown, approved by their very bytes, used, and not used again when the file changes.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { JobEvent } from '@hearth/protocol'
import { Box } from './box.ts'

/** A server in a shell: answers what it is asked first, then each call with its own words. */
const server = `
while read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\\([0-9]*\\).*/\\1/p')
  case $line in
    *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}}\\n' "$id" ;;
    *'"tools/list"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"hello","description":"Greets.","inputSchema":{"type":"object"}}]}}\\n' "$id" ;;
    *'"tools/call"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"hello from the folder"}]}}\\n' "$id" ;;
  esac
done`

describe('the MCP servers of a folder', () => {
  let box: Box
  let folder: string
  let script: string
  before(async () => {
    box = new Box({ sandbox: { limits: 'weak' } })
    await box.up()
    folder = join(box.home, 'work')
    mkdirSync(folder)
    writeFileSync(join(folder, 'server.sh'), server)
    write({ greeter: { command: 'sh', args: ['/work/server.sh'], env: { LANG: 'C' } }, far: { url: 'http://127.0.0.1:9/mcp?key=x' } })
    script = join(box.home, 'script.json')
    writeFileSync(script, JSON.stringify({ version: 1, contextTokens: 32_768, turns: [{ calls: [{ name: 'mcp', arguments: { name: 'greeter__hello', arguments: {} } }] }, { calls: [{ name: 'finish', arguments: { answer: 'done' } }] }] }))
  })
  after(() => box.close())
  const write = (mcpServers: Record<string, unknown>): void => writeFileSync(join(folder, '.mcp.json'), JSON.stringify({ mcpServers }))
  const events = async (): Promise<JobEvent[]> => {
    const ran = await box.hearth(['run', '--json', '--model', `scripted:${script}`, '--cwd', folder, 'Greet.'])
    return ran.stdout.trim().split('\n').map((line) => JSON.parse(line) as JobEvent)
  }
  const called = (all: readonly JobEvent[]): string => all.flatMap((event) => (event.type === 'tool_result' ? [event.observation] : []))[0] ?? ''
  const told = (all: readonly JobEvent[]): { name: string; problem: string | null }[] => all.flatMap((event) => (event.type === 'opened' ? event.servers.map(({ name, problem }) => ({ name, problem })) : []))

  it('are not started before somebody approved them; the job says so', async () => {
    const all = await events()
    assert.deepEqual(told(all), [{ name: '.mcp.json', problem: "not approved; look at it with 'hearth mcp show'" }])
    assert.match(called(all), /^there is no tool mcp/)
  })

  it('are shown with what hides in a control sequence', async () => {
    const honest = readFileSync(join(folder, '.mcp.json'))
    write({ quiet: { command: 'sh', args: ['-c', 'ls\u001b[;. ./x'] } })
    assert.match((await box.hearth(['mcp', 'show', folder])).stdout, / quiet {2}sh -c ls␛\[;\. \.\/x\n$/)
    writeFileSync(join(folder, '.mcp.json'), honest)
  })

  it('are shown with what they start, approved by their sha256, and then serve', async () => {
    const shown = await box.hearth(['mcp', 'show', folder])
    assert.match(shown.stdout, /\.mcp\.json {2}sha256 [0-9a-f]{12} {2}not approved\n {2}greeter {2}sh \/work\/server\.sh {2}sets LANG\n {2}far {2}at 127\.0\.0\.1:9 \(http:\/\/127\.0\.0\.1:9\/mcp\)\n$/)
    const sha256 = /sha256 ([0-9a-f]{12})/.exec(shown.stdout)?.[1] ?? ''
    assert.match((await box.hearth(['mcp', 'approve', folder])).stdout, new RegExp(`Nothing was approved\\. If this is what you want: hearth mcp approve --sha256 ${sha256}\n$`))
    assert.equal((await box.hearth(['mcp', 'approve', folder, '--sha256', '000000000000'])).code, 65)
    assert.match((await box.hearth(['mcp', 'approve', folder, '--sha256', sha256])).stdout, /approved by socket:/)
    const all = await events()
    assert.equal(called(all), 'hello from the folder')
    assert.deepEqual(told(all), [
      { name: 'greeter', problem: null }, { name: 'far', problem: '127.0.0.1 is a loopback address, and the configuration names no server there' },
    ])
  })

  it('have to be approved again when a byte changes, also over a restart', async () => {
    await box.hearth(['down'])
    await box.up()
    assert.equal(called(await events()), 'hello from the folder')
    write({ greeter: { command: 'sh', args: ['/work/server.sh', 'more'] } })
    assert.match(called(await events()), /^there is no tool mcp/)
  })

  it('are gone when they are revoked', async () => {
    const sha256 = /sha256 ([0-9a-f]{12})/.exec((await box.hearth(['mcp', 'show', folder])).stdout)?.[1] ?? ''
    await box.hearth(['mcp', 'approve', folder, '--sha256', sha256])
    assert.equal(called(await events()), 'hello from the folder')
    await box.hearth(['mcp', 'revoke', folder])
    assert.match(called(await events()), /^there is no tool mcp/)
  })

  it('a link, a flood and no JSON are refused in words, and jobs run without them', async () => {
    const path = join(folder, '.mcp.json')
    const cases: [() => void, RegExp][] = [
      [() => symlinkSync('/etc/hostname', path), /it is a link/], [() => writeFileSync(path, 'x'.repeat(70_000)), /larger than 64 KiB/], [() => mkdirSync(path), /not a regular file/],
    ]
    for (const [make, said] of cases) {
      rmSync(path, { recursive: true, force: true })
      make()
      const shown = await box.hearth(['mcp', 'show', folder])
      assert.match(shown.stderr, said)
      assert.equal(shown.code, 65)
      assert.match(told(await events())[0]?.problem ?? '', said)
    }
    rmSync(path, { recursive: true, force: true })
    assert.equal((await box.hearth(['mcp', 'show', folder])).code, 65)
    assert.deepEqual(told(await events()), [])
  })
})
