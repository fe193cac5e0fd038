import assert from 'node:assert/strict'
import { parseDuration } from './duration.ts'

assert.equal(parseDuration('90s'), 90_000)
assert.equal(parseDuration('1h 30m'), 5_400_000)
assert.equal(parseDuration('250ms'), 250)
assert.throws(() => parseDuration('soon'), RangeError)
console.log('ok')
