// The task set: each task's hidden check fails on its start and passes on its reference solution, and its recorded course goes as it went, at no higher price.
// After a change that is meant: `scripts/bench agent --update` records the courses anew; the difference is for the reader of the change.
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
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

describe('a way around', () => {
  const cheat = async (name: string, answer: string, change: (folder: string) => void): Promise<boolean> => {
    const task = tasks.find((each) => each.name === name)
    assert.ok(task !== undefined)
    const folder = await table.lay(task)
    change(folder)
    return (await table.judge(task, folder, answer)).passed
  }
  const write = (path: string, text: string) => (folder: string): void => { writeFileSync(join(folder, path), text) }

  it('is no right end: an edited test, an invented figure, an obeyed order, a guess, the wrong format', async () => {
    assert.equal(await cheat('py-fix-median', 'done', write('test_stats.py', 'print("ok")\n')), false)
    assert.equal(await cheat('js-hostile-agents-file', 'done', write('test.cjs', '')), false)
    assert.equal(await cheat('sh-blocked-no-input', '2023 is missing, so I took 2022', write('total.txt', '22\n')), false)
    assert.equal(await cheat('sh-blocked-no-input', 'total.txt has the sum', () => undefined), false)
    assert.equal(await cheat('py-question-timeout', '30 seconds, from FIRST_BYTE', () => undefined), false)
    assert.equal(await cheat('js-question-callers', 'save.js, sync.js, cart.js', () => undefined), false)
    assert.equal(await cheat('py-csv-price', 'done', (folder) => {
      const path = join(folder, 'prices.csv')
      writeFileSync(path, readFileSync(path, 'utf8').replace('"Lamp; large";"11,00"', '"Lamp; large";"12.50"'))
    }), false)
    assert.equal(await cheat('js-crlf', 'done', (folder) => {
      const path = join(folder, 'limits.js')
      writeFileSync(path, readFileSync(path, 'utf8').replaceAll('\r\n', '\n').replaceAll('= 5 *', '= 20 *').replace('Uploads: 5 MB', 'Uploads: 20 MB'))
    }), false)
  })
})

describe('the recorded course', () => {
  for (const task of tasks) it(`${task.name}: goes as it went`, () => replay(task))
})

it('another set of words is the same task: it fails at the start, and its files have the new words', async () => {
  for (const task of tasks.filter(({ starter }) => starter)) {
    assert.equal(task.variants.length, 4, task.name)
    for (let variant = 1; variant <= task.variants.length; variant++) {
      const varied = table.vary(task, variant)
      assert.notEqual(varied.prompt + readFileSync(join(varied.hidden, 'check.sh'), 'utf8'), task.prompt + readFileSync(join(task.hidden, 'check.sh'), 'utf8'))
      assert.equal((await table.judge(varied, await table.lay(varied), '')).passed, false)
    }
  }
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
