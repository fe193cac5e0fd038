import assert from 'node:assert/strict'
const { pages, page } = await import('/work/pages.ts')
const items = [1, 2, 3, 4, 5, 6]
assert.deepEqual([0, 1, 2, 3, 4, 6].map((n) => pages(items.slice(0, n), 3)), [1, 1, 1, 1, 2, 2])
assert.deepEqual([1, 2, 3].map((n) => page(items, 3, n)), [[1, 2, 3], [4, 5, 6], []])
assert.deepEqual(page(items, 4, 2), [5, 6])
assert.deepEqual(page([], 4, 1), [])
