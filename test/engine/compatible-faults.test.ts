// An endpoint of the local network that misbehaves, reached through the daemon's real door: faults with names, numbers that are not believed, a key that stays here.
import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { EndpointConfig, type EgressEntry, type Fault } from '@hearth/protocol'
import { CompatibleModel } from '@hearth/engine'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { ask, type Answer } from '../contract/model-contract.ts'

type Seen = { url: string; authorization: string | undefined; body: Record<string, unknown> }
type Bench = { model: CompatibleModel; seen: Seen[]; log: string[]; rows: Omit<EgressEntry, 'id'>[]; host: string }

async function endpoint(t: TestContext, answer: (body: Record<string, unknown>, to: ServerResponse, request: IncomingMessage) => void, more: { keyFile?: string; silenceMs?: number } = {}): Promise<Bench> {
  const seen: Seen[] = []
  const server = createServer((request, to) => {
    let text = ''
    request.setEncoding('utf8').on('data', (part: string) => { text += part })
    request.on('end', () => {
      const body = JSON.parse(text === '' ? '{}' : text) as Record<string, unknown>
      seen.push({ url: request.url ?? '', authorization: request.headers.authorization, body })
      answer(body, to, request)
    })
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.after(() => { server.closeAllConnections(); server.close() })
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const log: string[] = []
  const rows: Omit<EgressEntry, 'id'>[] = []
  const model = new CompatibleModel({
    endpoint: EndpointConfig.parse({ id: 'lan', url: `http://${host}/v1/`, model: 'big', contextTokens: 1000, keyFile: more.keyFile ?? null }),
    log: (line) => log.push(line), ...(more.silenceMs === undefined ? {} : { silenceMs: more.silenceMs }),
    door: createDoor((row) => {
      rows.push(row)
      return Promise.resolve()
    }),
  })
  return { model, seen, log, rows, host }
}

const request = { messages: [{ role: 'user' as const, text: 'Say something.' }], maxTokens: 24, sampling: { temperature: 0 } }
const event = (to: ServerResponse, value: unknown): void => { to.write(`data: ${typeof value === 'string' ? value : JSON.stringify(value)}\n\n`) }
const delta = (value: object, finish: string | null = null): object => ({ object: 'chat.completion.chunk', choices: [{ index: 0, delta: value, finish_reason: finish }] })
const usage = (prompt: number, completion: number, cached?: number): object => ({ choices: [], usage: { prompt_tokens: prompt, completion_tokens: completion, ...(cached === undefined ? {} : { prompt_tokens_details: { cached_tokens: cached } }) } })

/** A well-behaved answer of three pieces with the usage it is told. */
function says(said: object): (body: unknown, to: ServerResponse) => void {
  return (_body, to) => {
    to.writeHead(200, { 'content-type': 'text/event-stream' })
    for (const word of ['One', ' two', ' three']) event(to, delta({ content: word }))
    event(to, delta({}, 'stop'))
    event(to, said)
    event(to, '[DONE]')
    to.end()
  }
}

function failure(answer: Answer): Fault {
  assert.equal(answer.end.type, 'failed', JSON.stringify(answer.end))
  return answer.end.type === 'failed' ? answer.end.fault : assert.fail()
}

test('a true usage is taken, and the row says what left the box and for which job', async (t) => {
  const { model, seen, rows, log, host } = await endpoint(t, says(usage(20, 3, 16)))
  const answer = await ask(model, { ...request, purpose: 'agent', sessionKey: 'job-1' })
  assert.equal(answer.text, 'One two three')
  assert.deepEqual(answer.end.usage, { promptTokens: 20, reusedTokens: 16, completionTokens: 3 })
  assert.equal(model.info.place, 'lan')
  assert.equal(model.info.countsAsLocal, false)
  assert.equal(seen[0]?.url, '/v1/chat/completions')
  assert.deepEqual(rows.map((row) => [row.purpose, row.host, row.jobId]), [['lan-endpoint', host, 'job-1']])
  assert.deepEqual(log, [])
})

test('a usage that cannot be true is noted and not believed', async (t) => {
  for (const [said, problem] of [
    [usage(20, 9_000_000), '9000000 completion tokens where 24 were allowed'],
    [usage(20, 0), '0 completion tokens for 13 characters'],
    [usage(20, 3, 21), '21 of 20 prompt tokens reused'],
    [usage(5000, 3), 'a prompt of 5000 tokens in a window of 1000'],
    [usage(-1, 3), 'prompt is -1'],
  ] as const) {
    const { model, log } = await endpoint(t, says(said))
    const answer = await ask(model, request)
    assert.equal(answer.end.type, 'done')
    assert.equal(answer.end.usage.completionTokens, 3)
    assert.deepEqual(log, [`the endpoint 'lan' gives a usage that cannot be true (${problem}); 3 completion tokens were counted instead`])
  }
})

test('each way to fail has its name', async (t) => {
  const plain = (status: number, body: unknown, headers: Record<string, string> = {}) => (_: unknown, to: ServerResponse): void => { to.writeHead(status, headers).end(typeof body === 'string' ? body : JSON.stringify(body)) }
  const stream = (...events: unknown[]) => (_: unknown, to: ServerResponse): void => {
    to.writeHead(200)
    for (const one of events) event(to, one)
    to.end()
  }
  for (const [answer, code, message] of [
    [plain(401, { error: { message: 'who are you' } }), 'endpoint_auth', "The endpoint 'lan' does not let us in: status 401, 'who are you'."],
    [plain(429, 'slow down'), 'endpoint_busy', "The endpoint 'lan' is busy: status 429, 'slow down'."],
    [plain(400, { error: { message: 'no such thing' } }), 'endpoint_refused', "The endpoint 'lan' refused the request: status 400, 'no such thing'."],
    [plain(500, '<html>'), 'endpoint_failed', "The endpoint 'lan' failed: status 500, '<html>'."],
    [plain(307, '', { location: 'http://elsewhere/v1' }), 'endpoint_refused', "The endpoint 'lan' refused the request: it redirects to http://elsewhere/v1, and a key is sent to one address only."],
    [plain(400, { error: { code: 400, message: 'too long', n_prompt_tokens: 1200, n_ctx: 1024 } }), 'context_overflow', 'The prompt has 1200 tokens and the context window holds 1024.'],
    [plain(400, { message: "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens (4900 in the messages, 100 in the completion)." }), 'context_overflow', 'The prompt has 4900 tokens and the context window holds 4096.'],
    [stream(), 'endpoint_failed', "The endpoint 'lan' failed: it answered with status 200 and not one token."],
    [stream('\u0007NaN'), 'endpoint_failed', "The endpoint 'lan' failed: it sent 'NaN', which is no JSON."],
    [stream(delta({ content: 'a' }), delta({ content: 'b' })), 'endpoint_failed', "The endpoint 'lan' failed: its answer broke off after 2 pieces."],
    [stream(delta({ content: 'a' }), { error: { message: 'engine died' } }), 'endpoint_failed', "The endpoint 'lan' failed: it stopped with the error 'engine died'."],
    [(_: unknown, to: ServerResponse): void => { to.socket?.destroy() }, 'endpoint_failed', "The endpoint 'lan' failed: it closed the connection."],
  ] as const) {
    const { model } = await endpoint(t, answer)
    const why = failure(await ask(model, request))
    assert.equal(why.message, message)
    assert.equal(why.code, code)
  }
  const quiet = await endpoint(t, () => undefined, { silenceMs: 200 })
  assert.equal(failure(await ask(quiet.model, request)).message, "The endpoint 'lan' failed: it said nothing for 0.2 s.")
})

test('a strict server gets the plain dialect from the second try on', async (t) => {
  const { model, seen } = await endpoint(t, (body, to) => {
    if ('top_k' in body) to.writeHead(400).end('{"error":{"message":"unknown field top_k"}}')
    else says(usage(20, 3))(body, to)
  })
  assert.equal((await ask(model, request)).text, 'One two three')
  assert.equal((await ask(model, request)).text, 'One two three')
  assert.deepEqual(seen.map((one) => 'top_k' in one.body), [true, false, false])
})

test('tool calls come in pieces and are put together; what is none is said so', async (t) => {
  const tool = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: {} } }
  const { model } = await endpoint(t, (_body, to) => {
    to.writeHead(200)
    event(to, delta({ content: 'I look.' }))
    event(to, delta({ tool_calls: [{ index: 0, id: 'c1', function: { name: 'weather', arguments: '{"town":' } }, { index: 1, id: 'c2', function: { name: 'nothing', arguments: '{}' } }] }))
    event(to, delta({ tool_calls: [{ index: 0, function: { arguments: '"Ulm"}' } }] }))
    event(to, delta({}, 'tool_calls'))
    to.end('data: [DONE]\n\n')
  })
  const answer = await ask(model, { ...request, tools: [tool], toolChoice: 'required' })
  assert.deepEqual(answer.events.filter((one) => one.type === 'tool_call' || one.type === 'malformed_call'), [
    { type: 'tool_call', call: { id: 'c1', name: 'weather', arguments: { town: 'Ulm' } } },
    { type: 'malformed_call', text: 'nothing {}', problem: "there is no tool 'nothing'; there are: weather" },
  ])
  assert.equal(answer.end.type === 'done' ? answer.end.stop : '', 'tool_calls')
})

test('the key comes from a private file, is sent to its endpoint and said to nobody', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'key-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const keyFile = join(folder, 'key')
  writeFileSync(keyFile, 'sekret-123\n', { mode: 0o644 })
  chmodSync(keyFile, 0o644)
  const { model, seen, log } = await endpoint(t, (_body, to, request) => { to.writeHead(403).end(`bad key ${request.headers.authorization ?? ''}`) }, { keyFile })
  assert.equal(failure(await ask(model, request)).message, `The endpoint 'lan' does not let us in: others may read its key file ${keyFile} (mode 644).`)
  assert.equal(seen.length, 0)
  chmodSync(keyFile, 0o600)
  assert.equal(failure(await ask(model, request)).message, "The endpoint 'lan' does not let us in: status 403, 'bad key Bearer ***'.")
  assert.equal(seen[0]?.authorization, 'Bearer sekret-123')
  assert.deepEqual(log, [])
})
