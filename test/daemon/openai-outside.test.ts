// A client of the API whose model is on another machine: its secrets are replaced and put back, or hold the request back; what left is on record. Through a real daemon, by the
// official client, to a server that says again what it is told, a few letters at a time.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import OpenAI from 'openai'
import type { DataClass, EgressReply, KeyReply, UsageReply } from '@hearth/protocol'
import { DaemonProcess, makePlace, real } from './process.ts'

const token = 'ghp_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R'
type Body = { messages: { role: string; content: string; tool_calls?: { function: { arguments: string } }[] }[]; tools?: unknown[]; response_format?: unknown }

/** Says the last words again, and puts them into calls of two tools when there are tools. */
async function echoing(bodies: string[]): Promise<Server> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part)).on('end', () => {
      const text = Buffer.concat(parts).toString('utf8')
      bodies.push(text)
      const body = JSON.parse(text) as Body
      const said = body.messages.at(-1)?.content ?? ''
      const send = (delta: unknown, finish: string | null = null): void => void response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'd', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`)
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      const words = body.response_format === undefined ? said : JSON.stringify({ said })
      for (let at = 0; at < words.length; at += 3) send({ content: words.slice(at, at + 3) })
      if (body.tools !== undefined) ['write_file', 'Bash'].forEach((name, index) => send({ tool_calls: [{ index, id: `c${index}`, type: 'function', function: { name, arguments: JSON.stringify({ text: said }) } }] }))
      send({}, body.tools === undefined ? 'stop' : 'tool_calls')
      response.write(`data: ${JSON.stringify({ id: 'x', object: 'chat.completion.chunk', created: 1, model: 'd', choices: [], usage: { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 } })}\n\n`)
      response.end('data: [DONE]\n\n')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

async function world(dataClass: DataClass): Promise<{ bodies: string[]; client: OpenAI; daemon: DaemonProcess; host: string; close(): Promise<void> }> {
  const place = makePlace()
  const bodies: string[] = []
  const server = await echoing(bodies)
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const denied = join(place.root, 'denied')
  writeFileSync(denied, 'Projekt Falke\n', { mode: 0o600 })
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({
    http: { port: 0 }, escalation: { dataClass, denyFile: denied }, engine: { endpoints: [{ id: 'desk', url: `http://${host}/v1`, model: 'd', contextTokens: 32_768 }] },
  }))
  const daemon = await DaemonProcess.start(place, real)
  const key = await daemon.client.call<KeyReply>('POST', '/api/keys', { name: 'tool', models: ['desk'] })
  return {
    bodies, daemon, host, client: new OpenAI({ baseURL: `${key.url ?? ''}/v1`, apiKey: key.secret, maxRetries: 0, timeout: 60_000 }),
    async close() {
      await daemon.kill('SIGTERM')
      server.closeAllConnections()
      server.close()
      place.clear()
    },
  }
}

const user = (content: string) => [{ role: 'system' as const, content: 'You code.' }, { role: 'user' as const, content }]
const tools = ['write_file', 'Bash'].map((name) => ({ type: 'function' as const, function: { name, parameters: { type: 'object', properties: { text: { type: 'string' } } } } }))

describe('where secrets are replaced', () => {
  let at: Awaited<ReturnType<typeof world>>
  before(async () => { at = await world('redact') })
  after(() => at.close())

  test('a streamed answer has them again, though their placeholders came in pieces; what left is on record, to the byte', async () => {
    const said = `API_TOKEN=${token} of PROJEKT FALKE\nand ‹secret:github-token:aaaaaa›`
    const stream = await at.client.chat.completions.create({ model: 'desk', stream: true, messages: user(said) })
    const parts = await Array.fromAsync(stream)
    assert.equal(parts.map((part) => part.choices[0]?.delta.content ?? '').join(''), said)
    assert.ok(parts.length > 10, 'it streams')
    const [body = ''] = at.bodies
    assert.match(body, /API_TOKEN=‹secret:github-token:[0-9a-z]{6}› of ‹secret:denied:[0-9a-z]{6}›\\nand ‹secret:github-token:aaaaaa›/)
    assert.ok(!body.includes(token))
    const { packets, entries } = await at.daemon.client.call<EgressReply>('GET', '/api/egress')
    assert.deepEqual(packets.map(({ principal, purpose, host, model, jobId, escalation, bytes, redactions }) => ({ principal: principal.slice(0, 4), purpose, host, model, jobId, escalation, bytes, redactions })), [{
      principal: 'key:', purpose: 'chat', host: at.host, model: 'desk', jobId: null, escalation: null, bytes: Buffer.byteLength(body), redactions: [{ kind: 'denied', count: 1 }, { kind: 'github-token', count: 1 }],
    }])
    assert.deepEqual(entries.map(({ purpose, host }) => `${purpose} ${host}`), [`lan-endpoint ${at.host}`])
    const usage = (await at.daemon.client.call<UsageReply>('GET', '/api/usage?limit=10')).entries
    assert.deepEqual(usage.map(({ model, place, usdMicros, ended }) => ({ model, place, usdMicros, ended })), [{ model: 'desk', place: 'lan', usdMicros: 0, ended: 'end' }])
  })

  test('an answer that is not streamed, and one that is JSON, where a quote in what is put back stays JSON', async () => {
    const whole = await at.client.chat.completions.create({ model: 'desk', messages: user(`use ${token}`) })
    assert.equal(whole.choices[0]?.message.content, `use ${token}`)
    const said = 'db: "postgres://app:q7"Zr4v\\Tm2K@db.example.org/x"'
    const json = await at.client.chat.completions.create({ model: 'desk', messages: user(said), response_format: { type: 'json_object' } })
    assert.deepEqual(JSON.parse(json.choices[0]?.message.content ?? ''), { said })
    assert.ok(!(at.bodies.at(-1) ?? '').includes('Zr4v'))
  })

  test('a call of a tool that works on files has them again, and one of a command does not; arguments sent back are looked at by their names', async () => {
    const answer = await at.client.chat.completions.create({ model: 'desk', tools, messages: user(`use ${token}`) })
    const calls = (answer.choices[0]?.message.tool_calls ?? []).flatMap((call) => (call.type === 'function' ? [`${call.function.name} ${call.function.arguments}`] : []))
    assert.equal(calls[0], `write_file ${JSON.stringify({ text: `use ${token}` })}`)
    assert.match(calls[1] ?? '', /^Bash \{"text":"use ‹secret:github-token:[0-9a-z]{6}›"\}$/)
    await at.client.chat.completions.create({ model: 'desk', messages: [
      ...user('go'), { role: 'assistant', content: '', tool_calls: [{ id: 'c0', type: 'function', function: { name: 'login', arguments: JSON.stringify({ password: 'Tr0ub4dor&3' }) } }] }, { role: 'tool', tool_call_id: 'c0', content: 'ok' },
    ] })
    assert.ok(!(at.bodies.at(-1) ?? '').includes('Tr0ub4dor'))
  })
})

describe('where they are not', () => {
  test('a request with one is refused with its kind and its place, and not a byte leaves; others pass', async () => {
    const at = await world('open')
    try {
      for (const stream of [true, false]) {
        const error = await at.client.chat.completions.create({ model: 'desk', stream, messages: user(`one\ntwo ${token}`) }).then(() => null, (thrown: unknown) => thrown)
        assert.ok(error instanceof OpenAI.APIError)
        assert.deepEqual([error.status, error.code], [403, 'packet_held_back'])
        assert.match(error.message, new RegExp(`Nothing was sent to ${at.host}: a secret stands in it \\(github-token at messages\\[1\\], line 2\\)\\.`))
        assert.ok(!error.message.includes(token))
      }
      assert.deepEqual([at.bodies.length, (await at.daemon.client.call<EgressReply>('GET', '/api/egress')).totals.connections], [0, 0])
      const free = await at.client.chat.completions.create({ model: 'desk', messages: user('hello') })
      assert.equal(free.choices[0]?.message.content, 'hello')
    } finally {
      await at.close()
    }
  })
})
