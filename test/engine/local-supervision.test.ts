// The supervisor's decisions with a made-up clock, and the supervisor itself over little worker programs that misbehave.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { WorkerState } from '@hearth/protocol'
import { launcher } from '../../packages/engine/src/local/process.ts'
import { decide, defaultTiming, initialState, type Effect, type Event, type State } from '../../packages/engine/src/local/supervision.ts'
import type { RunMessage } from '../../packages/engine/src/local/runs.ts'
import { Supervisor } from '../../packages/engine/src/local/supervisor.ts'
import type { Generate } from '../../packages/engine/src/local/wire.ts'
import { nodeBinary, root } from '../fixtures/starter.ts'

/** A worker of the mind: hears events at times, tells effects. */
class Imagined {
  now = 0
  state: State = initialState(0)

  hear(event: Event, afterMs = 0): string[] {
    this.now += afterMs
    const { state, effects } = decide('m', defaultTiming, this.state, event, this.now)
    this.state = state
    return effects.map(effectName)
  }

  up(): this {
    for (const event of [{ type: 'want' }, { type: 'booted' }, { type: 'loaded' }, { type: 'canary_ok' }] as const) this.hear(event)
    assert.equal(this.state.phase, 'ready')
    return this
  }

  crash(afterMs = 0): string[] {
    return this.hear({ type: 'exited', exit: { how: 'signal SIGKILL', native: 'other' } }, afterMs)
  }
}

function effectName(effect: Effect): string {
  if (effect.type === 'retry_in') return `retry_in ${effect.ms}`
  return 'fault' in effect ? `${effect.type} ${effect.fault.code}` : effect.type
}

test('the way up: process, load, one token, then whoever waits is served', () => {
  const it = new Imagined()
  assert.deepEqual(it.hear({ type: 'want' }), ['launch'])
  assert.deepEqual(it.hear({ type: 'want' }), [])
  assert.deepEqual(it.hear({ type: 'booted' }), ['load'])
  assert.deepEqual(it.hear({ type: 'loaded' }), ['canary'])
  assert.deepEqual(it.hear({ type: 'canary_ok' }), ['serve'])
  assert.equal(it.state.phase, 'ready')
  assert.deepEqual(it.hear({ type: 'want' }), ['serve'])
})

test('a silent worker is killed at the ninth tick after its last answer, within ten seconds', () => {
  const it = new Imagined().up()
  it.hear({ type: 'tick' }, 1000)
  it.hear({ type: 'pong' })
  for (let second = 1; second <= 8; second++) assert.deepEqual(it.hear({ type: 'tick' }, 1000), ['ping'], `second ${second}`)
  assert.deepEqual(it.hear({ type: 'tick' }, 1000), ['kill'])
  assert.deepEqual(it.crash(), ['fail_runs worker_stuck', 'fail_waiters worker_stuck', 'retry_in 500'])
  assert.equal(it.state.lastFault?.message, "The engine worker for 'm' answered nothing for 9 s and was killed.")
})

test('the daemon\'s own sleep is not the worker\'s silence', () => {
  const it = new Imagined().up()
  assert.deepEqual(it.hear({ type: 'tick' }, 3_000_000), ['shutdown'], 'idle for long')
  const busy = new Imagined().up()
  busy.hear({ type: 'run_started' })
  busy.hear({ type: 'tick' }, 1000)
  busy.hear({ type: 'pong' })
  busy.hear({ type: 'progress' }, 30_000)
  assert.deepEqual(busy.hear({ type: 'tick' }, 100), ['ping'])
})

test('no progress for a minute, or five times the forecast, is stuck', () => {
  const it = new Imagined().up()
  const wait = (ms: number): string[] => {
    it.hear({ type: 'pong' })
    return it.hear({ type: 'tick' }, ms)
  }
  it.hear({ type: 'run_started' })
  assert.deepEqual(wait(60_000), ['ping'])
  it.hear({ type: 'progress', forecastMs: 20_000 })
  assert.deepEqual(wait(100_000), ['ping'])
  assert.deepEqual(wait(1000), ['kill'])
})

test('back-off doubles up to a minute and starts anew after ten good minutes', () => {
  const it = new Imagined()
  const waits: (string | undefined)[] = []
  for (let n = 0; n < 9; n++) {
    it.state = { ...it.state, failures: [] }
    it.up()
    waits.push(it.crash(1000).at(-1))
    assert.deepEqual(it.hear({ type: 'retry' }), ['launch'])
    it.hear({ type: 'exited', exit: { how: 'exit status 0', native: 'other' } })
    it.state = { ...it.state, phase: 'stopped', streak: it.state.streak - 1 }
  }
  assert.deepEqual(waits, ['retry_in 500', 'retry_in 1000', 'retry_in 2000', 'retry_in 4000', 'retry_in 8000', 'retry_in 16000', 'retry_in 32000', 'retry_in 60000', 'retry_in 60000'])
  it.state = { ...it.state, failures: [] }
  it.up()
  assert.equal(it.crash(600_000).at(-1), 'retry_in 500')
})

test('five failures in ten minutes open the circuit; reset closes it', () => {
  const it = new Imagined()
  for (let n = 1; n <= 5; n++) {
    it.up()
    it.crash(1000)
    if (n < 5) {
      assert.equal(it.state.phase, 'failed')
      it.state = { ...it.state, phase: 'stopped' }
    }
  }
  assert.equal(it.state.phase, 'broken')
  assert.deepEqual(it.hear({ type: 'want' }), ['fail_waiters circuit_open'])
  assert.deepEqual(it.hear({ type: 'retry' }), [])
  it.hear({ type: 'reset' })
  assert.deepEqual(it.hear({ type: 'want' }), ['launch'])
})

test('five failures over a longer time do not', () => {
  const it = new Imagined()
  for (let n = 1; n <= 8; n++) {
    it.up()
    it.crash(200_000)
    assert.equal(it.state.phase, 'failed')
    it.state = { ...it.state, phase: 'stopped' }
  }
})

test('idle unload drains; a request during the draining gets a new worker; close answers everybody', () => {
  const it = new Imagined().up()
  assert.deepEqual(it.hear({ type: 'tick' }, 1_800_000), ['shutdown'])
  assert.equal(it.state.phase, 'draining')
  assert.deepEqual(it.hear({ type: 'want' }), [])
  assert.deepEqual(it.hear({ type: 'exited', exit: { how: 'exit status 0', native: 'other' } }), ['launch'])
  assert.deepEqual(it.hear({ type: 'close' }), ['fail_waiters shutting_down', 'fail_runs shutting_down', 'kill'])
  it.crash()
  assert.equal(it.state.phase, 'stopped')
  assert.deepEqual(it.hear({ type: 'want' }), ['fail_waiters shutting_down'])
})

test('an idle worker is asked for one token each hour, and unload waits for what runs', () => {
  const it = new Imagined().up()
  it.hear({ type: 'run_started' })
  assert.deepEqual(it.hear({ type: 'unload' }), [])
  assert.deepEqual(it.hear({ type: 'run_ended' }), ['shutdown'])
  const never = decide('m', { ...defaultTiming, idleUnloadMs: 0 }, new Imagined().up().state, { type: 'tick' }, 3_600_000)
  assert.deepEqual(never.effects.map(effectName), ['ping', 'canary'])
})

const request: Generate = {
  type: 'generate', id: 'r1', sequence: 0, segments: [{ text: 'x', special: true }], maxTokens: 4, stop: [], grammar: null, stopAtJson: false, probabilities: 0, visible: [], priority: 5,
  sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repeatPenalty: 1, seed: 1 },
}

function supervise(t: TestContext, way: string): { supervisor: Supervisor; states: WorkerState[]; run(): Promise<RunMessage[]>; ready(): Promise<string> } {
  const states: WorkerState[] = []
  const supervisor = new Supervisor({
    model: 'm', log: () => undefined, onState: (state) => states.push(state),
    launch: launcher(null, { argv: [nodeBinary, join(root, 'test/fixtures/fake-worker.ts'), way], readOnly: [], readWrite: [], gpu: false, env: { HOME: '/tmp' } }),
    load: { type: 'load', modelPath: '/nowhere', backend: 'cpu', threads: 1, contextTokens: 64, sequences: 2, batchTokens: 32, prefillTokens: 16 },
    timing: { tickMs: 40, unansweredPings: 4, startMs: way === 'slow-load' ? 1000 : 20_000, progressMs: 250, backoffMs: 10, drainMs: 100 },
  })
  t.after(() => supervisor.close())
  const never = new AbortController().signal
  return {
    supervisor, states,
    async ready() {
      const answer = await supervisor.ready(never)
      return answer === 'aborted' ? answer : 'fault' in answer ? answer.fault.message : 'ready'
    },
    run: () => new Promise((resolve) => {
      const messages: RunMessage[] = []
      supervisor.run(request, (message) => {
        messages.push(message)
        if (message.type === 'end' || message.type === 'lost') resolve(messages)
      }, { code: 'internal', origin: 'daemon', message: 'there is no worker', remedy: '' })
    }),
  }
}

function lost(messages: RunMessage[]): string {
  const last = messages.at(-1)
  return last?.type === 'lost' ? last.fault.message : `it ended with ${last?.type}`
}

test('a good worker serves, is unloaded without a trace and comes back', async (t) => {
  const { supervisor, states, ready, run } = supervise(t, 'good')
  assert.equal(await ready(), 'ready')
  assert.deepEqual((await run()).map((message) => message.type), ['started', 'tokens', 'end'])
  const { pid } = supervisor.status
  assert.ok(pid !== null)
  await supervisor.unload()
  assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  assert.equal(supervisor.status.pid, null)
  assert.equal(await ready(), 'ready')
  assert.deepEqual(states, ['starting', 'ready', 'draining', 'stopped', 'starting', 'ready'])
  assert.equal(supervisor.status.restarts, 0)
})

test('a worker that dies at work: the run hears why, the worker comes back by itself', async (t) => {
  const { supervisor, ready, run } = supervise(t, 'dies-working')
  assert.equal(await ready(), 'ready')
  assert.equal(lost(await run()), "The engine worker for 'm' ended in the middle of its work (exit status 3).")
  assert.equal(await ready(), 'ready')
  assert.equal(supervisor.status.restarts, 1)
})

test('last words on stderr name the cause', async (t) => {
  const { ready, run } = supervise(t, 'gpu-lost')
  await ready()
  assert.equal(lost(await run()), "The GPU was lost while 'm' was working (exit status 3).")
  const memory = supervise(t, 'memory-loading')
  assert.equal(await memory.ready(), "The engine ran out of memory with 'm' (exit status 3).")
})

test('a worker that computes for ever, and one that stops answering, are killed and named', async (t) => {
  const hangs = supervise(t, 'hangs-working')
  await hangs.ready()
  assert.equal(lost(await hangs.run()), "The engine worker for 'm' answered nothing for 0 s and was killed.")
  assert.equal(await hangs.ready(), 'ready')
  const deaf = supervise(t, 'deaf')
  await deaf.ready()
  assert.match(lost(await deaf.run()), /^The engine worker for 'm' answered nothing for 0 s and was killed\.$/)
})

test('a load that fails, dies, never ends or gives no first token is named', async (t) => {
  assert.equal(await supervise(t, 'refuses-load').ready(), "The model 'm' could not be loaded: tensor data is out of bounds.")
  assert.equal(await supervise(t, 'dies-loading').ready(), "The model 'm' could not be loaded: the worker ended while starting (exit status 3).")
  assert.equal(await supervise(t, 'slow-load').ready(), "The model 'm' could not be loaded: it did not come up in 1 s.")
  assert.equal(await supervise(t, 'bad-canary').ready(), "The model 'm' could not be loaded: its first token did not come (Failed to sample next token).")
})

test('a worker that always dies opens the circuit, and reset closes it', async (t) => {
  const { supervisor, states, ready } = supervise(t, 'dies')
  const answers: string[] = []
  for (let n = 0; n < 7; n++) answers.push(await ready())
  const died = "The model 'm' could not be loaded: the worker ended while starting (exit status 3)."
  const open = "The engine for 'm' failed 5 times in 10 minutes and is not started again by itself."
  assert.deepEqual(answers, [died, died, died, died, died, open, open])
  assert.equal(states.at(-1), 'broken')
  supervisor.reset()
  assert.equal(await ready(), died)
})

test('the canary of a serving worker asks for a sequence like anybody, and gives it back, also when the worker dies', async (t) => {
  const lent: { sequence: number; back: boolean }[] = []
  let asked = Promise.withResolvers<void>()
  const supervisor = new Supervisor({
    model: 'm', log: () => undefined,
    launch: launcher(null, { argv: [nodeBinary, join(root, 'test/fixtures/fake-worker.ts'), 'good'], readOnly: [], readWrite: [], gpu: false, env: { HOME: '/tmp' } }),
    load: { type: 'load', modelPath: '/nowhere', backend: 'cpu', threads: 1, contextTokens: 64, sequences: 2, batchTokens: 32, prefillTokens: 16 },
    timing: { tickMs: 20, canaryEveryMs: 60, backoffMs: 10 },
    lend: (use) => {
      const one = { sequence: 1, back: false }
      use(one.sequence, () => {
        one.back = true
        lent.push(one)
        asked.resolve()
      })
    },
  })
  t.after(() => supervisor.close())
  assert.ok('ready' in Object(await supervisor.ready(new AbortController().signal)))
  await asked.promise
  asked = Promise.withResolvers()
  // Two in turn: the first one was given back, or there would be no second.
  await asked.promise
  assert.ok(lent.length >= 2 && lent.every(({ back }) => back))
  const { pid } = supervisor.status
  assert.ok(pid !== null)
  process.kill(pid, 'SIGKILL')
  asked = Promise.withResolvers()
  await asked.promise
  assert.ok(lent.every(({ back }) => back))
})

test('a program that cannot be started at all is named too', async (t) => {
  const supervisor = new Supervisor({
    model: 'm', log: () => undefined, launch: launcher(null, { argv: ['/nowhere/node'], readOnly: [], readWrite: [], gpu: false, env: {} }),
    load: { type: 'load', modelPath: '/nowhere', backend: 'cpu', threads: 1, contextTokens: 64, sequences: 2, batchTokens: 32, prefillTokens: 16 },
  })
  t.after(() => supervisor.close())
  const answer = await supervisor.ready(new AbortController().signal)
  assert.ok(answer !== 'aborted' && 'fault' in answer)
  assert.equal(answer.fault.message, "The model 'm' could not be loaded: the worker ended while starting (spawn /nowhere/node ENOENT).")
})

test('close leaves no process, whatever the worker does', async (t) => {
  for (const way of ['lingers', 'hangs-working', 'slow-load']) {
    const { supervisor, ready, run } = supervise(t, way)
    const coming = ready()
    let running: Promise<RunMessage[]> | null = null
    if (way !== 'slow-load') {
      await coming
      if (way === 'hangs-working') running = run()
    }
    const { pid } = supervisor.status
    await supervisor.close()
    if (running !== null) assert.equal(lost(await running), 'The daemon is shutting down.')
    if (way === 'slow-load') assert.equal(await coming, 'The daemon is shutting down.')
    if (pid !== null) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
  }
})
