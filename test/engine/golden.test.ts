// Trust after a load: the real starter, random weights, a llama-server that misbehaves, and workers without a model, under the real supervisor.
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fault, type Config, type WorkerState } from '@hearth/protocol'
import { driverOf } from '../../packages/engine/src/golden/driver.ts'
import { keyOf, Passes, type Pass } from '../../packages/engine/src/golden/passes.ts'
import { Trust, type Choice } from '../../packages/engine/src/golden/trust.ts'
import { launcher } from '../../packages/engine/src/local/process.ts'
import { Supervisor, type ReadyAnswer } from '../../packages/engine/src/local/supervisor.ts'
import type { Generate, Load } from '../../packages/engine/src/local/wire.ts'
import { ask, type Answer } from '../contract/model-contract.ts'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { nodeBinary, root, starter, testEngine } from '../fixtures/starter.ts'

const request = { messages: [{ role: 'user' as const, text: 'Say hello.' }], maxTokens: 4, sampling: { temperature: 0 } }

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'golden-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

/** An engine with the check on. */
function checking(t: TestContext, engine: Partial<Config['engine']> = {}, cacheDir?: string) {
  const log: string[] = []
  const it = testEngine({ engine: { goldenCheck: 'on', sequences: 2, ...engine }, log: (line) => log.push(line), ...(cacheDir === undefined ? {} : { cacheDir }) })
  t.after(() => it.close())
  return { engine: it, log, passed: () => log.filter((line) => line.includes('known texts rightly')).length, starts: () => log.filter((line) => line.includes('-> starting')).length }
}

const faultOf = (answer: Answer): { code: string; message: string } => (answer.end.type === 'failed' ? answer.end.fault : assert.fail(`it answered '${answer.text}'`))

test('the starter passes, and the pass is kept over a restart', async (t) => {
  const cacheDir = folder(t)
  const first = checking(t, {}, cacheDir)
  assert.equal((await ask(first.engine.model(starter()), request)).end.type, 'done')
  assert.equal(first.passed(), 1, first.log.join('\n'))
  assert.match(first.log.find((line) => line.includes('rightly')) ?? '', /^'starter' continues 5 known texts rightly on the built-in engine \(cpu\) \(\d+ ms\)$/)
  const stored = JSON.parse(readFileSync(join(cacheDir, 'golden.json'), 'utf8')) as { passes: Record<string, Pass> }
  const [pass] = Object.values(stored.passes)
  assert.equal(pass?.model, 'starter')
  assert.match(pass.engine, /^node-llama-cpp .*, cpu$/)
  assert.deepEqual(pass.leftOut, [])
  await first.engine.close()

  const again = checking(t, {}, cacheDir)
  assert.equal((await ask(again.engine.model(starter()), request)).end.type, 'done')
  assert.equal(again.passed(), 0, 'it passed before')
})

test('random weights are refused with what came, at once the second time, and served when the owner says so', async (t) => {
  const path = join(folder(t), 'random.gguf')
  await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 7 })
  const { engine, log, starts } = checking(t)
  const model = engine.model(starter('none', path))
  const answer = await ask(model, request)
  assert.equal(answer.text, '', 'not one token of it was served')
  const why = faultOf(answer)
  assert.equal(why.code, 'wrong_tokens')
  assert.match(why.message, /^The model 'starter' gives wrong tokens: on the built-in engine \(cpu\) 4 of 4 known texts went on wrongly \('count' ends in '1, 2, 3, 4, 5, 6,' and went on with .+ where '7, 8' is right; 'copy' ends in /)
  assert.equal(engine.workers()[0]?.state, 'broken')
  assert.equal(engine.workers()[0]?.pid, null)
  assert.equal(engine.workers()[0]?.distrusted, 'the built-in engine (cpu) gave wrong tokens')
  assert.deepEqual(faultOf(await ask(model, request)), why)
  assert.equal(starts(), 1, log.join('\n'))
  engine.reset('starter')
  assert.equal(engine.workers()[0]?.distrusted, undefined)
  assert.equal(faultOf(await ask(model, request)).code, 'wrong_tokens')
  assert.equal(starts(), 2, 'a reset is another try')

  const trusting = testEngine({ engine: { goldenCheck: 'off' } })
  t.after(() => trusting.close())
  assert.equal((await ask(trusting.model(starter('none', path)), request)).end.type, 'done')
})

/** The fake llama-server as a program, and the settings that name it. */
function fakeServer(t: TestContext, way: string, models: string[]): Partial<Config['engine']> {
  const path = join(folder(t), 'llama-server')
  const node = realpathSync(nodeBinary)
  writeFileSync(path, `#!/bin/sh\nexec '${node}' --disable-warning=ExperimentalWarning '${join(root, 'test/fixtures/fake-llama-server.ts')}' ${way} "$@"\n`)
  chmodSync(path, 0o755)
  const llamaServer = { path, models, readOnlyPaths: [dirname(node), join(root, 'test/fixtures'), join(root, 'package.json')] }
  return { adapters: { llamaServer } as unknown as Config['engine']['adapters'] }
}

test('a llama-server that talks nonsense at full speed: the built-in engine serves, and the status says so', async (t) => {
  const { engine, log } = checking(t, fakeServer(t, 'good', ['starter']))
  const answer = await ask(engine.model(starter()), request)
  assert.equal(answer.end.type, 'done', log.join('\n'))
  assert.ok(!answer.text.startsWith(' word'), answer.text)
  const [status] = engine.workers()
  assert.equal(status?.state, 'ready')
  assert.equal(status.backend, 'cpu')
  assert.equal(status.restarts, 0)
  assert.equal(status.distrusted, 'the llama-server gave wrong tokens; the built-in engine (cpu) serves instead')
  assert.match(status.lastFault ?? '', /^The model 'starter' gives wrong tokens: on the llama-server 4 of 4 known texts went on wrongly \(each of them got the same answer: 'word' again and again\)\.$/)
  assert.ok(log.some((line) => line.startsWith("'starter' is not served by the llama-server: ")), log.join('\n'))
  assert.ok(log.includes("'starter' is tried on the built-in engine (cpu)"), log.join('\n'))
})

test('a model that the built-in engine spoils is served by the llama-server that is configured', async (t) => {
  const path = join(folder(t), 'random.gguf')
  await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 8 })
  const { engine, log } = checking(t, fakeServer(t, 'knows', []))
  assert.equal((await ask(engine.model(starter('none', path)), request)).text, ' Hello.', log.join('\n'))
  assert.equal(engine.workers()[0]?.backend, 'llama-server cpu')
  assert.equal(engine.workers()[0]?.distrusted, 'the built-in engine (cpu) gave wrong tokens; the llama-server serves instead')
})

test('when nobody is left the refusal names all that were tried', async (t) => {
  const path = join(folder(t), 'random.gguf')
  await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 9 })
  const { engine } = checking(t, fakeServer(t, 'good', []))
  const { code, message } = faultOf(await ask(engine.model(starter('none', path)), request))
  assert.equal(code, 'wrong_tokens')
  assert.match(message, /: on the built-in engine \(cpu\) 4 of 4 .*; on the llama-server 4 of 4 /)
})

// ---- without a model

const load: Load = { type: 'load', modelPath: '/nowhere', backend: 'vulkan', threads: 1, contextTokens: 64, sequences: 2, batchTokens: 32, prefillTokens: 16 }

/** `ways`: by backend, or `BACKEND shipped`; `builds`: the builds of this box, by backend. */
function supervised(t: TestContext, ways: Record<string, string>, options: { builds?: Record<string, string>; fits?: () => Promise<string | null>; passes?: Passes; on?: boolean; batchTokens?: number } = {}) {
  const log: string[] = []
  const states: WorkerState[] = []
  const tried: string[] = []
  const order = { ...load, batchTokens: options.batchTokens ?? load.batchTokens }
  const nameOf = ({ backend, shipped }: Choice): string => (shipped === true ? `${backend} shipped` : backend)
  const choices = Object.keys(ways).map((name): Choice => ({ engine: 'built-in', backend: (name.split(' ')[0] ?? '') as Choice['backend'], shipped: name.endsWith(' shipped') }))
  const trust = new Trust({
    model: 'm', on: options.on ?? true, choices, passes: options.passes ?? new Passes(null, () => undefined), load: order, log: (line) => log.push(line),
    launch: (choice) => {
      tried.push(nameOf(choice))
      return launcher(null, { argv: [nodeBinary, join(root, 'test/fixtures/fake-worker.ts'), ways[nameOf(choice)] ?? ''], readOnly: [], readWrite: [], gpu: false, env: { HOME: '/tmp' } })
    },
    build: ({ backend, shipped }) => (shipped === true ? null : options.builds?.[backend] ?? null),
    apply: ({ backend }) => { order.backend = backend },
    fits: options.fits ?? (async () => null),
    identity: async (choice) => ({ engine: choice.backend, driver: '', model: 'file', settings: [] }),
  })
  const supervisor = new Supervisor({
    model: 'm', load: order, log: (line) => log.push(line), onState: (state) => states.push(state), launch: trust.launch, prepare: () => trust.prepare(), check: (ready, converse) => trust.check(ready, converse),
  })
  t.after(() => supervisor.close())
  const ready = async (): Promise<Exclude<ReadyAnswer, 'aborted'>> => {
    const answer = await supervisor.ready(new AbortController().signal)
    return answer === 'aborted' ? assert.fail() : answer
  }
  return { supervisor, trust, log, states, tried, order, ready }
}

test('a GPU that gives wrong tokens: all who wait get the CPU, and nobody hears of a failure', async (t) => {
  const { ready, states, tried, order, trust, supervisor } = supervised(t, { vulkan: 'vulkan-garbage', cpu: 'knows' })
  const answers = await Promise.all([ready(), ready(), ready()])
  for (const answer of answers) assert.equal('ready' in answer ? answer.ready.backend : answer.fault.message, 'cpu')
  assert.deepEqual(tried, ['vulkan', 'cpu'])
  assert.deepEqual(states, ['starting', 'ready'])
  assert.equal(order.backend, 'cpu')
  assert.equal(trust.distrusted, 'the built-in engine (vulkan) gave wrong tokens; the built-in engine (cpu) serves instead')
  assert.equal(supervisor.status.restarts, 0)
  await supervisor.unload()
  await ready()
  assert.deepEqual(tried, ['vulkan', 'cpu', 'cpu'], 'the next load does not begin with what failed')
  assert.equal(trust.reset(), true)
  await supervisor.unload()
  await ready()
  assert.deepEqual(tried.slice(3), ['vulkan', 'cpu'], 'a reset does')
})

test('where the CPU has no room, or the library took the CPU by itself, there is no way out', async (t) => {
  const full = supervised(t, { vulkan: 'vulkan-garbage', 'vulkan shipped': '', cpu: 'knows', 'cpu shipped': 'knows' }, { fits: async () => 'm needs at least 60.0 GiB.' })
  const answer = await full.ready()
  const expected = fault('wrong_tokens', {
    model: 'm', said: "on the built-in engine (vulkan) 4 of 4 known texts went on wrongly (each of them got the same answer: 'yes'); the built-in engine (cpu) is no way out: m needs at least 60.0 GiB",
  })
  assert.deepEqual('fault' in answer ? answer.fault : null, expected)
  assert.equal(full.supervisor.phase, 'broken')
  assert.equal(full.order.backend, 'vulkan')
  const again = await full.ready()
  assert.deepEqual('fault' in again ? again.fault : null, expected)

  const fellBack = supervised(t, { auto: 'good', cpu: 'knows' })
  assert.equal('fault' in await fellBack.ready(), true)
  assert.deepEqual(fellBack.tried, ['auto'], 'auto was the CPU already')
})

test('a build of this box that gives wrong tokens makes way for the library that came along; without such a build that is not tried twice', async (t) => {
  const built = supervised(t, { vulkan: 'vulkan-garbage', 'vulkan shipped': 'knows', cpu: 'knows' }, { builds: { vulkan: 'vulkan-1' } })
  assert.equal('ready' in await built.ready(), true)
  assert.deepEqual(built.tried, ['vulkan', 'vulkan shipped'])
  assert.equal(built.trust.distrusted, 'the built-in engine (vulkan, build vulkan-1) gave wrong tokens; the built-in engine (vulkan) serves instead')
  const plain = supervised(t, { vulkan: 'vulkan-garbage', 'vulkan shipped': 'vulkan-garbage', cpu: 'knows', 'cpu shipped': 'knows' })
  assert.equal('ready' in await plain.ready(), true)
  assert.deepEqual(plain.tried, ['vulkan', 'cpu'])
})

test('nobody waits any more when the tokens turn out wrong: it rests, and the next request begins with the next choice', async (t) => {
  const { supervisor, ready, tried, states } = supervised(t, { vulkan: 'vulkan-garbage', cpu: 'knows' })
  const leave = new AbortController()
  const first = supervisor.ready(leave.signal)
  leave.abort()
  assert.equal(await first, 'aborted')
  while (supervisor.phase !== 'stopped') await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(tried, ['vulkan'])
  assert.equal('ready' in await ready(), true)
  assert.deepEqual(tried, ['vulkan', 'cpu'])
  assert.deepEqual(states, ['starting', 'stopped', 'starting', 'ready'])
})

test('answers that go to the wrong request are found though each alone is right', async (t) => {
  const { ready } = supervised(t, { cpu: 'knows-one' })
  const answer = await ready()
  assert.match('fault' in answer ? answer.fault.message : '', /'count', asked two at once, ends in '1, 2, 3, 4, 5, 6,' and went on with 'boat waits under' where '7, 8' is right/)
})

test('a worker that dies under the check failed in its own way, and is started again', async (t) => {
  const { ready, supervisor, trust } = supervised(t, { cpu: 'dies-working' })
  const answer = await ready()
  assert.equal('fault' in answer ? answer.fault.code : '', 'load_failed')
  assert.equal(supervisor.phase, 'failed')
  assert.equal(trust.distrusted, null)
})

test('a stored pass is believed, another key is not, and off believes all', async (t) => {
  const passes = new Passes(null, () => undefined)
  const first = supervised(t, { cpu: 'knows' }, { passes })
  assert.equal('ready' in await first.ready(), true)
  // The same names, another program: only the stored pass lets it through.
  const believed = supervised(t, { cpu: 'good' }, { passes })
  assert.equal('ready' in await believed.ready(), true)
  assert.equal('fault' in await supervised(t, { vulkan: 'good' }, { passes }).ready(), true)
  assert.equal('fault' in await supervised(t, { cpu: 'good' }, { passes, batchTokens: 64 }).ready(), true, 'other batches are other kernels')
  assert.equal('ready' in await supervised(t, { vulkan: 'good' }, { on: false }).ready(), true)
})

test('closing in the middle of a check leaves no process and answers who waits', async (t) => {
  const { supervisor, ready } = supervised(t, { cpu: 'hangs-working' })
  const answer = ready()
  await supervisor.close()
  const heard = await answer
  assert.equal('fault' in heard ? heard.fault.code : '', 'shutting_down')
  assert.equal(supervisor.status.pid, null)
})

test('unloading in the middle of a check ends the check too', async (t) => {
  const heard: string[] = []
  const asked = Promise.withResolvers<undefined>()
  const request: Generate = {
    type: 'generate', id: 'one', sequence: 0, segments: [{ text: 'A B C', special: false }], fresh: true, maxTokens: 4, stop: [], grammar: null,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, seed: 0 }, stopAtJson: false, probabilities: 0, visible: [], priority: 5,
  }
  const supervisor = new Supervisor({
    model: 'm', load: { ...load, backend: 'cpu' }, log: () => undefined,
    launch: launcher(null, { argv: [nodeBinary, join(root, 'test/fixtures/fake-worker.ts'), 'hangs-working'], readOnly: [], readWrite: [], gpu: false, env: { HOME: '/tmp' } }),
    check: (_ready, converse) => new Promise((resolve) => converse(request, (message) => {
      heard.push(message.type)
      if (message.type === 'started') asked.resolve(undefined)
      if (message.type === 'lost') resolve('gone')
    })),
  })
  t.after(() => supervisor.close())
  const leave = new AbortController()
  const first = supervisor.ready(leave.signal)
  await asked.promise
  leave.abort()
  assert.equal(await first, 'aborted')
  await supervisor.unload()
  assert.deepEqual([supervisor.phase, heard], ['stopped', ['started', 'lost']])
})

// ---- what is stored

const pass: Pass = { model: 'm', engine: 'e', driver: '', date: new Date(0).toISOString(), tookMs: 5, leftOut: [] }

test('passes: kept on disk, bounded, and a file that is none means nothing passed', async (t) => {
  const dir = join(folder(t), 'cache')
  const log: string[] = []
  const passes = new Passes(dir, (line) => log.push(line))
  assert.equal(await passes.find('a'), null)
  await Promise.all([passes.keep('a', pass), passes.keep('b', pass)])
  assert.deepEqual(await new Passes(dir, () => undefined).find('a'), pass)
  writeFileSync(join(dir, 'golden.json'), JSON.stringify({ version: 1, passes: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [keyOf([i]), pass])) }))
  await new Passes(dir, (line) => log.push(line)).keep('c', pass)
  const again = new Passes(dir, () => undefined)
  assert.equal(await again.find(keyOf([0])), null, 'the oldest are forgotten')
  assert.deepEqual([await again.find(keyOf([299])), await again.find('c')], [pass, pass])
  for (const garbage of ['', '{', '[]', '{"version":2,"passes":{}}', '{"version":1,"passes":{"a":{"model":"m"}}}']) {
    writeFileSync(join(dir, 'golden.json'), garbage)
    const after = new Passes(dir, (line) => log.push(line))
    assert.equal(await after.find('a'), null)
    await after.keep('b', pass)
    assert.deepEqual(await new Passes(dir, () => undefined).find('b'), pass)
  }
  assert.deepEqual(log, [])
})

test('a cache folder that cannot be written costs another check, nothing else', async (t) => {
  const dir = folder(t)
  writeFileSync(join(dir, 'file'), '')
  const log: string[] = []
  const passes = new Passes(join(dir, 'file'), (line) => log.push(line))
  await passes.keep('a', pass)
  assert.deepEqual(await passes.find('a'), pass)
  assert.equal(log.length, 1)
  assert.match(log[0] ?? '', /golden\.json was not written: /)
})

test('the driver of a GPU is told apart by its library, its firmware and ROCm; a CPU has none', async (t) => {
  const tree = folder(t)
  const put = (path: string, text: string): void => {
    mkdirSync(dirname(join(tree, path)), { recursive: true })
    writeFileSync(join(tree, path), text)
  }
  put('/usr/share/vulkan/icd.d/radeon_icd.x86_64.json', JSON.stringify({ ICD: { library_path: 'libvulkan_radeon.so', api_version: '1.4.305' } }))
  put('/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so', 'one')
  put('/sys/class/drm/renderD128/device/vendor', '0x1002\n')
  put('/sys/class/drm/renderD128/device/device', '0x1586\n')
  put('/sys/class/drm/renderD128/device/fw_version/mes_fw_version', '0x00000083\n')
  const seen = [await driverOf('vulkan', tree)]
  assert.match(seen[0] ?? '', /^kernel \S+; gpu 0x1002 0x1586 mes_fw_version 0x00000083; vulkan radeon_icd\.x86_64\.json libvulkan_radeon\.so \d+@\d+ 3@\d+$/)
  put('/usr/lib/x86_64-linux-gnu/libvulkan_radeon.so', 'another')
  seen.push(await driverOf('vulkan', tree))
  put('/sys/class/drm/renderD128/device/fw_version/mes_fw_version', '0x00000084\n')
  seen.push(await driverOf('vulkan', tree))
  put('/opt/rocm/.info/version', '7.1.0\n')
  seen.push(await driverOf('llama-server gpu', tree))
  assert.equal(new Set(seen).size, 4)
  assert.equal(await driverOf('cpu', tree), '')
  assert.equal(await driverOf('llama-server cpu', tree), '')
  assert.ok(existsSync(tree))
})
