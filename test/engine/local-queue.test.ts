// The rules of the waiting line: order, reserved sequences, the cap, the forecast of the wait; and whose memory a request may take.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobClass } from '@hearth/protocol'
import { Forecast } from '../../packages/engine/src/local/forecast.ts'
import { inOrder, mayRun, waitsMs } from '../../packages/engine/src/local/queue-order.ts'
import { Slots, type Slot, type SlotRequest } from '../../packages/engine/src/local/slots.ts'

const waiter = (name: string, jobClass: JobClass, sessionKey: string | null, arrived: number) => ({ name, request: { sessionKey, class: jobClass }, arrived })

test('inside a class sessions take turns, whoever came first; a session that runs already stands behind the others', () => {
  const waiting = [
    waiter('a1', 'job', 'a', 1), waiter('a2', 'job', 'a', 2), waiter('a3', 'job', 'a', 3), waiter('b1', 'job', 'b', 4),
    waiter('c1', 'batch', 'c', 5), waiter('none1', 'job', null, 6), waiter('none2', 'job', null, 7), waiter('chat', 'interactive', 'd', 8),
  ]
  assert.deepEqual(inOrder(waiting, []).map(({ name }) => name), ['chat', 'a1', 'b1', 'none1', 'none2', 'a2', 'a3', 'c1'])
  assert.deepEqual(inOrder(waiting, [{ sessionKey: 'a', class: 'job' }]).map(({ name }) => name), ['chat', 'b1', 'none1', 'none2', 'a1', 'a2', 'a3', 'c1'])
})

test('reserved sequences stay free for the classes above; the cap counts everyone; nobody is locked out for ever', () => {
  const running = (...classes: JobClass[]) => classes.map((jobClass) => ({ sessionKey: null, class: jobClass }))
  const limits = { interactive: 1, job: 1, active: null }
  assert.equal(mayRun('job', running('job', 'batch'), 4, limits), true)
  assert.equal(mayRun('job', running('job', 'batch', 'job'), 4, limits), false)
  assert.equal(mayRun('batch', running('job', 'batch'), 4, limits), false)
  assert.equal(mayRun('interactive', running('job', 'batch', 'job'), 4, limits), true)
  assert.equal(mayRun('interactive', running('job', 'batch', 'job', 'interactive'), 4, limits), false)
  assert.equal(mayRun('job', running('interactive', 'interactive'), 4, limits), true, 'a chat does not use up the room of jobs')
  assert.equal(mayRun('interactive', running('job', 'job'), 4, { ...limits, active: 2 }), false)
  assert.equal(mayRun('batch', [], 4, { interactive: 9, job: 9, active: null }), true)
})

test('the wait is that of the sequence which is free first, after those who stand before', () => {
  assert.deepEqual(waitsMs([1000, 300], [500, 500, 500]), [300, 800, 1000])
  assert.deepEqual(waitsMs([1000, null], [500]), [null])
  assert.deepEqual(waitsMs([100], [500, null, 500]), [100, 600, null])
})

test('the forecast of a run comes from measured speeds', () => {
  const forecast = new Forecast()
  assert.equal(forecast.runMs(4000, 100), null)
  forecast.measured({ promptTokens: 1000, reusedTokens: 0, completionTokens: 50, prefillMs: 8000, decodeMs: 1000 }, 4000)
  assert.equal(forecast.runMs(4000, 100), 9000, 'as many tokens as were usual, not as many as were allowed')
  assert.equal(forecast.runMs(4000, 10), 8200)
  forecast.measured({ promptTokens: 1000, reusedTokens: 999, completionTokens: 50, prefillMs: 20, decodeMs: 1000 }, 4000)
  assert.equal(forecast.prefillMsPerToken, 8, 'one evaluated token says nothing about prompts')
})

const request = (prompt: string, sessionKey: string | null, more: Partial<SlotRequest> = {}): SlotRequest => ({ prompt, sessionKey, class: 'interactive', side: sessionKey === null, ...more })

function take(from: Slots, asked: SlotRequest): Slot {
  const taken: Slot[] = []
  from.ask(asked, (slot) => taken.push(slot), () => assert.fail('it had to wait'))
  const [slot] = taken
  assert.ok(slot !== undefined)
  return slot
}

function used(from: Slots, asked: SlotRequest, tokens = 100): Slot {
  const slot = take(from, asked)
  slot.holds(tokens)
  slot.free()
  return slot
}

test('a session that loses its sequence is named to whoever takes it, until a file holds it', () => {
  const slots = new Slots()
  slots.resize(2)
  used(slots, request('about a', 'a'))
  used(slots, request('on b', 'b'))
  assert.deepEqual(slots.unsaved().map(({ sessionKey }) => sessionKey), ['b', 'a'])
  const c = used(slots, request('for c', 'c'))
  assert.deepEqual([c.sequence, c.displaced, c.own], [0, { sessionKey: 'a', tokens: 100 }, false])
  const own = used(slots, request('on b and more', 'b'))
  assert.deepEqual([own.sequence, own.displaced, own.own], [1, null, true])
  slots.markSaved(0)
  assert.deepEqual(slots.unsaved().map(({ sessionKey }) => sessionKey), ['b'])
  assert.equal(used(slots, request('with d', 'd')).displaced, null, 'c is in a file')
  slots.forget()
  assert.deepEqual(slots.unsaved(), [])
})

test('a side call takes what no session holds, also when a session has more in common with it', () => {
  const slots = new Slots()
  slots.resize(3)
  used(slots, request('system prompt. talk', 'a'))
  assert.equal(used(slots, request('system prompt. talk. Give it a title.', null)).sequence, 1)
  used(slots, request('other talk', 'b'))
  assert.equal(used(slots, request('Name a colour.', null)).sequence, 1)
  const busy = take(slots, request('Name a colour.', null))
  assert.equal(take(slots, request('system prompt. talk. Sum it up.', null)).displaced?.sessionKey, 'a', 'nothing else is idle: the one that loses least')
  busy.free()
})

test('the session of least value goes first: short ones, and those long unused', () => {
  const slots = new Slots()
  slots.resize(3)
  used(slots, request('x'.repeat(5000), 'long'))
  used(slots, request('y'.repeat(50), 'short'))
  used(slots, request('z'.repeat(5000), 'new'))
  assert.equal(used(slots, request('another', 'another')).displaced?.sessionKey, 'short')
})

test('a waiter hears its place and the wait', () => {
  const slots = new Slots({ interactive: 1, job: 0, active: null })
  slots.resize(2)
  const first = take(slots, request('one', 'a', { class: 'job', expectedMs: 60_000 }))
  const told: [number, boolean][] = []
  let served = 0
  slots.ask(request('two', 'b', { class: 'job', expectedMs: 1000 }), () => served++, (position, etaMs) => told.push([position, etaMs !== null && etaMs > 50_000 && etaMs <= 60_000]))
  assert.deepEqual([told, served], [[[1, true]], 0], 'the second sequence is reserved')
  take(slots, request('chat', 'c'))
  first.free()
  assert.equal(served, 1)
})
