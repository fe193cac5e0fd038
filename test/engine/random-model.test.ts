// The writer of random models: every shape is a file that our own header check and the real worker accept, and the same seed gives the same bytes.
import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Message } from '@hearth/protocol'
import { readGguf } from '../../packages/engine/src/catalog/gguf.ts'
import { ask } from '../contract/model-contract.ts'
import { shapes, writeRandomModel } from '../fixtures/random-model.ts'
import { profile, testEngine } from '../fixtures/starter.ts'

let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'random-')) })
after(async () => { await rm(dir, { recursive: true }) })

for (const shape of shapes) {
  test(`${shape}: the worker loads it, generates, and keeps the prefix of the first turn`, async (t) => {
    const written = await writeRandomModel(join(dir, `${shape}.gguf`), { shape, quant: 'Q4_0', seed: 7 })
    const read = await readGguf(written.path)
    assert.ok(read.ok, read.ok ? '' : read.fault.message)
    assert.equal(read.header.architecture, written.architecture)
    assert.equal(read.header.parameters, written.parameters)
    assert.equal(read.header.blockCount, written.dims.layers)
    const engine = testEngine({ engine: { contextTokens: 1024 } })
    t.after(() => engine.close())
    const model = engine.model({ id: shape, path: written.path, contextTokens: written.dims.contextTokens, toolFormat: 'none', profile })
    const first: Message[] = [{ role: 'user', text: 'Tell me a story about a fox and a hen. '.repeat(12) }]
    const one = await ask(model, { messages: first, sampling: { temperature: 0 }, maxTokens: 12, sessionKey: 'a' })
    assert.ok(one.end.type === 'done', one.end.type === 'failed' ? one.end.fault.message : '')
    assert.ok(one.end.usage.completionTokens > 0 && one.text !== '')
    const two = await ask(model, { messages: [...first, { role: 'assistant', text: one.text }, { role: 'user', text: 'Go on.' }], sampling: { temperature: 0 }, maxTokens: 4, sessionKey: 'a' })
    assert.ok(two.end.type === 'done')
    const { promptTokens, reusedTokens } = two.end.usage
    t.diagnostic(`turn 2 reused ${reusedTokens} of ${promptTokens} tokens (${one.end.usage.promptTokens} were asked in turn 1)`)
    // Plain attention keeps every token; recurrent layers can only go back to a checkpoint.
    if (shape === 'dense' || shape === 'moe') assert.ok(reusedTokens >= one.end.usage.promptTokens - 1)
    // What was reused changes nothing: the same conversation, asked afresh, gets the same text.
    const fresh = await ask(model, { messages: first, sampling: { temperature: 0 }, maxTokens: 12 })
    assert.equal(fresh.text, one.text)
  })
}

test('a size that is asked for is met within 4 %, in every quantization', async () => {
  for (const quant of ['F16', 'Q8_0', 'Q4_0'] as const) {
    for (const shape of shapes) {
      const sizeBytes = 64 * 2 ** 20
      const { path, bytes } = await writeRandomModel(join(dir, 'sized.gguf'), { shape, quant, seed: 1, sizeBytes })
      assert.equal((await stat(path)).size, bytes)
      assert.ok(Math.abs(bytes / sizeBytes - 1) < 0.04, `${shape} ${quant}: ${bytes}`)
      const read = await readGguf(path)
      assert.ok(read.ok, read.ok ? '' : read.fault.message)
    }
  }
})

test('the same seed gives the same bytes, another seed others; named dimensions are kept', async () => {
  const make = (name: string, seed: number) => writeRandomModel(join(dir, name), { shape: 'moe', quant: 'Q8_0', seed, dims: { layers: 2, width: 64, experts: 8, expertsUsed: 2, feedForward: 96 } })
  const [one, same, other] = await Promise.all([make('one', 3), make('same', 3), make('other', 4)])
  assert.equal(one.dims.layers, 2)
  assert.equal(one.dims.experts, 8)
  assert.equal(one.dims.feedForward, 96)
  const bytes = await Promise.all([one, same, other].map(({ path }) => readFile(path)))
  assert.ok(bytes[0]?.equals(bytes[1] ?? Buffer.alloc(0)))
  assert.ok(bytes[0]?.equals(bytes[2] ?? Buffer.alloc(0)) === false)
})
