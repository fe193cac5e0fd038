// A llama-server that misbehaves, in the real sandbox under the real supervisor: each way is a fault with a name, and others are undisturbed.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Config, type Fault } from '@hearth/protocol'
import { Engine } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { Supervisor } from '../../packages/engine/src/local/supervisor.ts'
import { Probes } from '../../packages/engine/src/server/child.ts'
import { llamaServerLauncher } from '../../packages/engine/src/server/llama-server.ts'
import { ask, type Answer } from '../contract/model-contract.ts'
import { nodeBinary, root, starter, starterPath } from '../fixtures/starter.ts'

/** The fake as a program of its own, and what it must see of this machine. */
function fake(t: TestContext, way: string): { path: string; readOnlyPaths: string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'fake-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'llama-server')
  const node = realpathSync(nodeBinary)
  writeFileSync(path, `#!/bin/sh\nexec '${node}' --disable-warning=ExperimentalWarning '${join(root, 'test/fixtures/fake-llama-server.ts')}' ${way} "$@"\n`)
  chmodSync(path, 0o755)
  return { path, readOnlyPaths: [dirname(node), join(root, 'test/fixtures'), join(root, 'package.json')] }
}

function engineOf(t: TestContext, way: string, more: Record<string, unknown> = {}): { engine: Engine; log: string[]; path: string } {
  const { path, readOnlyPaths } = fake(t, way)
  const log: string[] = []
  const engine = new Engine({
    config: Config.parse({ engine: { contextTokens: 1024, threads: 1, backend: 'cpu', goldenCheck: 'off', adapters: { llamaServer: { path, models: ['starter'], readOnlyPaths, ...more } } } }).engine,
    confine: createConfine(), node: nodeBinary, root, log: (line) => log.push(line),
  })
  t.after(() => engine.close())
  return { engine, log, path }
}

const request = { messages: [{ role: 'user' as const, text: 'Say something.' }], maxTokens: 24, sampling: { temperature: 0 } }

function failure(answer: Answer): Fault {
  assert.equal(answer.end.type, 'failed', JSON.stringify(answer.end))
  return answer.end.type === 'failed' ? answer.end.fault : assert.fail()
}

test('a good one answers, is told in the status, and is gone at the end', async (t) => {
  const { engine } = engineOf(t, 'good')
  const answer = await ask(engine.model(starter()), request)
  assert.equal(answer.text, ' word'.repeat(24))
  assert.deepEqual(answer.end.usage.completionTokens, 24)
  const status = engine.workers()[0]
  assert.equal(status?.backend, 'llama-server cpu')
  assert.equal(status?.state, 'ready')
  await engine.close()
  assert.throws(() => process.kill(status?.pid ?? 0, 0), /ESRCH/)
})

for (const [way, code, message] of [
  ['garbage', 'load_failed', "The model 'starter' could not be loaded: its first token did not come (it sent 'NaN NaN', which is no JSON)."],
  ['silent', 'load_failed', "The model 'starter' could not be loaded: its first token did not come (it answered with status 200 and not one token)."],
  ['no-json', 'load_failed', "The model 'starter' could not be loaded: it answers /props with '<html>', which is no JSON."],
  ['wrong-slots', 'load_failed', "The model 'starter' could not be loaded: it has 1 slots where 4 were asked for."],
  ['garbage-late', 'engine_garbled', "The llama-server that serves 'starter' gave a senseless answer: it sent 'NaN NaN', which is no JSON."],
  ['silent-late', 'engine_garbled', "The llama-server that serves 'starter' gave a senseless answer: it answered with status 200 and not one token."],
  ['lies', 'engine_garbled', "The llama-server that serves 'starter' gave a senseless answer: it counted 5000 tokens after 0."],
  ['dies-17', 'worker_exited', "The engine worker for 'starter' ended in the middle of its work (signal SIGABRT)."],
] as const) {
  test(`${way}: ${code}`, async (t) => {
    const { engine } = engineOf(t, way)
    const answer = await ask(engine.model(starter()), request)
    const why = failure(answer)
    assert.equal(why.code, code, why.message)
    assert.equal(why.message, message)
    if (way === 'dies-17') {
      assert.equal(answer.text, ' word'.repeat(17))
      assert.equal(answer.end.usage.completionTokens, 17)
    }
  })
}

test('a connection that is cut is told apart from a death', async (t) => {
  const { engine } = engineOf(t, 'cuts-17')
  const why = failure(await ask(engine.model(starter()), request))
  assert.equal(why.code, 'engine_garbled')
  assert.match(why.message, /it closed the connection after 17 tokens|its answer broke off after 17 tokens/)
  assert.equal(engine.workers()[0]?.state, 'ready')
})

test('programs that may not serve are refused by name', async (t) => {
  const ways = [
    ['help-garbage', (path: string) => `The engine ${path} is not used: ${path} is no llama-server: its --help names no --model.`],
    ['no-socket', (path: string) => `The engine ${path} is not used: it cannot listen on a Unix socket, and an engine has no network here.`],
    ['hip-bad', (path: string) => `The engine ${path} is not used: it is a ROCm build (b10246) of the range b10040 to b10899 that returns wrong tokens on this class of GPU.`],
  ] as const
  for (const [way, message] of ways) {
    const { engine, path } = engineOf(t, way)
    const why = failure(await ask(engine.model(starter()), request))
    assert.equal(why.code, 'engine_refused', why.message)
    assert.equal(why.message, message(path))
  }
})

test('what a build lacks is left out with a note', async (t) => {
  const { engine, log } = engineOf(t, 'good', { speculation: 'mtp' })
  assert.equal((await ask(engine.model(starter()), request)).end.type, 'done')
  assert.ok(log.some((line) => line.includes('the model file has none and engine.adapters.llamaServer.draftModel is not set')), log.join('\n'))
})

test('one that guesses ahead is not asked how likely its tokens are', async (t) => {
  for (const [more, expected] of [[{}, 24], [{ speculation: 'ngram' }, 0], [{ args: ['--model-draft', '/d.gguf'] }, 0]] as const) {
    const { engine } = engineOf(t, 'good', more)
    const answer = await ask(engine.model(starter()), { ...request, likelihoods: true })
    assert.equal(answer.text, ' word'.repeat(24))
    const pieces = answer.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))
    assert.deepEqual(pieces, Array.from({ length: expected }, () => ({ text: ' word', probability: 0.25, top: [] })), JSON.stringify(more))
    await engine.close()
  }
})

test('an owner cannot contradict what the daemon says to it', () => {
  const parsed = Config.safeParse({ engine: { adapters: { llamaServer: { args: ['--host', '0.0.0.0'] } } } })
  assert.equal(parsed.success, false)
})

test('one that hangs at its start is killed in time', async (t) => {
  const { path, readOnlyPaths } = fake(t, 'hang')
  const { engine } = Config.parse({ engine: {} })
  const load = { type: 'load' as const, modelPath: starterPath(), backend: 'cpu' as const, contextTokens: 512, sequences: 1, batchTokens: 64, prefillTokens: 64, threads: 1 }
  const supervisor = new Supervisor({
    model: 'starter', load, log: () => undefined, timing: { startMs: 1500, tickMs: 100 },
    launch: llamaServerLauncher({
      model: 'starter', program: path, load, config: engine.adapters.llamaServer, probes: new Probes(),
      confined: { confine: createConfine(), readOnly: [starterPath(), ...readOnlyPaths], gpu: false, env: {} },
    }),
  })
  t.after(() => supervisor.close())
  const answer = await supervisor.ready(new AbortController().signal)
  assert.ok(answer !== 'aborted' && 'fault' in answer)
  assert.equal(answer.fault.message, "The model 'starter' could not be loaded: it did not come up in 2 s.")
})

test('a program that goes away while it is looked at is a problem of the load and of nothing else', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'gone-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const program = join(folder, 'llama-server')
  writeFileSync(program, `#!/bin/sh\necho --model\nrm -rf '${folder}'\n`)
  chmodSync(program, 0o755)
  const found = await new Probes().of(program, { confine: null, readOnly: [], gpu: false, env: {} })
  assert.deepEqual(found, { problem: `${program} could not be looked at (ENOENT: no such file or directory, lstat '${folder}')` })
})
