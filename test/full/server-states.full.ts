// What a real llama-server held in its slots outlives it: the next turn after a stop and a start is not evaluated from the beginning.
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Message, Usage } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { serverEngine } from '../fixtures/llama-server.ts'
import { starter } from '../fixtures/starter.ts'

const story = Array.from({ length: 40 }, (_, i) => `Box ${i} holds ${i * 7} nails and the key of box ${(i * 3) % 40}.`).join(' ')

test('conversations in slots survive a stop and a start', async (t) => {
  const cacheDir = mkdtempSync(join(tmpdir(), 'hearth-slots-'))
  t.after(() => rmSync(cacheDir, { recursive: true, force: true }))
  const log: string[] = []
  /** One turn of a session in a llama-server that is started for it; its usage, and what it said. */
  const turn = async (sessionKey: string, messages: Message[]): Promise<{ usage: Usage; text: string }> => {
    const engine = serverEngine({ cacheDir, engine: { contextTokens: 2048, goldenCheck: 'off' }, log: (line) => log.push(line) })
    try {
      const answer = await ask(engine.model(starter()), { messages, sessionKey, maxTokens: 12, sampling: { temperature: 0 } })
      assert.equal(answer.end.type, 'done', JSON.stringify(answer.end))
      return { usage: answer.end.usage, text: answer.text }
    } finally {
      await engine.close()
    }
  }
  const first: Message[] = [{ role: 'user', text: `${story} Where is the key of box 3?` }]
  const one = await turn('s', first)
  assert.ok(one.usage.reusedTokens < 32 && one.usage.promptTokens > 700, JSON.stringify(one.usage))
  const second: Message[] = [...first, { role: 'assistant', text: one.text }, { role: 'user', text: 'And the key of box 4?' }]
  const two = await turn('s', second)
  assert.ok(two.usage.reusedTokens >= one.usage.promptTokens, `${two.usage.reusedTokens} of ${two.usage.promptTokens} tokens reused; ${log.join('\n')}`)
  // The same words as from a server that evaluated all of it.
  const cold = await turn('t', second)
  assert.ok(cold.usage.reusedTokens < 32, JSON.stringify(cold.usage))
  assert.equal(two.text, cold.text)
  t.diagnostic(`${two.usage.reusedTokens} of ${two.usage.promptTokens} tokens came back`)
  // A damaged file costs a prefill and nothing else.
  const states = readdirSync(join(cacheDir, 'states'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.state'))
  assert.ok(states.length > 0)
  for (const name of states) truncateSync(join(cacheDir, 'states', name), 1000)
  const third = await turn('s', second)
  assert.ok(third.usage.reusedTokens < 32, JSON.stringify(third.usage))
  assert.equal(third.text, cold.text)
})
