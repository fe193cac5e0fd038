// Several models in memory, with real workers over a box whose memory is a captured figure: who stays, who leaves, who waits, and what a conversation keeps.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test, type TestContext } from 'node:test'
import { Config, type MemoryPlan, type Model, type ModelRequestInput, type WorkerState } from '@hearth/protocol'
import { Engine, type InstalledModel } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { ask, type Answer } from '../contract/model-contract.ts'
import { writeRandomModel } from '../fixtures/random-model.ts'
import { nodeBinary, profile, root, starter, starterPath } from '../fixtures/starter.ts'

const GiB = 2 ** 30
let scratch = ''
let small: InstalledModel
let twin: InstalledModel
before(async () => {
  scratch = mkdtempSync(join(tmpdir(), 'residency-'))
  const written = await writeRandomModel(join(scratch, 'small.gguf'), { shape: 'dense', quant: 'Q8_0', seed: 3 })
  small = { id: 'small', path: written.path, contextTokens: 8192, toolFormat: 'none', profile }
  const path = join(scratch, 'twin.gguf')
  link(starterPath(), path)
  twin = { ...starter(), id: 'twin', path }
})
after(() => { rmSync(scratch, { recursive: true }) })

function link(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch {
    // Another file system: a copy is a second model too.
    copyFileSync(from, to)
  }
}

/** A box of which models can have `limitBytes`, all of it free; its reserve is 1 GiB. */
function box(limitBytes: number): string {
  const at = mkdtempSync(join(scratch, 'box-'))
  mkdirSync(join(at, 'proc'))
  const kib = Math.floor((limitBytes + GiB) / 1024)
  writeFileSync(join(at, 'proc/meminfo'), `MemTotal:       ${kib} kB\nMemAvailable:   ${kib} kB\n`)
  return at
}

type Made = { engine: Engine; lines: string[]; states: string[] }

function engineOn(t: TestContext, limitBytes: number, engine: object = {}, cacheDir?: string): Made {
  const lines: string[] = []
  const states: string[] = []
  const made = new Engine({
    config: Config.parse({ engine: { contextTokens: 512, sequences: 2, threads: 1, backend: 'cpu', goldenCheck: 'off', ...engine } }).engine,
    confine: createConfine(), node: nodeBinary, root, hardwareRoot: box(limitBytes), log: (line) => lines.push(line), ...(cacheDir === undefined ? {} : { cacheDir }),
    onState: ({ model, state }) => states.push(`${model} ${state}`),
  })
  t.after(() => made.close())
  return { engine: made, lines, states }
}

const never = (): AbortSignal => new AbortController().signal
const request = (text: string, maxTokens = 4): ModelRequestInput => ({ messages: [{ role: 'user', text }], sampling: { temperature: 0 }, maxTokens })
const ended = (answer: Answer): string => (answer.end.type === 'done' ? answer.end.stop : answer.end.fault.message)

async function needed(t: TestContext, installed: InstalledModel): Promise<number> {
  const plan = await engineOn(t, 8 * GiB).engine.plan(installed)
  assert.ok(plan !== null)
  return plan.neededBytes
}

function stateOf(engine: Engine, id: string): WorkerState | undefined {
  return engine.workers().find((worker) => worker.model === id)?.state
}

/** Begins a long answer; resolves at its first text, with a way to end it. */
async function streaming(model: Model): Promise<{ answer: Promise<Answer>; stop(): Promise<Answer>; texts(): number }> {
  const abort = new AbortController()
  let texts = 0
  const begun = Promise.withResolvers<undefined>()
  const answer = ask(model, request('Tell me a long story about a fox.', 400), abort.signal, (event) => {
    if (event.type !== 'text') return
    texts++
    begun.resolve(undefined)
  })
  void answer.then(() => begun.resolve(undefined))
  await begun.promise
  return { answer, texts: () => texts, stop: () => { abort.abort(); return answer } }
}

test('two models answer at the same time; a killed worker of one leaves the stream of the other alone', async (t) => {
  const { engine } = engineOn(t, 8 * GiB)
  const [first, second] = [engine.model(starter()), engine.model(twin)]
  const one = await streaming(first)
  const other = await streaming(second)
  assert.deepEqual(engine.workers().map(({ state, busy }) => [state, busy]), [['ready', 1], ['ready', 1]])
  const before = one.texts()
  const pid = engine.workers().find((worker) => worker.model === 'twin')?.pid
  assert.ok(typeof pid === 'number')
  process.kill(pid, 'SIGKILL')
  assert.equal(ended(await other.answer), "The engine worker for 'twin' ended in the middle of its work (signal SIGKILL).")
  while (one.texts() < before + 3) await new Promise((resolve) => setImmediate(resolve))
  assert.equal(ended(await one.stop()), 'cancelled')
  assert.equal(engine.workers().find((worker) => worker.model === 'starter')?.restarts, 0)
  assert.equal(ended(await ask(second, request('Hello'))), 'max_tokens')
})

test('a third model that does not fit takes the place of the least valuable idle one, never of one that is pinned or answers', async (t) => {
  const [large, little] = [await needed(t, starter()), await needed(t, small)]
  const { engine, lines } = engineOn(t, 2 * large + little / 2)
  const [a, b, c] = [engine.model(starter()), engine.model(twin), engine.model(small)]
  for (const model of [a, a, b]) assert.equal(ended(await ask(model, request('Hello'))), 'max_tokens')
  assert.deepEqual([stateOf(engine, 'starter'), stateOf(engine, 'twin')], ['ready', 'ready'])
  const plan = await engine.plan(small)
  assert.deepEqual(plan?.evicts?.map(({ model }) => model), ['twin'])
  assert.match(plan.said, /^small needs 0\.1 GiB with 2 x 512 tokens; it fits into memory \(.*\)\. 'twin' is unloaded for it\.$/)
  assert.equal(ended(await ask(c, request('Hello'))), 'max_tokens')
  assert.deepEqual([stateOf(engine, 'starter'), stateOf(engine, 'twin'), stateOf(engine, 'small')], ['ready', 'stopped', 'ready'], 'twin was used less')
  assert.ok(lines.includes("'twin' is unloaded to make room for 'small'"))

  // The valuable one is in the way now, and busy; the cheap one is pinned. Whoever comes waits for the stream, hears it, and nothing else leaves.
  engine.pin('small', true)
  const stream = await streaming(a)
  const said: string[] = []
  const waiting = ask(b, request('Hello'), undefined, (event) => {
    if (event.type === 'queued') said.push(event.reason ?? '')
  })
  while (said.length === 0) await new Promise((resolve) => setImmediate(resolve))
  assert.deepEqual(said, ["waiting for 'starter' to finish: 1 request"])
  assert.deepEqual((await engine.plan(twin))?.waitsFor, ['starter'])
  assert.equal(ended(await stream.stop()), 'cancelled')
  assert.equal(ended(await waiting), 'max_tokens')
  assert.deepEqual([stateOf(engine, 'starter'), stateOf(engine, 'twin'), stateOf(engine, 'small')], ['stopped', 'ready', 'ready'])
  assert.deepEqual(said.slice(1), ["unloading 'starter' to make room for 'twin'"])

  engine.pin('twin', true)
  const refused = await ask(a, request('Hello'))
  assert.equal(refused.end.type === 'failed' ? refused.end.fault.code : '', 'does_not_fit')
  assert.match(ended(refused), /^starter needs at least 0\.2 GiB \(1 x 512 tokens\), and memory can give 0\.1 GiB of 1\.5 GiB\. Pinned and in memory: 'twin' \(0\.2 GiB\) and 'small' \(0\.1 GiB\)\.$/)
  assert.match(refused.end.type === 'failed' ? refused.end.fault.remedy : '', /^Run 'hearth models unpin twin'\. You can use 0\.5 GiB of 1\.5 GiB; /)
  engine.pin('twin', false)
  assert.equal(ended(await ask(a, request('Hello'))), 'max_tokens')
  assert.equal(stateOf(engine, 'twin'), 'stopped')
})

test('two loads at once do not both pass a budget that fits one', async (t) => {
  const { engine, states } = engineOn(t, (await needed(t, starter())) * 1.5)
  const answers = await Promise.all([ask(engine.model(starter()), request('Hello')), ask(engine.model(twin), request('Hello'))])
  assert.deepEqual(answers.map(ended), ['max_tokens', 'max_tokens'])
  assert.deepEqual(states, ['starter starting', 'starter ready', 'starter draining', 'starter stopped', 'twin starting', 'twin ready'])
})

test('unloading keeps the conversation: refused during a stream, done after it, and the next turn reads only what is new', async (t) => {
  const cacheDir = mkdtempSync(join(scratch, 'cache-'))
  const { engine } = engineOn(t, 8 * GiB, {}, cacheDir)
  t.after(() => rmSync(`/dev/shm/hearth-${process.getuid?.() ?? 0}-${createHash('sha256').update(cacheDir).digest('hex').slice(0, 16)}`, { recursive: true, force: true }))
  const model = engine.model(starter())
  const talk = 'The sea is wide and old, and the ships are small. '.repeat(14)
  const turn = async (more: ModelRequestInput['messages']) => await ask(model, { messages: [{ role: 'user', text: talk }, ...more], sampling: { temperature: 0 }, maxTokens: 2, sessionKey: 'talk' })
  assert.equal(ended(await turn([])), 'max_tokens')
  const stream = await streaming(model)
  const refused = await engine.unload(starter(), { wait: false, signal: never() })
  assert.deepEqual(typeof refused === 'object' ? refused.fault.message : refused, "The model 'starter' answers 1 request; with --wait it is unloaded when that is done.")
  const said: string[] = []
  const unloaded = engine.unload(starter(), { wait: true, signal: never(), waits: (position, reason) => said.push(`${position} ${reason}`) })
  await stream.stop()
  assert.equal(await unloaded, 'done')
  assert.equal(said[0], "1 waiting for 'starter' to finish: 1 request")
  assert.equal(stateOf(engine, 'starter'), 'stopped')
  assert.ok(existsSync(join(cacheDir, 'states')) && readdirSync(cacheDir, { recursive: true }).length > 0)
  const again = await turn([{ role: 'assistant', text: 'I see.' }, { role: 'user', text: 'Go on.' }])
  assert.ok(again.end.type === 'done')
  const { promptTokens, reusedTokens } = again.end.usage
  assert.ok(promptTokens > 120 && promptTokens - reusedTokens < 40, `${reusedTokens} of ${promptTokens} reused`)
  assert.equal(await engine.unload(small, { wait: false, signal: never() }), 'done', 'one that was never loaded')
})

test('a load without a question; a pin outlasts the idle time, another model does not', async (t) => {
  const { engine, states } = engineOn(t, 8 * GiB, { idleUnloadSeconds: 1, models: { twin: { idleUnloadSeconds: 600 } } })
  const said: string[] = []
  assert.equal(await engine.load(small, { pin: true, signal: never(), waits: (position, reason) => said.push(`${position} ${reason}`) }), 'loaded')
  assert.deepEqual(said, ["1 loading 'small'"])
  for (const one of [twin, starter()]) assert.equal(await engine.load(one, { class: 'batch', signal: never() }), 'loaded')
  const status = (id: string) => engine.workers().find((worker) => worker.model === id)
  assert.deepEqual([status('small')?.pinned, status('small')?.unloadsAt, status('twin')?.pinned], [true, null, false])
  assert.ok((status('small')?.memoryBytes ?? 0) > 50 * 2 ** 20)
  const { idleSince, unloadsAt } = status('twin') ?? {}
  assert.equal((unloadsAt ?? 0) - (idleSince ?? 0), 600_000)
  while (stateOf(engine, 'starter') !== 'stopped') await new Promise((resolve) => setTimeout(resolve, 50))
  assert.deepEqual([stateOf(engine, 'small'), stateOf(engine, 'twin')], ['ready', 'ready'])
  assert.deepEqual([status('starter')?.memoryBytes, status('starter')?.idleSince], [null, null])
  engine.pin('small', false)
  while (stateOf(engine, 'small') !== 'stopped') await new Promise((resolve) => setTimeout(resolve, 50))
  assert.equal(states.filter((state) => state.endsWith('failed')).length, 0)
})

test('a load that nobody waits for any more gives way to one that is wanted', async (t) => {
  const { engine, states } = engineOn(t, (await needed(t, starter())) * 1.5)
  const left = new AbortController()
  const given = engine.load(starter(), { signal: left.signal })
  while (states.length === 0) await new Promise((resolve) => setImmediate(resolve))
  left.abort()
  assert.equal(await given, 'aborted')
  assert.equal(ended(await ask(engine.model(twin), request('Hello'))), 'max_tokens')
  assert.deepEqual(states, ['starter starting', 'starter draining', 'starter stopped', 'twin starting', 'twin ready'])
})

test('what the plan of a loaded model says is what it has, not what is left beside it', async (t) => {
  const { engine } = engineOn(t, (await needed(t, starter())) * 1.2)
  const plan = async (): Promise<MemoryPlan | null> => await engine.plan(starter())
  const absent = await plan()
  assert.equal(await engine.load(starter(), { signal: never() }), 'loaded')
  const loaded = await plan()
  assert.deepEqual([loaded?.verdict, loaded?.neededBytes], [absent?.verdict, absent?.neededBytes])
})
