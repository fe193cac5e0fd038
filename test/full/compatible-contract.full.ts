// The model contract on an endpoint of the local network: a real llama-server behind its own OpenAI dialect, reached through the daemon's real door.
import { EndpointConfig, type EgressEntry } from '@hearth/protocol'
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CompatibleModel } from '@hearth/engine'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { serve } from '../../scripts/benches/llama-server.ts'
import { modelContract } from '../contract/model-contract.ts'
import { llamaServerPath } from '../fixtures/llama-server.ts'
import { starterPath } from '../fixtures/starter.ts'

const rows: Omit<EgressEntry, 'id'>[] = []

modelContract('an endpoint of the local network', async () => {
  const serving = await serve(llamaServerPath(), { model: starterPath(), threads: 1, parallel: 4, contextTokens: 1024 })
  const model = new CompatibleModel({
    endpoint: EndpointConfig.parse({ id: 'lan', url: `${serving.url}/v1`, model: 'starter', contextTokens: 1024 }), log: () => undefined,
    door: createDoor((row) => {
      rows.push(row)
      return Promise.resolve()
    }),
  })
  // Exception: the starter's template has no tools, and this server then drops tools and tool_choice without a word; the adapter makes that `unsupported`.
  return { make: () => model, offers: { tools: false, probabilities: true }, close: () => serving.stop() }
})

test('every request was a row of the egress table', () => {
  assert.ok(rows.length > 20)
  assert.ok(rows.every((row) => row.purpose === 'lan-endpoint' && row.bytes !== null && row.bytes > 100))
})
