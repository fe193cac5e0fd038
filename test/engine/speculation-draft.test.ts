// A second model that guesses ahead: the text stays the one of the first, what does not pay stops, and one that does not fit is refused while the first serves.
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ModelRequestInput } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { starter, starterPath, testEngine } from '../fixtures/starter.ts'
import { greedyGap } from '../fixtures/greedy-gap.ts'
import { DraftGain } from '../../packages/engine/src/local/draft-model.ts'
import { CheckCosts } from '../../packages/engine/src/local/lookup.ts'
import { vocabularyMismatch } from '../../packages/engine/src/local/vocabulary.ts'

/** What a machine does in `tokens` tokens with a draft model that is right with this probability: gain over plain generation, and how much was drafted. */
function play(tokens: number, agrees: number, guessRatio: number, rowMs: (rows: number) => number, readRatio = 0): { gain: number; drafted: number; accepted: number } {
  const costs = new CheckCosts()
  const gain = new DraftGain(costs)
  const plainMs = rowMs(1)
  let [said, ms, drafted, accepted, state, behind] = [0, 0, 0, 0, 12345, 100]
  const random = (): number => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) / 2 ** 31
  while (said < tokens) {
    const length = costs.plainMs === null ? 0 : gain.length(tokens - said, behind)
    if (length === 0) {
      costs.plain(plainMs)
      gain.plain()
      said++
      behind++
      ms += plainMs
      continue
    }
    let agreed = 0
    while (agreed < length && random() < agrees) agreed++
    const [guessMs, checkMs] = [length * guessRatio * plainMs, rowMs(length + 1)]
    gain.read(behind, behind * readRatio * plainMs, plainMs)
    ms += behind * readRatio * plainMs
    behind = 1
    costs.note(length + 1, checkMs)
    gain.judged({ drafted: length, agreed, said: agreed + 1, guessMs, checkMs, plainMs })
    said += agreed + 1
    ms += guessMs + checkMs
    drafted += length
    accepted += agreed
  }
  return { gain: tokens * plainMs / ms, drafted, accepted }
}

const gpu = (rows: number): number => 20 + rows * 0.3
const cpu = (rows: number): number => 7 * rows

test('where rows are cheap a good draft model is used and a bad one is not, at a cost under 3 %', () => {
  const good = play(4000, 0.8, 0.1, gpu, 0.005)
  assert.ok(good.gain > 1.8, `${good.gain}`)
  const perfect = play(4000, 0.99, 0.05, gpu)
  assert.ok(perfect.gain > 5, `${perfect.gain}`)
  const bad = play(4000, 0, 0.1, gpu)
  assert.ok(bad.gain > 0.97, `${bad.gain}`)
  assert.ok(bad.drafted < 200, `${bad.drafted}`)
})

test('where every row costs its full price even a draft model that is always right is asked seldom', () => {
  const own = play(4000, 1, 1, cpu)
  assert.ok(own.gain > 0.97, `${own.gain}`)
  assert.equal(own.accepted, own.drafted)
  const read = play(4000, 1, 1, cpu, 0.4)
  assert.ok(read.gain > 0.97, `${read.gain}: what was said in a rest must be read before the next try`)
})

test('a draft model that becomes good is used again', () => {
  const costs = new CheckCosts()
  const gain = new DraftGain(costs)
  for (let i = 0; i < 8; i++) costs.plain(20)
  const round = (agrees: boolean): number => {
    let waited = 0
    let length = 0
    while ((length = gain.length(1000, 0)) === 0) {
      gain.plain()
      waited++
    }
    costs.note(length + 1, gpu(length + 1))
    gain.judged({ drafted: length, agreed: agrees ? length : 0, said: 1, guessMs: length, checkMs: gpu(length + 1), plainMs: 20 })
    return waited
  }
  assert.ok(Array.from({ length: 16 }, () => round(false)).some((waited) => waited >= 256))
  assert.ok(Array.from({ length: 8 }, () => round(true)).includes(0))
})

type Made = Parameters<typeof vocabularyMismatch<number>>[0]
function made(texts: readonly string[], change: Partial<Made> = {}): Made {
  return {
    vocabularyType: 'bpe', architecture: 'llama', trainContextSize: 1024, fileInfo: { metadata: {} },
    tokens: { bos: 1, eos: 2, bosString: null, eosString: null, shouldPrependBosToken: false },
    iterateAllTokens: () => texts.keys(), getTokenAttributes: () => ({ control: false, unknown: false }),
    tokenize: () => [], detokenize: (tokens) => tokens.map((token) => texts[token]).join(''), ...change,
  }
}

test('two vocabularies are the same when their tokens read the same; padding and the first control tokens may differ', () => {
  const texts = ['<a>', '<b>', '<c>', '<d>', '<e>', 'one', 'two', 'three']
  assert.equal(vocabularyMismatch(made(texts), made(['<x>', ...texts.slice(1), '<pad>'])), null)
  assert.equal(vocabularyMismatch(made(texts), made([...texts.slice(0, 6), 'zwei', 'three'])), `its token 6 reads "zwei", the model's reads "two"`)
  assert.equal(vocabularyMismatch(made(texts), made([...texts, ...Array.from({ length: 200 }, () => 'x')])), 'it has 208 tokens, the model has 8')
  assert.equal(vocabularyMismatch(made(texts), made(texts, { vocabularyType: 'spm' })), `its vocabulary is of the kind spm, the model's is bpe`)
  const ends = { ...made(texts).tokens, eos: 7 }
  assert.equal(vocabularyMismatch(made(texts), made(texts, { tokens: ends })), `its eos token is number 7, the model's is 2`)
})

let dir = ''
let plain: string[] = []
before(() => { dir = mkdtempSync(join(tmpdir(), 'hearth-draft-')) })
after(() => rmSync(dir, { recursive: true, force: true }))

const asked: ModelRequestInput[] = ['Tell me a long story about a lighthouse.', 'Write the numbers from one to twenty as words.']
  .map((text) => ({ messages: [{ role: 'user', text }], sampling: { temperature: 0 }, maxTokens: 100, sessionKey: text }))

async function answers(t: { after(work: () => Promise<void>): void }, draft: { id: string; path: string | null } | null, log: (line: string) => void = () => undefined) {
  const engine = testEngine({ engine: { speculation: draft === null ? 'off' : 'draft' }, log })
  t.after(() => engine.close())
  const model = engine.model({ ...starter(), ...(draft === null ? {} : { draft }) })
  const all = []
  for (const request of asked) all.push(await ask(model, request))
  const [status] = engine.workers()
  const pair = await Promise.all(asked.map((request) => ask(model, { ...request, sessionKey: `${request.sessionKey} again` })))
  await engine.close()
  const drafts = [...all, ...pair].map((answer) => answer.end.usage.drafts ?? { draftedTokens: 0, acceptedTokens: 0 })
  return {
    texts: all.map((answer) => answer.text), pair: pair.map((answer) => answer.text), note: status?.draft,
    drafted: drafts.reduce((sum, each) => sum + each.draftedTokens, 0), accepted: drafts.reduce((sum, each) => sum + each.acceptedTokens, 0),
    said: [...all, ...pair].reduce((sum, answer) => sum + answer.end.usage.completionTokens, 0),
  }
}

/** Equal, or different from a near tie on: kernels for several rows round otherwise than those for one. */
async function assertSame(found: readonly string[], wanted: readonly string[]): Promise<void> {
  for (const [index, text] of found.entries()) {
    const expected = wanted[index] ?? ''
    if (text === expected) continue
    const engine = testEngine()
    try {
      const gap = await greedyGap(engine.model(starter()), asked[index] ?? assert.fail(), expected, text)
      assert.ok(gap !== null && gap.logits < gap.epsilon, `${JSON.stringify(gap)}: ${JSON.stringify(expected)} | ${JSON.stringify(text)}`)
    } finally {
      await engine.close()
    }
  }
}

test('the starter as its own draft: nearly all guesses are right, and the text is the plain one, alone and beside another stream', async (t) => {
  plain = (await answers(t, null)).texts
  const own = await answers(t, { id: 'itself', path: starterPath() })
  assert.equal(own.note, 'itself')
  assert.ok(own.drafted > 0 && own.accepted / own.drafted > 0.9, `${own.accepted} of ${own.drafted}`)
  await assertSame(own.texts, plain)
  await assertSame(own.pair, plain)
})

test('a draft that knows nothing: its guesses are wrong, it is soon asked no more, and the text is the plain one', async (t) => {
  const path = join(dir, 'noise.gguf')
  await writeRandomModel(path, { shape: 'dense', quant: 'Q8_0', seed: 5, dims: { layers: 2, width: 64 } })
  const noise = await answers(t, { id: 'noise', path })
  assert.equal(noise.note, 'noise')
  assert.ok(noise.drafted > 0 && noise.accepted / noise.drafted < 0.1, `${noise.accepted} of ${noise.drafted}`)
  assert.ok(noise.drafted < noise.said / 4, `${noise.drafted} guesses for ${noise.said} tokens`)
  await assertSame(noise.texts, plain)
})

test('a draft that cannot be used is told with the reason, and the model serves without it', async (t) => {
  const hybrid = join(dir, 'hybrid.gguf')
  await writeRandomModel(hybrid, { shape: 'hybrid', quant: 'Q8_0', seed: 6, dims: { layers: 4, width: 64 } })
  const other = join(dir, 'other.gguf')
  await writeRandomModel(other, { shape: 'dense', quant: 'Q8_0', seed: 7, dims: { layers: 2, width: 64 } })
  const bytes = readFileSync(other)
  const word = Buffer.concat([Buffer.from([14, 0, 0, 0, 0, 0, 0, 0]), Buffer.from('Ġcommunicates')])
  const at = bytes.indexOf(word)
  assert.ok(at > 0, 'the token is in the vocabulary')
  bytes.write('X', at + word.length - 1)
  writeFileSync(other, bytes)
  const cases: [{ id: string; path: string | null }, string][] = [
    [{ id: 'away', path: null }, "The model 'away' does not guess ahead for 'starter', which is served without it: it is not on this disk, or its file was changed."],
    [{ id: 'hybrid', path: hybrid }, "The model 'hybrid' does not guess ahead for 'starter', which is served without it: its memory cannot be cut back when a guess is wrong."],
    [{ id: 'other', path: other }, `The model 'other' does not guess ahead for 'starter', which is served without it: its token 32698 reads " communicateX", the model's reads " communicates".`],
  ]
  for (const [draft, sentence] of cases) {
    const lines: string[] = []
    const engine = testEngine({ engine: { speculation: 'draft' }, log: (line) => lines.push(line) })
    t.after(() => engine.close())
    const answer = await ask(engine.model({ ...starter(), draft }), { ...asked[1] ?? assert.fail(), maxTokens: 8 })
    assert.equal(answer.end.type, 'done')
    assert.equal(engine.workers()[0]?.draft, sentence)
    assert.ok(lines.some((line) => line.startsWith(sentence)), lines.join('\n'))
    await engine.close()
  }
})
