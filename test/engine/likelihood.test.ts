// How likely the model itself finds its tokens, on the real worker: before the grammar, before temperature and filters, and never in the way of anything.
import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { likelihoodOf } from '@hearth/agent/escalate/likelihood'
import type { ModelRequestInput, TokenProbability } from '@hearth/protocol'
import { ownLikelihoods } from '../../packages/engine/src/local/likelihood.ts'
import { ask, type Answer } from '../contract/model-contract.ts'
import { starter, testEngine } from '../fixtures/starter.ts'

const story: ModelRequestInput = { messages: [{ role: 'user', text: 'Tell me a story about a fox.' }], sampling: { temperature: 0 }, maxTokens: 12 }
const call: ModelRequestInput = {
  ...story, maxTokens: 40, responseFormat: {
    type: 'json_schema', schema: { type: 'object', properties: { tool: { const: 'read' }, path: { type: 'string', maxLength: 12 } }, required: ['tool', 'path'], additionalProperties: false },
  },
}

function model(t: TestContext, speculation: 'off' | 'lookup' = 'off') {
  const engine = testEngine({ engine: { speculation } })
  t.after(() => engine.close())
  return engine.model(starter())
}

const piecesOf = (answer: Answer): TokenProbability[] => answer.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))

test('without a grammar and greedy they are the probabilities of the whole vocabulary', async (t) => {
  const it = model(t)
  const whole = piecesOf(await ask(it, { ...story, probabilities: 1 }))
  const own = piecesOf(await ask(it, { ...story, likelihoods: true }))
  assert.deepEqual(own.map(({ text, top }) => ({ text, top })), whole.map(({ text }) => ({ text, top: [] })))
  for (const [index, { probability }] of own.entries()) assert.ok(Math.abs(probability - (whole[index]?.probability ?? -1)) < 1e-3, `token ${index}: ${probability} and ${whole[index]?.probability}`)
})

test('temperature and filters change what is drawn, and not how likely the model found it', async (t) => {
  const it = model(t)
  const [cold] = piecesOf(await ask(it, { ...story, likelihoods: true }))
  const hot = await ask(it, { ...story, sampling: { temperature: 2, topK: 1 }, likelihoods: true })
  const [same] = piecesOf(hot)
  assert.equal(same?.text, cold?.text)
  assert.ok(Math.abs((same?.probability ?? 0) - (cold?.probability ?? 1)) < 1e-3)
  const [filtered] = piecesOf(await ask(it, { ...story, sampling: { temperature: 2, topK: 1 }, probabilities: 1 }))
  assert.equal(filtered?.probability, 1, 'one candidate is left after the filters')
})

test('what a grammar forces is no certainty, where the probabilities after it are', async (t) => {
  const it = model(t)
  const answer = await ask(it, { ...call, likelihoods: true })
  const own = piecesOf(answer)
  const masked = piecesOf(await ask(it, { ...call, probabilities: 1 }))
  assert.equal(own.map(({ text }) => text).join(''), masked.map(({ text }) => text).join(''))
  // A grammar only takes words away, so each that is left gains.
  for (const [index, { text, probability }] of own.entries()) assert.ok(probability <= (masked[index]?.probability ?? 0) + 1e-3, text)
  const at = own.findIndex((_, index) => /"tool": *"r/.test(own.slice(0, index + 1).map(({ text }) => text).join('')))
  assert.ok((masked[at]?.probability ?? 0) > 0.5, `one name is allowed, and only its spelling in tokens is open: ${masked[at]?.probability}`)
  assert.ok((own[at]?.probability ?? 1) < 0.1, `the model had others in mind: ${own[at]?.probability}`)
})

test('in every format of calls the tokens of the name and of its values are found in what the worker spells', async (t) => {
  const engine = testEngine()
  t.after(() => engine.close())
  const tool = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: { town: { enum: ['Ulm', 'Rom'] } }, required: ['town'], additionalProperties: false } }
  for (const format of ['hermes', 'mistral', 'llama3', 'qwen_xml', 'glm', 'gemma4', 'deepseek'] as const) {
    const answer = await ask(engine.model(starter(format)), {
      messages: [{ role: 'user', text: 'How is the weather in Ulm?' }], tools: [tool], toolChoice: { name: 'weather' }, sampling: { temperature: 0 }, maxTokens: 150, likelihoods: true,
    })
    const pieces = piecesOf(answer)
    const found = likelihoodOf(pieces)
    const spelled = pieces.map(({ text }) => text).join('')
    const count = [...spelled.matchAll(/weather/g)].length
    assert.ok(count > 0, `${format}: ${spelled}`)
    // One to eight tokens for each name, and as many for its town: nothing of what stands around them.
    assert.ok(found !== null && found.names.tokens >= count && found.names.tokens <= 8 * count, `${format}: ${JSON.stringify(found)} in ${spelled}`)
    assert.ok((found.values?.tokens ?? 0) >= 1 && (found.values?.tokens ?? 0) <= 8 * count, `${format}: ${JSON.stringify(found)} in ${spelled}`)
  }
})

test('two streams at once get their own', async (t) => {
  const it = model(t)
  const wish: ModelRequestInput = { ...call, likelihoods: true }
  const other: ModelRequestInput = { ...wish, messages: [{ role: 'user', text: 'Read the file notes.txt.' }] }
  const alone = [piecesOf(await ask(it, wish)), piecesOf(await ask(it, other))]
  const together = (await Promise.all([ask(it, wish), ask(it, other)])).map(piecesOf)
  assert.notDeepEqual(alone[0], alone[1])
  for (const [stream, pieces] of together.entries()) {
    assert.deepEqual(pieces.map(({ text }) => text), alone[stream]?.map(({ text }) => text))
    // Rows of one evaluation are added up in another order than one row alone.
    for (const [index, { probability }] of pieces.entries()) assert.ok(Math.abs(probability - (alone[stream]?.[index]?.probability ?? -1)) < 0.05)
  }
})

test('guessing ahead goes before them', async (t) => {
  const it = model(t, 'lookup')
  const copy: ModelRequestInput = { ...story, messages: [{ role: 'user', text: `Repeat this: ${'the red fox and the blue fox and '.repeat(8)}` }], maxTokens: 60 }
  const guessed = await ask(it, { ...copy, likelihoods: true })
  assert.deepEqual(piecesOf(guessed), [])
  assert.equal(guessed.text, (await ask(it, copy)).text)
  // A grammar cannot be guessed against, so nothing is lost there.
  assert.ok(piecesOf(await ask(it, { ...call, likelihoods: true })).length > 0)
})

test('a library of another shape is left as it is', () => {
  const sampleToken = (): Promise<number> => Promise.resolve(1)
  for (const context of [{}, { _ctx: {} }, { _ctx: { sampleToken: 1 } }, { _ctx: Object.freeze({ sampleToken }) }]) {
    assert.equal(ownLikelihoods(context, { _model: {} }, { _bindings: {} }), false)
  }
  assert.equal(ownLikelihoods({ _ctx: { sampleToken } }, {}, { _bindings: { AddonSampler: class {} } }), false)
})
