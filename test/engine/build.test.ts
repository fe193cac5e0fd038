// Building the engine, with a toolchain of little programs in the real sandbox: what is told, what is left, what is refused.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { BuildManifest, BuildRequest, type BuildEvent, type BuildRequestInput, type WorkerStatus } from '@hearth/protocol'
import { BuildStore } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { Builds, pick, type Build } from '../../packages/engine/src/build/builds.ts'
import { cmakeFlags, etaMs, lastLines, refusedSource } from '../../packages/engine/src/build/recipe.ts'
import { libraryFor, serverFor } from '../../packages/engine/src/build/serving.ts'
import { findTools } from '../../packages/engine/src/build/tools.ts'
import { commit, fakeToolchain, hangs, type Toolchain } from '../fixtures/fake-toolchain.ts'
import { nodeBinary, root } from '../fixtures/starter.ts'

const server: BuildRequestInput = { backend: 'cpu', targets: ['server'] }

function boxOf(t: TestContext, tools: Toolchain, options: { confined?: boolean; path?: string; hostRoot?: string } = {}): { store: BuildStore; folder: string; workers: WorkerStatus[]; build(input: BuildRequestInput, signal?: AbortSignal): Promise<BuildEvent[]> } {
  const cacheDir = mkdtempSync(join(tmpdir(), 'hearth-builds-'))
  t.after(() => rmSync(cacheDir, { recursive: true, force: true }))
  const workers: WorkerStatus[] = []
  const store = new BuildStore({ cacheDir, root, confine: options.confined === false ? null : createConfine(), node: nodeBinary, env: { PATH: options.path ?? tools.bin }, workers: () => workers, ...(options.hostRoot === undefined ? {} : { hostRoot: options.hostRoot }) })
  return {
    store, workers, folder: join(cacheDir, 'builds'),
    build: (input, signal = new AbortController().signal) => Array.fromAsync(store.build(BuildRequest.parse(input), signal)),
  }
}

const left = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder).toSorted() : [])

function failure(events: readonly BuildEvent[]): { code: string; message: string; remedy: string } {
  const last = events.at(-1)
  return last?.type === 'failed' ? last.fault : assert.fail(JSON.stringify(events))
}

for (const confined of [true, false]) {
  test(`a build tells its steps, leaves programs and a manifest and nothing else (${confined ? 'confined' : 'unconfined'})`, async (t) => {
    const tools = fakeToolchain(t)
    const { build, folder, store } = boxOf(t, tools, { confined })
    const events = await build({ ...server, jobs: 3 })
    const done = events.at(-1)
    assert.ok(done?.type === 'done', JSON.stringify(done))
    assert.deepEqual(events.flatMap((event) => (event.type === 'step' ? [event.text] : [])), [
      'unpacking llama.cpp v0.5.0 from the bundle in node-llama-cpp', 'configuring llama.cpp v0.5.0 for cpu', 'compiling for cpu at low priority, 3 at a time', 'trying what was built',
    ])
    assert.deepEqual(events.flatMap((event) => (event.type === 'progress' ? [`${event.done}/${event.total} ${event.etaMs === null ? 'unknown' : 'known'}`] : [])),
      Array.from({ length: 10 }, (_, i) => `${i + 1}/10 ${i < 4 ? 'unknown' : 'known'}`))
    assert.deepEqual(left(folder), ['cpu-v0.5.0'])
    assert.deepEqual(readdirSync(join(folder, 'cpu-v0.5.0'), { recursive: true }).toSorted(), ['bin', 'bin/libllama.so', 'bin/llama-server', 'manifest.json'])
    const manifest = BuildManifest.parse(JSON.parse(readFileSync(join(folder, 'cpu-v0.5.0/manifest.json'), 'utf8')))
    assert.deepEqual(manifest, done.build)
    const { builtAt, buildMs, bytes, files, ...rest } = manifest
    const version = (JSON.parse(readFileSync(join(root, 'node_modules/node-llama-cpp/package.json'), 'utf8')) as { version: string }).version
    assert.deepEqual(rest, {
      version: 1, name: 'cpu-v0.5.0', backend: 'cpu', targets: ['server'], release: 'v0.5.0', commit, library: version,
      flags: cmakeFlags('cpu', ['server'], 'gfx1151'), compiler: 'c++ (fake) 1.2.3', readOnlyPaths: [],
    })
    assert.ok(Math.abs(Date.now() - builtAt) < 60_000 && buildMs < 60_000)
    assert.deepEqual(files.map((file) => file.path), ['bin/libllama.so', 'bin/llama-server'])
    for (const file of files) assert.equal(file.sha256, createHash('sha256').update(readFileSync(join(folder, 'cpu-v0.5.0', file.path))).digest('hex'))
    assert.equal(bytes, files.reduce((sum, file) => sum + file.bytes, 0))
    assert.deepEqual(store.list().builds.map(({ name, problem, usedBy }) => ({ name, problem, usedBy })), [{ name: 'cpu-v0.5.0', problem: null, usedBy: [] }])
  })
}

test('what is missing is said before anything starts, with the packages', async (t) => {
  const tools = fakeToolchain(t)
  tools.without('cmake')
  const { build, folder } = boxOf(t, tools)
  assert.deepEqual(await build(server), [{ type: 'failed', fault: {
    code: 'build_tools', origin: 'engine', message: 'The cpu engine cannot be built here: cmake is missing.',
    remedy: 'Debian, Ubuntu: apt-get install cmake. Fedora: dnf install cmake.',
  } }])
  assert.deepEqual(left(folder), [])
  tools.without('ninja', 'c++')
  assert.equal(failure(await build({ backend: 'cpu' })).message, 'The cpu engine cannot be built here: cmake, ninja and c++ are missing.')
  assert.equal(failure(await build({ backend: 'cpu' })).remedy, 'Debian, Ubuntu: apt-get install cmake ninja-build g++. Fedora: dnf install cmake ninja-build gcc-c++.')
})

test('what Vulkan and ROCm need beside it', (t) => {
  const tools = fakeToolchain(t)
  const nothing = mkdtempSync(join(tmpdir(), 'hearth-nothing-'))
  t.after(() => rmSync(nothing, { recursive: true, force: true }))
  const missing = (backend: 'vulkan' | 'hip'): string[] => findTools(backend, tools.bin, nothing).missing.map((need) => need.what)
  assert.deepEqual(missing('vulkan'), ['glslc', 'the Vulkan headers', 'the SPIR-V headers'])
  assert.deepEqual(missing('hip'), ['hipBLAS', 'rocBLAS'])
  for (const path of ['usr/include/vulkan/vulkan.hpp', 'usr/lib/x86_64-linux-gnu/cmake/SPIRV-Headers/x', 'opt/rocm/lib/cmake/hipblas/x', 'usr/lib64/cmake/rocblas/x']) {
    mkdirSync(join(nothing, path, '..'), { recursive: true })
    writeFileSync(join(nothing, path), '')
  }
  assert.deepEqual(missing('vulkan'), ['glslc'])
  assert.deepEqual(missing('hip'), [])
})

test('a ROCm build: its compiler is told to cmake, its folders go into the manifest, a source of the bad summer is refused', async (t) => {
  const hostRoot = mkdtempSync(join(tmpdir(), 'hearth-rocm-'))
  t.after(() => rmSync(hostRoot, { recursive: true, force: true }))
  for (const name of ['hipblas', 'rocblas']) mkdirSync(join(hostRoot, 'usr/lib/cmake', name), { recursive: true })
  const tools = fakeToolchain(t)
  tools.does('shows')
  const { build, folder } = boxOf(t, tools, { hostRoot })
  const done = (await build({ backend: 'hip', targets: ['server'] })).at(-1)
  assert.ok(done?.type === 'done', JSON.stringify(done))
  const given = readFileSync(join(folder, 'hip-v0.5.0/bin/libgiven.so'), 'utf8')
  const prefix = join(tools.bin, '..')
  for (const wanted of ['-DGGML_HIP=ON', '-DAMDGPU_TARGETS=gfx1151', `HIPCXX=${prefix}/llvm/bin/clang`, `HIP_PATH=${prefix}`, 'HOME=/tmp']) assert.ok(given.includes(wanted), `${wanted} is not in ${given}`)
  assert.equal(given.includes('HEARTH'), false, 'nothing of our own environment is in it')
  assert.deepEqual(done.build.readOnlyPaths, [tools.bin])
  const old = fakeToolchain(t, '2026-08-20T10:00:00+00:00')
  const refused = boxOf(t, old, { hostRoot })
  assert.equal(failure(await refused.build({ backend: 'hip' })).code, 'build_refused')
  assert.deepEqual(left(refused.folder), [])
})

test('a failed compiler speaks for itself, and nothing is left', async (t) => {
  const tools = fakeToolchain(t)
  tools.does('fails')
  const { build, folder } = boxOf(t, tools)
  const events = await build(server)
  assert.deepEqual(events.filter((event) => event.type === 'progress').at(-1), { type: 'progress', done: 6, total: 10, etaMs: (events.findLast((event) => event.type === 'progress') as { etaMs: number }).etaMs })
  assert.deepEqual(failure(events), {
    code: 'build_failed', origin: 'engine',
    message: [
      'The cpu engine could not be built: ninja ended with exit status 1.', 'FAILED: file-7.cpp.o', "file-7.cpp:3:1: error: expected ';' before '}' token", 'ninja: build stopped: subcommand failed.',
    ].join('\n'),
    remedy: 'Nothing of it is left. Mend what the last lines name and build again.',
  })
  assert.deepEqual(left(folder), [])
})

test('a compiler that plants a link does not make the daemon write where it could not', async (t) => {
  const tools = fakeToolchain(t)
  const outside = join(tools.bin, '../outside')
  mkdirSync(outside)
  tools.does('escapes')
  const { build, folder } = boxOf(t, tools)
  const done = (await build(server)).at(-1)
  assert.deepEqual([readdirSync(outside), done?.type], [[], 'done'])
  assert.deepEqual(left(folder), ['cpu-v0.5.0'])
})

test('what was built and does not run is not kept', async (t) => {
  const tools = fakeToolchain(t)
  tools.does('broken')
  const { build, folder } = boxOf(t, tools)
  assert.match(failure(await build(server)).message, /^The cpu engine could not be built: the new llama-server is not usable\.\n.*\/llama-server is no llama-server: its --help ended with signal SIGILL$/)
  assert.deepEqual(left(folder), [])
  tools.does('no-library')
  assert.match(failure(await build({ backend: 'cpu', targets: ['library'] })).message, /^The cpu engine could not be built: loading the new library ended with exit status 1\.\n.*\/llama-addon\.node: file too short$/)
  assert.deepEqual(left(folder), [])
})

for (const confined of [true, false]) {
  test(`an aborted build is gone with its processes (${confined ? 'confined' : 'unconfined'})`, async (t) => {
    const tools = fakeToolchain(t)
    tools.does('hangs')
    const { build, folder, store } = boxOf(t, tools, { confined })
    const stop = new AbortController()
    const events: BuildEvent[] = []
    for await (const event of store.build(BuildRequest.parse(server), stop.signal)) {
      events.push(event)
      if (event.type !== 'progress' || event.done !== 3) continue
      while (!hangs(tools.mark)) await pause(10)
      assert.deepEqual(failure(await build(server)), {
        code: 'conflict', origin: 'client', message: 'A build is under way; wait for it, or stop it with Ctrl-C where it was started.', remedy: 'Nothing was changed.',
      })
      stop.abort()
    }
    assert.equal(failure(events).code, 'cancelled')
    assert.equal(hangs(tools.mark), false)
    assert.deepEqual(left(folder), [])
    tools.does('good')
    assert.equal((await build(server)).at(-1)?.type, 'done')
  })
}

test('what a killed daemon left is cleared away by the next build; older builds stay', async (t) => {
  const tools = fakeToolchain(t)
  const { build, folder, store, workers } = boxOf(t, tools)
  await build(server)
  mkdirSync(join(folder, '.building-abc/source'), { recursive: true })
  mkdirSync(join(folder, '.removing-x'))
  await build(server)
  assert.deepEqual(left(folder), ['cpu-v0.5.0', 'cpu-v0.5.0-2'])
  assert.deepEqual(store.list().builds.map((one) => one.name), ['cpu-v0.5.0-2', 'cpu-v0.5.0'])
  workers.push({ model: 'm', state: 'ready', pid: 1, restarts: 0, lastFault: null, backend: 'llama-server cpu', contextTokens: 1, sequences: 1, busy: 0, waiting: 0, build: 'cpu-v0.5.0' })
  assert.deepEqual(store.list().builds.map((one) => one.usedBy), [[], ['m']])
  await assert.rejects(store.remove('cpu-v0.5.0'), { message: "The build 'cpu-v0.5.0' is in use by the engine of 'm'." })
  await store.remove('cpu-v0.5.0-2')
  await assert.rejects(store.remove('cpu-v0.5.0-2'), { message: "There is no build 'cpu-v0.5.0-2'; 'hearth engine ls' lists them." })
  assert.deepEqual(left(folder), ['cpu-v0.5.0'])
  rmSync(join(folder, 'cpu-v0.5.0/bin/libllama.so'))
  assert.deepEqual(store.list().builds, [], 'a build that lost a file is none')
})

test('ROCm is not built from a source of the bad summer', async () => {
  const day = (text: string): number => Date.parse(text)
  assert.equal(refusedSource('hip', day('2026-07-15T23:59:59Z')), null)
  assert.deepEqual(refusedSource('hip', day('2026-08-20T10:00:00Z')), {
    code: 'build_refused', origin: 'engine', message: 'The hip engine is not built: its source is of 2026-08-20, when llama.cpp returned wrong tokens with ROCm on this class of GPU.',
    remedy: 'Use a Hearth with another node-llama-cpp, or build for Vulkan: hearth engine build --backend vulkan',
  })
  assert.notEqual(refusedSource('hip', day('2026-09-14T00:00:00Z')), null)
  assert.equal(refusedSource('hip', day('2026-09-28T00:41:12Z')), null)
  assert.equal(refusedSource('vulkan', day('2026-08-20T10:00:00Z')), null)
})

test('cmake is told the backend', () => {
  assert.ok(cmakeFlags('hip', ['server'], 'gfx1151').join(' ').endsWith('-DLLAMA_BUILD_SERVER=ON -DGGML_HIP=ON -DAMDGPU_TARGETS=gfx1151'))
  assert.ok(cmakeFlags('vulkan', ['library'], 'gfx1151').join(' ').endsWith('-DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DGGML_VULKAN=ON'))
})

test('the forecast and the last lines', () => {
  assert.equal(etaMs({ done: 4, total: 100 }, 8000), null)
  assert.equal(etaMs({ done: 20, total: 100 }, 10_000), 40_000)
  const notes = Array.from({ length: 30 }, (_, i) => `note ${i}`)
  assert.deepEqual(lastLines(['[1/2] x', 'CMake Warning', ...notes]), notes.slice(-12))
  assert.deepEqual(lastLines(['early', 'FAILED: a.o', '/usr/bin/c++ -O3 -o a.o -c a.cpp', 'In file included from x', ...notes, 'a.cpp:1: error: no', 'note', '[3/9] Building y']), [...notes.slice(-10), 'a.cpp:1: error: no', 'note'])
})

const made = (name: string, backend: Build['backend'], builtAt: number, problem: string | null = null): Build => ({
  version: 1, name, backend, targets: ['library', 'server'], release: 'v1', commit, library: '1', flags: [], compiler: 'c', builtAt, buildMs: 1, readOnlyPaths: backend === 'hip' ? ['/opt/rocm'] : [], bytes: 1, files: [],
  folder: `/b/${name}`, problem,
})

test('which build serves: the newest that fits', () => {
  const all = [made('c2', 'cpu', 9, 'its library is old'), made('h', 'hip', 5), made('v', 'vulkan', 4), made('c1', 'cpu', 3)]
  const name = (...words: Parameters<typeof pick>): string | undefined => pick(...words)?.name
  assert.deepEqual([name(all, 'cpu', 'server'), name(all, 'cpu', 'library'), name(all, 'auto', 'server'), name(all, 'vulkan', 'server'), name(all, 'hip', 'library')], ['c2', 'c1', 'h', 'v', 'h'])
  assert.deepEqual([name(all.slice(1, 3), 'cpu', 'server'), name(all.slice(1, 3), 'cpu', 'library'), name([], 'auto', 'server'), name(all.slice(0, 1), 'auto', 'server'), name(all.slice(0, 1), 'vulkan', 'server')], ['h', undefined, undefined, 'c2', undefined])
})

test('without a build the remedy names the command', () => {
  const none = new Builds('/nowhere', () => null)
  assert.deepEqual(serverFor('/opt/mine', none, 'cpu', 'm'), { program: '/opt/mine', build: null, readOnly: [] })
  assert.deepEqual(serverFor(null, none, 'hip', 'm'), { fault: {
    code: 'engine_unavailable', origin: 'engine',
    message: "No engine can serve this: engine.adapters.llamaServer serves 'm', but engine.adapters.llamaServer.path names no program and none was built here for hip.",
    remedy: "Run 'hearth engine build --backend hip --target server', or name your own program.",
  } })
  assert.equal(libraryFor(none, 'auto'), null)
  assert.deepEqual(libraryFor(none, 'hip'), { fault: {
    code: 'engine_unavailable', origin: 'engine', message: 'No engine can serve this: engine.backend is hip, and no library for ROCm comes with Hearth.', remedy: "Run 'hearth engine build --backend hip'.",
  } })
})
