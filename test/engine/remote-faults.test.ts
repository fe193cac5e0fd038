// Providers that misbehave, each in the three formats: every way to fail has its name, costs what was heard and no less, and tells nobody the key.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { FaultError, fault, ProviderConfig, RemoteModelConfig } from '@hearth/protocol'
import { createRemoteModel } from '@hearth/engine'
import { ask } from '../contract/model-contract.ts'
import { basePath, events, failure, kinds, mockWith, remote, remoteAt, says, secret, stream, type Kind } from '../fixtures/provider.ts'

const counts = { prompt: 40, completion: 3 }
const request = { messages: [{ role: 'user' as const, text: 'Say something.' }], maxTokens: 24 }
const tool = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: {} } }
/** Where the prompt is counted first, an answer that breaks off costs that; elsewhere it is counted from what was sent. */
const promptsFirst = (kind: Kind): boolean => kind === 'anthropic'

test('each status has its name, costs nothing, and is asked for once', async (t) => {
  for (const [status, error, code, message] of [
    [401, { type: 'authentication_error', message: 'invalid key' }, 'provider_auth', "The provider 'far' does not let us in: status 401, 'invalid key'."],
    [403, { type: 'permission_error', message: 'not for you' }, 'provider_auth', "The provider 'far' does not let us in: status 403, 'not for you'."],
    [402, { message: 'Insufficient credits' }, 'provider_billing', "The provider 'far' sells nothing more to this account: status 402, 'Insufficient credits'."],
    [400, { type: 'invalid_request_error', message: 'Your credit balance is too low to access the API.' }, 'provider_billing', "The provider 'far' sells nothing more to this account: status 400, 'Your credit balance is too low to access the API.'."],
    [429, { code: 'insufficient_quota', message: 'You exceeded your current quota.' }, 'provider_billing', "The provider 'far' sells nothing more to this account: status 429, 'You exceeded your current quota.'."],
    [429, { type: 'rate_limit_error', message: 'slow down' }, 'provider_rate_limited', "The provider 'far' is asked too often: status 429, 'slow down'."],
    [529, { type: 'overloaded_error', message: 'Overloaded' }, 'provider_overloaded', "The provider 'far' is overloaded: status 529, 'Overloaded'."],
    [503, { message: 'busy' }, 'provider_overloaded', "The provider 'far' is overloaded: status 503, 'busy'."],
    [404, { type: 'not_found_error', message: 'model: big-1' }, 'provider_model', "The provider 'far' has no model 'big-1' for this key: status 404, 'model: big-1'."],
    [403, { message: 'Input was flagged by moderation.' }, 'provider_refused', "The model at 'far' declined to answer: status 403, 'Input was flagged by moderation.'."],
    [400, { type: 'invalid_request_error', message: 'max_tokens: too large' }, 'provider_rejected', "The provider 'far' rejected the request: status 400, 'max_tokens: too large'."],
    [500, '<html><head><title>Oh \n no</title>', 'provider_failed', "The provider 'far' failed: status 500, a web page, 'Oh   no'."],
    [502, '<!DOCTYPE html><p>x', 'provider_failed', "The provider 'far' failed: status 502, a web page."],
    [504, { message: 'upstream' }, 'provider_silent', "The provider 'far' was given up: status 504, 'upstream'."],
    [204, '', 'provider_garbled', "The provider 'far' gave a senseless answer: status 204, and not a word."],
  ] as const) {
    for (const kind of kinds) {
      const { model, rows } = await remote(t, kind, (to) => { to.writeHead(status).end(typeof error === 'string' ? error : JSON.stringify({ type: 'error', error })) })
      const answer = await ask(model, request)
      const why = failure(answer)
      assert.deepEqual([why.code, why.message, why.origin], [code, message, 'provider'])
      assert.deepEqual(answer.end.usage, { promptTokens: 0, reusedTokens: 0, completionTokens: 0 })
      assert.equal(rows.length, 1)
    }
  }
})

test('what a person can do about it stands beside what went wrong', async (t) => {
  for (const [status, body, message, remedy] of [
    [401, '{"error":{"message":"invalid x-api-key"}}', "The provider 'far' does not let us in: status 401, 'invalid x-api-key'.", "Put a key that is good there into the file that keyFile names; 'hearth provider test far' tries it."],
    [403, '<html><title>Attention Required!</title>', "The provider 'far' does not let us in: status 403, a web page, 'Attention Required!'.", 'Look on its own pages what this key may do, for which models, and from which countries and addresses.'],
    [407, '', "The provider 'far' does not let us in: status 407, and not a word.", 'A proxy stands between that wants a login, and Hearth has none for it: let this machine go out to that address directly.'],
    [404, 'no such page', "The provider 'far' rejected the request: nothing for us is at URL (status 404, 'no such page').", 'Check url and kind of its entry: the url stands without /v1 for anthropic, and with it for openai and compatible.'],
    [405, '{"detail":"Method Not Allowed"}', `The provider 'far' rejected the request: nothing for us is at URL (status 405, '{"detail":"Method Not Allowed"}').`, 'Check url and kind of its entry: the url stands without /v1 for anthropic, and with it for openai and compatible.'],
  ] as const) {
    for (const kind of kinds) {
      const { model, host } = await remote(t, kind, (to) => { to.writeHead(status).end(body) })
      const why = failure(await ask(model, request))
      const path = { anthropic: '/v1/messages', openai: '/v1/responses', compatible: '/v1/chat/completions' }[kind]
      assert.deepEqual([why.message, why.remedy], [message.replace('URL', `http://${host}${path}`), remedy])
    }
  }
})

test('a connection that does not come about says which, where to, and what to look at', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'cert-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', join(folder, 'key'), '-out', join(folder, 'cert'), '-days', '1', '-subj', '/CN=localhost'], { stdio: 'ignore' })
  const own = createTlsServer({ key: readFileSync(join(folder, 'key')), cert: readFileSync(join(folder, 'cert')) }, (_request, to) => { to.end() })
  const plain = createServer((_request, to) => { to.end() })
  const ports = await Promise.all([own, plain].map((server) => new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    t.after(() => server.close())
  })))
  const look = (host: string): string => `Check the url of its entry (${host}), and that this machine reaches the network by itself: a proxy of the environment (HTTPS_PROXY) is not used.`
  for (const [host, message, remedy] of [
    ['127.0.0.1:9', "The provider 'far' failed: nobody listens there.", look('127.0.0.1:9')],
    ['no-such-host.invalid', "The provider 'far' failed: its name is not known.", look('no-such-host.invalid')],
    [`127.0.0.1:${ports[0]}`, `The provider 'far' failed: nobody whom this machine trusts vouches for its certificate (127.0.0.1:${ports[0]}).`, "Where a machine of your own house looks into connections, add its certificate authority to those of this system, then 'hearth down' and 'hearth up'. Else somebody stands between: do not go on."],
    [`127.0.0.1:${ports[1]}`, `The provider 'far' failed: it does not speak TLS there (127.0.0.1:${ports[1]}).`, 'Check the url of its entry: https, and the port.'],
  ] as const) {
    const made = remoteAt('compatible', `https://${host}/v1`)
    t.after(() => made.close())
    const why = failure(await ask(made.model, request))
    assert.deepEqual([why.code, why.message, why.remedy], ['provider_failed', message, remedy])
  }
})

test('proxies of the environment are not used', async (t) => {
  let proxied = 0
  const proxy = createServer((_request, to) => { proxied += 1; to.writeHead(502).end() }).on('connect', (_request, socket) => { proxied += 1; socket.destroy() }).listen(0, '127.0.0.1')
  await new Promise((resolve) => proxy.once('listening', resolve))
  t.after(() => proxy.close())
  const { host } = await remote(t, 'compatible', (to) => stream(to, says('compatible', ['One'], counts)))
  const at = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
  const program = `
    import { remoteAt } from '${new URL('../fixtures/provider.ts', import.meta.url).href}'
    import { ask } from '${new URL('../contract/model-contract.ts', import.meta.url).href}'
    const made = remoteAt('compatible', 'http://${host}/v1')
    const { text } = await ask(made.model, ${JSON.stringify(request)})
    made.close()
    console.log(text)`
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', program], {
    env: { PATH: process.env['PATH'] ?? '', NODE_USE_ENV_PROXY: '1', HTTP_PROXY: at, HTTPS_PROXY: at, ALL_PROXY: at, http_proxy: at, https_proxy: at, all_proxy: at }, stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  child.stdout.setEncoding('utf8').on('data', (piece: string) => { said += piece })
  await new Promise((resolve) => child.once('close', resolve))
  assert.deepEqual([said, proxied], ['One\n', 0])
})

test('a 429 is asked again when its time fits into the patience, and is a fault with the time when not', async (t) => {
  await Promise.all(kinds.map(async (kind) => {
    let asked = 0
    const storm = await mockWith(() => {
      asked += 1
      if (asked === 1) return { status: 429, retryAfter: 1, error: { type: 'rate_limit_error', message: 'slow down' } }
      return { content: 'At last.', usage: { prompt_tokens: 9, completion_tokens: 2 } }
    })
    t.after(() => storm.stop())
    const far = remoteAt(kind, storm.url + basePath[kind], { limits: { patienceMs: 1500 } })
    const answer = await ask(far.model, request)
    assert.equal(answer.text, 'At last.')
    assert.deepEqual(answer.events[0], { type: 'queued', position: 1, etaMs: 1000, reason: "the provider 'far' asks for 1 s" })
    assert.ok(answer.end.timings.queuedMs >= 1000)
    assert.equal(far.rows.length, 2, 'each send has its row')
    assert.deepEqual(far.log, ["The provider 'far' is asked too often: status 429, 'slow down'. It is asked again in 1 s."])
    far.close()

    for (const [headers, wait] of [[{ 'retry-after': '60' }, /^Ask again in 60 s\.$/], [{ 'retry-after': new Date(Date.now() + 600_000).toUTCString() }, /^Ask again in (599|600) s\.$/], [{ 'retry-after': 'soon' }, /^Ask again later; it does not say when\.$/], [{}, /^Ask again later; it does not say when\.$/]] as const) {
      const { model, rows } = await remote(t, kind, (to) => { to.writeHead(529, headers).end('{}') }, { limits: { patienceMs: 5000 } })
      assert.match(failure(await ask(model, request)).remedy, wait)
      assert.equal(rows.length, 1)
    }
    // "At once", again and again: a second each, until the patience is over.
    const endless = await remote(t, kind, (to) => { to.writeHead(429, { 'retry-after': '0' }).end('{}') }, { limits: { patienceMs: 1900 } })
    assert.equal(failure(await ask(endless.model, request)).code, 'provider_rate_limited')
    assert.equal(endless.rows.length, 2)
  }))
})

test('waiting ends with the request', async (t) => {
  const { model, rows } = await remote(t, 'anthropic', (to) => { to.writeHead(429, { 'retry-after': '20' }).end('{}') })
  const abort = new AbortController()
  const answer = await ask(model, request, abort.signal, ({ type }) => { if (type === 'queued') abort.abort() })
  assert.deepEqual(answer.end.type === 'done' ? [answer.end.stop, answer.end.usage.promptTokens] : answer.end, ['cancelled', 0])
  assert.equal(rows.length, 1)
})

test('an answer that breaks off is a fault, costs what arrived, and leaves no half call', async (t) => {
  for (const kind of kinds) {
    // A foreign mock tears the connection after the sixth event.
    const mock = await mockWith(() => ({ content: 'One two three four five six seven eight nine ten.', usage: { prompt_tokens: 9, completion_tokens: 10 } }), { latency: 30, chunkSize: 4, truncateAfterChunks: 6 })
    t.after(() => mock.stop())
    const far = remoteAt(kind, mock.url + basePath[kind])
    const torn = await ask(far.model, request)
    assert.equal(failure(torn).code, 'provider_cut')
    assert.ok(torn.text.length > 0 && torn.end.usage.completionTokens >= torn.text.length / 2)
    far.close()

    const beginnings = [...events.begin(kind, counts), ...events.text(kind, ['I look.']), ...events.call(kind, 1, 'n1', 'weather', ['{"town":"U'])]
    for (const tear of ['end', 'destroy'] as const) {
      const { model, rows, log } = await remote(t, kind, (to) => {
        stream(to, beginnings, false)
        // Half an event, then nothing more.
        to.write('data: {"type":"content_bl', () => setTimeout(() => to[tear](), 20))
      })
      const answer = await ask(model, { ...request, tools: [tool] })
      assert.equal(failure(answer).message, "The answer of 'far' broke off: after 3 pieces.")
      assert.deepEqual(answer.events.filter(({ type }) => type === 'tool_call' || type === 'malformed_call'), [])
      const { promptTokens, completionTokens } = answer.end.usage
      assert.ok(promptsFirst(kind) ? promptTokens === 40 : promptTokens >= 40, `${kind} counts ${promptTokens}`)
      // 'I look.', the name and the beginning of the arguments at two bytes a token.
      assert.equal(completionTokens, 12)
      assert.deepEqual([rows.length, log], [1, []])
    }
    const early = await remote(t, kind, (to) => { to.socket?.destroy() })
    const lost = await ask(early.model, request)
    assert.equal(failure(lost).message, "The provider 'far' failed: it closed the connection.")
    assert.ok(lost.end.usage.promptTokens > 0, 'what was sent may be billed')
  }
})

test('nobody there costs nothing', async () => {
  for (const kind of kinds) {
    const far = remoteAt(kind, `http://127.0.0.1:9${basePath[kind]}`)
    const answer = await ask(far.model, request)
    assert.equal(failure(answer).message, "The provider 'far' failed: nobody listens there.")
    assert.equal(answer.end.usage.promptTokens, 0)
    far.close()
  }
})

test('a model that declines is a fault with its reason, and is paid', async (t) => {
  for (const [kind, reason] of [['anthropic', 'It looks like an attack'], ['openai', 'its content filter stepped in'], ['compatible', 'its content filter stepped in']] as const) {
    const { model } = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...events.text(kind, ['Well']), ...events.end(kind, 'refused', counts)]))
    const answer = await ask(model, request)
    assert.equal(failure(answer).message, `The model at 'far' declined to answer: ${reason}.`)
    assert.deepEqual(answer.end.usage, { promptTokens: 40, reusedTokens: 0, completionTokens: 3 })
  }
  const { model } = await remote(t, 'openai', (to) => stream(to, [{ type: 'response.refusal.delta', output_index: 0, delta: "I can't " }, { type: 'response.refusal.delta', output_index: 0, delta: 'do that.' }, ...events.end('openai', 'end', counts)]))
  assert.equal(failure(await ask(model, request)).message, "The model at 'far' declined to answer: I can't do that.")
})

test('an error in the middle of an answer has the name of its cause', async (t) => {
  const inStream: Record<Kind, (type: string) => unknown> = {
    anthropic: (type) => ({ type: 'error', error: { type, message: 'no more' } }),
    openai: (code) => ({ type: 'response.failed', response: { status: 'failed', error: { code, message: 'no more' } } }),
    compatible: (code) => ({ error: { code, message: 'no more' } }),
  }
  for (const kind of kinds) {
    for (const [word, code] of [['overloaded_error', 'provider_overloaded'], ['rate_limit_exceeded', 'provider_rate_limited'], ['insufficient_quota', 'provider_billing'], ['api_error', 'provider_failed']] as const) {
      const { model } = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...events.text(kind, ['One', ' two']), inStream[kind](word)]))
      const answer = await ask(model, request)
      assert.equal(failure(answer).code, code)
      assert.match(failure(answer).message, /no more/)
      assert.equal(answer.end.usage.completionTokens, 4, 'what was heard is paid')
    }
  }
})

test('what is no answer is called senseless', async (t) => {
  for (const kind of kinds) {
    const start = events.begin(kind, counts)
    for (const [play, message] of [
      [(to) => { to.writeHead(200, { 'content-type': 'application/json' }).end('{"hello":1}') }, "it answered with 'application/json' where a stream of events was asked for"],
      [(to) => { to.writeHead(200, { 'content-type': 'text/html' }).end('<html>') }, "it answered with a web page where a stream of events was asked for"],
      [(to) => stream(to, []), 'it answered with status 200 and not one token'],
      [(to) => stream(to, [...start, 'event: message_delta\ndata: {"type": NaN}\n\n', ...events.text(kind, ['One'])]), 'an event of its stream is no JSON'],
      [(to) => stream(to, [...start, 'event: message_delta\ndata: [1,2]\n\n', ...events.text(kind, ['One'])]), `it sent '[1,2]', which is no ${kind === 'compatible' ? 'chunk' : 'event'}`],
    ] as const satisfies readonly (readonly [Parameters<typeof remote>[2], string])[]) {
      const { model } = await remote(t, kind, play)
      assert.equal(failure(await ask(model, request)).message, `The provider 'far' gave a senseless answer: ${message}.`)
    }
  }
})

test('a redirect is refused, and nobody else hears of the key', async (t) => {
  let elsewhere = 0
  const other = createServer((_request, to) => {
    elsewhere += 1
    to.end()
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => other.once('listening', resolve))
  t.after(() => { other.close() })
  const to = `http://127.0.0.1:${(other.address() as AddressInfo).port}/v1`
  for (const kind of kinds) {
    for (const status of [301, 302, 307, 308]) {
      const { model, rows } = await remote(t, kind, (answer) => { answer.writeHead(status, { location: to }).end() })
      const why = failure(await ask(model, request))
      assert.deepEqual([why.code, why.message], ['provider_redirect', `The provider 'far' redirects to ${to}, and a key is sent to one address only.`])
      assert.equal(rows.length, 1)
    }
  }
  assert.equal(elsewhere, 0)
})

test('an answer of 10 MB is given up, whatever it is made of', async (t) => {
  const word = 'x'.repeat(1000)
  for (const kind of kinds) {
    const many = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...Array.from({ length: 10_000 }, () => events.text(kind, [word]).at(-1))]))
    assert.equal(failure(await ask(many.model, request)).message, "The provider 'far' gave a senseless answer: its answer is larger than 1.0 MiB.")
    const one = await remote(t, kind, (to) => { to.writeHead(200, { 'content-type': 'text/event-stream' }).end(`data: "${'x'.repeat(10 * 2 ** 20)}"\n\n`) })
    assert.equal(failure(await ask(one.model, request)).message, "The provider 'far' gave a senseless answer: its answer is larger than 1.0 MiB.")
    const error = await remote(t, kind, (to) => { to.writeHead(500).end('x'.repeat(10 * 2 ** 20)) })
    assert.equal(failure(await ask(error.model, request)).message, `The provider 'far' failed: status 500, '${'x'.repeat(120)}…'.`)
  }
})

test('silence and a slow drip have their limits', async (t) => {
  await Promise.all(kinds.map(async (kind) => {
    const mute = await remote(t, kind, () => undefined, { limits: { silenceMs: 100 } })
    assert.equal(failure(await ask(mute.model, request)).message, "The provider 'far' was given up: it said nothing for 0.1 s.")
    const stops = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...events.text(kind, ['One'])], false), { limits: { silenceMs: 2000 } })
    const stopped = await ask(stops.model, request)
    assert.equal(failure(stopped).message, "The provider 'far' was given up: it said nothing for 2 s.")
    assert.equal(stopped.end.usage.completionTokens, 2)
    const drips = await remote(t, kind, (to) => {
      stream(to, events.begin(kind, counts), false)
      const drip = setInterval(() => to.write(': drip\n'), 20)
      to.once('close', () => clearInterval(drip))
    }, { limits: { silenceMs: 5000, totalMs: 400 } })
    assert.equal(failure(await ask(drips.model, request)).message, "The provider 'far' was given up: it was not done after 0.4 s.")
  }))
})

test('a usage that cannot be true is noted, and what was heard is counted', async (t) => {
  for (const kind of kinds) {
    for (const [said, problem] of [
      [{ prompt: 40, completion: 9_000_000 }, '9000000 completion tokens where 24 were allowed'],
      [{ prompt: 40, completion: -3 }, 'completion is -3'],
      [{ prompt: 40, completion: 0 }, '0 completion tokens for 13 characters'],
    ] as const) {
      const { model, log } = await remote(t, kind, (to) => stream(to, says(kind, ['One', ' two', ' three'], said)))
      const { end } = await ask(model, request)
      assert.equal(end.type, 'done')
      assert.equal(end.usage.completionTokens, 7, 'two bytes a token')
      assert.ok(end.usage.promptTokens >= 40 && end.usage.estimated === true)
      assert.deepEqual(log, [`the provider 'far' gives a usage that cannot be true (${problem}); 7 completion tokens were counted instead`])
    }
    for (const said of [{ prompt: -1, completion: 3 }, { prompt: 5_000_000, completion: 3 }, { prompt: 40, cached: 41, completion: 3 }, { prompt: 0, completion: 3 }, { prompt: 1.5, completion: 3 }]) {
      const { model, log } = await remote(t, kind, (to) => stream(to, says(kind, ['One'], said)))
      const { end } = await ask(model, request)
      assert.ok(end.usage.promptTokens > 30 && end.usage.reusedTokens === 0 && end.usage.estimated === true, JSON.stringify(end.usage))
      assert.equal(log.length, 1)
    }
    const none = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts).map((event) => JSON.parse(JSON.stringify(event, (name, value: unknown) => (name === 'usage' ? undefined : value))) as unknown)))
    const { end } = await ask(none.model, request)
    assert.equal(end.type, 'done')
    assert.ok(end.usage.promptTokens > 30 && end.usage.completionTokens === 2 && end.usage.estimated === true, JSON.stringify(end.usage))
    assert.deepEqual(none.log, ["the provider 'far' gives no usage; 2 completion tokens were counted instead"])
  }
})

test('a call that is left is paid as far as it came', async (t) => {
  for (const kind of kinds) {
    const { model } = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...events.text(kind, ['One', ' two'])], false))
    const abort = new AbortController()
    const { end } = await ask(model, request, abort.signal, (event) => { if (event.type === 'text' && event.text === ' two') abort.abort() })
    assert.equal(end.type === 'done' ? end.stop : '', 'cancelled')
    assert.equal(end.usage.completionTokens, 4)
    assert.ok(end.usage.promptTokens >= 40)
  }
})

test('what the door does not let out was not sent and costs nothing', async () => {
  const why = fault('egress_unrecorded', { host: 'far.example', problem: 'the disk is full' })
  for (const kind of kinds) {
    const far = remoteAt(kind, 'https://far.example')
    const model = createRemoteModel({
      provider: ProviderConfig.parse({ id: 'far', kind, url: 'https://far.example', keyFile: far.keyFile }), model: RemoteModelConfig.parse({ id: 'b', model: 'b', contextTokens: 1000, maxOutputTokens: 100 }),
      send: () => Promise.reject(new FaultError(why)), log: () => undefined,
    })
    const answer = await ask(model, request)
    assert.deepEqual([failure(answer), answer.end.usage.promptTokens], [why, 0])
    far.close()
  }
})

test('the key is in no event, no fault and no line of the log, whatever the provider repeats', async (t) => {
  await Promise.all(kinds.map(async (kind) => {
    const echo = [
      (to: Parameters<typeof stream>[0]) => { to.writeHead(401).end(JSON.stringify({ error: { message: `bad key ${secret}` } })) },
      (to: Parameters<typeof stream>[0]) => { to.writeHead(302, { location: `http://evil.example/?k=${secret}` }).end() },
      (to: Parameters<typeof stream>[0]) => { to.writeHead(500).end(`${'x'.repeat(100)}${secret}`) },
      (to: Parameters<typeof stream>[0]) => { to.writeHead(429, { 'retry-after': '1' }).end(secret) },
      (to: Parameters<typeof stream>[0]) => { to.writeHead(200, { 'content-type': `text/${secret}` }).end() },
      (to: Parameters<typeof stream>[0]) => stream(to, [...events.begin(kind, counts), { type: 'error', error: { type: 'api_error', message: `${secret} was wrong` } }]),
      (to: Parameters<typeof stream>[0]) => stream(to, [...events.begin(kind, counts), `event: x\ndata: ["${secret}"]\n\n`]),
      (to: Parameters<typeof stream>[0]) => stream(to, [...events.begin(kind, counts), `event: x\ndata: ${secret}\n\n`]),
      (to: Parameters<typeof stream>[0]) => stream(to, [...events.begin(kind, counts), ...events.call(kind, 1, 'n1', secret, ['{}']), ...events.end(kind, 'calls', counts)]),
    ]
    // Over the edge of two pieces of the network, and of what a sentence shows of a text.
    const long = `data: ["${'x'.repeat(105)}${secret}"]\n\n`
    echo.push((to) => {
      stream(to, events.begin(kind, counts), false)
      to.write(long.slice(0, 120), () => setTimeout(() => to.end(long.slice(120)), 20))
    })
    for (const play of echo) {
      const { model, log, seen } = await remote(t, kind, play, { limits: { patienceMs: 1100 } })
      const answer = await ask(model, { ...request, tools: [tool] })
      assert.doesNotMatch(JSON.stringify([answer.events, log]), /sk-t/)
      assert.equal(seen[0]?.headers.authorization, `Bearer ${secret}`)
    }
  }))
})
