import assert from 'node:assert/strict'
import { runAll } from './queue.mjs'

const order = []
const job = (name, ms) => async () => {
  order.push('start ' + name)
  await new Promise((done) => setTimeout(done, ms))
  order.push('end ' + name)
  return name
}
assert.deepEqual(await runAll([job('a', 20), job('b', 1)]), ['a', 'b'])
assert.deepEqual(order, ['start a', 'end a', 'start b', 'end b'])
console.log('ok')
