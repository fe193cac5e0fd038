// Asking a model that is not in memory: what it is forecast to take, what forbids it, and that the conversation which made room is read no second time. Real workers.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it, type TestContext } from 'node:test'
import { Config, type ModelRequestInput, type Swap, type WorkerStatus } from '@hearth/protocol'
import { Engine, type InstalledModel } from '@hearth/engine'
import { createConfine } from '@hearth/sandbox'
import { ask } from '../contract/model-contract.ts'
import { nodeBinary, root, starter, starterPath } from '../fixtures/starter.ts'
import { checkMs, leaveMs, loadMs, Loads, type Loadable, type Loaded } from '../../packages/engine/src/profile/loads.ts'

const GiB = 2 ** 30
let scratch = ''
let strong: InstalledModel
before(() => {
  scratch = mkdtempSync(join(tmpdir(), 'swaps-'))
  // A link would be the same file, of which the loads are known.
  const path = join(scratch, 'strong.gguf')
  copyFileSync(starterPath(), path)
  strong = { ...starter(), id: 'strong', path }
})
after(() => { rmSync(scratch, { recursive: true }) })

/** An engine on a box whose memory holds the starter once and a half; each has its own cache folder unless one is given. */
async function engineOf(t: TestContext, { cacheDir = mkdtempSync(join(scratch, 'cache-')), holds = 1.5, ...more }: { cacheDir?: string; holds?: number } & Partial<Config['engine']> = {}, onState: (status: WorkerStatus) => void = () => undefined): Promise<Engine> {
  const config = Config.parse({ engine: { contextTokens: 2048, sequences: 2, threads: 1, backend: 'cpu', goldenCheck: 'off', savedStateBytes: 64 * 2 ** 20, ...more } }).engine
  const make = (limitBytes: number): Engine => {
    const at = mkdtempSync(join(scratch, 'box-'))
    mkdirSync(join(at, 'proc'))
    const kib = Math.floor((limitBytes + GiB) / 1024)
    writeFileSync(join(at, 'proc/meminfo'), `MemTotal:       ${kib} kB\nMemAvailable:   ${kib} kB\n`)
    const made = new Engine({ config, confine: createConfine(), node: nodeBinary, root, hardwareRoot: at, cacheDir, onState, log: () => undefined })
    t.after(() => made.close())
    return made
  }
  t.after(() => rmSync(`/dev/shm/hearth-${process.getuid?.() ?? 0}-${createHash('sha256').update(cacheDir).digest('hex').slice(0, 16)}`, { recursive: true, force: true }))
  const plan = await make(64 * GiB).plan(starter())
  assert.ok(plan !== null)
  return make(plan.neededBytes * holds)
}

const story = 'The sea is wide and old, and the ships are small. '.repeat(25)
const request = (messages: ModelRequestInput['messages'], more: Partial<ModelRequestInput> = {}): ModelRequestInput => ({ messages, sampling: { temperature: 0 }, maxTokens: 8, class: 'job', purpose: 'agent', ...more })
const turns = [[{ role: 'user', text: story }], [{ role: 'user', text: story }, { role: 'assistant', text: 'I see.' }, { role: 'user', text: 'Go on.' }]] satisfies ModelRequestInput['messages'][]
const wish = { asker: starter(), sessionKey: 'j1', promptChars: 2000, maxTokens: 100, turns: 1 }

async function usageOf(engine: Engine, model: InstalledModel, asked: ModelRequestInput): Promise<{ promptTokens: number; reusedTokens: number }> {
  const { end } = await ask(engine.model(model), asked)
  assert.ok(end.type === 'done', JSON.stringify(end))
  return end.usage
}

async function swapOf(engine: Engine, model = strong, asked = wish): Promise<Swap> {
  const said = await engine.swap(model, asked)
  assert.ok(said.ok, said.ok ? '' : said.why)
  return said.swap
}

async function whyNot(engine: Engine): Promise<string> {
  const said = await engine.swap(strong, wish)
  return said.ok ? `ok ${JSON.stringify(said.swap)}` : `${said.why}. ${said.remedy}`
}

describe('a model that is loaded to be asked', () => {
  it('is forecast from what was measured, and the conversation that made room comes back', async (t) => {
    const engine = await engineOf(t)
    await usageOf(engine, strong, request([{ role: 'user', text: 'Tell me of the sea and of the ships on it.' }], { maxTokens: 16, sessionKey: 'other' }))
    const first = await usageOf(engine, starter(), request(turns[0] ?? [], { sessionKey: 'j1' }))
    const swap = await swapOf(engine)
    assert.deepEqual([swap.leaves, swap.loadFrom, swap.checkMs], [['starter'], null, 0])
    assert.ok(swap.loadMs !== null && swap.loadMs > 50 && swap.answerMs !== null && swap.answerMs > 0, JSON.stringify(swap))
    // Its conversation is saved and read: that takes more than nothing, and coming back more than that.
    assert.ok(swap.roomMs >= 20 && swap.backMs !== null && swap.backMs > 50 + 20, JSON.stringify(swap))
    await usageOf(engine, strong, request([{ role: 'user', text: 'What is the next action?' }], { sessionKey: 'j1.e1', purpose: 'advise' }))
    assert.deepEqual(engine.workers().map(({ model, state }) => [model, state]), [['strong', 'ready'], ['starter', 'stopped']])
    const { promptTokens, reusedTokens } = await usageOf(engine, starter(), request(turns[1] ?? [], { sessionKey: 'j1' }))
    assert.ok(reusedTokens >= 0.95 * first.promptTokens, `${reusedTokens} of ${first.promptTokens}; the prompt has ${promptTokens}`)
    t.diagnostic(`${reusedTokens} of ${first.promptTokens} tokens came back; forecast ${JSON.stringify(swap)}`)
  })

  it('is loaded and asked also when the one that leaves is killed over the saving of it, which is then read again', async (t) => {
    const killed: number[] = []
    const engine = await engineOf(t, {}, ({ model, state, pid }) => {
      if (model !== 'starter' || state !== 'draining' || pid === null || killed.length > 0) return
      killed.push(pid)
      process.kill(pid, 'SIGKILL')
    })
    await usageOf(engine, starter(), request(turns[0] ?? [], { sessionKey: 'j1' }))
    await usageOf(engine, strong, request([{ role: 'user', text: 'What is the next action?' }], { sessionKey: 'j1.e1', purpose: 'advise' }))
    assert.equal(killed.length, 1)
    const { promptTokens, reusedTokens } = await usageOf(engine, starter(), request(turns[1] ?? [], { sessionKey: 'j1' }))
    assert.ok(promptTokens > 200 && reusedTokens === 0, `${reusedTokens} of ${promptTokens}`)
    assert.deepEqual(engine.workers().map(({ restarts }) => restarts), [0, 0])
  })

  it('has no figure where nothing was measured, and says from whom a figure was scaled', async (t) => {
    const cacheDir = mkdtempSync(join(scratch, 'cache-'))
    const engine = await engineOf(t, { cacheDir })
    assert.deepEqual(await swapOf(engine), { leaves: [], roomMs: 0, loadMs: null, loadFrom: null, checkMs: 0, answerMs: null, backMs: 0 })
    assert.equal(await engine.load(starter(), { signal: new AbortController().signal }), 'loaded')
    const swap = await swapOf(engine)
    assert.deepEqual([swap.leaves, swap.loadFrom, swap.answerMs], [['starter'], 'starter', null])
    assert.ok((swap.loadMs ?? 0) > 0)
    await engine.close()
    // Another engine of this box knows it too.
    assert.ok(((await swapOf(await engineOf(t, { cacheDir }))).loadMs ?? 0) > 0)
  })

  it('is not loaded over a stream, a chat, a pinned model, nor where its context would be too small', async (t) => {
    const engine = await engineOf(t)
    const abort = new AbortController()
    const begun = Promise.withResolvers<undefined>()
    const stream = ask(engine.model(starter()), request(turns[0] ?? [], { sessionKey: 'j2', maxTokens: 400 }), abort.signal, ({ type }) => { if (type === 'text') begun.resolve(undefined) })
    await begun.promise
    assert.equal(await whyNot(engine), "'starter' would have to end what it does first. Ask again later.")
    abort.abort()
    await stream
    assert.deepEqual((await swapOf(engine)).leaves, ['starter'], 'a job that is between its turns makes room')
    assert.match(await engine.swap(strong, { ...wish, promptChars: 9000 }).then((said) => (said.ok ? 'ok' : said.why)), /^2048 tokens of context fit beside the rest, and the question needs 3100$/)
    await usageOf(engine, starter(), request([{ role: 'user', text: 'Hello' }], { class: 'interactive', purpose: 'chat', sessionKey: 'somebody' }))
    assert.equal(await whyNot(engine), "somebody chats with 'starter', which would have to leave the memory. Ask again later.")
    engine.pin('starter', true)
    assert.match(await whyNot(engine), /^strong needs at least .* Pinned and in memory: 'starter' \(.*\)\. Run 'hearth models unpin starter'/)
  })

  it('beside which all others have room takes nobody\'s place', async (t) => {
    const engine = await engineOf(t, { holds: 4 })
    await usageOf(engine, starter(), request([{ role: 'user', text: 'Hello' }], { class: 'interactive', purpose: 'chat' }))
    const { leaves, roomMs, backMs } = await swapOf(engine)
    assert.deepEqual({ leaves, roomMs, backMs }, { leaves: [], roomMs: 0, backMs: 0 })
  })
})

describe('how long a load takes', () => {
  const file = (name: string, bytes: number, more: Partial<Loadable> = {}): Loadable => ({ model: name, file: name, library: 'l1', backend: 'cpu', machine: 'm', bytes, ...more })
  const loaded = (name: string, bytes: number, loadsMs: number[], checkMs: number | null = 100): Loaded => ({ ...file(name, bytes), loadsMs, leavesMs: [], checkMs })
  const known = [loaded('small', 1000, [500, 900, 600]), loaded('large', 100_000, [20_000], 4000)]

  it('the slowest of its own, else of the nearest in size by the bytes, never shorter for a smaller one', () => {
    assert.deepEqual(loadMs(known, file('small', 1000)), { ms: 900, from: null })
    assert.deepEqual(loadMs(known, file('small', 1000, { library: 'l2' })), { ms: 900, from: null }, 'another build reads it just as fast')
    assert.deepEqual(loadMs(known, file('new', 200_000)), { ms: 40_000, from: 'large' })
    assert.deepEqual(loadMs(known, file('tiny', 10)), { ms: 900, from: 'small' })
    assert.equal(loadMs(known, file('new', 1000, { backend: 'vulkan' })), null)
    assert.equal(loadMs(known, file('new', 1000, { machine: 'another' })), null)
    assert.equal(loadMs([], file('new', 1000)), null)
  })

  it('the slowest of the last times it left', () => {
    const one = { ...loaded('small', 1000, [1]), leavesMs: [300, 900, 20] }
    assert.deepEqual([leaveMs([one], file('small', 1000)), leaveMs([one], file('new', 1000)), leaveMs(known, file('small', 1000))], [900, 0, 0])
  })

  it('the check of its first words: none when this build passed it or nothing is checked', () => {
    assert.equal(checkMs(known, file('large', 100_000), true), 0)
    assert.equal(checkMs(known, file('large', 100_000, { library: 'l2' }), true), 4000)
    assert.equal(checkMs(known, file('new', 300_000), true), 12_000)
    assert.equal(checkMs([loaded('small', 1000, [1], null)], file('small', 1000), true), null, 'it was loaded without a check')
    assert.equal(checkMs([], file('new', 1), false), 0)
  })

  it('is kept for the last three loads, and a check that was passed is not forgotten by a load without one', async () => {
    const cacheDir = mkdtempSync(join(scratch, 'loads-'))
    const log: string[] = []
    const run = async (checks: boolean, said: 'trusted' | 'gone' = 'trusted'): Promise<void> => {
      const loads = new Loads({ cacheDir, checks, log: (line) => log.push(line) })
      const { launch, check, changed } = loads.timed({ launch: () => ({ fault: { code: 'x' } }) as never, check: () => Promise.resolve(said) }, () => file('a', 10))
      launch({} as never)
      assert.equal(await check({} as never, () => undefined), said)
      // The first leaves in order, the second is given up while it loads: that says nothing.
      for (const phase of ['starting', 'ready', 'draining', 'stopped', 'starting', 'draining', 'stopped'] as const) changed(phase)
      await loads.close()
      changed('ready')
    }
    for (const checks of [true, false, false, false]) await run(checks)
    await run(true, 'gone')
    const [one, ...none] = await new Loads({ cacheDir, checks: true, log: () => undefined }).all()
    assert.deepEqual([one?.model, one?.loadsMs.length, one?.leavesMs.length, one?.checkMs === null, none, log], ['a', 3, 3, false, [], []])
    writeFileSync(join(cacheDir, 'loads.json'), 'not JSON')
    assert.deepEqual(await new Loads({ cacheDir, checks: true, log: () => undefined }).all(), [])
  })
})
