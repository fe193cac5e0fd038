// Prompt lookup: what is guessed, what is kept, and that the text is the one plain generation gives.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ModelRequestInput } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { greedyGap } from '../fixtures/greedy-gap.ts'
import { starter, testEngine } from '../fixtures/starter.ts'
import { Balance, CheckCosts, Lookup } from '../../packages/engine/src/local/lookup.ts'
import { accept, draftedDraws, LookupDrafter, type DraftFigures } from '../../packages/engine/src/local/speculation.ts'

test('what followed the same three tokens is next, the latest place first, and a match grows while the copy goes on', () => {
  const lookup = new Lookup([1, 2, 3, 4, 5, 6, 9, 1, 2, 3])
  assert.equal(lookup.matched, 3)
  assert.deepEqual(lookup.next(4), [4, 5, 6, 9])
  lookup.push(4)
  lookup.push(5)
  assert.equal(lookup.matched, 5)
  assert.deepEqual(lookup.next(2), [6, 9])
  lookup.push(8)
  assert.equal(lookup.matched, 0)
  assert.deepEqual(lookup.next(2), [])
})

test('a text that repeats itself is guessed to go on', () => {
  assert.deepEqual(new Lookup([7, 1, 2, 3, 1, 2, 3]).next(7), [1, 2, 3, 1, 2, 3, 1])
})

/** A machine on which one plain token takes so long. */
function known(plainMs = 10): CheckCosts {
  const costs = new CheckCosts()
  assert.equal(costs.plainMs, null)
  for (let i = 0; i < 8; i++) costs.plain(plainMs)
  return costs
}

test('a long match is worth a long draft only where rows are cheap', () => {
  const cheap = known()
  for (const rows of [4, 8, 16, 32, 64]) cheap.note(rows, 10 + rows * 0.2)
  assert.equal(cheap.draftLength(3, 100), 15)
  assert.equal(cheap.draftLength(60, 100), 63)
  assert.equal(cheap.draftLength(60, 20), 15, 'never more than may still be said')
  const dear = known()
  for (const rows of [4, 8, 16, 32, 64]) dear.note(rows, rows * 10)
  assert.equal(dear.draftLength(60, 100), 0)
})

test('a run in which drafts do not pay stops drafting, for longer each time', () => {
  const balance = new Balance()
  balance.drafted(1, 31, 10)
  assert.equal(balance.resting, true)
  let tokens = 0
  while (!balance.plain(10)) tokens++
  assert.equal(tokens, 63)
  for (let i = 0; i < 20 && !balance.resting; i++) balance.drafted(1, 31, 10)
  tokens = 0
  while (!balance.plain(10)) tokens++
  assert.equal(tokens, 127)
  balance.drafted(8, 40, 10)
  assert.equal(balance.resting, false, 'a gain is no reason to stop')
})

const end = 99

test('accepted is what plain generation would have said, up to the end of the text', () => {
  const ends = (token: number): boolean => token === end
  assert.deepEqual(accept([1, 2, 3], [1, 2, 7, 8], ends), { said: [1, 2, 7], agreed: 2 })
  assert.deepEqual(accept([1, 2], [1, 2, 3], ends), { said: [1, 2, 3], agreed: 2 })
  assert.deepEqual(accept([1, end], [1, end, 3], ends), { said: [1, end], agreed: 1 })
  assert.throws(() => accept([1], [1, null], ends), /Failed to sample/)
})

/** A model that says `script` and nothing else: it fails the test when its memory is not what was said. */
function player(script: readonly number[], promptTokens: number) {
  const memory: number[] = []
  const evaluate = (tokens: readonly number[]): number[] => tokens.map((token) => {
    memory.push(token)
    const agrees = memory.every((one, index) => one === script[index])
    return agrees ? (script[memory.length] ?? end) : 1000 + memory.length
  })
  const checks: number[] = []
  return {
    memory, checks,
    greedy: {
      async *plain(tokens: readonly number[]) {
        for (let pending = tokens; ;) {
          const next = evaluate(pending).at(-1) ?? end
          if (next === end) return
          yield { token: next }
          pending = [next]
        }
      },
      check: (tokens: readonly number[]) => {
        checks.push(tokens.length)
        return Promise.resolve(evaluate(tokens))
      },
      cutTo: (kept: number) => {
        memory.length = kept
        return Promise.resolve()
      },
      position: () => memory.length,
      room: () => 1000 - promptTokens,
      ends: (token: number) => token === end,
    },
  }
}

test('with drafts, right and wrong ones, the text is the same and the memory holds exactly what was said', async () => {
  const verse = Array.from({ length: 40 }, (_, i) => 200 + i)
  const prompt = [1, ...verse, 2]
  const script = [...prompt, ...verse.slice(0, 30), 3, ...verse, 4, 5]
  const { greedy, memory, checks } = player(script, prompt.length)
  const figures: DraftFigures = { draftedTokens: 0, acceptedTokens: 0 }
  const said: number[] = []
  const costs = known(1000)
  for await (const { token } of draftedDraws(greedy, new LookupDrafter(prompt, costs), prompt, 0, costs, figures)) {
    said.push(token)
    assert.ok(memory.every((one, index) => one === script[index]), 'nothing false stays in the memory')
  }
  assert.deepEqual(said, script.slice(prompt.length))
  assert.ok(checks.length > 0 && checks.length < 20, `${checks.length} checks`)
  assert.ok(figures.acceptedTokens > 40 && figures.acceptedTokens < figures.draftedTokens, JSON.stringify(figures))
})

test('the real model says the same with lookup as without, alone and beside another stream, and tells what was guessed', async (t) => {
  const verse = 'The lamp in the harbour was lit by a man named Joren. A ferry went to the island twice a day. The school had eleven children and one stove.'
  const copy: ModelRequestInput = {
    messages: [{ role: 'user', text: `Repeat: ${verse}` }, { role: 'assistant', text: `${verse} ${verse}` }, { role: 'user', text: 'Repeat the same text once more.' }],
    sampling: { temperature: 0 }, maxTokens: 120,
  }
  const story: ModelRequestInput = { messages: [{ role: 'user', text: 'Tell me a story.' }], sampling: { temperature: 0 }, maxTokens: 40 }
  const said = async (speculation: 'off' | 'lookup') => {
    const engine = testEngine({ engine: { speculation } })
    t.after(() => engine.close())
    const model = engine.model(starter())
    const alone = await ask(model, copy)
    const pair = await Promise.all([ask(model, { ...copy, sessionKey: 'a' }), ask(model, { ...story, sessionKey: 'b' })])
    await engine.close()
    return { texts: [alone, ...pair].map((answer) => answer.text), usage: alone.end.usage }
  }
  const plain = await said('off')
  const ahead = await said('lookup')
  for (const [index, text] of ahead.texts.entries()) {
    const wanted = plain.texts[index] ?? ''
    if (text === wanted) continue
    const engine = testEngine()
    t.after(() => engine.close())
    const gap = await greedyGap(engine.model(starter()), index === 2 ? story : copy, wanted, text)
    assert.ok(gap !== null && gap.logits < gap.epsilon, `${JSON.stringify(gap)}: ${JSON.stringify(wanted)} | ${JSON.stringify(text)}`)
  }
  assert.equal(plain.usage.drafts, undefined)
  const { drafts } = ahead.usage
  assert.ok(drafts !== undefined && drafts.acceptedTokens > 0 && drafts.acceptedTokens <= drafts.draftedTokens, JSON.stringify(drafts))
})
