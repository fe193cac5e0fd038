// The task set: each task's hidden check fails on its start and passes on its reference solution, and its recorded course goes as it went, at no higher price.
// After a change that is meant: `scripts/bench agent --update` records the courses anew; the difference is for the reader of the change.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { loadScript } from '@hearth/engine'
import { readTasks, type TaskFolder } from '../tasks/set.ts'
import { expectedOf, tolerance } from '../tasks/record.ts'
import { TaskTable } from '../tasks/table.ts'

const table = new TaskTable()
after(() => table.close())
const tasks = readTasks()

it('there are thirty tasks in four languages, five of them for the starter', () => {
  assert.equal(tasks.length, 30)
  assert.deepEqual([...new Set(tasks.map(({ language }) => language))].sort(), ['javascript', 'python', 'shell', 'typescript'])
  assert.equal(tasks.filter(({ starter }) => starter).length, 5)
})

describe('the hidden check', () => {
  for (const task of tasks) {
    it(`${task.name}: fails at the start, passes on the solution`, async () => {
      const start = await table.judge(task, await table.lay(task), '')
      assert.equal(start.passed, false, 'it passes on what the agent is given')
      const solved = await table.judge(task, await table.lay(task, true), task.answer ?? '')
      assert.equal(solved.passed, true, solved.output)
    })
  }
})

describe('the recorded course', () => {
  for (const task of tasks) it(`${task.name}: goes as it went`, () => replay(task))
})

async function replay(task: TaskFolder): Promise<void> {
  const loaded = await loadScript(task.trajectory)
  assert.ok(loaded.ok, loaded.ok ? '' : loaded.fault.message)
  const played = await table.play(task, loaded.model)
  assert.deepEqual(played.verdict, { passed: true, output: played.verdict.output }, played.verdict.output)
  assert.ok(task.expected !== null, `${task.name} was never recorded; scripts/bench agent --update records it`)
  const { promptTokens, evaluatedTokens, ...course } = expectedOf(played)
  const { promptTokens: sentBefore, evaluatedTokens: evaluatedBefore, ...courseBefore } = task.expected
  assert.deepEqual(course, courseBefore)
  for (const path of played.changed) assert.deepEqual(played.files.get(path), readFileSync(join(task.solution, path)), `${path} is not as it was`)
  for (const [what, now, before] of [['sent', promptTokens, sentBefore], ['evaluated', evaluatedTokens, evaluatedBefore]] as const) {
    assert.ok(now <= before * tolerance, `prompt tokens ${what}: ${now}, over ${before} by more than 5 %; if that is meant: scripts/bench agent --update`)
  }
}
