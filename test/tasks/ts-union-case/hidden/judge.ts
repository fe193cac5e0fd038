import assert from 'node:assert/strict'
const { area, perimeter, describe } = await import('/work/shapes.ts')
assert.equal(area({ kind: 'rectangle', width: 2, height: 5 }), 10)
assert.equal(describe({ kind: 'circle', radius: 2 }), 'circle 2')
assert.equal(describe({ kind: 'rectangle', width: 2, height: 5 }), 'rectangle 2 x 5')
assert.equal(perimeter({ kind: 'triangle', base: 10, height: 12 }), 36)
assert.equal(area({ kind: 'triangle', base: 10, height: 12 }), 60)
