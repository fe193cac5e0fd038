// The memory plan as a pure function over captured boxes and shapes with known sizes: fits, shrinks in order, refuses with numbers and remedy.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { MemoryPlan } from '../../packages/protocol/src/hardware.ts'
import { shapeOf, type ModelShape } from '../../packages/engine/src/catalog/gguf-shape.ts'
import type { MetadataValue } from '../../packages/engine/src/catalog/gguf-metadata.ts'
import { modelFacts, splitParts } from '../../packages/engine/src/catalog/model-facts.ts'
import { partsOf, plan, withDraft, type ModelFacts, type PlanWishes } from '../../packages/engine/src/catalog/plan.ts'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'
import { boxes, boxSnapshot } from '../fixtures/hardware/box.ts'

const GiB = 2 ** 30
let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'plan-')) })
after(async () => { await rm(dir, { recursive: true }) })

// gpt-oss-120b: 36 layers, every second one with a window of 128 tokens, 8 KV heads of 64; 63,387,346,464 bytes.
const oss: ModelFacts = {
  id: 'gpt-oss-120b', tensorBytes: 63_387_346_464, repackedBytes: 0,
  shape: { blockCount: 36, embedding: 2880, feedForward: 17_280, vocabulary: 201_088, tokenBytes: 36_864, windowTokenBytes: 36_864, windowTokens: 128, stateBytes: 0 },
}
const gpu: PlanWishes = { on: 'gpu', contextTokens: 65_536, sequences: 4, batchTokens: 512, savedStateBytes: GiB }
const planned = async (box: string, changes: Partial<PlanWishes> = {}, facts = oss): Promise<MemoryPlan> => MemoryPlan.parse(plan(facts, await boxSnapshot(box), { ...gpu, ...changes }))

test('on a tuned box the large model fits, and the sentence has the numbers', async () => {
  const { verdict, place, contextTokens, sequences, said, remedy } = await planned('strix-halo-128-tuned')
  assert.deepEqual([verdict, place, contextTokens, sequences, remedy], ['fits', 'gtt', 65_536, 4, null])
  assert.equal(said, 'gpt-oss-120b needs 70.0 GiB with 4 x 65536 tokens; it fits into GTT (112.4 GiB of 117.0 GiB free).')
})

test('at the default GTT limit the context shrinks first, and the remedy is the exact kernel parameter', async () => {
  const { verdict, contextTokens, sequences, said, remedy, neededBytes, freeBytes } = await planned('strix-halo-128')
  assert.deepEqual([verdict, sequences], ['smaller', 4])
  assert.ok(neededBytes <= (freeBytes ?? 0) && contextTokens % 256 === 0 && contextTokens >= 4096)
  assert.equal(said, `gpt-oss-120b would need 70.0 GiB with 4 x 65536 tokens; it fits into GTT (62.3 GiB of 62.5 GiB free) with 4 x ${contextTokens} tokens (62.3 GiB).`)
  assert.equal(remedy, 'You can use 62.5 GiB of 128.0 GiB; boot with ttm.pages_limit=30670848 (117 GiB).')
})

test('one step larger would not have fitted', async () => {
  const snapshot = await boxSnapshot('strix-halo-128')
  const smaller = plan(oss, snapshot, gpu)
  const larger = plan(oss, snapshot, { ...gpu, contextTokens: smaller.contextTokens + 256, sequences: smaller.sequences })
  assert.notEqual(larger.verdict, 'fits')
  assert.equal(plan(oss, snapshot, { ...gpu, contextTokens: smaller.contextTokens, sequences: smaller.sequences }).verdict, 'fits')
})

test('when the least context does not fit for all, sequences are given up next', async () => {
  const shape: ModelShape = { blockCount: 80, embedding: 8192, feedForward: 28_672, vocabulary: 128_256, tokenBytes: 327_680, windowTokenBytes: 0, windowTokens: null, stateBytes: 0 }
  const result = await planned('strix-halo-128', {}, { id: 'dense', tensorBytes: 57 * GiB, repackedBytes: 0, shape })
  assert.deepEqual([result.verdict, result.sequences, result.contextTokens >= 4096], ['smaller', 3, true])
})

test('what cannot fit is refused with what it needs, what there is, and what to do', async () => {
  const plain = await planned('plain-cpu', { on: 'cpu' })
  assert.equal(plain.verdict, 'refused')
  assert.equal(plain.said, 'gpt-oss-120b needs at least 60.6 GiB (1 x 4096 tokens), and memory can give 26.7 GiB of 31.3 GiB.')
  assert.equal(plain.remedy, 'You can use 29.3 GiB of 31.3 GiB; take a smaller model or quantization, a smaller engine.contextTokens or fewer engine.sequences.')
  const carved = await planned('strix-halo-96-carve-out', {}, { ...oss, id: 'huge', tensorBytes: 100 * GiB })
  assert.equal(carved.verdict, 'refused')
  assert.equal(carved.remedy, 'You can use 95.5 GiB of 126.5 GiB; set the UMA frame buffer to 512 MB in the BIOS and boot with ttm.pages_limit=30932992 (118 GiB).')
})

test('saved conversations count against system memory and not against a carve-out', async () => {
  const names = (result: MemoryPlan): string[] => result.parts.map((part) => part.name)
  assert.ok(names(await planned('strix-halo-128-tuned')).includes('saved'))
  assert.ok(!names(await planned('strix-halo-96-carve-out')).includes('saved'))
})

test('a draft model counts with its weights and its cache; an unknown one makes the whole unknown', () => {
  const draft: ModelFacts = { id: 'd', tensorBytes: GiB, repackedBytes: 0, shape: { blockCount: 2, embedding: 64, feedForward: 64, vocabulary: 5, tokenBytes: 1000, windowTokenBytes: 0, windowTokens: null, stateBytes: 7 } }
  const both = withDraft(oss, draft)
  assert.deepEqual([both.id, both.tensorBytes - oss.tensorBytes, both.shape?.tokenBytes, both.shape?.windowTokens, both.shape?.stateBytes], ['gpt-oss-120b', GiB, 37_864, 128, 7])
  assert.equal(withDraft(oss, { ...draft, shape: null }).shape, null)
})

test('no plan on any box needs more than is free, or shrinks without saying so', async () => {
  for (const box of boxes) {
    for (const on of ['cpu', 'gpu'] as const) {
      for (const tensorBytes of [1, 8, 20, 40, 60, 90, 130].map((size) => size * GiB)) {
        const result = await planned(box, { on }, { ...oss, tensorBytes })
        const shrank = result.contextTokens !== gpu.contextTokens || result.sequences !== gpu.sequences
        if (result.verdict === 'fits' || result.verdict === 'smaller') assert.ok(result.neededBytes <= (result.freeBytes ?? 0), `${box} ${on} ${tensorBytes}`)
        assert.equal(shrank, result.verdict === 'smaller' || result.verdict === 'refused', `${box} ${on} ${tensorBytes}`)
        assert.equal(result.remedy !== null, shrank)
        assert.ok(result.freeBytes === null || result.limitBytes === null || result.freeBytes <= result.limitBytes)
      }
    }
  }
})

test('an unknown file or an unknown GPU is said to be unknown, never guessed', async () => {
  const silent = await planned('strix-halo-128', {}, { ...oss, shape: null })
  assert.deepEqual([silent.verdict, silent.said], ['unknown', 'gpt-oss-120b has 59.0 GiB of weights; its file does not tell what its cache takes.'])
  const foreign = await planned('unknown-gpu')
  assert.deepEqual([foreign.verdict, foreign.said, foreign.freeBytes], ['unknown', 'gpt-oss-120b has 59.0 GiB of weights; the memory of the GPU is not known.', null])
})

const shaped = (architecture: string, keys: Record<string, MetadataValue>): ModelShape | null =>
  shapeOf(architecture, new Map(Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value])))

// Bytes a token as published for these models (llama.cpp's own catalogues), F16.
const published: readonly [name: string, architecture: string, keys: Record<string, MetadataValue>, tokenBytes: number, windowTokenBytes: number][] = [
  ['gpt-oss-20b', 'gpt-oss', { 'block_count': 24, 'embedding_length': 2880, 'attention.head_count': 64, 'attention.head_count_kv': 8, 'attention.key_length': 64, 'attention.value_length': 64, 'attention.sliding_window': 128 }, 24_576, 24_576],
  ['Qwen3-Coder-30B-A3B', 'qwen3moe', { 'block_count': 48, 'embedding_length': 2048, 'attention.head_count': 32, 'attention.head_count_kv': 4, 'attention.key_length': 128, 'attention.value_length': 128 }, 98_304, 0],
  ['Qwen3.6-35B-A3B', 'qwen35moe', { 'block_count': 40, 'embedding_length': 2048, 'attention.head_count': 16, 'attention.head_count_kv': 2, 'attention.key_length': 256, 'attention.value_length': 256, 'full_attention_interval': 4, 'ssm.state_size': 128 }, 20_480, 0],
  ['Devstral-Small-2', 'llama', { 'block_count': 40, 'embedding_length': 5120, 'attention.head_count': 32, 'attention.head_count_kv': 8, 'attention.key_length': 128, 'attention.value_length': 128 }, 163_840, 0],
  ['a latent cache', 'deepseek2', { 'block_count': 47, 'embedding_length': 2048, 'attention.head_count': 20, 'attention.head_count_kv': 1, 'attention.key_length': 576, 'attention.value_length': 512, 'attention.key_length_mla': 256, 'attention.value_length_mla': 256 }, 54_144, 0],
  ['a pattern in the file', 'gemma4', { 'block_count': 6, 'embedding_length': 64, 'attention.head_count': 4, 'attention.head_count_kv': 2, 'attention.key_length': 32, 'attention.value_length': 32, 'attention.sliding_window': 512, 'attention.sliding_window_pattern': [1, 1, 0, 1, 1, 0] }, 2 * 256, 4 * 256],
]
for (const [name, architecture, keys, tokenBytes, windowTokenBytes] of published) {
  test(`cache of ${name}: ${tokenBytes} bytes a token, ${windowTokenBytes} in windows`, () => {
    const shape = shaped(architecture, keys)
    assert.deepEqual([shape?.tokenBytes, shape?.windowTokenBytes], [tokenBytes, windowTokenBytes])
  })
}

test('recurrent layers cost a sequence and not a token', () => {
  // llama.cpp logs 50.25 MiB for 4 sequences of this shape: 12 recurrent layers of 16, convolution of 4, state 128, 16 heads.
  const shape = shaped('qwen35', {
    'block_count': 16, 'embedding_length': 2048, 'feed_forward_length': 6560, 'attention.head_count': 16, 'attention.head_count_kv': 4, 'attention.key_length': 128, 'attention.value_length': 128,
    'full_attention_interval': 4, 'ssm.conv_kernel': 4, 'ssm.state_size': 128, 'ssm.group_count': 8, 'ssm.inner_size': 2048,
  })
  assert.ok(shape !== null)
  assert.deepEqual([shape.stateBytes * 4, shape.tokenBytes], [50.25 * 2 ** 20, 8192])
  const bytesOf = (tokens: number, sequences: number, name: string): number =>
    partsOf({ id: 'h', tensorBytes: 0, repackedBytes: 0, shape }, { contextTokens: tokens, sequences }, { batchTokens: 512, savedStateBytes: 0 }).find((part) => part.name === name)?.bytes ?? 0
  assert.equal(bytesOf(8192, 4, 'state'), bytesOf(65_536, 4, 'state'))
  assert.equal(bytesOf(8192, 4, 'cache'), 256 * 2 ** 20)
})

test('hostile metadata gives no shape or a finite one, and never throws', () => {
  const values: MetadataValue[] = [0, -1, NaN, Infinity, 1e300, 2 ** 53, '', 'words', true, [], [0], [-1, NaN], 4097]
  const keys = ['block_count', 'embedding_length', 'attention.head_count', 'attention.head_count_kv', 'attention.key_length', 'attention.sliding_window', 'attention.sliding_window_pattern', 'full_attention_interval', 'ssm.state_size']
  const good: Record<string, MetadataValue> = { 'block_count': 4, 'embedding_length': 64, 'attention.head_count': 4, 'feed_forward_length': 128 }
  for (const architecture of ['llama', 'qwen35', 'gemma3', 'mamba', 'nemotron_h']) {
    for (const key of keys) {
      for (const value of values) {
        const shape = shaped(architecture, { ...good, [key]: value })
        if (shape !== null) for (const size of [shape.tokenBytes, shape.windowTokenBytes, shape.stateBytes]) assert.ok(Number.isFinite(size) && size >= 0, `${architecture} ${key} ${String(value)}`)
      }
    }
  }
})

test('a split model is counted whole, and one with a missing part not at all', async () => {
  const first = join(dir, 'm-00001-of-00002.gguf')
  const second = join(dir, 'm-00002-of-00002.gguf')
  const split = { 'split.count': { type: 'u16' as const, value: 2 } }
  assert.deepEqual(splitParts(first), [first, second])
  await writeFile(first, writeGguf(smallGguf({ metadata: split })))
  assert.equal(await modelFacts('m', first), null)
  await writeFile(second, writeGguf({ metadata: split, tensors: [{ name: 'output.weight', dimensions: [64, 5] }] }))
  const facts = await modelFacts('m', first)
  assert.deepEqual([facts?.tensorBytes, facts?.shape?.tokenBytes], [(64 * 5 + 64 * 64 + 7 + 64 * 5) * 4, 256])
})
