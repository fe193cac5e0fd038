// What leaves for a provider, byte for byte: headers, bodies, cache breakpoints, results of calls, nothing of the environment; and what comes back as events.
import assert from 'node:assert/strict'
import { chmodSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import { KeptThoughts } from '@hearth/engine'
import type { Message, ModelEvent } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { contextTokens, events, failure, kinds, remote, says, secret, stream, type Kind } from '../fixtures/provider.ts'

const counts = { prompt: 40, completion: 3 }
const request = { messages: [{ role: 'user' as const, text: 'Say something.' }], maxTokens: 24 }
const weather = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: { town: { type: 'string' } }, required: ['town'] } }
const paths: Record<Kind, string> = { anthropic: '/v1/messages', openai: '/v1/responses', compatible: '/v1/chat/completions' }
const shape = (event: ModelEvent): unknown => (event.type === 'done' ? { type: 'done', stop: event.stop, usage: event.usage } : event)

test('one request leaves, with these headers and no others, and its row has its size', async (t) => {
  for (const kind of kinds) {
    const { model, seen, rows, host } = await remote(t, kind, (to) => stream(to, says(kind, ['One', ' two', ' three'], counts)))
    const answer = await ask(model, request)
    assert.equal(answer.text, 'One two three')
    assert.deepEqual(seen.map(({ method, url }) => [method, url]), [['POST', paths[kind]]])
    const { host: _host, connection: _connection, 'content-length': length, ...headers } = seen[0]?.headers ?? {}
    assert.deepEqual(headers, {
      accept: 'text/event-stream', 'accept-encoding': 'identity', authorization: `Bearer ${secret}`, 'content-type': 'application/json', 'user-agent': 'hearth/0.1.0',
      ...(kind === 'anthropic' ? { 'anthropic-version': '2026-10-21' } : {}),
    })
    assert.deepEqual(rows.map((row) => [row.purpose, row.host, row.jobId]), [['provider', host, 'job-1']])
    assert.ok(Number(rows[0]?.bytes) > Number(length))
  }
})

test('key and version travel as the installed official clients send them', async () => {
  const sent: Headers[] = []
  const fetch = (_url: unknown, init?: RequestInit): Promise<Response> => {
    sent.push(new Headers(init?.headers))
    return Promise.resolve(new Response('{}', { status: 200, headers: { 'content-type': 'application/json' } }))
  }
  await new Anthropic({ apiKey: secret, baseURL: 'http://x.example', fetch }).messages.create({ model: 'm', max_tokens: 1, messages: [] })
  await new OpenAI({ apiKey: secret, baseURL: 'http://x.example', fetch }).responses.create({ model: 'm', input: '' })
  assert.deepEqual(sent.map((headers) => headers.get('authorization')), [`Bearer ${secret}`, `Bearer ${secret}`])
  assert.equal(sent[0]?.get('anthropic-version'), '2026-10-21')
  assert.equal(sent[0].get('x-api-key'), null)
})

test('nothing of the environment is used', async (t) => {
  const poison: Record<string, string> = {
    ANTHROPIC_API_KEY: 'from-env', ANTHROPIC_AUTH_TOKEN: 'from-env', ANTHROPIC_BASE_URL: 'http://127.0.0.1:9', ANTHROPIC_CUSTOM_HEADERS: 'authorization: from-env\nanthropic-version: from-env\nx-more: from-env', ANTHROPIC_PROFILE: 'from-env',
    OPENAI_API_KEY: 'from-env', OPENAI_ADMIN_KEY: 'from-env', OPENAI_BASE_URL: 'http://127.0.0.1:9', OPENAI_ORG_ID: 'from-env', OPENAI_PROJECT_ID: 'from-env', OPENAI_CUSTOM_HEADERS: 'authorization: from-env\nx-more: from-env', OPENAI_LOG: 'debug', ANTHROPIC_LOG: 'debug',
  }
  Object.assign(process.env, poison)
  t.after(() => Object.keys(poison).forEach((name) => Reflect.deleteProperty(process.env, name)))
  for (const kind of kinds) {
    const { model, seen } = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts)))
    assert.equal((await ask(model, request)).text, 'One')
    assert.equal(seen[0]?.headers.authorization, `Bearer ${secret}`)
    assert.doesNotMatch(JSON.stringify(seen), /from-env/)
    // Without a key of ours there is none.
    const bare = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts)), { keyFile: null })
    const answer = await ask(bare.model, request)
    if (kind === 'compatible') assert.equal(bare.seen[0]?.headers.authorization, undefined)
    else assert.equal(failure(answer).message, "The provider 'far' does not let us in: its entry names no keyFile.")
    assert.equal(bare.rows.length, kind === 'compatible' ? 1 : 0)
  }
})

test('the key is read for each call, from a file that is private', async (t) => {
  for (const kind of kinds) {
    const { model, seen, rows, keyFile, log } = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts)))
    chmodSync(keyFile, 0o640)
    const refused = failure(await ask(model, request))
    assert.equal(refused.message, `The provider 'far' does not let us in: others may read its key file ${keyFile} (mode 640).`)
    assert.deepEqual([seen.length, rows.length], [0, 0])
    chmodSync(keyFile, 0o600)
    for (const key of ['first-key', 'second-key']) {
      writeFileSync(keyFile, key)
      await ask(model, request)
    }
    assert.deepEqual(seen.map(({ headers }) => headers.authorization), ['Bearer first-key', 'Bearer second-key'])
    assert.deepEqual(log, [])
  }
})

test('a conversation with calls and their results is said in each format', async (t) => {
  const messages: Message[] = [
    { role: 'system', text: 'Be short.' }, { role: 'user', text: 'The goal.' }, { role: 'user', text: 'The question.' },
    { role: 'assistant', text: 'I look.', toolCalls: [{ id: 'c.1', name: 'weather', arguments: { town: 'Ulm' } }, { id: 'c2', name: 'weather', arguments: { town: 'Bonn' } }] },
    { role: 'tool', callId: 'c.1', name: 'weather', text: 'rain' }, { role: 'tool', callId: 'c2', name: 'weather', text: '' },
  ]
  const here = { cache_control: { type: 'ephemeral' } }
  const expected: Record<Kind, unknown> = {
    anthropic: {
      model: 'big-1', max_tokens: 24, stream: true, system: [{ type: 'text', text: 'Be short.', ...here }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'The goal.', ...here }, { type: 'text', text: 'The question.' }] },
        { role: 'assistant', content: [{ type: 'text', text: 'I look.' }, { type: 'tool_use', id: 'c_1', name: 'weather', input: { town: 'Ulm' } }, { type: 'tool_use', id: 'c2', name: 'weather', input: { town: 'Bonn' } }] },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: 'c_1', content: 'rain' }, { type: 'tool_result', tool_use_id: 'c2', ...here }] },
      ],
      tools: [{ name: 'weather', description: 'Tells the weather.', input_schema: weather.parameters }], tool_choice: { type: 'tool', name: 'weather' },
    },
    openai: {
      model: 'big-1', stream: true, store: false, max_output_tokens: 24,
      input: [
        { role: 'developer', content: 'Be short.' }, { role: 'user', content: 'The goal.' }, { role: 'user', content: 'The question.' }, { role: 'assistant', content: 'I look.' },
        { type: 'function_call', call_id: 'c.1', name: 'weather', arguments: '{"town":"Ulm"}' }, { type: 'function_call', call_id: 'c2', name: 'weather', arguments: '{"town":"Bonn"}' },
        { type: 'function_call_output', call_id: 'c.1', output: 'rain' }, { type: 'function_call_output', call_id: 'c2', output: '' },
      ],
      tools: [{ type: 'function', ...weather, strict: false }], tool_choice: { type: 'function', name: 'weather' },
      // sha256 of the session's key: what it stands for stays here.
      prompt_cache_key: null,
    },
    compatible: {
      model: 'big-1', stream: true, stream_options: { include_usage: true }, max_tokens: 24,
      messages: [
        { role: 'system', content: 'Be short.' }, { role: 'user', content: 'The goal.' }, { role: 'user', content: 'The question.' },
        { role: 'assistant', content: 'I look.', tool_calls: [{ id: 'c.1', type: 'function', function: { name: 'weather', arguments: '{"town":"Ulm"}' } }, { id: 'c2', type: 'function', function: { name: 'weather', arguments: '{"town":"Bonn"}' } }] },
        { role: 'tool', tool_call_id: 'c.1', content: 'rain' }, { role: 'tool', tool_call_id: 'c2', content: '' },
      ],
      tools: [{ type: 'function', function: weather }], tool_choice: { type: 'function', function: { name: 'weather' } },
    },
  }
  for (const kind of kinds) {
    const { model, seen } = await remote(t, kind, (to) => stream(to, [
      ...events.begin(kind, counts), ...events.text(kind, ['Both.']),
      ...events.call(kind, 1, 'n1', 'weather', ['{"to', 'wn":"U', 'lm"}']), ...events.call(kind, 2, 'n2', 'weather', ['{"town":"Köln"}']), ...events.end(kind, 'calls', counts),
    ]))
    const answer = await ask(model, { ...request, messages, tools: [weather], toolChoice: { name: 'weather' }, sessionKey: 'job-7' })
    const body = seen[0]?.body ?? {}
    if (kind === 'openai') {
      assert.match(String(body['prompt_cache_key']), /^[0-9a-f]{32}$/)
      assert.deepEqual({ ...body, prompt_cache_key: null }, expected.openai)
    } else assert.deepEqual(body, expected[kind])
    assert.deepEqual(answer.events.filter(({ type }) => type !== 'started').map(shape), [
      { type: 'text', text: 'Both.' },
      { type: 'tool_call', call: { id: 'n1', name: 'weather', arguments: { town: 'Ulm' } } }, { type: 'tool_call', call: { id: 'n2', name: 'weather', arguments: { town: 'Köln' } } },
      { type: 'done', stop: 'tool_calls', usage: { promptTokens: 40, reusedTokens: 0, completionTokens: 3 } },
    ])
  }
})

test('cached and written tokens are parts of all that was read', async (t) => {
  const all = { prompt: 900, completion: 3, cached: 700, written: 150 }
  for (const kind of kinds) {
    const { model } = await remote(t, kind, (to) => stream(to, says(kind, ['One'], all)))
    assert.deepEqual((await ask(model, request)).end.usage, { promptTokens: 900, reusedTokens: 700, cacheWriteTokens: 150, completionTokens: 3 })
  }
  const deepseek = await remote(t, 'compatible', (to) => stream(to, [
    ...events.text('compatible', ['One']), { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] },
    { choices: [], usage: { prompt_tokens: 100, completion_tokens: 1, prompt_cache_hit_tokens: 64, prompt_cache_miss_tokens: 36 } }, 'data: [DONE]\n\n',
  ]))
  assert.deepEqual((await ask(deepseek.model, request)).end.usage, { promptTokens: 100, reusedTokens: 64, completionTokens: 1 })
})

test('a schema is enforced where it can be, and sent as a wish where not', async (t) => {
  const closed = { type: 'object', properties: { age: { type: 'integer', minimum: 1 } }, required: ['age'], additionalProperties: false }
  const open = { type: 'object', properties: { age: { type: 'integer' } } }
  const formats = async (kind: Kind, schema: Record<string, unknown>): Promise<unknown> => {
    const { model, seen } = await remote(t, kind, (to) => stream(to, says(kind, ['{"age"', ':3}', '\n\nI hope', ' that helps.'], counts)))
    const answer = await ask(model, { ...request, responseFormat: { type: 'json_schema', schema } })
    // What follows the value is no part of it, and the counts behind it are the provider's.
    assert.deepEqual([answer.text, answer.end.usage], ['{"age":3}', { promptTokens: 40, reusedTokens: 0, completionTokens: 3 }])
    const body = seen[0]?.body ?? {}
    return body['output_config'] ?? body['text'] ?? body['response_format']
  }
  assert.deepEqual(await formats('anthropic', closed), { format: { type: 'json_schema', schema: { ...closed, properties: { age: { type: 'integer', description: '{minimum: 1}' } } } } })
  for (const [schema, strict] of [[closed, true], [open, false]] as const) {
    assert.deepEqual(await formats('openai', schema), { format: { type: 'json_schema', name: 'answer', schema, strict } })
    assert.deepEqual(await formats('compatible', schema), { type: 'json_schema', json_schema: { name: 'answer', schema, strict } })
  }
  const { model, rows } = await remote(t, 'anthropic', (to) => stream(to, []))
  assert.equal(failure(await ask(model, { ...request, responseFormat: { type: 'json_schema', schema: { properties: {} } } })).code, 'bad_schema')
  assert.equal(rows.length, 0)
})

test('sampling is theirs but for what the profile names, and the length is bounded by what they may write', async (t) => {
  for (const kind of kinds) {
    const plain = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts)))
    await ask(plain.model, { ...request, maxTokens: 5000, sampling: { temperature: 0, topP: 0.5, seed: 4 } })
    const body = plain.seen[0]?.body ?? {}
    assert.deepEqual(['temperature', 'top_p', 'top_k', 'seed'].filter((name) => name in body), [])
    assert.equal(body['max_tokens'] ?? body['max_output_tokens'], 600)
    const named = await remote(t, kind, (to) => stream(to, says(kind, ['One'], counts)), { model: { profile: { toolMode: 'native', sampling: { temperature: 0.2 } } } })
    await ask(named.model, { ...request, sampling: { temperature: 0.2, topP: 0.5 } })
    assert.equal(named.seen[0]?.body['temperature'], 0.2)
    assert.equal('top_p' in named.seen[0].body, false)
  }
})

test('thoughts are shown, and go back with the results of the calls in the format that has them', async (t) => {
  const thinking: Record<Kind, unknown[]> = {
    anthropic: [
      { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Hm, ' } }, { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: 'Ulm.' } },
      { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: 'signed' } },
    ],
    openai: [
      { type: 'response.reasoning_summary_text.delta', output_index: 0, delta: 'Hm, ' }, { type: 'response.reasoning_summary_text.delta', output_index: 0, delta: 'Ulm.' },
      { type: 'response.output_item.done', output_index: 0, item: { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'sealed' } },
    ],
    compatible: [{ choices: [{ index: 0, delta: { reasoning_content: 'Hm, ' } }] }, { choices: [{ index: 0, delta: { reasoning: 'Ulm.' } }] }],
  }
  const asked: Record<Kind, Record<string, unknown>> = {
    anthropic: { thinking: { type: 'adaptive', display: 'summarized' }, output_config: { effort: 'high' } },
    openai: { reasoning: { summary: 'auto', effort: 'high' }, include: ['reasoning.encrypted_content'] },
    compatible: { reasoning_effort: 'high' },
  }
  const goesBack: Record<Kind, unknown> = { anthropic: { type: 'thinking', thinking: 'Hm, Ulm.', signature: 'signed' }, openai: { type: 'reasoning', id: 'rs', summary: [], encrypted_content: 'sealed' }, compatible: null }
  for (const kind of kinds) {
    // Each turn is asked of a model of its own, as the gate does it.
    const how = { thoughts: new KeptThoughts() }
    const { model, seen } = await remote(t, kind, (to) => stream(to, [...events.begin(kind, counts), ...thinking[kind], ...events.call(kind, 1, 'n1', 'weather', ['{"town":"Ulm"}']), ...events.end(kind, 'calls', counts)]), how)
    const next = await remote(t, kind, (to) => stream(to, says(kind, ['Rain.'], counts)), how)
    const first = await ask(model, { ...request, tools: [weather], reasoning: 'high' })
    assert.deepEqual(first.events.filter(({ type }) => type === 'reasoning'), [{ type: 'reasoning', text: 'Hm, ' }, { type: 'reasoning', text: 'Ulm.' }])
    for (const [name, value] of Object.entries(asked[kind])) assert.deepEqual(seen[0]?.body[name], value)
    await ask(next.model, {
      ...request, tools: [weather], reasoning: 'high',
      messages: [...request.messages, { role: 'assistant', text: '', toolCalls: [{ id: 'n1', name: 'weather', arguments: { town: 'Ulm' } }] }, { role: 'tool', callId: 'n1', name: 'weather', text: 'rain' }],
    })
    const body = next.seen[0]?.body ?? {}
    const list = (body['messages'] ?? body['input']) as { content?: unknown[] }[]
    const back = kind === 'anthropic' ? list[1]?.content?.[0] : kind === 'openai' ? list[1] : null
    assert.deepEqual(back, goesBack[kind])
    if (kind === 'compatible') assert.doesNotMatch(JSON.stringify(body), /Hm, /)
  }
})

test('a prompt over the window is refused in the words of each provider', async (t) => {
  for (const [kind, error, message] of [
    ['openai', { code: 'context_length_exceeded', message: 'Your input exceeds the context window of this model. Please adjust your input and try again.' }, `The prompt does not fit into the context window of 'big-1' at 'far', of ${contextTokens} tokens.`],
    ['anthropic', { type: 'invalid_request_error', message: 'prompt is too long: 212304 tokens > 200000 maximum' }, "The prompt has 212304 tokens and the context window of 'big-1' at 'far' holds 200000."],
  ] as const) {
    const { model } = await remote(t, kind, (to) => { to.writeHead(400).end(JSON.stringify({ error })) })
    const why = failure(await ask(model, request))
    assert.deepEqual([why.code, why.message], ['context_overflow', message])
  }
})
