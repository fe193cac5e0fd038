// Long jobs on a real model: the prefix is kept from step to step in both tool modes, and what breaks it is one event with its price.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import type { Usage } from '@hearth/protocol'
import { puppet } from '../fixtures/puppet.ts'
import { starter, testEngine } from '../fixtures/starter.ts'
import { ofType, Workbench, type Ran } from './workbench.ts'

// What a template writes behind the last message, to ask for the next one; it is written again, behind the answer, in the next prompt.
const templateTail = 4

type Turn = { usage: Usage }

async function longJob(toolMode: 'json' | 'native', contextTokens: number, steps: number, command: (turn: number) => string): Promise<Ran & { turns: Turn[] }> {
  const engine = testEngine({ engine: { contextTokens, sequences: 1 } })
  const bench = await Workbench.open({ 'AGENTS.md': 'Write short lines.\n' })
  const turns: Turn[] = []
  try {
    const model = puppet(engine.model(starter(toolMode === 'native' ? 'hermes' : 'none')), { toolMode, tools: ['bash', 'finish'], maxCallTokens: 256 },
      (turn) => (turn === steps - 1 ? { name: 'finish', arguments: { answer: 'done' } } : { name: 'bash', arguments: { command: command(turn) } }), (turn) => turns.push(turn))
    return { ...await bench.run({ script: { turns: [] }, model, maxSteps: steps }), turns }
  } finally {
    await bench.close()
    await engine.close()
  }
}

for (const toolMode of ['json', 'native'] as const) {
  describe(`60 steps in ${toolMode} mode`, () => {
    it('read again nothing but the template\'s tail', async () => {
      const { end, turns } = await longJob(toolMode, 8192, 60, (turn) => `echo line ${turn}`)
      assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
      assert.equal(turns.length, 60)
      for (const [index, { usage }] of turns.entries()) {
        const before = turns[index - 1]
        if (before !== undefined) assert.ok(usage.reusedTokens >= before.usage.promptTokens - templateTail, `step ${index + 1}: ${usage.reusedTokens} of ${before.usage.promptTokens} tokens were reused`)
      }
    })
  })
}

it('a history that fills its window is shortened at a step edge, with one event for each time, and its price is what was read', async () => {
  const { end, events, turns } = await longJob('json', 2048, 40, (turn) => `seq ${turn * 100} ${turn * 100 + 60} | tr '\\n' ' '`)
  assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
  const rewrites = ofType(events, 'rewritten')
  assert.ok(rewrites.length >= 2, `${rewrites.length} rewrites`)
  let dropped = 0
  for (const [index, { usage }] of turns.entries()) {
    const before = turns[index - 1]
    if (before === undefined) continue
    const rewrite = rewrites.find(({ step }) => step === index)
    if (rewrite === undefined) {
      assert.ok(usage.reusedTokens >= before.usage.promptTokens - templateTail, `step ${index + 1} broke its prefix without an event`)
      continue
    }
    dropped += rewrite.droppedMessages
    const read = usage.promptTokens - usage.reusedTokens
    assert.ok(read < rewrite.beforeTokens / 2, `${read} tokens were read again of ${rewrite.beforeTokens}`)
    // The event's price is an estimate from bytes; what was really read stays near it.
    assert.ok(Math.abs(read - rewrite.refillTokens) <= Math.max(80, rewrite.refillTokens * 0.4), `${read} tokens were read, ${rewrite.refillTokens} were told`)
    assert.match(rewrite.evidence, /^the next prompt has about \d+ tokens, and \d+ fit beside an answer$/)
  }
  assert.ok(dropped > 20)
})
