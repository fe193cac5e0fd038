// What goes into one evaluation: order of rows, strict classes for prompts, and together or apart by measured time.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batching, rowKey } from '../../packages/engine/src/local/batching.ts'
import { RowCosts } from '../../packages/engine/src/local/row-cost.ts'

const item = (sequence: number, rows = 1, priority: 1 | 3 | 5 = 3) => ({ tokens: Array.from({ length: rows }, () => 0), evaluationPriority: rowKey(priority, sequence), sequence })
const batch = (batching: Batching, items: ReturnType<typeof item>[], size = 512): [number, number][] =>
  batching.strategy({ items, size }).map((chosen) => [chosen.item.sequence, chosen.processAmount])

test('rows go in by the number of their sequence, in whatever order they come back', () => {
  const batching = new Batching()
  assert.deepEqual(batch(batching, [item(3), item(0), item(63, 1, 1), item(2), item(1, 1, 5)]), [[0, 1], [1, 1], [2, 1], [3, 1], [63, 1]])
})

test('a prompt of a higher class takes the room first, lower ones go on in small pieces; what is chosen still goes in by sequence', () => {
  const batching = new Batching()
  assert.deepEqual(batch(batching, [item(0, 300, 1), item(1, 300, 5), item(2, 1, 3)]), [[0, 16], [1, 300], [2, 1]])
  assert.deepEqual(batch(batching, [item(0, 600, 1), item(1, 600, 5)]), [[1, 512]])
})

test('an evaluation waits until every active run has queued its row, but not for ever', () => {
  const batching = new Batching()
  batching.enter()
  batching.enter()
  assert.deepEqual(batch(batching, [item(1)]), [])
  assert.deepEqual(batch(batching, [item(1), item(0)]), [[0, 1], [1, 1]])
  let asked = 1
  while (batch(batching, [item(1)]).length === 0) asked++
  assert.equal(asked, 65)
})

/** A machine on which rows are best evaluated one by one, and knows it. */
function apart(runs: readonly (1 | 3 | 5)[]): Batching {
  const batching = new Batching()
  for (const priority of runs) batching.enter(priority)
  for (let i = 0; i < 8; i++) batching.costs.note(1, 1)
  for (let i = 0; i < 8; i++) batching.costs.note(runs.length, 100)
  return batching
}

/** What each of `runs` is given in `evaluations`: who was served comes back behind the others, and later than the question after it. */
function served(batching: Batching, runs: readonly (1 | 3 | 5)[], evaluations: number): number[] {
  const counts = runs.map(() => 0)
  const queue = runs.map((_, sequence) => sequence)
  let away: number | null = null
  for (let done = 0; done < evaluations;) {
    const chosen = batch(batching, queue.map((sequence) => item(sequence, 1, runs[sequence])))
    if (away !== null) queue.push(away)
    away = null
    const [first] = chosen
    if (first === undefined) continue
    assert.deepEqual(chosen.length, 1)
    done++
    away = first[0]
    counts[away] = (counts[away] ?? 0) + 1
    queue.splice(queue.indexOf(away), 1)
  }
  return counts
}

test('one by one, a chat goes before jobs and batches, which get one evaluation in eight between them', () => {
  const runs = [1, 3, 5, 1] as const
  const [batchA = 0, job = 0, chat = 0, batchB = 0] = served(apart(runs), runs, 800)
  assert.equal(chat, 700)
  assert.equal(batchA + job + batchB, 100)
  for (const lower of [batchA, job, batchB]) assert.ok(lower >= 32 && lower <= 35, `${lower} of 100`)
})

test('one by one, runs of one class take turns, and nobody waits for a class that has no run', () => {
  const runs = [3, 3, 3] as const
  assert.deepEqual(served(apart(runs), runs, 300), [100, 100, 100])
  const left = apart([1, 1, 5])
  left.leave(5)
  left.enter(1)
  assert.deepEqual(served(left, [1, 1, 1], 300), [100, 100, 100])
})

/** Plays `evaluations` on a machine where an evaluation of n rows takes cost(n); the parts of tokens that came from batches of all rows. */
function play(costs: RowCosts, sequences: number, evaluations: number, cost: (rows: number) => number): { together: number; ms: number; tokens: number } {
  let together = 0
  let ms = 0
  let tokens = 0
  for (let i = 0; i < evaluations; i++) {
    const rows = costs.apart(sequences) ? 1 : sequences
    if (rows > 1) together++
    tokens += rows
    ms += cost(rows)
    costs.note(rows, cost(rows))
  }
  return { together, ms, tokens }
}

const cpu: Record<number, number> = { 1: 7, 2: 18.2, 3: 24.6, 4: 30.7, 8: 50.7 }
const onCpu = (rows: number): number => cpu[rows] ?? rows * 7

test('a CPU that is slower with four rows than with four times one learns it; with eight rows it batches; looking again costs under 2 %', () => {
  const costs = new RowCosts()
  play(costs, 4, 20, onCpu)
  const four = play(costs, 4, 10_000, onCpu)
  assert.ok(four.ms / four.tokens < 7 * 1.02, `${four.ms / four.tokens} ms a token`)
  assert.ok(four.together > 0, 'it looks again')
  play(costs, 8, 30, onCpu)
  const eight = play(costs, 8, 10_000, onCpu)
  assert.ok(eight.ms / eight.tokens < 50.7 / 8 * 1.02, `${eight.ms / eight.tokens} ms a token`)
  assert.ok(eight.together > 9_000)
})

test('a GPU batches all rows, also right after the start', () => {
  const costs = new RowCosts()
  const gpu = (rows: number): number => 20 + rows * 0.3
  const start = play(costs, 8, 100, gpu)
  assert.ok(start.together >= 90, `${start.together} of 100`)
  const long = play(costs, 8, 10_000, gpu)
  assert.ok(long.ms / long.tokens < gpu(8) / 8 * 1.02)
})

test('a machine that changes its mind is believed', () => {
  const costs = new RowCosts()
  play(costs, 4, 2_000, onCpu)
  const after = (rows: number): number => 20 + rows
  play(costs, 4, 2_000, after)
  assert.ok(play(costs, 4, 1_000, after).together > 900)
})

test('one sequence is never apart, and one slow moment decides nothing', () => {
  const costs = new RowCosts()
  assert.equal(costs.apart(1), false)
  for (let i = 0; i < 10; i++) costs.note(1, i === 9 ? 700 : 7)
  assert.equal(costs.ms(1), 7)
})
