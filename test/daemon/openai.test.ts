// The OpenAI dialect, judged by the official client with retries off: a real daemon, scripted models, and the starter for what needs tokens.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionChunk, ChatCompletionTool } from 'openai/resources/chat/completions'
import type { KeyReply, KeyRequestInput, ModelRow, StatusReply, UsageReply } from '@hearth/protocol'
import { starterPath } from '../fixtures/starter.ts'
import { DaemonProcess, makePlace, real } from './process.ts'

const place = makePlace()
const scriptPath = (name: string): string => join(place.root, 'scripts', `${name}.json`)
const model = (name: string): string => `scripted:${scriptPath(name)}`
const turn = (answer: Record<string, unknown>, more: Record<string, unknown> = {}): unknown => ({ version: 1, loop: true, turns: [answer], ...more })
const scripts: Record<string, unknown> = {
  plain: turn({ text: 'Hello from the script.', usage: { promptTokens: 100, reusedTokens: 60, completionTokens: 7 } }),
  calls: turn({ text: 'I look.', calls: [{ name: 'weather', arguments: { city: 'Bern' } }, { name: 'weather', arguments: { city: 'Rome' } }] }),
  json: turn({ text: '{"city":"Bern","degrees":12}' }),
  broken: turn({ text: 'first words', fault: { code: 'worker_exited', detail: { model: 'm', how: 'signal 9' } } }),
  down: turn({ fault: { code: 'circuit_open', detail: { model: 'm', failures: 5, minutes: 10 } } }),
  narrow: turn({ text: 'x' }, { contextTokens: 64 }),
  hang: turn({ text: 'so far', hang: true }),
  malformed: turn({ malformed: '<tool_call>{"name":' }),
  answer: { version: 1, turns: [{ text: 'unused' }, { text: 'It is 12 degrees.', expect: { lastRole: 'tool', contains: '12' } }] },
}
let daemon: DaemonProcess
let client: OpenAI
let key: KeyReply
let url: string
const make = (asked: KeyRequestInput): Promise<KeyReply> => daemon.client.call<KeyReply>('POST', '/api/keys', asked)
const clientOf = (apiKey: string): OpenAI => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0, timeout: 60_000 })
const user = (content: string) => [{ role: 'user' as const, content }]

before(async () => {
  mkdirSync(join(place.root, 'scripts'))
  for (const [name, value] of Object.entries(scripts)) writeFileSync(scriptPath(name), JSON.stringify(value))
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({
    http: { port: 0, maxInFlight: 4 }, engine: { threads: 1, contextTokens: 512, sequences: 2 }, models: { aliases: { 'gpt-4o': 'tiny' } }, jobs: { model: 'tiny' },
  }))
  daemon = await DaemonProcess.start(place, real)
  await daemon.client.call<ModelRow>('POST', '/api/models/import', { path: starterPath(), id: 'tiny' })
  key = await make({ name: 'test', models: [...Object.keys(scripts).map(model), 'tiny'] })
  url = key.url ?? assert.fail('it does not listen')
  client = clientOf(key.secret)
})
after(async () => {
  await daemon.kill('SIGTERM')
  place.clear()
})

async function chunks(stream: AsyncIterable<ChatCompletionChunk>): Promise<ChatCompletionChunk[]> {
  return Array.fromAsync(stream)
}
const textOf = (parts: readonly ChatCompletionChunk[], index = 0): string =>
  parts.flatMap((part) => part.choices).filter((choice) => choice.index === index).map((choice) => choice.delta.content ?? '').join('')
async function refusal(work: Promise<unknown>): Promise<InstanceType<typeof OpenAI.APIError>> {
  const error = await work.then(() => assert.fail('it was not refused'), (thrown: unknown) => thrown)
  assert.ok(error instanceof OpenAI.APIError, String(error))
  return error
}
async function entries(): Promise<UsageReply['entries']> {
  return (await daemon.client.call<UsageReply>('GET', '/api/usage?limit=1000')).entries
}

test('models: ids, aliases and hearth', async () => {
  const ids = (await Array.fromAsync(client.models.list())).map((one) => one.id)
  assert.deepEqual(ids.toSorted(), ['gpt-4o', 'hearth', 'tiny'])
  assert.equal((await client.models.retrieve('tiny')).owned_by, 'hearth')
  assert.deepEqual([(await refusal(client.models.retrieve('gpt-9'))).status, (await refusal(client.models.retrieve('gpt-9'))).code], [404, 'model_not_found'])
})

test('an answer, whole: text, usage with cached tokens, timings; and its row in the ledger', async () => {
  const answer = await client.chat.completions.create({ model: model('plain'), messages: user('hi') })
  const choice = answer.choices[0]
  assert.deepEqual([choice?.message.content, choice?.message.role, choice?.finish_reason, answer.model, answer.object], ['Hello from the script.', 'assistant', 'stop', model('plain'), 'chat.completion'])
  assert.deepEqual(answer.usage, { prompt_tokens: 100, completion_tokens: 7, total_tokens: 107, prompt_tokens_details: { cached_tokens: 60 } })
  const { timings } = answer as unknown as { timings: Record<string, number> }
  assert.deepEqual([timings['cache_n'], timings['prompt_n'], timings['predicted_n']], [60, 40, 7])
  const entry = (await entries())[0]
  assert.deepEqual([entry?.principal, entry?.origin, entry?.purpose, entry?.jobId, entry?.usage.promptTokens, entry?.ended], [`key:${key.key.id}`, 'automation', 'chat', null, 100, 'end'])
})

test('an answer, streamed: role first, the text in pieces, the reason, usage last when it is asked for', async () => {
  const parts = await chunks(await client.chat.completions.create({ model: model('plain'), messages: user('hi'), stream: true, stream_options: { include_usage: true } }))
  assert.deepEqual(parts[0]?.choices[0]?.delta, { role: 'assistant', content: '' })
  assert.equal(textOf(parts), 'Hello from the script.')
  assert.equal(parts.at(-2)?.choices[0]?.finish_reason, 'stop')
  assert.deepEqual([parts.at(-1)?.choices, parts.at(-1)?.usage?.total_tokens, parts[1]?.usage], [[], 107, null])
  assert.equal(new Set(parts.map((part) => part.id)).size, 1)
  const bare = await chunks(await client.chat.completions.create({ model: model('plain'), messages: user('hi'), stream: true }))
  assert.ok(bare.every((part) => part.usage === undefined))
})

const weather: ChatCompletionTool = { type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }

test('tool calls: two at once, whole and streamed, and the result goes back', async () => {
  const whole = await client.chat.completions.create({ model: model('calls'), messages: user('?'), tools: [weather] })
  const calls = whole.choices[0]?.message.tool_calls ?? []
  assert.deepEqual(calls.map((call) => (call.type === 'function' ? [call.function.name, JSON.parse(call.function.arguments)] : null)), [['weather', { city: 'Bern' }], ['weather', { city: 'Rome' }]])
  assert.deepEqual([whole.choices[0]?.finish_reason, whole.choices[0]?.message.content], ['tool_calls', 'I look.'])
  const streamed = await client.chat.completions.stream({ model: model('calls'), messages: user('?'), tools: [weather] }).finalChatCompletion()
  assert.deepEqual(streamed.choices[0]?.message.tool_calls?.map((call) => call.type === 'function' ? call.function.arguments : null), ['{"city":"Bern"}', '{"city":"Rome"}'])
  const one = await client.chat.completions.create({ model: model('calls'), messages: user('?'), tools: [weather], parallel_tool_calls: false })
  assert.deepEqual([one.choices[0]?.message.tool_calls?.length, one.choices[0]?.finish_reason], [1, 'tool_calls'])
  const back = await client.chat.completions.create({
    model: model('answer'), tools: [weather],
    messages: [...user('?'), { role: 'assistant', content: null, tool_calls: calls.slice(0, 1) }, { role: 'tool', tool_call_id: calls[0]?.id ?? '', content: [{ type: 'text', text: '12' }] }],
  })
  assert.equal(back.choices[0]?.message.content, 'It is 12 degrees.')
})

test('tool_choice: none, required and by name reach the model', async () => {
  for (const tool_choice of ['required', { type: 'function', function: { name: 'weather' } }] as const) {
    assert.equal((await client.chat.completions.create({ model: model('calls'), messages: user('?'), tools: [weather], tool_choice })).choices[0]?.message.tool_calls?.length, 2)
    assert.equal((await refusal(client.chat.completions.create({ model: model('plain'), messages: user('?'), tools: [weather], tool_choice }))).code, 'script_mismatch')
  }
  assert.equal((await refusal(client.chat.completions.create({ model: model('calls'), messages: user('?'), tools: [weather], tool_choice: 'none' }))).code, 'script_mismatch')
  const nobody = await refusal(client.chat.completions.create({ model: model('calls'), messages: user('?'), tools: [weather], tool_choice: { type: 'function', function: { name: 'time' } } }))
  assert.deepEqual([nobody.status, nobody.param], [400, 'tool_choice'])
})

test('a broken call is text, not a call', async () => {
  const answer = await client.chat.completions.create({ model: model('malformed'), messages: user('?'), tools: [weather] })
  assert.deepEqual([answer.choices[0]?.message.content, answer.choices[0]?.message.tool_calls], ['<tool_call>{"name":', undefined])
})

test('response_format: a schema is enforced or refused', async () => {
  const schema = { type: 'object', properties: { city: { type: 'string' }, degrees: { type: 'integer' } }, required: ['city'] }
  const answer = await client.chat.completions.create({ model: model('json'), messages: user('?'), response_format: { type: 'json_schema', json_schema: { name: 'w', schema } } })
  assert.deepEqual(JSON.parse(answer.choices[0]?.message.content ?? ''), { city: 'Bern', degrees: 12 })
  assert.equal((await client.chat.completions.create({ model: model('json'), messages: user('?'), response_format: { type: 'json_object' } })).choices[0]?.finish_reason, 'stop')
  const refused = await refusal(client.chat.completions.create({ model: 'tiny', messages: user('?'), response_format: { type: 'json_schema', json_schema: { name: 'w', schema: { type: 'string', pattern: '(?<=a)b' } } } }))
  assert.deepEqual([refused.status, refused.code], [400, 'bad_schema'])
})

test('n choices are n calls, and their usage is summed', async () => {
  const answer = await client.chat.completions.create({ model: model('plain'), messages: user('hi'), n: 3 })
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1, 2])
  assert.deepEqual([answer.usage?.prompt_tokens, answer.usage?.prompt_tokens_details?.cached_tokens, answer.usage?.completion_tokens], [300, 180, 21])
  const parts = await chunks(await client.chat.completions.create({ model: model('plain'), messages: user('hi'), n: 2, stream: true }))
  assert.deepEqual([textOf(parts, 0), textOf(parts, 1)], ['Hello from the script.', 'Hello from the script.'])
})

test('what cannot be honoured is refused with the field and a sentence; hints are let through', async () => {
  const send = (body: Record<string, unknown>) => client.chat.completions.create({ model: model('plain'), messages: user('hi'), ...body })
  const cases: [Record<string, unknown>, string, string, RegExp][] = [
    [{ temperature: 9 }, 'temperature', 'bad_sampling', /temperature=9 is not allowed\. Use a number of at most 5\./],
    [{ top_p: 0 }, 'top_p', 'bad_sampling', /top_p=0 is not allowed\. Use a number over 0\./],
    [{ mirostat: 2 }, 'mirostat', 'bad_request', /at mirostat: there is no such field, or it is not supported/],
    [{ frequency_penalty: 0.5 }, 'frequency_penalty', 'bad_request', /only 0 can be honoured/],
    [{ logit_bias: { 5: 1 } }, 'logit_bias.5', 'bad_request', /at logit_bias\.5/],
    [{ n: 99 }, 'n', 'bad_request', /too big/],
    [{ top_logprobs: 3 }, 'top_logprobs', 'bad_request', /needs logprobs: true/],
    [{ messages: [] }, 'messages', 'bad_request', /too small/],
    [{ messages: [{ role: 'narrator', content: 'x' }] }, 'messages[0].role', 'bad_request', /the role is one of/],
    [{ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'data:,' } }] }] }, 'messages[0].content[0]', 'unsupported', /Reading images is not supported/],
    [{ messages: [{ role: 'tool', content: 'x', tool_call_id: 'c9' }] }, 'messages[0].tool_call_id', 'bad_request', /no message before it has a call 'c9'/],
    [{ messages: [{ role: 'assistant', tool_calls: [{ id: 'c', type: 'function', function: { name: 'f', arguments: '[1]' } }] }] }, 'messages[0].tool_calls[0].function.arguments', 'bad_request', /not a JSON object/],
    [{ tools: [weather, weather] }, 'tools', 'bad_request', /two tools have the name 'weather'/],
    [{ tool_choice: 'required' }, 'tool_choice', 'bad_request', /there are no tools/],
    [{ logprobs: true }, '', 'unsupported', /token probabilities is not supported/],
  ]
  for (const [body, param, code, message] of cases) {
    const error = await refusal(send(body))
    assert.deepEqual([error.status, error.param ?? '', error.code, error.type], [400, param, code, 'invalid_request_error'], JSON.stringify(body))
    assert.match(error.message, message)
  }
  await send({ user: 'me', metadata: { a: 'b' }, service_tier: 'auto', reasoning_effort: 'low', frequency_penalty: 0, logit_bias: {}, store: false, stop: null, seed: -1, top_k: 20, prompt_cache_key: 'k' })
  const broken = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${key.secret}` }, body: '{"model":' })
  assert.deepEqual([broken.status, (await broken.json() as { error: { code: string } }).error.code], [400, 'bad_request'])
  const large = await fetch(`${url}/v1/chat/completions`, { method: 'POST', headers: { authorization: `Bearer ${key.secret}` }, body: Buffer.alloc(11 * 2 ** 20, 0x20) }).catch(() => null)
  assert.ok(large === null || large.status === 413)
})

test('a prompt longer than the window is refused with both counts', async () => {
  const error = await refusal(client.chat.completions.create({ model: model('narrow'), messages: user('a'.repeat(1000)) }))
  assert.deepEqual([error.status, error.code], [400, 'context_length_exceeded'])
  assert.match(error.message, /The prompt has 25\d tokens and the context window holds 64\./)
})

test('a model that is not there, and one of a key that may not', async () => {
  assert.deepEqual(await refusal(clientOf((await make({ name: 'all' })).secret).chat.completions.create({ model: 'gpt-9', messages: user('x') })).then((e) => [e.status, e.code, e.param]), [404, 'model_not_found', 'model'])
  const other = clientOf((await make({ name: 'other', models: ['elsewhere'] })).secret)
  assert.equal((await refusal(other.chat.completions.create({ model: 'hearth', messages: user('x') }))).status, 403)
})

test('a failure before the first word is a status with Retry-After; after it, an event of the stream', async () => {
  const down = await refusal(client.chat.completions.create({ model: model('down'), messages: user('x'), stream: true }).then(chunks))
  const parts: ChatCompletionChunk[] = []
  const broken = await refusal((async () => {
    for await (const part of await client.chat.completions.create({ model: model('broken'), messages: user('x'), stream: true })) parts.push(part)
  })())
  assert.equal(textOf(parts), 'first words')
  assert.match(broken.message, /The engine worker for 'm' ended in the middle of its work \(signal 9\)/)
  assert.match(down.message, /failed 5 times in 10 minutes/)
  const whole = await refusal(client.chat.completions.create({ model: model('broken'), messages: user('x') }))
  assert.deepEqual([whole.status, whole.headers?.get('retry-after')], [503, '2'])
})

test('more requests than the limit are told to come back, the others go on', async () => {
  const leave = new AbortController()
  const open = await Promise.all(Array.from({ length: 4 }, () => client.chat.completions.create({ model: model('hang'), messages: user('x'), stream: true }, { signal: leave.signal })))
  const error = await refusal(client.chat.completions.create({ model: model('plain'), messages: user('x') }))
  assert.deepEqual([error.status, error.code, error.headers?.get('retry-after')], [503, 'overloaded', '2'])
  assert.match(error.message, /4 requests are being answered, the limit is 4\./)
  leave.abort()
  for (const stream of open) await chunks(stream).catch(() => null)
  await until(async () => (await client.chat.completions.create({ model: model('plain'), messages: user('x') }).catch(() => null)) !== null)
})

test('a key that is revoked ends its stream with the reason inside it', async () => {
  const mine = await make({ name: 'short', models: [model('hang')] })
  const stream = await clientOf(mine.secret).chat.completions.create({ model: model('hang'), messages: user('x'), stream: true })
  const error = await refusal((async () => {
    for await (const part of stream) if (part.choices[0]?.delta.content === 'so far') await daemon.client.call('DELETE', `/api/keys/${mine.key.id}`)
  })())
  assert.equal(error.message, "A valid key is needed here. Send it as 'Authorization: Bearer KEY'; 'hearth keys add NAME' makes one.")
})

test('the class of a key is the most that a request gets, and a header lowers it', async () => {
  const error = await refusal(client.chat.completions.create({ model: model('plain'), messages: user('x') }, { headers: { 'x-hearth-class': 'urgent' } }))
  assert.match(error.message, /x-hearth-class: it is one of interactive, job, batch/)
  await client.chat.completions.create({ model: model('plain'), messages: user('x') }, { headers: { 'x-hearth-class': 'batch' } })
})

test('starter: the same seed gives the same answer, by id, by alias and by default, and says who answered', async () => {
  const ask = (name: string) => client.chat.completions.create({ model: name, messages: user('Say hello.'), max_tokens: 12, seed: 7, temperature: 1 })
  const answers = [await ask('tiny'), await ask('gpt-4o'), await ask('hearth')]
  assert.deepEqual(answers.map((answer) => answer.model), ['tiny', 'tiny', 'tiny'])
  assert.equal(new Set(answers.map((answer) => answer.choices[0]?.message.content)).size, 1)
  assert.deepEqual([answers[0]?.choices[0]?.finish_reason, answers[0]?.usage?.completion_tokens], ['length', 12])
  assert.ok((answers[2]?.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0)
})

test('starter: logprobs are sorted, below zero, and their tokens are the text', async () => {
  const answer = await client.chat.completions.create({ model: 'tiny', messages: user('Count to five.'), max_tokens: 8, temperature: 1, seed: 1, logprobs: true, top_logprobs: 3 })
  const tokens = answer.choices[0]?.logprobs?.content ?? []
  assert.equal(tokens.map((token) => token.token).join(''), answer.choices[0]?.message.content)
  assert.equal(tokens.length, 8)
  for (const token of tokens) {
    assert.ok(token.logprob <= 0 && token.top_logprobs.length <= 3)
    assert.deepEqual(token.top_logprobs.map((one) => one.logprob), token.top_logprobs.map((one) => one.logprob).toSorted((a, b) => b - a))
  }
})

test('starter: a JSON schema is obeyed', async () => {
  const schema = { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'], additionalProperties: false }
  const answer = await client.chat.completions.create({ model: 'tiny', messages: user('Is water wet? JSON.'), max_tokens: 40, response_format: { type: 'json_schema', json_schema: { name: 'a', schema } } })
  assert.deepEqual(Object.keys(JSON.parse(answer.choices[0]?.message.content ?? '') as object), ['ok'])
})

test('starter: a client that leaves stops the model before its end, its slot is free and the call is billed as cancelled', async () => {
  const request = { model: 'tiny', messages: user('Write a very long story.'), max_tokens: 400, temperature: 1, seed: 3 }
  const begun = performance.now()
  await client.chat.completions.create(request)
  const wholeMs = performance.now() - begun
  const leave = new AbortController()
  const stream = await client.chat.completions.create({ ...request, stream: true }, { signal: leave.signal })
  const before_ = (await entries()).length
  for await (const part of stream) if ((part.choices[0]?.delta.content ?? '') !== '') break
  const left = performance.now()
  leave.abort()
  await until(async () => (await entries()).length > before_)
  const entry = (await entries())[0]
  assert.equal(entry?.ended, 'cancelled')
  assert.ok((entry?.usage.completionTokens ?? 400) < 400)
  await until(async () => (await daemon.client.call<StatusReply>('GET', '/api/status')).workers[0]?.busy === 0)
  // What was left would have gone on for all of its 400 tokens; the same prompt again finds in the cache how far it really came.
  const again = await client.chat.completions.create({ model: 'tiny', messages: user('Write a very long story.'), max_tokens: 1 })
  assert.ok((again.usage?.prompt_tokens_details?.cached_tokens ?? 0) > 0)
  const busyMs = performance.now() - left
  assert.ok(busyMs < wholeMs / 2, `it was busy for ${busyMs} ms more; a whole answer takes ${wholeMs} ms`)
})

/** Asks again until it is so; the test's own limit ends it. */
async function until(ready: () => Promise<boolean>): Promise<void> {
  while (!await ready()) await new Promise((resolve) => setTimeout(resolve, 20))
}
