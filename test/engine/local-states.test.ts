// What a conversation keeps when it loses its sequence: over a rotation, a kill, a restart, a model swap; and what damaged or foreign files do to it.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Message, Model, ModelRequestInput } from '@hearth/protocol'
import { ask, type Answer } from '../contract/model-contract.ts'
import { starter, testEngine } from '../fixtures/starter.ts'

const names = ['sea', 'sun', 'fog', 'ice'] as const
type Name = (typeof names)[number]

/** About 250 tokens that begin differently for each name. */
function talk(name: Name, turn = 1): ModelRequestInput {
  const first: Message = { role: 'user', text: `About the ${name}: ${`The ${name} is wide and old. `.repeat(28)}` }
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
  assert.ok(promptTokens > 200, String(promptTokens))
  return promptTokens - reusedTokens
}

function files(root: string): string[] {
  if (!existsSync(root)) return []
  return readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.state')).map((name) => join(root, name))
}

const all = (dir: string): string[] => [...files(memoryOf(dir)), ...files(join(dir, 'states'))]
const few = 40

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
