import assert from 'node:assert/strict'
import { area, describe, perimeter } from './shapes.ts'

const triangle = { kind: 'triangle', base: 6, height: 4 } as const
assert.equal(area(triangle), 12)
assert.equal(perimeter(triangle), 16)
assert.equal(describe({ kind: 'triangle', base: 3, height: 4 }), 'triangle 3 x 4')
console.log('ok')
