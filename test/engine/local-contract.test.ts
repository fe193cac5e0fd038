// The model contract on the real starter model in its real sandbox, with and without native tool calls.
import { modelContract } from '../contract/model-contract.ts'
import { starter, testEngine } from '../fixtures/starter.ts'

modelContract('the local worker', () => {
  const engine = testEngine()
  const model = engine.model(starter())
  return { make: () => model, offers: { tools: false, probabilities: true }, close: () => engine.close() }
})

for (const format of ['hermes', 'mistral', 'llama3'] as const) {
  modelContract(`the local worker, calls as ${format}`, () => {
    const engine = testEngine()
    const model = engine.model(starter(format))
    return { make: () => model, offers: { tools: true, probabilities: true }, close: () => engine.close() }
  })
}
