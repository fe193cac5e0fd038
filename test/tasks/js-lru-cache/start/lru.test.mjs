import assert from 'node:assert/strict'
import { Lru } from './lru.mjs'

const cache = new Lru(2)
cache.set('a', 1)
cache.set('b', 2)
assert.equal(cache.get('a'), 1)
cache.set('c', 3)
assert.equal(cache.has('b'), false)
assert.deepEqual([cache.get('a'), cache.get('c'), cache.size], [1, 3, 2])
assert.throws(() => new Lru(0), RangeError)
console.log('ok')
