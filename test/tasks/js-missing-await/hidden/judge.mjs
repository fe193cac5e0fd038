import assert from 'node:assert/strict'
const { runAll } = await import('/work/queue.mjs')
let running = 0
const job = (value) => async () => {
  assert.equal(running, 0)
  running += 1
  await new Promise((done) => setTimeout(done, 2))
  running -= 1
  if (value < 0) throw new Error('no')
  return value
}
assert.deepEqual(await runAll([job(1), job(-1), job(3)]), [1, null, 3])
assert.deepEqual(await runAll([]), [])
