// The starter model does at least 16 of 20 fresh built-in jobs, and random legal calls fewer than 4: the bars of `scripts/bench starter`.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bench } from './bench.ts'

test('the starter model does the built-in job, and chance does not', async () => {
  const { code, rows } = await bench('starter')
  const verdicts = Object.fromEntries(rows.map((row) => [row.figure, row.verdict]))
  assert.equal(verdicts['resolved by the model'], 'holds')
  assert.equal(verdicts['resolved by random calls'], 'holds')
  assert.equal(code, 0)
})
