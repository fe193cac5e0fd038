// What is measured in which order on boxes that only exist as formulas: budget, coarse to fine, turns, what is given up and what is left out.
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { Config, fault, noUsage, type MeasuredPoint, type Model, type ModelProfile } from '@hearth/protocol'
import { starter } from '../fixtures/starter.ts'
import { Box as MeasuredBox } from '../../packages/engine/src/profile/box.ts'
import { chooseAll } from '../../packages/engine/src/profile/choose.ts'
import { machineOf } from '../../packages/engine/src/profile/identity.ts'
import { Gate } from '../../packages/engine/src/profile/gate.ts'
import { budgetMsOf, nameOf, next, pointsOf, sameVariant, threadCounts, type Cell, type Facts, type Sample } from '../../packages/engine/src/profile/plan.ts'
import { ProfileStore } from '../../packages/engine/src/profile/store.ts'

const facts = (part: Partial<Facts> = {}): Facts => ({
  effort: 'normal', budgetMs: 600_000, gpu: false, physicalCores: 2, logicalCpus: 2, windowTokens: 8192, sequences: 4, home: 'built-in', other: null,
  defaults: { threads: 1, batchTokens: 512, pieceTokens: 128 }, ...part,
})

type Box = { read(cell: Cell): number; write(cell: Cell): number; loadMs?: number; fails?(cell: Cell): string | null }
const plain: Box = { read: ({ variant }) => 200 * Math.min(variant.threads, 8), write: ({ streams }) => 100 * Math.sqrt(streams) }

/** Measures a made-up box to the end. Time passes only as the formulas say. */
function run(given: Facts, box: Box = plain): { samples: Sample[]; skipped: { what: string; why: string }[]; spentMs: number; points: MeasuredPoint[] } {
  const samples: Sample[] = []
  const skipped: { what: string; why: string }[] = []
  let spentMs = 0
  for (;;) {
    const step = next(given, samples, new Set(skipped.map((one) => one.what)), spentMs)
    if (step.type === 'over') return { samples, skipped, spentMs, points: pointsOf(samples) }
    if (step.type === 'skip') {
      skipped.push({ what: step.what, why: step.why })
      continue
    }
    const { cell, round } = step
    const last = samples.at(-1)
    const loadMs = last !== undefined && sameVariant(last.cell.variant, cell.variant) ? 0 : box.loadMs ?? 1000
    const failed = box.fails?.(cell) ?? null
    const ms = loadMs + (failed === null ? (cell.streams * cell.depthTokens * 1000) / box.read(cell) + (cell.streams * cell.decodeTokens * 1000) / box.write(cell) : 0)
    samples.push({ cell, round, ms, loadMs, promptTokens: cell.depthTokens, failed, prefillTokensPerSecond: failed === null && cell.run !== 'streams' ? box.read(cell) : null, decodeTokensPerSecond: failed === null && cell.decodeTokens > 1 ? box.write(cell) : null })
    spentMs += ms
    assert.ok(samples.length < 1000, 'it never ends')
  }
}

const names = (samples: readonly Sample[], of: Cell['run']): string[] => samples.filter((sample) => sample.cell.run === of).map((sample) => nameOf(sample.cell))

test('settings are measured in turns, every other round backwards', () => {
  const { samples } = run(facts({ effort: 'quick', budgetMs: 120_000 }), { ...plain, read: () => 2000 })
  const [one, two] = ['1 thread, a prompt of 256 tokens', '2 threads, a prompt of 256 tokens']
  assert.deepEqual(names(samples, 'threads'), [one, two, two, one, one, two])
  assert.deepEqual(names(samples, 'streams').slice(0, 3), ['1 stream', '2 streams', '4 streams'])
  assert.deepEqual(names(samples, 'depth'), ['a prompt of 2048 tokens', 'a prompt of 4096 tokens'])
})

test('the counts of threads are powers of two and the cores, not all of them', () => {
  assert.deepEqual(threadCounts(1, 1), [1])
  assert.deepEqual(threadCounts(2, 2), [1, 2])
  assert.deepEqual(threadCounts(6, 12), [1, 2, 4, 6, 8, 12])
  assert.deepEqual(threadCounts(16, 32), [4, 8, 16, 32])
})

test('a coarse winner is compared with the counts between it and its neighbours', () => {
  const peak = (threads: number): number => Math.max(100, 1000 - Math.abs(threads - 12) * 50)
  const { samples, points } = run(facts({ physicalCores: 16, logicalCpus: 32 }), { ...plain, read: ({ variant }) => peak(variant.threads), write: ({ variant, streams }) => (peak(variant.threads) / 5) * Math.sqrt(streams) })
  assert.deepEqual([...new Set(samples.filter((sample) => sample.cell.run === 'threads-fine').map((sample) => sample.cell.variant.threads))], [6, 8, 12])
  assert.equal(chooseAll(points, 'built-in').threads?.value, 12)
})

test('what is hopeless after a round is not asked again', () => {
  const { samples } = run(facts(), { ...plain, read: ({ variant }) => (variant.threads === 2 ? 20 : 200), write: ({ variant, streams }) => (variant.threads === 2 ? 5 : 100) * Math.sqrt(streams) })
  assert.equal(samples.filter((sample) => sample.cell.run === 'threads' && sample.cell.variant.threads === 2).length, 1)
  assert.equal(samples.filter((sample) => sample.cell.run === 'threads' && sample.cell.variant.threads === 1).length, 3)
  assert.ok(samples.filter((sample) => sample.cell.run === 'streams').every((sample) => sample.cell.variant.threads === 1), 'the rest is measured with what won')
})

test('the budget holds, and what it leaves out is named with its time', () => {
  for (const minutes of [0.2, 0.5, 1, 2, 5]) {
    const { spentMs, skipped, samples } = run(facts({ budgetMs: minutes * 60_000 }))
    // The very first sample is taken blindly; everything else was foreseen within the growth of a longer prompt.
    assert.ok(spentMs <= minutes * 60_000 * 1.25, `${minutes} minutes took ${spentMs} ms`)
    assert.ok(samples.length >= 2)
    assert.equal(new Set(skipped.map((one) => one.what)).size, skipped.length, 'each is said once')
  }
  const { skipped } = run(facts({ budgetMs: 60_000, windowTokens: 131_072 }))
  assert.match(skipped.find((one) => one.what === 'a prompt of 65536 tokens')?.why ?? '', /^it would take \d+\.\d min, and \d+ s of 60 s are left$/)
})

test('depths that no conversation can have are not measured, and said', () => {
  const { skipped, samples } = run(facts({ windowTokens: 8192 }))
  assert.deepEqual(skipped, [{ what: 'prompts of 16384, 65536 tokens', why: 'a conversation has a window of 8192 tokens (engine.contextTokens)' }])
  assert.deepEqual(names(samples, 'depth'), ['a prompt of 2048 tokens', 'a prompt of 4096 tokens'])
  assert.ok(samples.every(({ cell }) => cell.depthTokens + cell.decodeTokens < cell.variant.contextTokens && cell.variant.contextTokens <= 8192))
})

test('what fails is tried once, and the rest goes on', () => {
  const { samples, points } = run(facts(), { ...plain, fails: ({ variant }) => (variant.sequences > 1 ? 'no memory' : null) })
  const streams = samples.filter((sample) => sample.cell.run === 'streams')
  assert.equal(streams.length, new Set(streams.map((sample) => sample.cell.streams)).size)
  assert.deepEqual([points.filter((one) => one.run === 'streams').length, chooseAll(points, 'built-in').activeDecodes], [0, null])
  assert.ok(points.some((one) => one.run === 'depth'))
})

test('a GPU is not asked for threads but for whole batches; llama-server is measured at every number of streams beside the built-in worker', () => {
  const { samples } = run(facts({ gpu: true, other: 'llama-server', defaults: { threads: 8, batchTokens: 512, pieceTokens: 496 } }))
  assert.deepEqual([...new Set(names(samples, 'threads'))], ['8 threads, a prompt of 512 tokens'])
  assert.deepEqual([...new Set(samples.filter((sample) => sample.cell.run === 'pieces').map((sample) => sample.cell.variant.pieceTokens))], [256, 512, 1024])
  const counts = (adapter: string): number[] => [...new Set(samples.filter((sample) => sample.cell.run === 'streams' && sample.cell.variant.adapter === adapter).map((sample) => sample.cell.streams))].toSorted((a, b) => a - b)
  assert.deepEqual([counts('built-in'), counts('llama-server')], [[1, 2, 4, 8], [1, 2, 4, 8]])
})

test('a window too short for any prompt is measured nowhere', () => {
  assert.deepEqual(run(facts({ windowTokens: 200 })).samples, [])
})

test('minutes of the caller count, else the effort has its own', () => {
  assert.deepEqual([budgetMsOf('quick', null), budgetMsOf('normal', null), budgetMsOf('full', null), budgetMsOf('full', 0.5)], [120_000, 600_000, 2_700_000, 30_000])
})

// The file

const identity = { file: 'f1', library: 'lib 1', backend: 'cpu', machine: 'cpu A, 2 threads' }
const profile = (part: Partial<ModelProfile> = {}): ModelProfile => ({
  model: 'm', ...identity, measuredAt: 1, seconds: 60, effort: 'quick', cpu: 'cpu A', kernel: null, activeBytes: null, points: run(facts()).points, skipped: [],
  choices: { threads: { value: 2, why: 'w' }, batch: null, activeDecodes: null, speculation: null, adapter: null }, ...part,
})

function storeIn(t: TestContext): { path: string; said: string[]; open(): ProfileStore } {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-profile-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'state/profile.json')
  const said: string[] = []
  return { path, said, open: () => new ProfileStore(path, (line) => said.push(line)) }
}

test('a stored profile is found again by what it was measured on, and by nothing else', async (t) => {
  const { open, said } = storeIn(t)
  const before = open()
  assert.equal(before.find('m', () => identity), null)
  await before.put(profile())
  await before.put(profile({ model: 'n', file: 'f2' }))
  const after = open()
  assert.deepEqual(after.find('m', () => identity), profile())
  assert.deepEqual(after.all().map((one) => one.model), ['m', 'n'])
  assert.deepEqual(said, [])
  assert.equal(after.find('m', () => ({ ...identity, library: 'lib 2' })), null)
  assert.equal(after.find('m', () => ({ ...identity, library: 'lib 2' })), null)
  assert.deepEqual(said, ["the profile of 'm' is not used: it was measured with lib 1, this is lib 2; 'hearth tune m' measures it again"], 'said once')
  await after.put(profile({ library: 'lib 2' }))
  assert.deepEqual(open().all().map((one) => [one.model, one.library]), [['n', 'lib 1'], ['m', 'lib 2']], 'the old one of the same model is replaced')
})

for (const [what, text] of [
  ['cut short', '{"version": 1, "models": [{"mod'], ['of another version', '{"version": 2, "models": []}'], ['of something else', '[1, 2]'], ['empty', ''], ['no text', '\0\u0001\u0002'],
  ['with a field nobody knows', JSON.stringify({ version: 1, models: [{ ...profile(), extra: 1 }] })],
] as const) {
  test(`a profile file that is ${what} is set aside with a sentence, and measuring writes a new one`, async (t) => {
    const { path, open, said } = storeIn(t)
    await open().put(profile())
    writeFileSync(path, text)
    const store = open()
    assert.deepEqual([store.find('m', () => identity), store.all().length], [null, 0])
    assert.equal(said.length, 1)
    assert.match(said[0] ?? '', new RegExp(`^the box profile ${path} is (damaged|not one this version knows) \\(.+\\): nothing of it is used; 'hearth tune' writes a new one$`, 's'))
    await store.put(profile())
    assert.deepEqual(open().find('m', () => identity), profile())
    assert.equal((JSON.parse(readFileSync(path, 'utf8')) as { version: number }).version, 1)
  })
}

test('a machine with a GPU is told apart by the GPU and by ROCm too; one that computes on the CPU is not', (t) => {
  const tree = (device: string, rocm: string): string => {
    const folder = mkdtempSync(join(tmpdir(), 'hearth-machine-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    for (const [path, text] of [['sys/class/drm/renderD128/device/vendor', '0x1002'], ['sys/class/drm/renderD128/device/device', device], ['opt/rocm/.info/version', rocm]] as const) {
      mkdirSync(join(folder, path, '..'), { recursive: true })
      writeFileSync(join(folder, path), `${text}\n`)
    }
    return folder
  }
  const here = machineOf('hip', tree('0x1586', '7.2.0'))
  assert.equal(machineOf('hip', tree('0x1586', '7.2.0')), here)
  assert.match(here, /, GPU 0x1002:0x1586, ROCm 7\.2\.0$/)
  assert.notEqual(machineOf('hip', tree('0x744c', '7.2.0')), here, 'another GPU')
  assert.notEqual(machineOf('hip', tree('0x1586', '7.3.0')), here, 'another ROCm')
  assert.equal(machineOf('cpu', tree('0x1586', '7.2.0')), machineOf('cpu', tree('0x744c', '7.3.0')))
})

// The gate

const never = new AbortController().signal
const hold = { release: () => undefined }

test('one who measures waits until all are out, and whoever comes then waits for it', async () => {
  const gate = new Gate()
  const order: string[] = []
  const first = await gate.pass(never, () => Promise.resolve(hold))
  assert.ok(typeof first === 'object')
  const closing = gate.close(never).then((open) => {
    order.push('alone')
    return open
  })
  const second = gate.pass(never, () => Promise.resolve(hold)).then((held) => {
    order.push('second')
    return held
  })
  assert.deepEqual([gate.inside, gate.closed, await gate.close(never)], [1, true, null])
  first.release()
  first.release()
  const open = await closing
  assert.ok(typeof open === 'function')
  assert.deepEqual(order, ['alone'])
  open()
  await second
  assert.deepEqual([order, gate.inside], [['alone', 'second'], 1])
})

test('whoever waits while the box is measured hears for what, and in which place', async () => {
  const gate = new Gate()
  const open = await gate.close(never)
  assert.ok(typeof open === 'function')
  const said: string[] = []
  const pass = (name: string, signal = never) => gate.pass(signal, () => Promise.resolve(hold), (position, reason) => said.push(`${name} ${position} ${reason}`))
  const impatient = new AbortController()
  const [first, second] = [pass('first', impatient.signal), pass('second')]
  impatient.abort()
  assert.equal(await first, 'aborted')
  const third = pass('third')
  assert.deepEqual(said, ['first 1 waiting until this box is measured', 'second 2 waiting until this box is measured', 'third 2 waiting until this box is measured'])
  open()
  assert.notEqual(await second, 'aborted')
  assert.notEqual(await third, 'aborted')
  assert.equal(said.length, 3)
})

test('leaving the line opens the gate again; a refused hold does not count as inside', async () => {
  const gate = new Gate()
  assert.deepEqual(await gate.pass(never, () => Promise.resolve({ fault: 1 })), { fault: 1 })
  await assert.rejects(gate.pass(never, () => Promise.reject(new Error('no'))), /no/)
  assert.equal(gate.inside, 0)
  const held = await gate.pass(never, () => Promise.resolve(hold))
  assert.ok(typeof held === 'object' && 'release' in held)
  const impatient = new AbortController()
  const closing = gate.close(impatient.signal)
  const waiting = new AbortController()
  const outside = gate.pass(waiting.signal, () => Promise.resolve(hold))
  waiting.abort()
  assert.equal(await outside, 'aborted')
  impatient.abort()
  assert.equal(await closing, 'aborted')
  assert.equal(gate.closed, false)
  assert.notEqual(await gate.pass(never, () => Promise.resolve(hold)), 'aborted')
})

// The box

test('a box that closes ends what is being measured, and no worker is started after that', async () => {
  const closed = Promise.withResolvers<undefined>()
  const asked = Promise.withResolvers<undefined>()
  let opened = 0
  const model: Model = {
    info: { id: 'm', place: 'local', contextTokens: 2048, profile: starter().profile },
    async *generate() {
      asked.resolve(undefined)
      await closed.promise
      yield { type: 'failed', fault: fault('shutting_down', {}), usage: noUsage, timings: { queuedMs: 0, ttftMs: null, prefillMs: 0, decodeMs: 0, totalMs: 0 } }
    },
  }
  const box = new MeasuredBox({
    config: Config.parse({ engine: { backend: 'cpu' } }).engine, root: '/nowhere', log: () => undefined, profilePath: undefined, fixed: undefined,
    window: () => 2048, file: () => 'f', unloadAll: () => Promise.resolve(), hasServer: () => false, ownLibrary: () => null,
    open: () => {
      opened++
      return { model, status: () => null, close: async () => closed.resolve(undefined) }
    },
  })
  const events = box.tune([starter()], { effort: 'quick', minutes: null, wait: false }, never)
  const told = Array.fromAsync(events)
  await asked.promise
  await box.close()
  const last = (await told).at(-1)
  assert.deepEqual([opened, last?.type === 'failed' ? last.fault.code : last?.type, box.gate.closed], [1, 'cancelled', false])
})
