// The small pure parts of the worker: stop strings, the end of JSON, whole characters, coalescing, batches, names of native failures.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Batching } from '../../packages/engine/src/local/batching.ts'
import { CompletionText } from '../../packages/engine/src/local/completion-text.ts'
import { nativeCause } from '../../packages/engine/src/local/native-cause.ts'
import { JsonEnd, StopScan } from '../../packages/engine/src/local/stop-scan.ts'

test('a stop string is found across pieces, and what might have become one is given back', () => {
  const scan = (stops: string[], pieces: string[]): { text: string; hit: boolean } => {
    const it = new StopScan(stops)
    let text = ''
    for (const piece of pieces) {
      const passed = it.push(piece)
      text += passed.text
      if (passed.hit) return { text, hit: true }
    }
    return { text: text + it.rest(), hit: false }
  }
  assert.deepEqual(scan(['END'], ['a E', 'N', 'D b']), { text: 'a ', hit: true })
  assert.deepEqual(scan(['END'], ['a E', 'N', 'd b E']), { text: 'a ENd b E', hit: false })
  assert.deepEqual(scan(['xx', 'abc'], ['ab', 'xx']), { text: 'ab', hit: true })
  for (const pieces of [['abc'], ['a', 'bc'], ['a', 'b', 'c']]) {
    assert.deepEqual(scan(['abc', 'b'], pieces), { text: 'a', hit: true }, 'the stop string that is complete first wins, however the text is cut')
    assert.deepEqual(scan(['c', 'bc'], pieces), { text: 'a', hit: true })
  }
  assert.deepEqual(scan([], ['a']), { text: 'a', hit: false })
})

test('the end of a JSON value is seen at its last character, never earlier', () => {
  const end = (text: string): number => {
    const it = new JsonEnd()
    for (let i = 0; i < text.length; i++) if (it.push(text[i] ?? '') >= 0) return i + 1
    return -1
  }
  assert.equal(end('{"a": "}\\"", "b": [1, {}]} tail'), 26)
  assert.equal(end('[]]'), 2)
  assert.equal(end('"a\\"b" x'), 6)
  assert.equal(end('12'), -1)
  assert.equal(end('true'), -1)
  assert.equal(end('{"a": [1, 2'), -1)
})

test('half characters wait for their other half; a sentence arrives whole', () => {
  const bytes = Buffer.from('a€😀b', 'utf8')
  const sent: string[] = []
  const likely: string[] = []
  let counted = 0
  const text = new CompletionText({
    // One token for each byte, spelled as llama.cpp does: broken bytes are U+FFFD.
    spell: (tokens) => Buffer.from(tokens.map((token) => bytes[token] ?? 0)).toString('utf8'),
    before: [], stop: [], stopAtJson: false,
    send: (piece, count, pieces) => { sent.push(piece); counted += count; likely.push(...pieces.map((one) => one.text)) },
  })
  for (let token = 0; token < bytes.length; token++) assert.equal(text.push(token, { probability: 1, top: [] }).over, null)
  text.finish(true)
  assert.equal(sent.join(''), 'a€😀b')
  assert.equal(counted, bytes.length)
  assert.deepEqual(likely, ['a', '', '', '€', '', '', '', '😀', 'b'], 'each token has its probability, and the last one of a character has its text')
  assert.ok(!sent.some((piece) => piece.includes('\uFFFD')))
  assert.ok(sent.length < bytes.length, 'tokens that come together travel together')
})

test('a batch waits for every stream that is about to ask, takes classes strictly, and never waits for ever', () => {
  const batching = new Batching()
  const item = (evaluationPriority: number, length: number) => ({ evaluationPriority, tokens: Array.from({ length }, () => 0) })
  const [low, high, prefill] = [item(1, 1), item(5, 1), item(5, 600)]
  for (let i = 0; i < 3; i++) batching.enter()
  assert.deepEqual(batching.strategy({ items: [low, prefill], size: 512 }), [])
  assert.deepEqual(batching.strategy({ items: [low, prefill, high], size: 512 }), [{ item: high, processAmount: 1 }, { item: prefill, processAmount: 511 }])
  for (let i = 0; i < 64; i++) assert.deepEqual(batching.strategy({ items: [low], size: 512 }), [])
  assert.deepEqual(batching.strategy({ items: [low], size: 512 }), [{ item: low, processAmount: 1 }])
  batching.leave()
  batching.leave()
  assert.deepEqual(batching.strategy({ items: [low], size: 512 }).length, 1)
})

test('work on the memory parks the streams until it is done', async () => {
  const batching = new Batching()
  batching.enter()
  const log: string[] = []
  const work = Promise.withResolvers<void>()
  const done = batching.exclusive(() => work.promise)
  assert.equal(batching.closed, true)
  const passed = batching.pass().then(() => log.push('passed'))
  await Promise.resolve()
  assert.deepEqual(batching.strategy({ items: [], size: 8 }), [], 'a parked stream is not waited for')
  assert.deepEqual(log, [])
  work.resolve()
  await Promise.all([done, passed])
  assert.deepEqual([log, batching.closed], [['passed'], false])
})

test('native failures are named by their own words', () => {
  for (const text of ['terminate called after throwing an instance of vk::DeviceLostError', 'ggml_vulkan: device lost', 'amdgpu 0000:c5:00.0: ring gfx_0.0.0 timeout']) assert.equal(nativeCause(text), 'gpu_lost', text)
  for (const text of ['ErrorOutOfDeviceMemory', 'std::bad_alloc', 'ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 5', 'A context size of 9 is too large for the available VRAM', 'FATAL ERROR: JavaScript heap out of memory']) assert.equal(nativeCause(text), 'out_of_memory', text)
  assert.equal(nativeCause('error: everything is fine'), 'other')
})
