// What a conversation keeps when it loses its sequence: over a rotation, a kill, a restart, a model swap; and what damaged or foreign files do to it.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { copyFile, mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Message, Model, ModelRequestInput } from '@hearth/protocol'
import { ask, type Answer } from '../contract/model-contract.ts'
import { starter, starterPath, testEngine } from '../fixtures/starter.ts'
import { savingPays } from '../../packages/engine/src/local/handover.ts'
import { SavedStates } from '../../packages/engine/src/local/states.ts'

const names = ['sea', 'sun', 'fog', 'ice'] as const
type Name = (typeof names)[number]

/** About 150 tokens that begin differently for each name. */
function talk(name: Name, turn = 1): ModelRequestInput {
  const first: Message = { role: 'user', text: `About the ${name}: ${`The ${name} is wide and old. `.repeat(16)}` }
  const more: Message[] = turn === 1 ? [] : [{ role: 'assistant', text: 'I see.' }, { role: 'user', text: 'Go on.' }]
  return { messages: [first, ...more], sampling: { temperature: 0 }, maxTokens: 2, sessionKey: name }
}

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'states-'))
  t.after(async () => {
    await rm(dir, { recursive: true })
    await rm(memoryOf(dir), { recursive: true, force: true })
  })
  return dir
}

function memoryOf(dir: string): string {
  return `/dev/shm/hearth-${process.getuid?.() ?? 0}-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}`
}

function engineAt(t: TestContext, cacheDir: string, engine: Parameters<typeof testEngine>[0] = {}) {
  const lines: string[] = []
  const made = testEngine({ ...engine, cacheDir, log: (line) => lines.push(line), engine: { sequences: 2, contextTokens: 512, ...engine.engine } })
  t.after(() => made.close())
  return { engine: made, model: made.model(starter()), lines }
}

function usageOf(answer: Answer) {
  assert.ok(answer.end.type === 'done', answer.end.type === 'failed' ? answer.end.fault.message : '')
  return answer.end.usage
}

/** Tokens of turn 2 that were evaluated again. */
async function again(model: Model, name: Name): Promise<number> {
  const { promptTokens, reusedTokens } = usageOf(await ask(model, talk(name, 2)))
  assert.ok(promptTokens > 120, String(promptTokens))
  return promptTokens - reusedTokens
}

function files(root: string): string[] {
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.state')).map((name) => join(root, name))
}

const all = (dir: string): string[] => [...files(memoryOf(dir)), ...files(join(dir, 'states'))]
const few = 30

test('four conversations on two sequences: each second turn evaluates only what is new, and answers as if nothing had happened', async (t) => {
  const dir = await folder(t)
  const { model } = engineAt(t, dir)
  for (const name of names) usageOf(await ask(model, talk(name)))
  const rotated: Answer[] = []
  for (const name of names) rotated.push(await ask(model, { ...talk(name, 2), maxTokens: 12 }))
  for (const answer of rotated) {
    const { promptTokens, reusedTokens } = usageOf(answer)
    assert.ok(promptTokens - reusedTokens < few, `${reusedTokens} of ${promptTokens} reused`)
  }
  for (const path of all(dir)) assert.equal(statSync(path).mode & 0o777, 0o600)
  const plain = testEngine({ engine: { contextTokens: 512, sequences: 2 } })
  t.after(() => plain.close())
  const fresh = await ask(plain.model(starter()), { ...talk('sea', 2), maxTokens: 12 })
  assert.equal(rotated[0]?.text, fresh.text)
})

test('a killed worker costs only what was nowhere saved', async (t) => {
  const { engine, model } = engineAt(t, await folder(t))
  for (const name of ['sea', 'sun', 'fog'] as const) usageOf(await ask(model, talk(name)))
  const pid = engine.workers()[0]?.pid
  assert.ok(typeof pid === 'number')
  process.kill(pid, 'SIGKILL')
  while (engine.workers()[0]?.state === 'ready') await new Promise((resolve) => setImmediate(resolve))
  assert.ok(await again(model, 'sea') < few, 'it had given its sequence to fog and was saved')
  assert.ok(await again(model, 'fog') > 90, 'it lay in the worker only')
})

test('after a stop and a start every conversation goes on, also the ones that lay in the worker; nothing stays in memory files', async (t) => {
  const dir = await folder(t)
  const first = engineAt(t, dir)
  for (const name of ['sea', 'sun', 'fog'] as const) usageOf(await ask(first.model, talk(name)))
  const running = ask(first.model, { ...talk('ice'), maxTokens: 200 }, undefined, (event) => {
    if (event.type === 'text') void first.engine.close()
  })
  assert.equal((await running).end.type, 'failed', 'it is told that the daemon shuts down')
  await first.engine.close()
  assert.ok(!existsSync(memoryOf(dir)))
  assert.equal(files(join(dir, 'states')).length, 4)
  const second = engineAt(t, dir)
  for (const name of names) assert.ok(await again(second.model, name) < few, name)
  await second.engine.close()

  // What may have happened to the files meanwhile: one byte of one, the end of another; and a third engine with another window.
  const [flipped, cut] = files(join(dir, 'states'))
  assert.ok(flipped !== undefined && cut !== undefined)
  const bytes = readFileSync(flipped)
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1000) ^ 1, bytes.length - 1000)
  writeFileSync(flipped, bytes)
  truncateSync(cut, 10_000)
  const third = engineAt(t, dir)
  const evaluated: number[] = []
  for (const name of names) evaluated.push(await again(third.model, name))
  assert.equal(evaluated.filter((tokens) => tokens < few).length, 2, evaluated.join(' '))
  assert.equal(evaluated.filter((tokens) => tokens > 90).length, 2, evaluated.join(' '))
  assert.ok(third.lines.some((line) => /^saved state [0-9a-f]{24}\.state is damaged: its prompt is evaluated again$/.test(line)), 'the flipped one was found by its checksum')
  assert.equal(third.engine.workers()[0]?.restarts, 0, 'the library never saw them')
  await third.engine.close()

  const other = engineAt(t, dir, { engine: { contextTokens: 768 } })
  assert.ok(await again(other.model, 'sea') > 90, 'a state of another window is not loaded')
})

test('another model in between: the first one goes on where it was, and neither gets the memory of the other', async (t) => {
  const dir = await folder(t)
  const { engine, model } = engineAt(t, dir, { engine: { maxModels: 1 } })
  const path = join(dir, 'other.gguf')
  await copyFile(starterPath(), path)
  const other = engine.model({ ...starter(), id: 'other', path })
  usageOf(await ask(model, talk('sea')))
  assert.ok(await again(other, 'sea') > 90, 'the same session on another file begins anew')
  assert.ok(await again(model, 'sea') < few)
})

test('a side call leaves the conversations alone while there is other room', async (t) => {
  const dir = await folder(t)
  const { model } = engineAt(t, dir)
  usageOf(await ask(model, talk('sea')))
  for (const text of ['Find a title.', 'Count the words.', 'Name a colour.']) {
    usageOf(await ask(model, { messages: [{ role: 'user', text }], maxTokens: 2 }))
    usageOf(await ask(model, { messages: [{ role: 'user', text: `${text} Now.` }], maxTokens: 2, purpose: 'bench', sessionKey: 'measured' }))
  }
  assert.deepEqual(all(dir), [], 'nothing had to be saved')
  assert.ok(await again(model, 'sea') < few)
})

test('cancelled at any moment of a hand-over: the slot comes back, and no conversation is lost', async (t) => {
  const { engine, model } = engineAt(t, await folder(t))
  for (const name of names) usageOf(await ask(model, talk(name)))
  for (const [index, wait] of [0, 1, 3, 6, 10, 16, 25, 40].entries()) {
    const abort = new AbortController()
    const answer = ask(model, { ...talk(names[index % 4] ?? 'sea', 2), maxTokens: 1 }, abort.signal)
    await new Promise((resolve) => setTimeout(resolve, wait))
    abort.abort()
    const { end } = await answer
    assert.ok(end.type === 'done')
  }
  for (const name of names) assert.ok(await again(model, name) < few, name)
  assert.equal(engine.workers()[0]?.restarts, 0)
  assert.deepEqual(engine.workers().map(({ busy, waiting }) => ({ busy, waiting })), [{ busy: 0, waiting: 0 }])
})

test('places keep their bounds: memory gives to disk, disk gives up what is worth least; strangers and leavings are swept away', async (t) => {
  const dir = await folder(t)
  const places = { memoryDir: join(dir, 'memory'), diskDir: join(dir, 'disk') }
  let now = 1_000_000
  const open = () => new SavedStates({ ...places, memoryBytes: 2000, diskBytes: 3000, log: () => undefined, now: () => now })
  const states = open()
  const model = 'ab12'
  states.folders(model)
  const keep = async (session: string, prefillMs: number): Promise<void> => {
    // Ten tokens of 80 bytes each: the size is known after the first.
    const draft = states.draft(model, states.bytesPerToken(model) === 80 ? 10 : 0)
    assert.ok(draft !== null)
    writeFileSync(draft.path, session.repeat(800).slice(0, 800))
    await states.keep(model, session, 'settings', draft, { tokens: 10, prefillMs })
    now += 60_000
  }
  for (const [session, cost] of [['a', 5000], ['b', 10], ['c', 5000], ['d', 5000], ['e', 5000], ['f', 5000]] as const) {
    await keep(session, cost)
    assert.ok(states.used.memory <= 2000 && states.used.disk <= 3000, JSON.stringify(states.used))
  }
  assert.equal(states.find(model, 'b', 'settings'), null, 'cheap to make again')
  const kept = states.find(model, 'f', 'settings')
  assert.ok(kept !== null)
  assert.equal(states.find(model, 'f', 'other settings'), null)
  assert.equal(states.find('cd34', 'f', 'settings'), null)
  assert.ok(await states.checked(kept) !== null)
  const afterKill = open()
  assert.deepEqual(afterKill.used, states.used, 'a daemon that was killed finds both places as they were')
  await states.close(1000)
  assert.equal(states.used.memory, 0)

  writeFileSync(join(dir, 'disk', model, '0123456789abcdef01234567.state'), 'half a state of a worker that was killed')
  await symlink('/etc/passwd', join(dir, 'disk', model, 'ffffffffffffffffffffffff.state'))
  const before = files(join(dir, 'disk')).length
  const next = open()
  assert.equal(files(join(dir, 'disk')).length, before - 2)
  assert.ok(next.find(model, 'f', 'settings') !== null, 'the index tells them from the rest')
  writeFileSync(join(dir, 'disk', `${model}.json`), '{"version":1,"entries":[{"file":"../../escape"')
  const last = open()
  assert.deepEqual([last.find(model, 'f', 'settings'), files(join(dir, 'disk')).length], [null, 0], 'a broken index means no states')
})

test('states in memory of a home that is gone are removed by the next daemon', async (t) => {
  const dir = await folder(t)
  const shm = (name: string): string => join(dir, `hearth-0-${name.repeat(16)}`)
  const open = (name: string) => new SavedStates({ memoryDir: shm(name), diskDir: null, memoryBytes: 1000, diskBytes: 0, owner: join(dir, name), log: () => undefined })
  open('a')
  open('b')
  await rm(join(dir, 'a'), { recursive: true })
  open('b')
  assert.deepEqual([existsSync(shm('a')), existsSync(shm('b'))], [false, true])
})

test('saving pays above some length, and less so where prompts are fast', () => {
  assert.equal(savingPays(20, 8, 23_000), false)
  assert.equal(savingPays(1500, 8, 23_000), true, 'the starter on a CPU: 12 s against a tenth of one')
  assert.equal(savingPays(1500, 0.5, 160_000), true, 'an 8B model on a GPU')
  assert.equal(savingPays(64, 0.1, 23_000), false, 'a small model on a GPU')
})
