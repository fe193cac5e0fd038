// Models whose memory cannot be cut back (recurrent layers, sliding windows): a second turn still starts where the first prompt ended, in its own sequence
// and after its sequence was another one's.
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Message, ModelRequestInput } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { profile, testEngine } from '../fixtures/starter.ts'

for (const shape of ['hybrid', 'sliding'] as const) {
  test(`${shape}: the second turn reuses the first prompt, also from a file, and says the same as a fresh one`, async (t) => {
    const dir = await mkdtemp(join(tmpdir(), 'shapes-'))
    t.after(() => rm(dir, { recursive: true }))
    const written = await writeRandomModel(join(dir, 'model.gguf'), { shape, quant: 'Q4_0', seed: 7, dims: { slidingWindow: 64 } })
    const installed = { id: shape, path: written.path, contextTokens: written.dims.contextTokens, toolFormat: 'none' as const, profile }
    const lines: string[] = []
    const engine = testEngine({ cacheDir: dir, log: (line) => lines.push(line), engine: { contextTokens: 1024, sequences: 1 } })
    t.after(() => engine.close())
    const model = engine.model(installed)
    const turn = (name: string, turns: number, reply = 'I see.'): ModelRequestInput => ({
      messages: [
        { role: 'user', text: `About ${name}. ${`The ${name} is wide and old. `.repeat(50)}` },
        ...Array.from({ length: turns - 1 }, (): Message[] => [{ role: 'assistant', text: reply }, { role: 'user', text: 'Go on.' }]).flat(),
      ],
      sampling: { temperature: 0 }, maxTokens: 8, sessionKey: name,
    })
    const usage = async (request: ModelRequestInput) => {
      const { end, text } = await ask(model, request)
      assert.ok(end.type === 'done', end.type === 'failed' ? end.fault.message : '')
      return { ...end.usage, text }
    }
    const first = await usage(turn('sea', 1))
    const second = await usage(turn('sea', 2))
    assert.ok(second.reusedTokens >= first.promptTokens - 1, `in its own sequence: ${second.reusedTokens} of ${first.promptTokens}`)
    await usage(turn('sun', 1))
    const third = await usage(turn('sea', 3))
    assert.ok(third.reusedTokens >= second.promptTokens - 1, `from a file: ${third.reusedTokens} of ${second.promptTokens}; ${lines.join('; ')}`)
    const plain = testEngine({ engine: { contextTokens: 1024, sequences: 1 } })
    t.after(() => plain.close())
    const { text } = await ask(plain.model(installed), turn('sea', 3))
    assert.equal(third.text, text)
  })
}
