// The daemon is killed 250 times: ten runs of the journey's test, each with another seed.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')

for (let round = 1; round <= 10; round += 1) {
  test(`25 kills, round ${round}`, () => {
    const seed = String((Date.now() + round) % 1e9)
    // Only the first describe of that file: the worker's deaths need no repeating.
    const { status, stdout } = spawnSync(join(root, 'node_modules/.bin/node'),
      ['--test', '--test-name-pattern=every acknowledged job', '--disable-warning=ExperimentalWarning', join(root, 'test/journey/crash.test.ts')],
      { env: { ...process.env, NODE_TEST_CONTEXT: undefined, HEARTH_TEST_SEED: seed }, encoding: 'utf8' })
    assert.equal(status, 0, `seed ${seed}\n${stdout.slice(-3000)}`)
  })
}
