// What is chosen from made-up measurements: noise, ties, the knee, llama-server, speculation; and what a load then gets.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Config, type MeasuredPoint, type ModelProfile, type SpeedSpread } from '@hearth/protocol'
import { chooseAdapter, chooseAll, chooseKnee, choosePiece, chooseSpeculation, chooseThreads } from '../../packages/engine/src/profile/choose.ts'
import { decodeSpeed, estimatedSpeed, expectation, forecast, measuredSpeed, speedAt } from '../../packages/engine/src/profile/forecast.ts'
import { Forecast } from '../../packages/engine/src/local/forecast.ts'
import { servedBy, settingsOf } from '../../packages/engine/src/profile/use.ts'

/** `noise` is half of the range over the median. */
const spread = (median: number, noise = 0.01): SpeedSpread => ({ min: median * (1 - noise), median, max: median * (1 + noise) })

function point(part: Partial<MeasuredPoint>): MeasuredPoint {
  return {
    run: 'threads', adapter: 'built-in', threads: 1, batchTokens: 512, pieceTokens: 128, speculation: 'off', text: 'story', streams: 1, depthTokens: 512, promptTokens: 512, samples: 3,
    prefillTokensPerSecond: spread(200), decodeTokensPerSecond: spread(100), ...part,
  }
}

const threaded = (speeds: Record<number, [read: number, write: number]>, noise = 0.01): MeasuredPoint[] => Object.entries(speeds).map(([threads, [read, write]]) =>
  point({ threads: Number(threads), prefillTokensPerSecond: spread(read, noise), decodeTokensPerSecond: spread(write, noise) }))

const streaming = (totals: Record<number, number>, adapter: MeasuredPoint['adapter'] = 'built-in', noise = 0.01): MeasuredPoint[] => Object.entries(totals).map(([streams, total]) =>
  point({ run: 'streams', adapter, streams: Number(streams), prefillTokensPerSecond: null, decodeTokensPerSecond: spread(total, noise) }))

function profileOf(points: MeasuredPoint[], part: Partial<ModelProfile> = {}): ModelProfile {
  return {
    model: 'm', file: 'f', library: 'l', backend: 'cpu', machine: 'x', measuredAt: 0, seconds: 60, effort: 'quick', cpu: null, kernel: null, activeBytes: 1e8, points, skipped: [],
    choices: chooseAll(points, 'built-in'), ...part,
  }
}

test('more threads must win by more than the noise', () => {
  for (const [speeds, noise, chosen] of [
    [{ 1: [200, 100], 2: [380, 150] }, 0.02, 2],
    [{ 1: [200, 100], 2: [60, 10] }, 0.02, 1],
    [{ 1: [200, 100], 2: [204, 102] }, 0, 1],
    [{ 1: [200, 100], 2: [220, 110] }, 0.02, 2],
    [{ 1: [200, 100], 2: [220, 110] }, 0.15, 1],
    // Three ties in a row do not add up to a win that nobody measured; against the first one the last does win.
    [{ 1: [200, 100], 2: [205, 102.5], 4: [210, 105], 8: [216, 108] }, 0.01, 4],
    [{ 4: [400, 50], 8: [800, 52], 16: [1000, 40] }, 0.01, 8],
  ] as const) {
    assert.equal(chooseThreads(threaded(speeds as unknown as Record<number, [number, number]>, noise))?.value, chosen, JSON.stringify(speeds))
  }
})

test('the sentence of a choice names both figures and the noise', () => {
  assert.equal(chooseThreads(threaded({ 1: [128, 64], 2: [256, 128] }, 0.06))?.why,
    'A step of 512 tokens read and 128 written takes 3.00 s with 2 threads and 6.00 s with 1 thread; the noise is 6.0 %.')
  assert.equal(chooseThreads(threaded({ 2: [256, 128] }))?.why, 'A step of 512 tokens read and 128 written takes 3.00 s with 2 threads; nothing else was measured.')
  assert.equal(chooseThreads([]), null)
  assert.equal(chooseThreads([point({ decodeTokensPerSecond: null })]), null)
})

test('a finer comparison replaces the coarse one', () => {
  const fine = threaded({ 4: [400, 60], 6: [500, 80] }).map((one) => ({ ...one, run: 'threads-fine' as const }))
  assert.equal(chooseThreads([...threaded({ 2: [300, 50], 4: [900, 90] }), ...fine])?.value, 6)
})

test('a larger piece of a prompt must win too', () => {
  const pieces = (speeds: Record<number, number>): MeasuredPoint[] => Object.entries(speeds).map(([piece, read]) =>
    point({ run: 'pieces', pieceTokens: Number(piece), batchTokens: Number(piece) + 64, prefillTokensPerSecond: spread(read), decodeTokensPerSecond: null }))
  assert.deepEqual([choosePiece(pieces({ 64: 200, 128: 203, 256: 199 }))?.pieceTokens, choosePiece(pieces({ 64: 150, 128: 200, 256: 201 }))?.pieceTokens], [64, 128])
  assert.deepEqual(choosePiece(pieces({ 256: 500, 1024: 900 })), {
    batchTokens: 1088, pieceTokens: 1024, why: 'A prompt is read at 900 tokens/s in pieces of 1024 tokens and at 500 tokens/s in pieces of 256; the noise is 3.0 %.',
  })
  assert.equal(choosePiece(pieces({ 64: 200 })), null, 'one size is no comparison')
})

test('the knee is the smallest number of streams that no larger one beats by 5 %', () => {
  for (const [totals, knee] of [
    [{ 1: 100, 2: 180, 4: 300, 8: 310 }, 4],
    [{ 1: 100, 2: 101, 4: 102, 8: 103 }, 1],
    [{ 1: 100, 2: 200, 4: 400, 8: 800 }, 8],
    // A dent between: on some CPUs four rows cost more than one and eight less.
    [{ 1: 142, 2: 120, 4: 124, 8: 170 }, 8],
    [{ 1: 100, 2: 90, 4: 80, 8: 70 }, 1],
    // Eight would gain, and each answer would be slower than people read.
    [{ 1: 12, 2: 18, 4: 24, 8: 32 }, 4],
    [{ 1: 2, 2: 4 }, 1],
  ] as const) assert.equal(chooseKnee(streaming(totals), 'built-in')?.value, knee, JSON.stringify(totals))
  assert.equal(chooseKnee(streaming({ 1: 100 }), 'built-in'), null)
  assert.equal(chooseKnee(streaming({ 1: 100, 2: 180, 4: 300, 8: 310 }), 'built-in')?.why, '4 streams write 300 tokens/s together, 8 streams 310: more gain less than 5 %.')
})

test('llama-server is chosen above the last number of streams at which it does not win', () => {
  const both = (ours: Record<number, number>, theirs: Record<number, number>, noise = 0.01): MeasuredPoint[] => [...streaming(ours, 'built-in', noise), ...streaming(theirs, 'llama-server', noise)]
  for (const [ours, theirs, noise, above] of [
    [{ 1: 100, 2: 100, 4: 100 }, { 1: 101, 2: 120, 4: 130 }, 0.01, 1],
    [{ 1: 100, 2: 100, 4: 100 }, { 1: 120, 2: 99, 4: 130 }, 0.01, 2],
    [{ 1: 100, 4: 100 }, { 1: 120, 4: 130 }, 0.01, 0],
    [{ 1: 100, 4: 100 }, { 1: 120, 4: 130 }, 0.4, null],
    [{ 1: 100, 4: 100 }, { 1: 120, 4: 102 }, 0.01, null],
  ] as const) assert.equal(chooseAdapter(both(ours, theirs, noise))?.aboveStreams, above, JSON.stringify([ours, theirs, noise]))
  assert.equal(chooseAdapter(streaming({ 1: 100, 2: 100 })), null, 'only one was measured')
  assert.equal(chooseAdapter(streaming({ 1: 100, 2: 100 }, 'llama-server')), null)
})

test('guessing ahead is switched on when copies gain and prose does not lose', () => {
  const measured = (copyOff: number, copyOn: number, proseOff: number, proseOn: number): MeasuredPoint[] => ([['copy', 'off', copyOff], ['copy', 'lookup', copyOn], ['story', 'off', proseOff], ['story', 'lookup', proseOn]] as const)
    .map(([text, speculation, rate]) => point({ run: 'speculation', text, speculation, decodeTokensPerSecond: spread(rate) }))
  assert.equal(chooseSpeculation(measured(100, 150, 100, 99))?.value, 'lookup')
  assert.equal(chooseSpeculation(measured(100, 150, 100, 80))?.value, 'off')
  assert.equal(chooseSpeculation(measured(100, 102, 100, 100))?.value, 'off')
  assert.equal(chooseSpeculation(threaded({ 1: [1, 1] })), null)
})

test('the configuration wins over the profile, the profile over the default', () => {
  const profile = profileOf([...threaded({ 1: [200, 100], 4: [700, 300] }), ...streaming({ 1: 100, 2: 180, 4: 190, 8: 191 })])
  const config = (part: object): Config['engine'] => Config.parse({ engine: { sequences: 8, ...part } }).engine
  assert.deepEqual(settingsOf(config({}), 'm', 'cpu', null, 3), { threads: 3, batchTokens: 512, prefillTokens: 128, speculation: 'off', activeDecodes: null, llamaServer: false })
  assert.deepEqual(settingsOf(config({}), 'm', 'cpu', profile, 3), { threads: 4, batchTokens: 512, prefillTokens: 128, speculation: 'off', activeDecodes: 4, llamaServer: false })
  assert.deepEqual(settingsOf(config({ threads: 2, batchTokens: 64, speculation: 'lookup', activeDecodes: 3 }), 'm', 'cpu', profile, 3),
    { threads: 2, batchTokens: 64, prefillTokens: 56, speculation: 'lookup', activeDecodes: 3, llamaServer: false })
  assert.equal(settingsOf(config({}), 'm', 'vulkan', null, 3).prefillTokens, 504, 'a GPU gets whole batches')
  const pieces = { ...profile, choices: { ...profile.choices, batch: { batchTokens: 1088, pieceTokens: 1024, why: '' } } }
  assert.deepEqual([settingsOf(config({}), 'm', 'cpu', pieces, 3).batchTokens, settingsOf(config({}), 'm', 'cpu', pieces, 3).prefillTokens], [1088, 1024])
  assert.equal(settingsOf(config({ batchTokens: 512 }), 'm', 'cpu', pieces, 3).prefillTokens, 128, 'who sets the batch has decided about its pieces')
})

test('a knee of one still leaves room for an interactive request beside a job, and one above the sequences says nothing', () => {
  const flat = profileOf(streaming({ 1: 100, 2: 100, 4: 100, 8: 100 }))
  const cap = (part: object): number | null => settingsOf(Config.parse({ engine: part }).engine, 'm', 'cpu', flat, 1).activeDecodes
  assert.deepEqual([cap({ sequences: 4 }), cap({ sequences: 2 }), cap({ sequences: 8, reserved: { job: 2 } }), cap({ sequences: 1 })], [2, null, 4, null])
})

test('"auto" gives a model to llama-server only where that was measured as faster with as many streams', () => {
  const faster = profileOf([...streaming({ 1: 100, 2: 100, 4: 100 }), ...streaming({ 1: 100, 2: 130, 4: 140 }, 'llama-server')])
  const config = (models: string[], sequences: number): Config['engine'] => Config.parse({ engine: { sequences, adapters: { llamaServer: { path: '/x', models } } } }).engine
  assert.equal(faster.choices.adapter?.aboveStreams, 1)
  assert.deepEqual([servedBy(config(['auto'], 4), 'm', faster), servedBy(config(['auto'], 1), 'm', faster), servedBy(config([], 4), 'm', faster), servedBy(config(['auto'], 4), 'm', null), servedBy(config(['m'], 1), 'm', null)],
    [true, false, false, false, true])
})

test('the time to the first token is interpolated between measured lengths and goes on with their slope', () => {
  const depth = (promptTokens: number, rate: number): MeasuredPoint => point({ run: 'depth', depthTokens: promptTokens, promptTokens, prefillTokensPerSecond: spread(rate) })
  const profile = profileOf([...threaded({ 1: [200, 100], 2: [210, 90] }), depth(2048, 160), depth(8192, 100)])
  const near = (ms: number | null, wanted: number): void => assert.ok(ms !== null && Math.abs(ms - wanted) < wanted * 0.001, `${ms} is not ${wanted}`)
  near(forecast(profile, 256), 256 * 5)
  near(forecast(profile, 2048), 2048 / 160 * 1000)
  near(forecast(profile, 8192), 8192 / 100 * 1000)
  near(forecast(profile, 5120), 5120 * (6.25 + 10) / 2)
  // 3.75 ms more for each 6,144 tokens.
  near(forecast(profile, 14_336), 14_336 * 13.75)
  near(forecast(profile, 8192, 2048), 81_920 - 12_800)
  assert.equal(forecast(profile, 2048, 2048), 0)
  assert.equal(forecast(profileOf([point({ prefillTokensPerSecond: null })]), 100), null)
})

test('the speeds at a depth lie on the lines through what was measured', () => {
  const at = (depthTokens: number, read: number, write: number): MeasuredPoint =>
    point({ run: 'depth', depthTokens, promptTokens: depthTokens, prefillTokensPerSecond: spread(read), decodeTokensPerSecond: spread(write) })
  const speeds = speedAt(profileOf([...threaded({ 1: [200, 100], 2: [210, 90] }), at(2048, 160, 50), at(8192, 100, 25)]))
  assert.ok(speeds !== null)
  assert.ok(Math.abs(speeds(2048).decode - 50) < 0.01 && Math.abs(speeds(8192).decode - 25) < 0.01)
  assert.ok(Math.abs(speeds(5120).decode - 1000 / 30) < 0.01, `${speeds(5120).decode}`)
  assert.ok(speeds(14_336).decode < 25 && speeds(14_336).prefill < speeds(2048).prefill)
  assert.equal(speedAt(profileOf(threaded({ 1: [200, 100] }))), null)
})

test('a model that was not measured is scaled from the one nearest in size', () => {
  const small = profileOf(threaded({ 1: [200, 100] }), { activeBytes: 1e8 })
  const large = profileOf(threaded({ 1: [40, 20] }), { model: 'l', activeBytes: 1e9 })
  assert.equal(decodeSpeed(small), 100)
  assert.deepEqual(measuredSpeed(small), { estimated: false, decodeTokensPerSecond: 100, ttftMs: 10_240 })
  assert.deepEqual(estimatedSpeed([small, large], 2e9), { estimated: true, decodeTokensPerSecond: 10, ttftMs: 102_400 })
  assert.equal(estimatedSpeed([small, large], 5e7)?.decodeTokensPerSecond, 200)
  assert.equal(estimatedSpeed([], 1e9), null, 'nothing is said when nothing was measured')
  assert.equal(estimatedSpeed([{ ...small, activeBytes: null }], 1e9), null)
})

test('the queue counts with the profile until a run was measured, then with the runs', () => {
  const profile = profileOf(threaded({ 1: [200, 100] }))
  const told = new Forecast(() => expectation(profile))
  // 4 characters a token: 100 tokens read at 5 ms, 50 written at 10 ms.
  assert.equal(told.runMs(400, 50), 1000)
  assert.equal(new Forecast(() => null).runMs(400, 50), null)
  assert.equal(expectation(profileOf([])), null)
  told.measured({ promptTokens: 100, reusedTokens: 0, completionTokens: 50, prefillMs: 100, decodeMs: 100 }, 400)
  assert.equal(told.runMs(400, 50), 200)
})
