// The meter: one entry a call, on disk before the end is passed on, whatever the end.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fault, FaultError, ModelRequest, type LedgerEntry, type Model, type ModelEvent, type Principal } from '@hearth/protocol'
import { metered } from '../../packages/daemon/src/meter/meter.ts'

const usage = { promptTokens: 5, reusedTokens: 2, completionTokens: 3 }
const timings = { queuedMs: 0, prefillMs: 1, decodeMs: 2, ttftMs: 1, totalMs: 3 }
const principal: Principal = { id: 'socket:7', kind: 'socket', origin: 'human', scopes: [], class: 'interactive' }
const request = ModelRequest.parse({ messages: [{ role: 'user', text: 'hi' }], purpose: 'agent' })
const info: Model['info'] = { id: 'm', place: 'local', contextTokens: 100, profile: { toolMode: 'json', tools: null, fewShot: null, sampling: {}, maxCallTokens: 16 } }

function run(events: (signal: AbortSignal) => AsyncGenerator<ModelEvent>, write?: (entry: Omit<LedgerEntry, 'id'>) => Promise<void>) {
  const entries: Omit<LedgerEntry, 'id'>[] = []
  const model = metered({ info, generate: (_request, signal) => events(signal) }, { principal, jobId: 'j', step: () => 4 }, write ?? ((entry) => {
    entries.push(entry)
    return Promise.resolve()
  }), () => 99)
  return { entries, stream: model.generate(request, new AbortController().signal) }
}

const entry = (ended: string, of: Pick<LedgerEntry, 'usage' | 'timings'> = { usage, timings }): Omit<LedgerEntry, 'id'> => ({
  at: 99, jobId: 'j', step: 4, principal: 'socket:7', origin: 'human', model: 'm', place: 'local', purpose: 'agent', ...of, joules: null, usdMicros: 0, ended,
})

test('the entry is written before the end is seen', async () => {
  const { entries, stream } = run(async function* () {
    yield { type: 'text', text: 'a' }
    yield { type: 'done', stop: 'end', usage, timings }
  })
  const seen: [string, number][] = []
  for await (const event of stream) seen.push([event.type, entries.length])
  assert.deepEqual(seen, [['text', 0], ['done', 1]])
  assert.deepEqual(entries, [entry('end')])
})

test('a failed call is billed with its cause', async () => {
  const { entries, stream } = run(async function* () {
    yield { type: 'failed', fault: fault('worker_exited', { model: 'm', how: 'signal 9' }), usage, timings }
  })
  await Array.fromAsync(stream)
  assert.deepEqual(entries, [entry('worker_exited')])
})

test('a reader that leaves in the middle aborts the call, and what it used is billed', async () => {
  const { entries, stream } = run(async function* (signal) {
    for (let n = 0; !signal.aborted; n += 1) yield { type: 'text', text: String(n) }
    yield { type: 'done', stop: 'cancelled', usage, timings }
  })
  for await (const event of stream) if (event.type === 'text' && event.text === '3') break
  assert.deepEqual(entries, [entry('cancelled')])
})

test('a model that breaks its word (throws, or just ends) is a failure with a cause, and billed', async () => {
  const none = { usage: { promptTokens: 0, reusedTokens: 0, completionTokens: 0 }, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
  for (const [breaks, problem] of [
    [async function* (): AsyncGenerator<ModelEvent> { yield { type: 'text', text: 'a' }; throw new Error('boom') }, 'boom'],
    [async function* (): AsyncGenerator<ModelEvent> { yield { type: 'text', text: 'a' } }, "the model 'm' ended without saying so"],
  ] as const) {
    const { entries, stream } = run(breaks)
    const last = (await Array.fromAsync(stream)).at(-1)
    assert.equal(last?.type === 'failed' ? last.fault.message : last?.type, `Something went wrong inside Hearth: ${problem}.`)
    assert.deepEqual(entries, [entry('internal', none)])
  }
})

test('when the entry cannot be stored the call has failed', async () => {
  const { stream } = run(async function* () {
    yield { type: 'done', stop: 'end', usage, timings }
  }, () => Promise.reject(new FaultError(fault('database', { path: 'p', problem: 'full' }))))
  const events = await Array.fromAsync(stream)
  assert.deepEqual(events.map((event) => event.type === 'failed' ? event.fault.code : event.type), ['database'])
})
