// The whole way of a model: the real command, the real daemon, a hub on this machine, another program's folder.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ModelList } from '@hearth/protocol'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'
import { HubServer } from '../fixtures/hub-server.ts'
import { root } from '../fixtures/starter.ts'

const repo = 'some-org/Tiny-GGUF'
const gguf = (name: string): Buffer => Buffer.concat([writeGguf(smallGguf({ name })), randomBytes(50_000)])
let home = ''
let hub: HubServer

before(async () => {
  home = await mkdtemp(join(tmpdir(), 'hearth-models-'))
  hub = await new HubServer(repo, { 'Tiny-Q8_0.gguf': gguf('Tiny') }).start()
  await writeFile(join(home, 'config.json'), JSON.stringify({ models: { hubUrl: hub.url }, http: { port: null }, storage: { refuseBelowBytes: 0 } }))
  await mkdir(join(home, 'models.d'))
  await writeFile(join(home, 'models.d/mine.json'), JSON.stringify({ version: 1, models: [{ id: 'gpt-oss-20b', summary: 'My own words.' }] }))
})
after(async () => {
  await hearth('down')
  await hub.close()
  await rm(home, { recursive: true })
})

function hearth(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    const child = execFile(join(root, 'node_modules/.bin/hearth'), args, { env: { PATH: process.env['PATH'] ?? '', HOME: home, HEARTH_HOME: home }, cwd: home }, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode ?? -1, stdout, stderr })
    })
  })
}

test('pull from the hub, list, take over a folder, prune', async () => {
  const pulled = await hearth('models', 'pull', `hf:${repo}:Q8_0`)
  assert.deepEqual([pulled.code, pulled.stdout], [0, `tiny-q8_0 is installed: ${join(home, 'models/tiny-q8_0/Tiny-Q8_0.gguf')}\n`], pulled.stderr)
  const none = await hearth('models', 'pull', `hf:${repo}:Q4_K_M`)
  assert.deepEqual([none.code, none.stderr.split('\n')[0]], [65, `hearth: The request is not valid at hf:${repo}: it has no Q4_K_M file, only Tiny-Q8_0.`])

  const list = JSON.parse((await hearth('models', 'ls', '--json')).stdout) as ModelList
  assert.equal(list.models.find((model) => model.id === 'gpt-oss-20b')?.summary, 'My own words.')
  const tiny = list.models.find((model) => model.id === 'tiny-q8_0')
  assert.equal(tiny?.summary, `Fetched from hf:${repo}@${hub.commit}: llama with 0.00 billion parameters; its template has no tools that Hearth reads.`)
  assert.ok(list.models.some((model) => model.fit !== undefined), 'this box knows its memory')

  const folder = join(home, 'lmstudio')
  await mkdir(join(folder, 'pub/repo'), { recursive: true })
  await writeFile(join(folder, 'pub/repo/other-Q4_0.gguf'), gguf('Other'))
  const dry = await hearth('models', 'import', 'lmstudio', '--dry-run')
  assert.match(dry.stdout, /pub\/repo\/other-Q4_0\.gguf +can be imported/)
  const taken = await hearth('models', 'import', 'lmstudio')
  assert.match(taken.stdout, /pub\/repo\/other-Q4_0\.gguf +imported +[\d.]+ KiB +as other-q4_0/)
  assert.equal((await hearth('models', 'import', 'lmstudio', '--id', 'x')).code, 64)

  assert.equal((await hearth('models', 'prune')).stdout, 'Nothing lies here for nothing.\n')
  await mkdir(join(home, 'models/.downloads/half'), { recursive: true })
  await writeFile(join(home, 'models/.downloads/half/x.part'), randomBytes(40_960))
  assert.match((await hearth('models', 'prune')).stdout, /unfinished +half +40\.0 KiB +[^\n]*\n40\.0 KiB can be freed; run it with --apply\n$/)
  assert.match((await hearth('models', 'prune', '--apply')).stdout, /40\.0 KiB were freed\n$/)
  assert.equal((await hearth('models', 'rm', 'tiny-q8_0')).code, 0)
})
