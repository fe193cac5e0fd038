// Which sequence serves which request, who waits, and in what order.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobClass } from '@hearth/protocol'
import { Slots, type Slot } from '../../packages/engine/src/local/slots.ts'
import { defaultThreads } from '../../packages/engine/src/local/threads.ts'

function slots(count: number): Slots {
  const made = new Slots()
  made.resize(count)
  return made
}

function take(from: Slots, prompt: string, sessionKey: string | null = null): Slot {
  let taken: Slot | null = null
  from.ask({ prompt, sessionKey, class: 'interactive' }, (slot) => { taken = slot }, () => assert.fail('it had to wait'))
  assert.ok(taken !== null)
  return taken
}

test('a session gets its own sequence back, others the longest common beginning, else the one unused for longest', () => {
  const all = slots(3)
  const a = take(all, 'system A. one', 'a')
  const b = take(all, 'system B. two', 'b')
  const c = take(all, 'other', 'c')
  assert.deepEqual([a.sequence, b.sequence, c.sequence], [0, 1, 2])
  b.grew(' and its answer')
  for (const slot of [b, c, a]) slot.free()
  assert.equal(take(all, 'anything', 'c').sequence, 2, 'the same session')
  assert.equal(take(all, 'system A. one and more').sequence, 0, 'the longest common beginning')
  const last = take(all, 'system X')
  assert.equal(last.sequence, 1, 'the only idle one')
  last.free()
})

test('a short common beginning does not cost another session its memory', () => {
  const all = slots(3)
  const long = take(all, `same system prompt. ${'x'.repeat(100)}`, 'long')
  long.free()
  assert.equal(take(all, 'same system prompt. new talk', 'new').sequence, 1, 'an unused sequence is taken before half a memory is thrown away')
})

test('requests that come once take each other\'s sequences, never that of a session that went on', () => {
  const all = slots(2)
  const ask = (prompt: string, sessionKey: string, tentative: boolean): Slot => {
    let taken: Slot | null = null
    all.ask({ prompt, sessionKey, tentative, class: 'interactive' }, (slot) => { taken = slot }, () => assert.fail('it had to wait'))
    return taken ?? assert.fail('no slot')
  }
  const talk = ask('a talk', 'talk', true)
  talk.free()
  for (const prompt of ['a talk', 'a talk that goes on']) {
    const again = ask(prompt, 'talk', prompt === 'a talk')
    assert.equal(again.sequence, talk.sequence)
    again.holds(100)
    again.free()
  }
  for (let i = 0; i < 12; i++) {
    const once = ask(`title ${i}`, `once ${i}`, true)
    assert.notEqual(once.sequence, talk.sequence)
    once.free()
  }
  const other = ask('another talk', 'other', false)
  assert.notEqual(other.sequence, talk.sequence, 'a session that goes on also displaces those that come once first')
  const last = ask('title', 'once', true)
  assert.deepEqual([last.sequence, last.displaced?.sessionKey], [talk.sequence, 'talk'], 'when nothing else is idle')
})

test('what was read for one owner is neither sought nor reused for another', () => {
  const all = slots(2)
  const ask = (owner: string, prompt: string): Slot => {
    let taken: Slot | null = null
    all.ask({ prompt, sessionKey: null, owner, class: 'interactive' }, (slot) => { taken = slot }, () => assert.fail('it had to wait'))
    return taken ?? assert.fail('no slot')
  }
  const first = ask('a', 'a secret of a')
  first.free()
  const guess = ask('b', 'a secret of a')
  assert.deepEqual([guess.sequence, guess.foreign], [1, false], 'the empty one')
  guess.free()
  const back = ask('a', 'a secret of a, and more')
  assert.deepEqual([back.sequence, back.foreign], [0, false])
  assert.deepEqual([ask('c', 'a secret of a').foreign], [true])
})

test('a run that never began leaves the memory with the owner it was read for', () => {
  const all = slots(1)
  const ask = (owner: string): Slot => {
    let taken: Slot | null = null
    all.ask({ prompt: 'a secret of a', sessionKey: null, owner, class: 'interactive' }, (slot) => { taken = slot }, () => assert.fail('it had to wait'))
    return taken ?? assert.fail('no slot')
  }
  const first = ask('a')
  first.holds(5)
  first.free()
  ask('b').free()
  const again = ask('b')
  assert.equal(again.foreign, true, 'the first request of b was refused or left: the tokens are still those of a')
  again.holds(5)
  again.free()
  assert.equal(ask('b').foreign, false)
})

test('after the worker is gone nothing is taken for held', () => {
  const all = slots(2)
  take(all, 'first', 'a').free()
  take(all, 'second', 'b').free()
  all.forget()
  assert.equal(take(all, 'second talk', 'b').sequence, 0)
})

test('waiting is first come first served inside a class, a higher class goes first, and positions are told', () => {
  const all = slots(1)
  const first = take(all, 'x')
  const order: string[] = []
  const told: string[] = []
  let current: Slot = first
  const ask = (name: string, jobClass: JobClass) => all.ask({ prompt: name, sessionKey: null, class: jobClass },
    (slot) => { order.push(name); current = slot }, (position) => told.push(`${name}${position}`))
  ask('batch', 'batch')
  ask('job1', 'job')
  const leave = ask('job2', 'job')
  ask('chat', 'interactive')
  assert.deepEqual(told, ['batch1', 'job11', 'batch2', 'job22', 'batch3', 'chat1', 'job12', 'job23', 'batch4'])
  assert.equal(all.waiting, 4)
  leave()
  for (let i = 0; i < 3; i++) current.free()
  assert.deepEqual(order, ['chat', 'job1', 'batch'])
  current.free()
  current.free()
  assert.equal(all.busy, 0)
})

test('threads: one on a small machine, else the physical cores', () => {
  const cpu = (socket: number, core: number): string => `physical id\t: ${socket}\ncore id\t\t: ${core}\n`
  const eight = Array.from({ length: 16 }, (_, i) => cpu(0, i % 8)).join('\n')
  assert.equal(defaultThreads(eight, 16), 8)
  assert.equal(defaultThreads(eight, 4), 4)
  assert.equal(defaultThreads(eight, 2), 1)
  assert.equal(defaultThreads(cpu(0, 0) + cpu(1, 0), 4), 2)
  assert.equal(defaultThreads('processor : 0', 6), 6)
})
