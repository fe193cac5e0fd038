// Builds are found by the engine itself: a llama-server without a path runs from the newest one, in the real sandbox; without one the remedy names the command.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Config, type BuildManifest } from '@hearth/protocol'
import { BuildStore, Engine } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { ask } from '../contract/model-contract.ts'
import { nodeBinary, root, starter } from '../fixtures/starter.ts'

const node = realpathSync(nodeBinary)
const request = { messages: [{ role: 'user' as const, text: 'Say something.' }], maxTokens: 4, sampling: { temperature: 0 } }

function boxOf(t: TestContext): { cacheDir: string; make(name: string, builtAt: number, more?: Partial<BuildManifest>): void; engine(): Engine } {
  const cacheDir = mkdtempSync(join(tmpdir(), 'hearth-serving-'))
  t.after(() => rmSync(cacheDir, { recursive: true, force: true }))
  return {
    cacheDir,
    make(name, builtAt, more = {}) {
      const bin = join(cacheDir, 'builds', name, 'bin')
      mkdirSync(bin, { recursive: true })
      writeFileSync(join(bin, 'llama-server'), `#!/bin/sh\nexec '${node}' --disable-warning=ExperimentalWarning '${join(root, 'test/fixtures/fake-llama-server.ts')}' good "$@"\n`)
      chmodSync(join(bin, 'llama-server'), 0o755)
      const manifest: BuildManifest = {
        version: 1, name, backend: 'cpu', targets: ['server'], release: 'v0.5.0', commit: 'c', library: '0', flags: [], compiler: 'c', builtAt, buildMs: 1, readOnlyPaths: [], bytes: 1,
        files: [{ path: 'bin/llama-server', bytes: 1, sha256: '0'.repeat(64) }], ...more,
      }
      writeFileSync(join(cacheDir, 'builds', name, 'manifest.json'), JSON.stringify(manifest))
    },
    engine() {
      const readOnlyPaths = [dirname(node), join(root, 'test/fixtures'), join(root, 'package.json')]
      const engine = new Engine({
        config: Config.parse({ engine: { contextTokens: 1024, threads: 1, backend: 'cpu', goldenCheck: 'off', adapters: { llamaServer: { models: ['starter'], readOnlyPaths } } } }).engine,
        confine: createConfine(), node: nodeBinary, root, cacheDir, log: () => undefined,
      })
      t.after(() => engine.close())
      return engine
    },
  }
}

test('the newest build serves without a path, from the next load on; one that runs is not removed', async (t) => {
  const { cacheDir, make, engine: start } = boxOf(t)
  make('cpu-old', 1)
  make('cpu-new', 2)
  // A folder whose manifest is of another format is none.
  make('cpu-newest', 3, { version: 2 as never })
  const engine = start()
  const answer = await ask(engine.model(starter()), request)
  assert.equal(answer.text, ' word'.repeat(4), JSON.stringify(answer.end))
  assert.deepEqual(engine.workers().map(({ backend, build }) => ({ backend, build })), [{ backend: 'llama-server cpu', build: 'cpu-new' }])
  const store = new BuildStore({ cacheDir, root, confine: createConfine(), node: nodeBinary, env: {}, workers: () => engine.workers() })
  assert.deepEqual(store.list().builds.map((one) => [one.name, one.usedBy]), [['cpu-new', ['starter']], ['cpu-old', []]])
  await assert.rejects(store.remove('cpu-new'), { message: "The build 'cpu-new' is in use by the engine of 'starter'." })
  await engine.close()
  await store.remove('cpu-new')
  const again = start()
  await ask(again.model(starter()), request)
  assert.equal(again.workers()[0]?.build, 'cpu-old')
})

test('a build that comes while the daemon runs is taken by the next load', async (t) => {
  const { make, engine: start } = boxOf(t)
  const engine = start()
  const model = engine.model(starter())
  const refused = (await ask(model, request)).end
  assert.ok(refused.type === 'failed')
  assert.deepEqual([refused.fault.code, refused.fault.message, refused.fault.remedy], [
    'engine_unavailable', "No engine can serve this: engine.adapters.llamaServer serves 'starter', but engine.adapters.llamaServer.path names no program and none was built here for cpu.",
    "Run 'hearth engine build --backend cpu --target server', or name your own program.",
  ])
  make('cpu-v1', 1)
  const answer = await ask(model, request)
  assert.equal(answer.text, ' word'.repeat(4), JSON.stringify(answer.end))
  assert.equal(engine.workers()[0]?.build, 'cpu-v1')
})
