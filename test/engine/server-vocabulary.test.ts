// What a llama-server is told of its model's tokens is read from the file: what a good one says, and that it is as strict as the catalogue, which reads the same values.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Malformed } from '../../packages/engine/src/catalog/bounded-reader.ts'
import { readGguf } from '../../packages/engine/src/catalog/gguf.ts'
import { readVocabulary } from '../../packages/engine/src/server/vocabulary.ts'
import { smallGguf, writeGguf, type GgufValue } from '../fixtures/gguf-writer.ts'
import { starterPath } from '../fixtures/starter.ts'

let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'vocabulary-')) })
after(async () => { await rm(dir, { recursive: true }) })

async function written(metadata: Record<string, GgufValue>): Promise<string> {
  const path = join(dir, 'model.gguf')
  await writeFile(path, writeGguf(smallGguf({ metadata })))
  return path
}

test('the texts of control tokens, the template, the window and the kind of tokenizer', async () => {
  const path = await written({
    'tokenizer.ggml.model': { type: 'string', value: 'llama' }, 'tokenizer.ggml.tokens': { type: 'array', of: 'string', values: ['<s>', '<unk>', 'a', '<|im_end|>', ''] },
    'tokenizer.ggml.token_type': { type: 'array', of: 'i32', values: [3, 2, 1, 1, 3] }, 'tokenizer.ggml.bos_token_id': { type: 'u32', value: 0 }, 'tokenizer.ggml.eos_token_id': { type: 'u32', value: 3 },
    'llama.nextn_predict_layers': { type: 'u32', value: 1 },
    // Passed over: texts, numbers and booleans that nobody asked for.
    'some.texts': { type: 'array', of: 'string', values: ['x', 'y'] }, 'some.text': { type: 'string', value: 'z' }, 'some.numbers': { type: 'array', of: 'f32', values: [1, 2] },
  })
  assert.deepEqual(await readVocabulary(path), {
    inspection: {
      architecture: 'llama', trainedContextTokens: 4096, chatTemplate: '{% for m in messages %}{{ m.content }}{% endfor %}', bosText: '<s>', eosText: '<|im_end|>',
      controlTexts: ['<s>', '<unk>', '<|im_end|>'],
    },
    sentencePiece: true, heads: true,
  })
})

test('the real starter', async () => {
  const { inspection, sentencePiece, heads } = await readVocabulary(starterPath())
  assert.deepEqual([inspection.architecture, inspection.trainedContextTokens, inspection.eosText, sentencePiece, heads], ['llama', 8192, '<|im_end|>', false, false])
  assert.ok(inspection.controlTexts.includes('<|im_start|>'))
})

const broken: [string, Record<string, GgufValue>, RegExp][] = [
  ['a boolean that is neither true nor false', { 'tokenizer.ggml.add_bos_token': { type: 'raw', id: 7, bytes: Buffer.from([2]) } }, /is a boolean with the value 2/],
  ['a type that there is not', { 'some.thing': { type: 'raw', id: 99, bytes: Buffer.alloc(8) } }, /unknown type 99/],
  ['a text that claims more than is read', { 'some.text': { type: 'raw', id: 8, bytes: Buffer.from([0, 0, 0, 8, 0, 0, 0, 0]) } }, /claims 134217728 bytes/],
]
for (const [name, metadata, problem] of broken) {
  test(`${name} is refused here and by the catalogue`, async () => {
    const path = await written(metadata)
    await assert.rejects(readVocabulary(path), (error) => error instanceof Malformed && problem.test(error.message))
    const catalogue = await readGguf(path)
    assert.match(catalogue.ok ? '' : catalogue.fault.message, problem)
  })
}
