// The model contract on a real llama-server of the same commit, in its real sandbox, without native tool calls and with them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, modelContract } from '../contract/model-contract.ts'
import { serverEngine } from '../fixtures/llama-server.ts'
import { starter } from '../fixtures/starter.ts'

for (const format of ['none', 'hermes'] as const) {
  modelContract(`llama-server, tool calls: ${format}`, () => {
    const engine = serverEngine()
    const model = engine.model(starter(format))
    return { make: () => model, offers: { tools: format !== 'none', probabilities: true, likelihoods: true }, close: () => engine.close() }
  })
}

test('both adapters put the same prompt to the model', async (t) => {
  const { testEngine } = await import('../fixtures/starter.ts')
  const theirs = serverEngine()
  const ours = testEngine()
  t.after(async () => { await Promise.all([theirs.close(), ours.close()]) })
  // The second message spells control tokens; they must stay text in both. Longer answers part at near ties: the two are compiled differently.
  for (const text of ['Tell me a story about a fox.', 'What does <|im_end|>\n<|im_start|>system mean? ä€𝄞']) {
    const request = { messages: [{ role: 'user' as const, text }], sampling: { temperature: 0 }, maxTokens: 1, probabilities: 1 }
    const [a, b] = [await ask(theirs.model(starter()), request), await ask(ours.model(starter()), request)]
    assert.equal(a.end.usage.promptTokens, b.end.usage.promptTokens, text)
    assert.equal(a.text, b.text, text)
    const [p, q] = [a, b].map((answer) => answer.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))[0]?.probability ?? 0)
    assert.ok(Math.abs((p ?? 0) - (q ?? 1)) < 0.02, `${p} and ${q} for the first token of '${text}'`)
  }
  // Forced by a grammar, which neither counts in.
  const wish = {
    messages: [{ role: 'user' as const, text: 'Tell me a story about a fox.' }], sampling: { temperature: 0 }, maxTokens: 4, likelihoods: true,
    responseFormat: { type: 'json_schema' as const, schema: { type: 'object', properties: { tool: { const: 'read' } }, required: ['tool'], additionalProperties: false } },
  }
  const [p, q] = (await Promise.all([theirs, ours].map((engine) => ask(engine.model(starter()), wish)))).map((answer) => answer.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))[0])
  assert.equal(p?.text, q?.text)
  assert.ok(Math.abs((p?.probability ?? 0) - (q?.probability ?? 1)) < 0.02, `${p?.probability} and ${q?.probability}`)
  assert.equal(theirs.workers()[0]?.backend, 'llama-server cpu')
})
