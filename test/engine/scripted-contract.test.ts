// The scripted model keeps the contract of every model.
import { scriptedModel } from '@hearth/engine'
import { modelContract } from '../contract/model-contract.ts'

modelContract('scripted', () => ({
  make: (says) => scriptedModel({ version: 1, contextTokens: 2048, loop: true, turns: [says] }),
  offers: { tools: true, probabilities: false },
}))
modelContract('scripted, at 500 tokens/s', () => ({
  make: (says) => scriptedModel({ version: 1, contextTokens: 2048, loop: true, tokensPerSecond: 500, turns: [{ ...says, delayMs: 5 }] }),
  offers: { tools: true, probabilities: false },
}))
