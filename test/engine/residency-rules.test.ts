// The rules of several models in memory: the decision by table and by random walks, the waiting line over models of the mind, and turns on a CPU.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { JobClass, MemoryPlan, WorkerState } from '@hearth/protocol'
import { decide, freeBytes, inTurn, patienceMs, valueOf, type Member, type Room, type Step } from '../../packages/engine/src/local/admission.ts'
import { Residency, type Held, type Resident, type Weighed } from '../../packages/engine/src/local/residency.ts'
import { Turns } from '../../packages/engine/src/local/turns.ts'

const member = (key: string, bytes: number, more: Partial<Member> = {}): Member => ({
  key, promisedBytes: bytes, takenBytes: bytes, reloadBytes: bytes, users: 0, pinned: false, phase: 'loaded', heat: 1, usedAt: 0, ...more,
})
const busy = { users: 1 }
const pinned = { pinned: true }
const need = (fullBytes: number, leastBytes = fullBytes, certain = true) => ({ fullBytes, leastBytes, certain })
/** What is free beside loaded members that have taken all they were promised. */
const roomOf = (limitBytes: number, members: readonly Member[]): Room => ({ limitBytes, freeBytes: limitBytes - members.reduce((sum, one) => sum + one.takenBytes, 0) })

const table: [name: string, members: Member[], wish: ReturnType<typeof need>, limit: number, maxModels: number | null, expected: Step][] = [
  ['an empty box', [], need(60), 100, null, { type: 'load', freeBytes: 100 }],
  ['beside another', [member('a', 40)], need(60), 100, null, { type: 'load', freeBytes: 60 }],
  ['smaller when it must', [], need(160, 90), 100, null, { type: 'load', freeBytes: 100 }],
  ['refused with the numbers', [], need(160, 110), 100, null, { type: 'refuse', freeBytes: 100, full: false }],
  ['a file that tells too little is tried', [], need(160, 160, false), 100, null, { type: 'load', freeBytes: 100 }],
  ['the least valuable idle one leaves', [member('a', 40, { heat: 5 }), member('b', 40)], need(50), 100, null, { type: 'evict', keys: ['b'] }],
  ['the oldest of equal value', [member('a', 40, { usedAt: 2 }), member('b', 40, { usedAt: 1 })], need(50), 100, null, { type: 'evict', keys: ['b'] }],
  ['none for nothing', [member('small', 10, { heat: 0.1 }), member('large', 60)], need(60), 100, null, { type: 'evict', keys: ['large'] }],
  ['cheap to read again', [member('a', 40, { reloadBytes: 4 }), member('b', 40)], need(50), 100, null, { type: 'evict', keys: ['a'] }],
  ['never a pinned one', [member('a', 40, { ...pinned, heat: 0 }), member('b', 40)], need(50), 100, null, { type: 'evict', keys: ['b'] }],
  ['never a busy one', [member('a', 40, { ...busy, heat: 0 }), member('b', 40)], need(50), 100, null, { type: 'evict', keys: ['b'] }],
  ['smaller rather than waiting', [member('a', 40, busy)], need(80, 50), 100, null, { type: 'load', freeBytes: 60 }],
  ['all idle ones first, then smaller', [member('a', 40, busy), member('b', 30)], need(80, 50), 100, null, { type: 'evict', keys: ['b'] }],
  ['waits for the busy one in the way, and nobody leaves before that', [member('a', 60, busy), member('b', 30)], need(80), 100, null, { type: 'wait', keys: ['a'], claims: ['a', 'b'] }],
  ['waits for what leaves', [member('a', 60, { phase: 'leaving' })], need(80), 100, null, { type: 'wait', keys: ['a'], claims: [] }],
  ['waits until what loads has taken its memory', [member('a', 60, { ...busy, phase: 'loading', takenBytes: 0 })], need(50), 100, null, { type: 'wait', keys: ['a'], claims: [] }],
  ['a load that nobody waits for any more gives way', [member('a', 60, { phase: 'loading', takenBytes: 0 })], need(50), 100, null, { type: 'evict', keys: ['a'] }],
  ['pinned ones fill the box', [member('a', 50, pinned), member('b', 40, { ...pinned, ...busy })], need(50), 100, null, { type: 'refuse', freeBytes: 10, full: false }],
  ['one model at a time', [member('a', 10)], need(10), 100, 1, { type: 'evict', keys: ['a'] }],
  ['one model at a time, busy', [member('a', 10, busy)], need(10), 100, 1, { type: 'wait', keys: ['a'], claims: ['a'] }],
  ['one model at a time, pinned', [member('a', 10, pinned)], need(10), 100, 1, { type: 'refuse', freeBytes: 90, full: true }],
]

for (const [name, members, wish, limit, maxModels, expected] of table) {
  test(`decision: ${name}`, () => {
    assert.deepEqual(decide(members, { key: 'new', need: wish }, roomOf(limit, members), maxModels), expected)
  })
}

test('what is free counts a promise once: taken or not, and pages of a mapped file that the kernel calls free', () => {
  const loading = member('a', 40, { takenBytes: 0 })
  const mapped = member('b', 30, { takenBytes: 5 })
  const loaded = member('c', 20)
  assert.equal(freeBytes([loading], { freeBytes: 100, limitBytes: 100 }), 60)
  assert.equal(freeBytes([mapped], { freeBytes: 95, limitBytes: 100 }), 70)
  assert.equal(freeBytes([loaded], { freeBytes: 80, limitBytes: 100 }), 80)
  assert.equal(freeBytes([loaded], { freeBytes: 50, limitBytes: 100 }), 50, 'somebody else uses 30')
  assert.equal(freeBytes([loaded], { freeBytes: 50, limitBytes: 100 }, new Set(['c'])), 70)
  assert.equal(freeBytes([loading, mapped, loaded], { freeBytes: 75, limitBytes: 100 }), 10)
})

test('without figures of the box only the number of models counts', () => {
  assert.deepEqual(decide([member('a', 1e12)], { key: 'new', need: need(1e12) }, null, null), { type: 'load', freeBytes: null })
  assert.deepEqual(decide([member('a', 1)], { key: 'new', need: null }, { freeBytes: 0, limitBytes: 0 }, 1), { type: 'evict', keys: ['a'] })
})

test('value: cost of reading it again for each byte, and use of late', () => {
  assert.ok(valueOf(member('a', 40, { heat: 2 })) > valueOf(member('b', 80, { heat: 1 })))
  assert.ok(valueOf(member('weights', 40, { reloadBytes: 35 })) > valueOf(member('mostly cache', 40, { reloadBytes: 10 })))
})

test('order: class, then age; after a minute a class higher, after two nothing newer goes before', () => {
  const one = (name: string, jobClass: JobClass, number: number, arrivedMs: number) => ({ name, class: jobClass, number, arrivedMs })
  const line = [one('chat', 'interactive', 4, 100_000), one('batch', 'batch', 1, 0), one('job2', 'job', 3, 30_000), one('job', 'job', 2, 20_000)]
  const names = (now: number): string[] => inTurn(line, now).map(({ name }) => name)
  assert.deepEqual(names(40_000), ['chat', 'job', 'job2', 'batch'])
  assert.deepEqual(names(patienceMs), ['chat', 'batch', 'job', 'job2'])
  assert.deepEqual(names(2 * patienceMs), ['batch', 'job', 'job2', 'chat'])
})

/** Numbers that look random and are the same in every run. */
function dice(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761 >>> 0
  return (below) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}

/** A model of the mind: takes what it was promised while it loads, answers for a while, leaves when it is told to. */
class Imagined implements Resident {
  phase: WorkerState = 'stopped'
  pinned = false
  bytes = 0
  readonly key: string
  readonly fullBytes: number
  readonly leastBytes: number
  readonly world: World
  leave: (() => void) | null = null

  constructor(key: string, fullBytes: number, leastBytes: number, world: World) {
    Object.assign(this, { pinned: false })
    this.key = key
    this.fullBytes = fullBytes
    this.leastBytes = leastBytes
    this.world = world
  }

  get name(): string { return this.key }
  taken(promisedBytes: number): number { return promisedBytes }
  resize(plan: MemoryPlan | null): void {
    assert.equal(this.leave, null, `${this.key} is planned while it leaves`)
    this.bytes = plan?.neededBytes ?? 0
    this.phase = 'starting'
    this.world.check()
  }

  unload(): Promise<void> {
    assert.equal(this.world.residency.users(this.key), 0, `${this.key} is unloaded while it is used`)
    assert.ok(!this.pinned || this.world.asked.has(this.key), `${this.key} is pinned and unloaded`)
    this.phase = 'draining'
    return new Promise((resolve) => { this.leave = resolve })
  }

  weighed(): Weighed {
    const plan = (free: number): MemoryPlan => ({
      model: this.key, verdict: this.fullBytes <= free ? 'fits' : this.leastBytes <= free ? 'smaller' : 'refused', place: 'ram', totalBytes: this.world.limit, limitBytes: this.world.limit,
      freeBytes: Math.min(free, this.world.limit), parts: [], neededBytes: Math.min(this.fullBytes, Math.max(this.leastBytes, free)), mappedBytes: 0, contextTokens: 1, sequences: 1, wishedContextTokens: 1, wishedSequences: 1,
      said: `${this.key} needs at least ${this.leastBytes} and there are ${free}.`, remedy: null,
    })
    return { need: need(this.fullBytes, this.leastBytes), reloadBytes: this.fullBytes, sharedBytes: 0, plan }
  }
}

class World {
  now = 0
  readonly limit: number
  readonly models = new Map<string, Imagined>()
  readonly asked = new Set<string>()
  readonly residency: Residency<Imagined>
  readonly maxModels: number | null
  readonly lines: string[] = []

  constructor(limit: number, maxModels: number | null = null) {
    this.limit = limit
    this.maxModels = maxModels
    this.residency = new Residency<Imagined>({
      maxModels, now: () => this.now, log: (line) => this.lines.push(line),
      weigh: (wished) => Promise.resolve({ room: { limitBytes: limit, freeBytes: limit - this.used() }, weighed: new Map(wished.map((one) => [one.key, one.weighed()])) }),
    })
  }

  add(key: string, fullBytes: number, leastBytes = fullBytes): Imagined {
    const made = new Imagined(key, fullBytes, leastBytes, this)
    this.models.set(key, made)
    return made
  }

  /** What the box would show: a load takes its memory bit by bit, here all at its end. */
  used(): number {
    return [...this.models.values()].filter(({ phase }) => phase === 'ready' || phase === 'draining').reduce((sum, { bytes }) => sum + bytes, 0)
  }

  check(): void {
    const there = [...this.models.values()].filter(({ phase }) => phase !== 'stopped')
    const bytes = there.reduce((sum, one) => sum + one.bytes, 0)
    assert.ok(bytes <= this.limit, `${bytes} of ${this.limit}: ${there.map((one) => `${one.key} ${one.bytes} ${one.phase}`).join(', ')}`)
    assert.ok(there.length <= (this.maxModels ?? Infinity))
  }

  ready(key: string): void {
    const model = this.models.get(key)
    if (model?.phase !== 'starting') return
    model.phase = 'ready'
    this.residency.changed()
  }

  gone(key: string): void {
    const model = this.models.get(key)
    const leave = model?.leave ?? null
    if (model === undefined || leave === null) return
    model.phase = 'stopped'
    model.leave = null
    leave()
  }

  hold(key: string, jobClass: JobClass = 'interactive', signal = new AbortController().signal, waits?: (position: number, reason: string) => void): Promise<Held> {
    const model = this.models.get(key)
    assert.ok(model !== undefined)
    return this.residency.hold(model, { class: jobClass, signal, waits })
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('random walks: never over the budget, no busy or pinned model leaves, everybody is served in the end', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const roll = dice(seed)
    const world = new World(100, seed % 3 === 0 ? 1 + roll(3) : null)
    const keys = ['a', 'b', 'c', 'd', 'e']
    for (const key of keys) {
      const full = 20 + roll(60)
      world.add(key, full, Math.max(10, full - roll(30)))
    }
    const first = world.models.get('a')
    if (first !== undefined && seed % 4 === 0) first.pinned = true
    const holds: { release(): void }[] = []
    let open = 0
    let refused = 0
    let served = 0
    const step = async (more: boolean): Promise<void> => {
      world.now += roll(20_000)
      if (more && roll(3) === 0) {
        const left = new AbortController()
        const key = keys[roll(keys.length)] ?? 'a'
        open++
        void world.hold(key, (['interactive', 'job', 'batch'] as const)[roll(3)], left.signal).then((held) => {
          open--
          if (held === 'aborted') return
          if ('fault' in held) refused++
          else {
            served++
            holds.push(held)
          }
        })
        if (roll(6) === 0) left.abort()
      }
      if (roll(2) === 0) holds.splice(roll(Math.max(1, holds.length)), 1)[0]?.release()
      for (const key of keys) {
        if (roll(3) === 0) world.ready(key)
        if (roll(2) === 0) world.gone(key)
      }
      if (roll(8) === 0) {
        const crashed = world.models.get(keys[roll(keys.length)] ?? 'a')
        if (crashed?.phase === 'ready') {
          crashed.phase = 'failed'
          setImmediate(() => {
            if (crashed.phase === 'failed') crashed.phase = 'starting'
          })
        }
      }
      await settled()
      world.check()
    }
    for (let n = 0; n < 150; n++) await step(true)
    for (let n = 0; n < 1500 && (open > 0 || holds.length > 0); n++) await step(false)
    assert.equal(open, 0, `seed ${seed}: ${open} still wait`)
    assert.ok(served > (first?.pinned === true ? 0 : 10), `seed ${seed}: ${served} served, ${refused} refused`)
    if (world.maxModels === null && first?.pinned !== true) assert.equal(refused, 0, 'each fits alone, and nobody is pinned')
  }
})

const held = (value: Held): { release(): void } => {
  assert.ok(value !== 'aborted' && 'release' in value, JSON.stringify(value))
  return value
}

test('two loads at once do not share the place of one; the second waits, hears why, and comes when the first is done', async () => {
  const world = new World(100)
  world.add('a', 60)
  world.add('b', 60)
  const said: string[] = []
  const first = world.hold('a')
  const second = world.hold('b', 'job', undefined, (position, reason) => said.push(`${position} ${reason}`))
  const one = held(await first)
  await settled()
  assert.deepEqual(said, ["1 waiting until 'a' is loaded"])
  world.ready('a')
  await settled()
  const another = held(await world.hold('a'))
  another.release()
  await settled()
  assert.deepEqual(said.slice(1), ["1 waiting for 'a' to finish: 1 request", "1 waiting for 'a' to finish: 2 requests", "1 waiting for 'a' to finish: 1 request"].slice(0, said.length - 1))
  one.release()
  await settled()
  world.gone('a')
  held(await second).release()
  assert.deepEqual(world.lines, ["'a' is unloaded to make room for 'b'"])
})

test('a chat overtakes a waiting job, a newer job does not; whoever left the line is not in the way', async () => {
  const world = new World(100, 1)
  for (const key of ['a', 'b', 'c']) world.add(key, 10)
  const order: string[] = []
  const running = held(await world.hold('a'))
  world.ready('a')
  const ask = (name: string, key: string, jobClass: JobClass, signal?: AbortSignal) => world.hold(key, jobClass, signal).then((value) => {
    order.push(value === 'aborted' ? `${name} left` : name)
    if (value !== 'aborted') setImmediate(() => { world.ready(key); held(value).release() })
  })
  const left = new AbortController()
  const all = [ask('job b', 'b', 'job'), ask('gone', 'c', 'job', left.signal), ask('newer job a', 'a', 'job'), ask('chat a', 'a', 'interactive')]
  await settled()
  left.abort()
  await settled()
  assert.deepEqual(order, ['chat a', 'gone left'])
  running.release()
  for (let n = 0; n < 20; n++) {
    for (const key of ['a', 'b', 'c']) world.gone(key)
    await settled()
  }
  await Promise.all(all)
  assert.deepEqual(order, ['chat a', 'gone left', 'job b', 'newer job a'])
})

test('unloading waits for who uses it and keeps newer requests behind; a refusal names who is pinned', async () => {
  const world = new World(100)
  const a = world.add('a', 60)
  world.add('b', 60)
  const running = held(await world.hold('a'))
  world.ready('a')
  const said: string[] = []
  const unloaded = world.residency.unload(a, { class: 'interactive', signal: new AbortController().signal, waits: (_, reason) => said.push(reason) })
  const later = world.hold('a')
  await settled()
  assert.deepEqual(said, ["waiting for 'a' to finish: 1 request"])
  running.release()
  await settled()
  world.gone('a')
  held(await unloaded)
  held(await later).release()
  world.ready('a')
  a.pinned = true
  const refused = await world.hold('b')
  assert.deepEqual(refused !== 'aborted' && 'fault' in refused ? [refused.fault.code, refused.fault.message, refused.fault.remedy] : refused, [
    'does_not_fit', "b needs at least 60 and there are 40. Pinned and in memory: 'a' (0.0 GiB).", "Run 'hearth models unpin a'.",
  ])
  const one = new World(100, 1)
  one.add('a', 10).pinned = true
  one.add('b', 10)
  held(await one.hold('a')).release()
  one.ready('a')
  const many = await one.hold('b')
  assert.deepEqual(many !== 'aborted' && 'fault' in many ? [many.fault.message, many.fault.remedy] : many, [
    "'b' cannot be loaded: engine.maxModels is 1, and 'a' is pinned.", "Run 'hearth models unpin a', or raise engine.maxModels.",
  ])
})

test('a box that cannot be read fails the loads that need it, and nobody else stays in the line for ever', async () => {
  const world = new World(100)
  const [a, b] = [world.add('a', 60), world.add('b', 60)]
  let broken = false
  const residency = new Residency<Imagined>({
    maxModels: null, log: () => undefined,
    weigh: (wished) => broken ? Promise.reject(new Error('no /proc')) : Promise.resolve({ room: { limitBytes: 100, freeBytes: 100 - world.used() }, weighed: new Map(wished.map((one) => [one.key, one.weighed()])) }),
  })
  Object.assign(world, { residency })
  const wish = () => ({ class: 'interactive' as const, signal: new AbortController().signal })
  const running = held(await residency.hold(a, wish()))
  world.ready('a')
  const loads = residency.hold(b, wish())
  await settled()
  let unloaded: Held | null = null
  void residency.unload(a, wish()).then((answer) => { unloaded = answer })
  await settled()
  broken = true
  running.release()
  const failed = await loads
  assert.equal(failed !== 'aborted' && 'fault' in failed ? failed.fault.code : '', 'internal')
  await settled()
  world.gone('a')
  await settled()
  assert.notEqual(unloaded, null, 'nobody uses a any more')
})

test('on a CPU models compute side by side only while their threads fit; a model does not keep its turn by new requests', async () => {
  const turns = new Turns(4)
  const signal = new AbortController().signal
  const said: string[] = []
  const take = async (key: string, threads: number, jobClass: JobClass = 'interactive') => {
    const turn = await turns.take({ key, name: key, threads }, { class: jobClass, signal, waits: (position, reason) => said.push(`${key} ${position} ${reason}`) })
    assert.ok(turn !== 'aborted')
    return turn
  }
  const order: string[] = []
  const small = await take('small', 1)
  const other = await take('other', 3)
  const more = await take('small', 1)
  const large = take('large', 4, 'job').then((turn) => { order.push('large'); return turn })
  const later = take('small', 1, 'job').then((turn) => { order.push('small again'); return turn })
  const chat = await take('other', 3)
  assert.deepEqual(said.slice(0, 2), ["large 1 waiting for the CPU: 'small' answers 2 requests, 'other' answers 1 request", "small 2 waiting for the CPU: 'small' answers 2 requests, 'other' answers 1 request"])
  for (const one of [small, other, more, chat]) one.release()
  ;(await large).release()
  ;(await later).release()
  assert.deepEqual(order, ['large', 'small again'])
  const left = new AbortController()
  const last = await take('large', 4)
  const aborted = turns.take({ key: 'small', name: 'small', threads: 1 }, { class: 'batch', signal: left.signal })
  left.abort()
  assert.equal(await aborted, 'aborted')
  last.release()
})
