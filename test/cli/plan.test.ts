// How a memory plan is shown: the whole text of one that fits, and of one that does not.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MemoryPlan } from '@hearth/protocol'
import { lines } from '../../packages/cli/src/commands/plan.ts'
import { inkOf } from '../../packages/cli/src/print.ts'

const GiB = 2 ** 30
const fitting: MemoryPlan = {
  model: 'm', verdict: 'fits', place: 'gtt', totalBytes: 120 * GiB, limitBytes: 120 * GiB, freeBytes: 110 * GiB, neededBytes: 70 * GiB, mappedBytes: 0,
  parts: [{ name: 'weights', bytes: 60 * GiB }, { name: 'cache', bytes: 8 * GiB }, { name: 'compute', bytes: 2 * GiB }],
  contextTokens: 8192, sequences: 4, wishedContextTokens: 8192, wishedSequences: 4, said: 'm fits.', remedy: null,
}

test('a plan that fits: sentence, bar, parts', () => {
  assert.deepEqual(lines(fitting, 80, inkOf(false)), [
    'm fits.', '', `[${'#'.repeat(5)}${'█'.repeat(30)}${'▓'.repeat(4)}▚${'.'.repeat(20)}]`,
    'fits: 70.0 GiB needed, 110.0 GiB free, 120.0 GiB for models of 120.0 GiB GTT',
    '  █ weights                60.0 GiB', '  ▓ KV cache                8.0 GiB', '  ▚ compute buffers         2.0 GiB', '  # in use by others       10.0 GiB',
  ])
})

test('a refused plan runs over its bar and ends with the remedy', () => {
  const refused: MemoryPlan = { ...fitting, verdict: 'refused', parts: [{ name: 'weights', bytes: 200 * GiB }], neededBytes: 200 * GiB, remedy: 'Boot with more.' }
  const shown = lines(refused, 40, inkOf(false))
  assert.equal(shown[2], `[${'#'.repeat(3)}${'█'.repeat(34)}>]`)
  assert.equal(shown.at(-1), 'Boot with more.')
})

test('an unknown plan has no bar', () => {
  const unknown: MemoryPlan = { ...fitting, verdict: 'unknown', place: null, totalBytes: null, limitBytes: null, freeBytes: null, parts: [{ name: 'weights', bytes: GiB }] }
  assert.deepEqual(lines(unknown, 80, inkOf(false)), ['m fits.', '  █ weights                 1.0 GiB'])
})
