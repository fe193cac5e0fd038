// A request that waits for the model says where it stands and for what: in the events of its job, and as comments in an event stream.
import assert from 'node:assert/strict'
import { createServer, get, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import type { Model, ModelRequest } from '@hearth/protocol'
import { EventStream } from '../../packages/daemon/src/http/sse.ts'
import { tellingWaits, waitWords } from '../../packages/daemon/src/meter/waits.ts'
import { daemonsOfThisFile, script } from './process.ts'

const { place, start } = daemonsOfThisFile()
const noTimings = { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 }

test('a job tells each new place and reason once, between its step and its turn', async () => {
  const here = place()
  const daemon = await start(here)
  const { job } = await daemon.submit({ prompt: script({ steps: 1, waits: ["unloading 'large'", "loading 'stub'"] }), cwd: here.work() })
  const events = await daemon.all(job.id)
  assert.deepEqual(events.flatMap((event) => (event.type === 'waiting' ? [[event.model, event.position, event.reason, event.etaMs]] : [])), [
    ['stub', 1, "unloading 'large'", null], ['stub', 2, "loading 'stub'", null],
  ])
  const order = events.map(({ type }) => type)
  assert.ok(order.indexOf('step') < order.indexOf('waiting') && order.lastIndexOf('waiting') < order.indexOf('turn'), order.join(' '))
  assert.equal((await daemon.job(job.id)).state, 'resolved')
})

test('the same place again is nothing new, and every event of the model is passed on', async () => {
  const said: Awaited<ReturnType<typeof Array.fromAsync>> = [
    { type: 'queued', position: 2, etaMs: 9000 }, { type: 'queued', position: 2, etaMs: 8000 }, { type: 'queued', position: 1 },
    { type: 'done', stop: 'end', usage: { promptTokens: 1, reusedTokens: 0, completionTokens: 0 }, timings: noTimings },
  ]
  const inner = { info: { id: 'm' }, async *generate() { yield* said } } as unknown as Model
  const told: unknown[] = []
  const heard = await Array.fromAsync(tellingWaits(inner, (event) => told.push([event.position, event.reason, event.etaMs])).generate({} as ModelRequest, new AbortController().signal))
  assert.deepEqual(heard, said)
  assert.deepEqual(told, [[2, "'m' answers others", 9000], [1, "'m' answers others", null]])
  assert.equal(waitWords({ type: 'queued', position: 3, reason: 'tuning', etaMs: 1200 }, 'm'), 'number 3 in line: tuning (about 2 s)')
})

test('an event stream: the comments say what is waited for, at once where it is open, and never more than a line', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] })
  const opened = Promise.withResolvers<ServerResponse>()
  const server = createServer((_request, response) => opened.resolve(response)).listen(0, '127.0.0.1')
  t.after(() => server.close())
  await once(server, 'listening')
  const asked = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port })
  const stream = new EventStream(await opened.promise)
  stream.keepAlive()
  stream.waits("number 2 in line: loading 'm'")
  assert.equal(stream.opened, false, 'a refusal can still have its own status')
  t.mock.timers.tick(10_000)
  t.mock.timers.tick(10_000)
  stream.waits('number 1 in line:\r\ndata: forged')
  stream.waits('number 1 in line:\r\ndata: forged')
  stream.waits('waiting')
  stream.end()
  const [response] = await once(asked, 'response') as [AsyncIterable<Buffer>]
  assert.equal(Buffer.concat(await Array.fromAsync(response)).toString(), ": number 2 in line: loading 'm'\n\n: number 1 in line: data: forged\n\n: waiting\n\n")
})
