// Speed against the raw library and a llama-server built from the library's own bundle (about five minutes the first time), and start-up.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bench } from './bench.ts'

for (const name of ['startup', 'size', 'decode']) {
  test(`scripts/bench ${name}: every bar holds`, async (t) => {
    const { code, rows } = await bench(name)
    for (const row of rows) t.diagnostic(`${row.figure}: ${row.ours.median.toFixed(1)} ${row.unit}, ratio ${row.ratio?.median.toFixed(2) ?? '-'}, ${row.verdict}`)
    assert.deepEqual(rows.filter((row) => row.verdict === 'falls short').map((row) => row.figure), [])
    assert.equal(code, 0)
  })
}
