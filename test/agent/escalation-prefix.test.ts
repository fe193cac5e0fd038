// The local prefix over an escalation, on a real model: what it held before advice or a step that was taken over is not read again.
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { puppet } from '../fixtures/puppet.ts'
import { starter, testEngine } from '../fixtures/starter.ts'
import { Experts } from './experts.ts'
import { templateTail, type Turn } from './long-job.ts'
import { call, ofType, Workbench } from './workbench.ts'

const bash = (command: string): { name: string; arguments: Record<string, unknown> } => ({ name: 'bash', arguments: { command } })
const finish = { name: 'finish', arguments: { answer: 'done' } }

for (const toolMode of ['native', 'json'] as const) {
  for (const mode of ['advise', 'step'] as const) {
    it(`${toolMode}: after ${mode} at least 95 % of the prompt before it is reused`, async () => {
      const engine = testEngine({ engine: { contextTokens: 4096, sequences: 1 } })
      const bench = await Workbench.open({ f: 'x\n' })
      const turns: Turn[] = []
      const acts = [bash('seq 1 200'), bash('echo one'), finish, finish, ...(mode === 'step' ? [finish] : [bash('touch done'), finish])]
      const expert = new Experts({ turns: mode === 'advise' ? [{ text: 'Run touch done.\nGO ON' }] : [call('bash', { command: 'ls' }), call('write', { path: 'done', content: 'x' })] })
      try {
        const model = puppet(engine.model(starter(toolMode === 'native' ? 'hermes' : 'none')), { toolMode, tools: ['bash', 'finish'], maxCallTokens: 64 }, (turn) => acts[turn] ?? finish, (turn) => turns.push(turn))
        const { end, events } = await bench.run({ script: { turns: [] }, model, checks: ['test -f done'], expert, escalation: { modes: [mode] } })
        assert.equal(end.type === 'ended' && end.outcome, 'resolved')
        assert.deepEqual(ofType(events, 'handed_back').map((event) => event.mode), [mode])
        const [before, next] = [turns[3]?.usage, turns[4]?.usage]
        assert.ok(before !== undefined && next !== undefined)
        assert.ok(next.reusedTokens >= before.promptTokens - templateTail, `${next.reusedTokens} of ${before.promptTokens} tokens were reused`)
        assert.ok(next.reusedTokens >= 0.95 * before.promptTokens)
      } finally {
        await bench.close()
        await engine.close()
      }
    })
  }
}
