// The arithmetic of the benchmark frame: turns, interval, verdict, drawing. No program is measured here.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drawPage, drawPicture, type Recorded } from '../../scripts/benches/draw.ts'
import { against, confidenceRank, ratioOf, recorded, takeTurns, verdictOf, within, type Row } from '../../scripts/benches/frame.ts'

const names = { bench: 'walk', figure: 'one mile', unit: 'min', note: 'in flat shoes' }
const stamp = { commit: 'abc1234567', date: '2026-01-02', machine: '2 x some CPU' }

test('contestants take turns, the order turns round, the first round is thrown away', async () => {
  const order: string[] = []
  let value = 0
  const contestant = (name: string) => () => {
    order.push(name)
    return Promise.resolve(value++)
  }
  const samples = await takeTurns(3, { a: contestant('a'), b: contestant('b') })
  assert.deepEqual(order, ['a', 'b', 'b', 'a', 'a', 'b', 'b', 'a'])
  assert.deepEqual(samples, { a: [3, 4, 7], b: [2, 5, 6] })
})

test('the interval leaves out as many values as the sign test allows', () => {
  // Tables of the sign test: 95 % intervals for a median of n values run from the (rank + 1)th to the (n - rank)th.
  assert.deepEqual([5, 6, 8, 9, 12, 15, 20].map((n) => confidenceRank(n)), [0, 0, 0, 1, 2, 3, 5])
  const ratio = ratioOf([1, 2, 3, 4, 5, 6, 7, 8, 9], Array<number>(9).fill(1))
  assert.deepEqual(ratio, { min: 1, low: 2, median: 5, high: 8, max: 9 })
})

test('ratios are taken pair by pair, so drift of the machine cancels out', () => {
  const theirs = [10, 20, 40, 80, 160, 10, 20, 40, 80]
  const row = against(names, theirs.map((value) => value * 2), { name: 'rival', samples: theirs }, { is: 'at most', ratio: 2 })
  assert.deepEqual(row.ratio, { min: 2, low: 2, median: 2, high: 2, max: 2 })
  assert.equal(row.verdict, 'holds')
})

test('a bar holds when the interval reaches it, and falls short when all of it lies beyond', () => {
  const ratio = { min: 0.8, low: 0.9, median: 0.95, high: 1, max: 1.1 }
  assert.equal(verdictOf(ratio, { is: 'at least', ratio: 0.97 }), 'holds')
  assert.equal(verdictOf(ratio, { is: 'at least', ratio: 1.01 }), 'falls short')
  assert.equal(verdictOf(ratio, { is: 'at most', ratio: 0.92 }), 'holds')
  assert.equal(verdictOf(ratio, { is: 'at most', ratio: 0.89 }), 'falls short')
  assert.equal(verdictOf(ratio, null), 'no bar')
  assert.equal(within(names, [551], { name: 'limit', value: 550 }, { is: 'at most', ratio: 1 }).verdict, 'falls short')
  // Nothing was measured: that must never look like success.
  assert.equal(against(names, [], { name: 'rival', samples: [] }, { is: 'at most', ratio: 2 }).verdict, 'falls short')
})

test('the page shows the latest of each figure, the picture all of them', () => {
  const row = (value: number, figure: string): Row => against({ ...names, figure }, [value, value, value], { name: 'rival <1>', samples: [1, 1, 1] }, { is: 'at most', ratio: 2 })
  const rows: Recorded[] = [
    { ...row(1, 'up'), ...stamp }, { ...row(3, 'up'), ...stamp, date: '2026-02-03', commit: 'def' }, { ...recorded({ ...names, figure: 'down' }, [5]), ...stamp },
  ]
  const page = drawPage(rows)
  assert.match(page, /^\| walk \| up \| 3\.00 min \(3\.00 to 3\.00, n=3\) \| rival <1>: 1\.00 \| 3\.00 \[3\.00, 3\.00\] \| <= 2x \| falls short \| 2026-02-03, def \|$/m)
  assert.match(page, /^\| walk \| down \| 5\.00 min \(5\.00 to 5\.00, n=1\) \| - \| - \| - \| no bar \|/m)
  assert.doesNotMatch(page, /2026-01-02, abc1234567 \|\n\| walk \| up/)
  const picture = drawPicture(rows)
  assert.equal(picture.match(/<circle/g)?.length, 2, 'one point a recording of a figure with a ratio')
  assert.match(picture, /walk: up/)
  assert.match(picture, /of rival &lt;1&gt;, bar &lt;= 2x, falls short/)
  assert.doesNotMatch(picture, /NaN|undefined|Infinity/)
})
