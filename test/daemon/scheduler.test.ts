// The decider as a table: what happens, what it decides. No clock, no I/O.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decide, emptyQueue, overlaps, type Hold, type QueueEffect, type QueueEvent, type QueueState } from '../../packages/daemon/src/queue/scheduler.ts'

function play(start: QueueState, events: readonly QueueEvent[]): { state: QueueState; effects: QueueEffect[] } {
  return events.reduce<{ state: QueueState; effects: QueueEffect[] }>(({ state, effects }, event) => {
    const [next, more] = decide(state, event)
    return { state: next, effects: [...effects, ...more] }
  }, { state: start, effects: [] })
}

const ask = (id: string, workspace = `/w/${id}`, hold: Hold = 'alone'): QueueEvent[] => [{ type: 'ask', id, workspace, hold }, { type: 'stored', id }]
const admit = (id: string): QueueEffect => ({ type: 'admit', id })
const start = (id: string): QueueEffect => ({ type: 'start', id })
const wait = (id: string, position: number, reason: string): QueueEffect => ({ type: 'wait', id, position, reason })

const cases: readonly { name: string; limit?: number; maxQueued?: number; events: readonly QueueEvent[]; effects: readonly QueueEffect[] }[] = [
  {
    name: 'on a full disk all that runs stops and nothing starts; then those that were stopped go first', limit: 1,
    events: [...ask('a'), ...ask('b'), { type: 'full', why: 'no room' }, { type: 'ended', id: 'a' }, { type: 'recovered', id: 'c', workspace: '/w/c', hold: 'alone' }, { type: 'room', back: [{ id: 'a', workspace: '/w/a', hold: 'alone' }] }, { type: 'ended', id: 'a' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, '1 job is running, the limit is 1'), { type: 'abort', id: 'a' }, wait('c', 2, 'no room'), start('a'), start('b')],
  },
  { name: 'a job starts at once when there is room', events: ask('a'), effects: [admit('a'), start('a')] },
  { name: 'nothing starts before it is stored', events: [{ type: 'ask', id: 'a', workspace: '/w', hold: 'alone' }], effects: [admit('a')] },
  {
    name: 'over the limit a job waits, with its place and the reason', limit: 1, events: [...ask('a'), ...ask('b'), ...ask('c')],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, '1 job is running, the limit is 1'), admit('c'), wait('c', 2, '1 job is running, the limit is 1')],
  },
  {
    name: 'first come, first served', limit: 1, events: [...ask('a'), ...ask('b'), ...ask('c'), { type: 'ended', id: 'a' }, { type: 'ended', id: 'b' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, '1 job is running, the limit is 1'), admit('c'), wait('c', 2, '1 job is running, the limit is 1'), start('b'), start('c')],
  },
  {
    name: 'two jobs on one folder run one after the other, and do not hold up a third', events: [...ask('a', '/w'), ...ask('b', '/w'), ...ask('c', '/v'), { type: 'ended', id: 'a' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, 'job a works in the same folder'), admit('c'), start('c'), start('b')],
  },
  { name: 'a folder inside another is the same folder', events: [...ask('a', '/w'), ...ask('b', '/w/x')], effects: [admit('a'), start('a'), admit('b'), wait('b', 1, 'job a works in the same folder')] },
  { name: 'jobs in copies of one folder run side by side', events: [...ask('a', '/w', 'unchanged'), ...ask('b', '/w', 'unchanged')], effects: [admit('a'), start('a'), admit('b'), start('b')] },
  {
    name: 'a copy is made of what an earlier job leaves, in the order in which they were asked for', limit: 3,
    events: [...ask('a', '/w'), ...ask('b', '/w/x', 'unchanged'), ...ask('c', '/w'), { type: 'ended', id: 'a' }, { type: 'copied', id: 'b' }],
    effects: [
      admit('a'), start('a'), admit('b'), wait('b', 1, 'job a works in the same folder'), admit('c'), wait('c', 2, 'job a works in the same folder'), start('b'), start('c'),
    ],
  },
  {
    name: 'nobody changes a folder while it is copied; one that has its copy needs it no more', limit: 3,
    events: [...ask('a', '/w', 'unchanged'), ...ask('b', '/w'), { type: 'copied', id: 'a' }, { type: 'recovered', id: 'c', workspace: '/w', hold: 'nothing' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, 'job a makes a copy of the same folder'), start('b'), start('c')],
  },
  { name: 'who works in the folder itself keeps it when its place is known', events: [...ask('a', '/w'), { type: 'copied', id: 'a' }, ...ask('b', '/w')], effects: [admit('a'), start('a'), admit('b'), wait('b', 1, 'job a works in the same folder')] },
  { name: 'a folder whose name begins alike is another folder', events: [...ask('a', '/w'), ...ask('b', '/wx')], effects: [admit('a'), start('a'), admit('b'), start('b')] },
  {
    name: 'an earlier job on the same folder goes first, also while it is being stored',
    events: [{ type: 'ask', id: 'a', workspace: '/w', hold: 'alone' }, { type: 'ask', id: 'b', workspace: '/w', hold: 'alone' }, { type: 'stored', id: 'b' }, { type: 'stored', id: 'a' }, { type: 'ended', id: 'a' }],
    effects: [admit('a'), admit('b'), wait('b', 2, 'job a works in the same folder'), start('a'), start('b')],
  },
  {
    name: 'a full queue refuses, and counts jobs that are being stored', limit: 1, maxQueued: 2,
    events: [...ask('a'), { type: 'ask', id: 'b', workspace: '/b', hold: 'alone' }, { type: 'ask', id: 'c', workspace: '/c', hold: 'alone' }, { type: 'ask', id: 'd', workspace: '/d', hold: 'alone' }],
    effects: [admit('a'), start('a'), admit('b'), admit('c'), { type: 'refuse', id: 'd', queued: 2, limit: 2 }],
  },
  {
    name: 'a job that could not be stored gives its place back', limit: 1, maxQueued: 1,
    events: [{ type: 'ask', id: 'a', workspace: '/a', hold: 'alone' }, { type: 'lost', id: 'a' }, ...ask('b')], effects: [admit('a'), admit('b'), start('b')],
  },
  {
    name: 'jobs of an earlier run are never refused', limit: 1, maxQueued: 1,
    events: ['a', 'b', 'c'].map((id) => ({ type: 'recovered', id, workspace: `/${id}`, hold: 'alone' })),
    effects: [start('a'), wait('b', 1, '1 job is running, the limit is 1'), wait('c', 2, '1 job is running, the limit is 1')],
  },
  { name: 'cancelling a running job aborts it; it keeps its place until it ended', limit: 1, events: [...ask('a'), { type: 'cancel', id: 'a' }], effects: [admit('a'), start('a'), { type: 'abort', id: 'a' }] },
  {
    name: 'cancelling a waiting job drops it and lets the next on its folder go', events: [...ask('a', '/w'), ...ask('b', '/w'), { type: 'cancel', id: 'b' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, 'job a works in the same folder'), { type: 'drop', id: 'b' }],
  },
  { name: 'cancelling a job that is over does nothing', events: [{ type: 'cancel', id: 'a' }], effects: [] },
  {
    name: 'a stop aborts what runs and starts nothing more', limit: 1, events: [...ask('a'), ...ask('b'), { type: 'stop' }, { type: 'ended', id: 'a' }, { type: 'ask', id: 'c', workspace: '/c', hold: 'alone' }],
    effects: [admit('a'), start('a'), admit('b'), wait('b', 1, '1 job is running, the limit is 1'), { type: 'abort', id: 'a' }, { type: 'refuse', id: 'c', queued: 1, limit: 1000 }],
  },
]

for (const { name, limit = 2, maxQueued = 1000, events, effects } of cases) {
  test(name, () => assert.deepEqual(play(emptyQueue(limit, maxQueued), events).effects, effects))
}

test('whatever the order, the limit and the folders hold, and all jobs run', () => {
  // A small generator with a fixed start: the same orders every time.
  let random = 7
  const below = (limit: number): number => (random = (random * 1103515245 + 12345) % 2 ** 31) % limit
  for (let round = 0; round < 200; round += 1) {
    let state = emptyQueue(1 + below(3), 1000)
    const asked: string[] = []
    const started = new Set<string>()
    const apply = (event: QueueEvent): void => {
      const [next, effects] = decide(state, event)
      state = next
      for (const effect of effects) if (effect.type === 'start') started.add(effect.id)
      assert.ok(state.running.length <= state.limit)
      for (const [index, one] of state.running.entries()) {
        for (const other of state.running.slice(index + 1)) {
          const holds = [one.hold, other.hold]
          assert.ok(!overlaps(one.workspace, other.workspace) || !holds.includes('alone') || holds.includes('nothing'), `${holds.join(' beside ')} in one folder`)
        }
      }
    }
    for (let turn = 0; turn < 30; turn += 1) {
      const running = state.running[below(3)]
      if (running !== undefined && below(2) === 0) apply({ type: below(2) === 0 ? 'ended' : 'copied', id: running.id })
      else {
        asked.push(`${turn}`)
        for (const event of ask(`${turn}`, `/w${below(4)}${below(3) === 0 ? '/x' : ''}`, below(2) === 0 ? 'alone' : 'unchanged')) apply(event)
      }
    }
    for (let job = state.running[0]; job !== undefined; job = state.running[0]) apply({ type: 'ended', id: job.id })
    assert.deepEqual([...started].toSorted(), asked.toSorted())
  }
})
