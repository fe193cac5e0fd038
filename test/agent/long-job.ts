// A long job on a real model whose course is written down: one command a step, and its figures of reuse.
import assert from 'node:assert/strict'
import type { Usage } from '@hearth/protocol'
import { puppet } from '../fixtures/puppet.ts'
import { starter, testEngine } from '../fixtures/starter.ts'
import { Workbench, type Ran } from './workbench.ts'

// What a template writes behind the last message, to ask for the next one; it is written again, behind the answer, in the next prompt.
export const templateTail = 4

export type Turn = { usage: Usage }

export async function longJob(toolMode: 'json' | 'native', contextTokens: number, steps: number, command: (turn: number) => string): Promise<Ran & { turns: Turn[] }> {
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

/** Sixty steps that only append: each reads again nothing but the template's tail. */
export async function sixtySteps(toolMode: 'json' | 'native'): Promise<void> {
  const { end, turns } = await longJob(toolMode, 8192, 60, (turn) => `echo line ${turn}`)
  assert.equal(end.type === 'ended' && end.outcome, 'done_unverified')
  assert.equal(turns.length, 60)
  for (const [index, { usage }] of turns.entries()) {
    const before = turns[index - 1]
    if (before !== undefined) assert.ok(usage.reusedTokens >= before.usage.promptTokens - templateTail, `step ${index + 1}: ${usage.reusedTokens} of ${before.usage.promptTokens} tokens were reused`)
  }
}
