// A daemon that asks no provider never loads a provider's client: its start and its memory stay what they are.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'

const root = new URL('../../', import.meta.url)
const program = `
import { registerHooks } from 'node:module'
const loaded = []
registerHooks({ load: (url, context, next) => { loaded.push(url); return next(url, context) } })
const clients = () => ['openai', '@anthropic-ai/sdk'].map((name) => loaded.some((url) => url.includes('/node_modules/' + name + '/')))
await import(${JSON.stringify(new URL('packages/daemon/src/serve.ts', root).href)})
const { createRemoteModel } = await import(${JSON.stringify(new URL('packages/engine/src/index.ts', root).href)})
const { ModelRequest, ProviderConfig, RemoteModelConfig } = await import(${JSON.stringify(new URL('packages/protocol/src/index.ts', root).href)})
const model = (kind) => createRemoteModel({
  provider: ProviderConfig.parse({ id: 'far', kind, url: 'http://127.0.0.1:9', keyFile: process.argv[1] }), model: RemoteModelConfig.parse({ id: 'b', model: 'b', contextTokens: 1000, maxOutputTokens: 100 }),
  send: () => Promise.reject(new Error('nobody')), log: () => undefined,
})
const report = [[loaded.length > 50, ...clients()]]
const made = [model('compatible'), model('anthropic')]
report.push(clients())
for (const one of made) {
  for await (const event of one.generate(ModelRequest.parse({ messages: [{ role: 'user', text: 'x' }] }), new AbortController().signal)) void event
  report.push(clients())
}
console.log(JSON.stringify(report))
process.exit(0)
`

test('the official clients are loaded by the first call of their kind and not before', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'lazy-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  writeFileSync(join(folder, 'key'), 'k', { mode: 0o600 })
  const { stdout } = await promisify(execFile)(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program, join(folder, 'key')])
  assert.deepEqual(JSON.parse(stdout), [
    [true, false, false],
    [false, false],
    [true, false],
    [true, true],
  ])
})
