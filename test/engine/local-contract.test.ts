// The model contract on the real starter model in its real sandbox, without native tool calls and with them.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ask, modelContract } from '../contract/model-contract.ts'
import { starter, testEngine } from '../fixtures/starter.ts'

for (const format of ['none', 'hermes'] as const) {
  modelContract(`the local worker, tool calls: ${format}`, () => {
    const engine = testEngine()
    const model = engine.model(starter(format))
    return { make: () => model, offers: { tools: format !== 'none', probabilities: true, likelihoods: true }, close: () => engine.close() }
  })
}

test('the other formats of tool calls are enforced and read back as well', async (t) => {
  const engine = testEngine()
  t.after(() => engine.close())
  const tool = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: { town: { enum: ['Ulm', 'Rom'] } }, required: ['town'], additionalProperties: false } }
  for (const format of ['mistral', 'llama3', 'qwen_xml', 'glm', 'gemma4', 'deepseek'] as const) {
    // One file, one worker: the format belongs to the model's entry, not to the process.
    const answer = await ask(engine.model(starter(format)), {
      messages: [{ role: 'user', text: 'How is the weather in Ulm?' }], tools: [tool, { ...tool, name: 'other' }], toolChoice: { name: 'weather' }, sampling: { temperature: 0 }, maxTokens: 150,
    })
    assert.equal(answer.end.type === 'done' ? answer.end.stop : answer.end.fault.message, 'tool_calls')
    const calls = answer.events.flatMap((event) => (event.type === 'tool_call' ? [event.call] : []))
    assert.ok(calls.length >= 1)
    for (const call of calls) {
      assert.equal(call.name, 'weather')
      assert.match(JSON.stringify(call.arguments), /^\{"town":"(Ulm|Rom)"\}$/)
    }
  }
  assert.equal(engine.workers().length, 1)
})
