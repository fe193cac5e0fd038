// What is kept of a stream: all of it, or head and tail around one marker line, with no character cut in two.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Capture } from '../../packages/sandbox/src/capture.ts'

function captured(limit: number, ...pieces: (string | number[])[]) {
  const capture = new Capture(limit)
  for (const piece of pieces) capture.push(typeof piece === 'string' ? Buffer.from(piece) : Uint8Array.from(piece))
  return capture.done()
}

test('everything, when it fits', () => {
  assert.deepEqual(captured(10), { text: '', totalBytes: 0, truncated: false })
  assert.deepEqual(captured(10, 'hello', 'world'), { text: 'helloworld', totalBytes: 10, truncated: false })
  assert.deepEqual(captured(6, [0xc3], [0xa4], 'ab'), { text: 'äab', totalBytes: 4, truncated: false })
})

test('head and tail around the marker, when it does not', () => {
  assert.deepEqual(captured(10, 'head\nlost and lost\ntail\n'), { text: 'head\n[14 bytes left out]\ntail\n', totalBytes: 24, truncated: true })
  assert.deepEqual(captured(4, 'abcdef'), { text: 'ab\n[2 bytes left out]\nef', totalBytes: 6, truncated: true })
  assert.deepEqual(captured(0, 'abc'), { text: '[3 bytes left out]\n', totalBytes: 3, truncated: true })
})

test('a character at the edge is left out whole', () => {
  assert.deepEqual(captured(6, 'abä', 'xxxx', 'äcd'), { text: 'ab\n[8 bytes left out]\ncd', totalBytes: 12, truncated: true })
})

test('many small pieces keep the memory bounded and the text right', () => {
  const capture = new Capture(20)
  for (let number = 0; number < 200_000; number++) capture.push(Buffer.from(`${number % 10}`))
  assert.deepEqual(capture.done(), { text: '0123456789\n[199980 bytes left out]\n0123456789', totalBytes: 200_000, truncated: true })
})

test('bytes that are no text become the replacement character', () => {
  assert.equal(captured(10, [0xff, 0x41, 0xfe]).text, '\ufffdA\ufffd')
})
