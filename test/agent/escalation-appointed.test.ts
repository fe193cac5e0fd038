// A job whose request says after which steps it asks for help: then and never else, whatever the signals say.
import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { bash, Experts, finish, local, obeying, write } from './experts.ts'
import { ofType, Workbench } from './workbench.ts'

let bench: Workbench
before(async () => { bench = await Workbench.open({ f: 'old\n' }) })
after(() => bench.close())

const advice = { text: 'The file f must hold the word right.\n1. write f\n2. run the check\n3. finish\nGO ON' }

describe('help at appointed steps', () => {
  it('is bought after those steps, though nothing is wrong', async () => {
    const expert = new Experts({ turns: [{ text: 'All is well.\nGO ON' }] })
    const acts = [bash('echo 1'), bash('echo 2'), bash('echo 3'), bash('echo 4'), bash('echo 5'), bash('echo 6'), write('f', 'right\n'), finish()]
    const ran = await bench.run({ model: local((_, turn) => acts[turn] ?? finish()), script: { turns: [] }, checks: ['grep -q right f'], expert, escalation: { askAt: [5, 1] } })
    assert.equal(ran.end.type === 'ended' && ran.end.outcome, 'resolved')
    assert.deepEqual(ofType(ran.events, 'handed_back').map(({ step, mode }) => [step, mode]), [[1, 'advise'], [5, 'advise']])
    assert.deepEqual(ofType(ran.events, 'escalation_offered').map(({ signals }) => signals), [1, 5].map((at) => [{ kind: 'declared', name: 'appointed', evidence: `the job was given with a question after step ${at}` }]))
  })

  it('waits until what was bought before was used', async () => {
    const expert = new Experts({ turns: [{ text: 'All is well.\nGO ON' }] })
    const ran = await bench.run({ model: local((_, turn) => (turn < 6 ? bash(`echo ${turn}`) : finish())), script: { turns: [] }, checks: ['true'], expert, escalation: { askAt: [2, 3] } })
    assert.deepEqual(ofType(ran.events, 'handed_back').map(({ step }) => step), [2, 4])
  })

  it('is the only help: no signal, no guard and no question of the model brings another', async () => {
    await writeFile(join(bench.workspace, 'f'), 'old\n')
    for (const stuck of [finish('done'), bash('true')]) {
      const expert = new Experts({ turns: [advice] })
      const ran = await bench.run({ model: local(obeying(() => stuck)), script: { turns: [] }, checks: ['grep -q right f'], maxSteps: 30, expert, escalation: { askAt: [] } })
      assert.notEqual(ran.end.type === 'ended' && ran.end.outcome, 'resolved')
      assert.equal(expert.asked.length, 0)
    }
    const expert = new Experts({ turns: [advice] })
    const asking = { name: 'ask_expert', arguments: { question: 'What now?', tried: 'nothing' } }
    const ran = await bench.run({ model: local((_, turn) => (turn === 0 ? asking : finish())), script: { turns: [] }, checks: ['true'], expert, escalation: { askAt: [] } })
    assert.equal(expert.asked.length, 0)
    assert.match(ofType(ran.events, 'tool_result')[0]?.observation ?? '', /^No expert is configured\. Your question is written down/)
  })
})
