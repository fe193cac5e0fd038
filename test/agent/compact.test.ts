// When a history is shortened, what stays, and what is told of the rest: pure, over made-up events.
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { compaction, type CompactInput } from '@hearth/agent/context/compact'
import { History } from '@hearth/agent/history'
import { nativeMode } from '@hearth/agent/modes/native'
import { receipt } from '@hearth/agent/context/receipt'
import type { JobEventBody, Message } from '@hearth/protocol'

const timings = { queuedMs: 0, prefillMs: 1000, decodeMs: 1000, ttftMs: 1, totalMs: 2 }

/** A conversation of so many turns; each answer has 40 bytes and each result `bytes`. A token has about four bytes. */
function talk(turns: number, bytes: number): Pick<CompactInput, 'messages' | 'openingMessages' | 'events' | 'step'> {
  const messages: Message[] = [{ role: 'system', text: 's'.repeat(384) }, { role: 'user', text: 't'.repeat(384) }]
  const events: JobEventBody[] = []
  for (let turn = 0; turn < turns; turn++) {
    const promptTokens = Math.ceil(messages.reduce((sum, { text }) => sum + text.length + 16, 0) / 4)
    const call = { id: `c${turn}`, name: 'bash', arguments: { command: `step ${turn}` } }
    events.push(
      { type: 'turn', step: turn + 1, model: 'm', text: '', toolCalls: [call], stop: 'tool_calls', usage: { promptTokens, reusedTokens: Math.max(0, promptTokens - 500), completionTokens: 50 }, timings },
      { type: 'tool_planned', step: turn + 1, call, argsHash: `${turn}`, idempotency: 'unsafe', before: null },
      { type: 'tool_result', step: turn + 1, callId: call.id, name: 'bash', ok: true, exitCode: 0, cause: 'exited', observation: '', totalBytes: bytes, outputFile: null, durationMs: 1, wrote: true },
    )
    messages.push({ role: 'assistant', text: 'a'.repeat(40) }, { role: 'tool', callId: call.id, name: 'bash', text: 'r'.repeat(bytes) })
  }
  return { messages, openingMessages: 2, events, step: turns }
}

const asked = (made: ReturnType<typeof talk>, more: Partial<CompactInput> = {}): ReturnType<typeof compaction> =>
  compaction({ ...made, contextTokens: 8192, maxCallTokens: 1024, stepsLeft: 40, speedAt: null, ...more })

describe('a history', () => {
  it('stays as it is while the next prompt fits', () => { assert.equal(asked(talk(20, 400)), null) })

  it('is not looked through while nothing calls for a shorter one', () => {
    const made = talk(20, 400)
    let oldest = made.events.length
    const events = new Proxy(made.events, {
      get(target, key, receiver): unknown {
        if (typeof key === 'string' && /^\d+$/.test(key)) oldest = Math.min(oldest, Number(key))
        return Reflect.get(target, key, receiver)
      },
    })
    assert.equal(asked({ ...made, events }), null)
    assert.ok(oldest >= made.events.length - 3, `event ${oldest} of ${made.events.length} was read`)
  })

  it('is shortened by much when it does not, and tells its price', () => {
    const made = asked(talk(32, 800))
    assert.match(made?.evidence ?? '', /^the next prompt has about \d+ tokens, and 7040 fit beside an answer$/)
    assert.ok((made?.afterTokens ?? Infinity) < (made?.beforeTokens ?? 0) * 0.5)
    assert.equal(made?.keptMessages, 4)
    // About 500 tokens were read in a second in each turn.
    assert.ok(Math.abs((made?.refillMs ?? 0) / ((made?.refillTokens ?? NaN) * 2) - 1) < 0.05)
    assert.match(made?.text ?? '', /Last 12 of 32 calls:\n- bash step 20: ok, 800 bytes/)
  })

  it('keeps whole turns only: a result never stands without its call', () => {
    for (const bytes of [100, 900, 3000, 9000]) {
      const made = talk(40, bytes)
      const event = asked(made)
      if (event === null) continue
      const first = made.messages[made.messages.length - event.keptMessages]
      assert.ok(event.keptMessages === 0 || first?.role === 'assistant', `${bytes} bytes: ${first?.role ?? 'nothing'}`)
    }
  })

  it('that was just shortened is not shortened again by a job that was cut off there', () => {
    const made = talk(32, 800)
    const event = asked(made)
    assert.ok(event !== null)
    // What was kept is long, so that the figures of the turns before, which belong to the whole history, would call for more.
    const messages: Message[] = [...made.messages.slice(0, 2), { role: 'user', text: event.text }, ...made.messages.slice(-24)]
    assert.equal(asked({ ...made, messages, events: [...made.events, event] }), null)
  })

  it('that one result fills gives that result up, and says what it was', () => {
    const made = asked(talk(1, 40_000))
    assert.equal(made?.keptMessages, 0)
    assert.match(made?.text ?? '', /- bash step 0: ok, 40000 bytes/)
  })

  it('whose opening alone fills the window is not shortened in vain', () => {
    const made = talk(2, 100)
    assert.equal(asked({ ...made, messages: [{ role: 'system', text: 's'.repeat(30_000) }, ...made.messages.slice(1)] }), null)
  })

  it('is shortened earlier where the box says that it pays', () => {
    const made = talk(24, 800)
    const flat = (): { prefill: number; decode: number } => ({ prefill: 500, decode: 50 })
    const steep = (depth: number): { prefill: number; decode: number } => ({ prefill: 500 / (1 + depth / 500), decode: 50 / (1 + depth / 500) })
    assert.equal(asked(made, { speedAt: flat }), null)
    assert.match(asked(made, { speedAt: steep })?.evidence ?? '', /^a step takes \d+\.\d s at \d+ tokens and \d+\.\d s at \d+; reading them takes \d+\.\d s$/)
    assert.equal(asked(made, { speedAt: steep, stepsLeft: 0 }), null)
  })

  it('is shortened when a step of the plan is done, if it is long', () => {
    const plan = (text: string): JobEventBody[] => [{ type: 'tool_result', step: 1, callId: 'p', name: 'plan', ok: true, exitCode: 0, cause: 'exited', observation: text, totalBytes: 1, outputFile: null, durationMs: 1, wrote: false }]
    const long = talk(60, 1200)
    const done = { ...long, events: [...plan('[x] one\n[ ] two'), ...long.events, ...plan('[x] one\n[x] two')] }
    assert.match(asked(done, { contextTokens: 32_768 })?.evidence ?? '', /^a step of the plan is done/)
    assert.equal(asked({ ...done, events: [...plan('[x] one\n[ ] two'), ...long.events, ...plan('[x] one\n[ ] two')] }, { contextTokens: 32_768 }), null)
  })
})

describe('a receipt', () => {
  const { events } = talk(3, 10)
  const failed: JobEventBody = { type: 'check', step: 3, command: 'make test', when: 'final', passed: false, exitCode: 2, cause: 'exited', output: 'E: no', durationMs: 1 }

  it('ends with what still fails, however little room there is', () => {
    const text = receipt([...events, failed], 10)
    assert.ok(text.endsWith("Still failing: the check 'make test' (exit 2)\nE: no"), text)
    assert.ok(Buffer.byteLength(text) < 400)
  })
  it('says nothing of a failure that was mended', () => { assert.doesNotMatch(receipt([...events, failed, { ...failed, passed: true }], 4000), /failing/) })
})

describe('checks after edits', () => {
  const check = (output: string): JobEventBody => ({ type: 'check', step: 1, command: 'make test', when: 'after_edit', passed: false, exitCode: 2, cause: 'exited', output, durationMs: 1 })

  it('are told in full once, and no event is copied for it', () => {
    const history = new History(nativeMode({ tools: [], examples: [], callTokens: 100, prompt: null, keepsThoughts: false, network: false }), 'task', ['make test'])
    history.events.slice = () => assert.fail('the events were copied')
    for (const output of ['E: one', 'E: one', 'E: two']) history.apply(check(output))
    assert.deepEqual(history.messages.slice(-3).map(({ text }) => text), [
      'After this change the check fails (exit 2).\nmake test\nE: one', 'The check fails as before (exit 2).', 'After this change the check fails (exit 2).\nmake test\nE: two',
    ])
  })
})
