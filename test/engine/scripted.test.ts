// The scripted model through its port: what it says in both tool modes, how it fails, counts, paces, and is chosen without a memory.
import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ModelRequest, type Message, type Model, type ModelEvent, type ModelRequestInput, type Usage } from '@hearth/protocol'
import { loadScript, scriptedModel, type ScriptInput } from '@hearth/engine'

let dir = ''
before(async () => { dir = await mkdtemp(join(tmpdir(), 'scripted-')) })
after(async () => { await rm(dir, { recursive: true }) })

const user = (text: string): Message => ({ role: 'user', text })
const said = (text: string): Message => ({ role: 'assistant', text })
const bash = { name: 'bash', description: 'runs a command', parameters: { type: 'object' } }
const callSchema = {
  type: 'object', properties: { tool: { const: 'bash' }, command: { type: 'string', maxLength: 20 } }, required: ['tool', 'command'], additionalProperties: false,
}

async function collect(model: Model, request: Partial<ModelRequestInput> = {}, signal = new AbortController().signal): Promise<ModelEvent[]> {
  const events: ModelEvent[] = []
  for await (const event of model.generate(ModelRequest.parse({ messages: [user('go')], ...request }), signal)) events.push(event)
  return events
}

const textOf = (events: ModelEvent[]): string => events.map((event) => event.type === 'text' ? event.text : '').join('')
function endOf(events: ModelEvent[]): { stop?: string; code?: string; message?: string; usage: Usage } {
  const last = events.at(-1)
  assert.ok(last?.type === 'done' || last?.type === 'failed', 'the last event is not an end')
  assert.equal(events.filter((event) => event.type === 'done' || event.type === 'failed').length, 1)
  return last.type === 'done' ? { stop: last.stop, usage: last.usage } : { code: last.fault.code, message: last.fault.message, usage: last.usage }
}

const script = (turns: ScriptInput['turns'], rest: Partial<ScriptInput> = {}): Model => scriptedModel({ version: 1, turns, ...rest })
const always = script([{ text: 'yes' }], { loop: true })

test('text comes after started and ends with done', async () => {
  const events = await collect(script([{ text: 'Hello there.' }]))
  assert.deepEqual(events.map((event) => event.type), ['started', 'text', 'done'])
  assert.equal(textOf(events), 'Hello there.')
  // '<user>go\n<assistant>' has 20 characters, 'Hello there.' has 12.
  assert.deepEqual(endOf(events), { stop: 'end', usage: { promptTokens: 5, reusedTokens: 0, completionTokens: 3 } })
})

test('the turn is the number of assistant messages, so a new model goes on where the old one was', async () => {
  const turns = [{ text: 'one' }, { text: 'two' }, { text: 'three' }]
  for (const [n, text] of ['one', 'two', 'three'].entries()) {
    const messages = [user('go'), ...Array.from({ length: n }, () => [said('x'), user('next')]).flat()]
    assert.equal(textOf(await collect(script(turns), { messages })), text)
  }
  const fourth = [user('go'), ...Array.from({ length: 3 }, () => [said('x'), user('next')]).flat()]
  assert.equal(endOf(await collect(script(turns), { messages: fourth })).message,
    'The scripted model scripted does not fit this conversation: it has 3 turns and is asked for turn 4.')
  assert.equal(textOf(await collect(script(turns, { loop: true }), { messages: fourth })), 'one')
})

test('a call is a tool_call event in native mode and one JSON object in json mode', async () => {
  const model = script([{ text: 'I look.', calls: [{ name: 'bash', arguments: { command: 'ls' } }] }])
  const native = await collect(model, { tools: [bash] })
  assert.deepEqual(native.map((event) => event.type), ['started', 'text', 'tool_call', 'done'])
  assert.deepEqual(native[2], { type: 'tool_call', call: { id: 'call_1_1', name: 'bash', arguments: { command: 'ls' } } })
  assert.equal(endOf(native).stop, 'tool_calls')
  const json = await collect(model, { toolChoice: 'none', responseFormat: { type: 'json_schema', schema: callSchema } })
  assert.equal(textOf(json), '{"tool":"bash","command":"ls"}')
  assert.equal(endOf(json).stop, 'end')
})

test('call ids differ between turns and calls of one conversation', async () => {
  const model = script([{ calls: [{ name: 'bash' }, { name: 'bash' }] }], { loop: true })
  const ids = (events: ModelEvent[]): string[] => events.flatMap((event) => event.type === 'tool_call' ? [event.call.id] : [])
  assert.deepEqual(ids(await collect(model, { tools: [bash] })), ['call_1_1', 'call_1_2'])
  assert.deepEqual(ids(await collect(model, { tools: [bash], messages: [user('go'), said('x'), user('y')] })), ['call_2_1', 'call_2_2'])
})

test('a JSON schema, a tool choice and an offer of tools are obeyed or refused', async () => {
  const json = (schema: Record<string, unknown>): Partial<ModelRequestInput> => ({ responseFormat: { type: 'json_schema', schema } })
  const cases: [Model, Partial<ModelRequestInput>, string][] = [
    [script([{ text: 'prose' }]), json(callSchema), 'turn 1 does not fit the JSON schema of the request: "prose" is not JSON.'],
    [script([{ calls: [{ name: 'bash', arguments: { command: 'x'.repeat(21) } }] }]), json(callSchema), "turn 1 does not fit the JSON schema of the request: 'command': Too big: expected string to have <=20 characters."],
    [script([{ calls: [{ name: 'bash' }, { name: 'bash' }] }]), json(callSchema), 'turn 1 has 2 calls, and the request asks for one JSON object.'],
    [script([{ calls: [{ name: 'bash' }] }]), {}, "turn 1 calls 'bash', and the request offers no tools."],
    [script([{ calls: [{ name: 'bash' }] }]), { tools: [bash], toolChoice: 'none' }, "turn 1 calls 'bash', and the request offers no tools."],
    [script([{ text: 'no' }]), { tools: [bash], toolChoice: 'required' }, 'turn 1 calls no tool, and the request requires one.'],
    [script([{ text: 'no' }]), { tools: [bash], toolChoice: { name: 'bash' } }, "turn 1 calls no tool, and the request requires 'bash'."],
    [script([{ calls: [{ name: 'read' }] }]), { tools: [bash], toolChoice: { name: 'bash' } }, "turn 1 does not call 'bash', which the request requires."],
  ]
  for (const [model, request, problem] of cases) {
    const { code, message } = endOf(await collect(model, request))
    assert.deepEqual([code, message], ['script_mismatch', `The scripted model scripted does not fit this conversation: ${problem}`])
  }
  assert.equal(endOf(await collect(always, json({ type: 'object', if: {}, then: {} }))).code, 'bad_schema')
  assert.equal(textOf(await collect(script([{ text: '{"tool":"bash","command":"ls"}' }]), json(callSchema))), '{"tool":"bash","command":"ls"}')
})

test('malformed output is a malformed_call in native mode and the raw text in json mode', async () => {
  const model = script([{ malformed: '{"tool": "bash", ' }])
  const native = await collect(model, { tools: [bash] })
  assert.deepEqual(native[1], { type: 'malformed_call', text: '{"tool": "bash", ', problem: 'the tool call is not valid JSON with a name and arguments' })
  assert.equal(textOf(await collect(model, { responseFormat: { type: 'json_schema', schema: callSchema } })), '{"tool": "bash", ')
})

test('a fault ends the turn after its text, and usage counts what was said', async () => {
  const events = await collect(script([{ text: 'I beg', fault: { code: 'worker_stuck', detail: { model: 'm', seconds: 9 } } }]))
  assert.deepEqual(events.map((event) => event.type), ['started', 'text', 'failed'])
  assert.deepEqual(endOf(events), {
    code: 'worker_stuck', message: "The engine worker for 'm' answered nothing for 9 s and was killed.", usage: { promptTokens: 5, reusedTokens: 0, completionTokens: 2 },
  })
})

test('`first` answers the first requests of a turn, each session its own', async () => {
  const model = script([{ first: [{ fault: { code: 'shutting_down' } }, { text: 'again' }], text: 'now' }])
  const ask = async (sessionKey: string): Promise<string> => {
    const events = await collect(model, { sessionKey })
    return endOf(events).code ?? textOf(events)
  }
  assert.deepEqual([await ask('a'), await ask('a'), await ask('b'), await ask('a'), await ask('a')], ['shutting_down', 'again', 'shutting_down', 'now', 'now'])
})

test('`expect` fails the turn with what was found', async () => {
  const cases: [NonNullable<ScriptInput['turns'][number]['expect']>, string | null][] = [
    [{ contains: 'go', lastRole: 'user', lacks: 'stop', tools: ['bash'] }, null],
    [{ contains: ['go', 'hello'] }, 'expects the last message to contain "hello", and it is "go"'],
    [{ lacks: 'go' }, 'expects the last message not to contain "go", and it is "go"'],
    [{ lastRole: 'tool' }, 'expects the last message to be of the tool, and it is of the user'],
    [{ tools: ['read'] }, "expects the tool 'read', and the request offers bash"],
  ]
  for (const [expect, problem] of cases) {
    const { message } = endOf(await collect(script([{ text: 'ok', expect }]), { tools: [bash] }))
    assert.equal(message, problem === null ? undefined : `The scripted model scripted does not fit this conversation: turn 1 ${problem}.`)
  }
})

test('maxTokens, stop sequences and the context window end a turn early', async () => {
  const model = script([{ text: 'abcdefghijklmnop' }], { contextTokens: 64 })
  const cut = await collect(model, { maxTokens: 2 })
  assert.deepEqual([textOf(cut), endOf(cut).stop, endOf(cut).usage.completionTokens], ['abcdefgh', 'max_tokens', 2])
  const stopped = await collect(model, { stop: ['zz', 'jk', 'fg'] })
  assert.deepEqual([textOf(stopped), endOf(stopped).stop], ['abcde', 'stop_sequence'])
  const full = await collect(model, { messages: [user('x'.repeat(4 * 62 - 18))] })
  assert.deepEqual([textOf(full), endOf(full).stop], ['abcdefgh', 'max_tokens'])
  const over = endOf(await collect(model, { messages: [user('x'.repeat(400))] }))
  assert.deepEqual([over.code, over.message], ['context_overflow', 'The prompt has 105 tokens and the context window holds 64.'])
  const call = await collect(script([{ calls: [{ name: 'bash', arguments: { command: 'x'.repeat(100) } }] }]), { tools: [bash], maxTokens: 3 })
  assert.deepEqual([call[1]?.type, endOf(call).stop], ['malformed_call', 'max_tokens'])
})

test('a prefix that the session held before is counted as reused', async () => {
  const model = script([{ text: 'First answer.' }, { text: 'Second.' }])
  const first = endOf(await collect(model, { sessionKey: 's' }))
  assert.equal(first.usage.reusedTokens, 0)
  const messages = [user('go'), said('First answer.'), user('more')]
  const second = endOf(await collect(model, { messages, sessionKey: 's' }))
  // Held: '<user>go\n<assistant>First answer.' = 33 characters = 8 whole tokens.
  assert.deepEqual(second.usage, { promptTokens: Math.ceil((33 + 1 + '<user>more\n<assistant>'.length) / 4), reusedTokens: 8, completionTokens: 2 })
  assert.equal(endOf(await collect(model, { messages, sessionKey: 'other' })).usage.reusedTokens, 0)
  assert.equal(endOf(await collect(model, { messages })).usage.reusedTokens, 0)
  const edited = [user('go'), said('Another answer.'), user('more')]
  assert.equal(endOf(await collect(model, { messages: edited, sessionKey: 's' })).usage.reusedTokens, 5)
})

test('scripted usage and stop reason replace the counted ones', async () => {
  const events = await collect(script([{ text: 'x', stop: 'max_tokens', usage: { promptTokens: 1000, reusedTokens: 900, completionTokens: 70 } }]))
  assert.deepEqual(endOf(events), { stop: 'max_tokens', usage: { promptTokens: 1000, reusedTokens: 900, completionTokens: 70 } })
})

test('a token is never half a character', async () => {
  const text = '🔥'.repeat(50) + 'a🔥b'.repeat(50)
  const events = await collect(script([{ text, tokensPerSecond: 5000 }]))
  assert.equal(textOf(events), text)
  for (const event of events) if (event.type === 'text') assert.ok(event.text.isWellFormed())
})

test('abort ends a delay, a slow text and a hang at once with done/cancelled', async () => {
  for (const turn of [{ text: 'x', delayMs: 60_000 }, { text: 'word '.repeat(100), tokensPerSecond: 1 }, { text: 'x', hang: true }, { hang: true }]) {
    const control = new AbortController()
    const events: ModelEvent[] = []
    for await (const event of script([turn]).generate(ModelRequest.parse({ messages: [user('go')] }), control.signal)) {
      events.push(event)
      if (event.type === 'started') setImmediate(() => { control.abort() })
    }
    const last = events.at(-1)
    assert.ok(last?.type === 'done' && last.stop === 'cancelled')
    assert.ok(last.timings.totalMs < 5000)
  }
  const before = AbortSignal.abort()
  assert.deepEqual(endOf(await collect(always, {}, before)), { stop: 'cancelled', usage: { promptTokens: 0, reusedTokens: 0, completionTokens: 0 } })
})

test('an invalid request is refused before the script is looked at', async () => {
  const request = ModelRequest.parse({ messages: [user('go')] })
  const ask = async (changed: object): Promise<unknown[]> => {
    const events: ModelEvent[] = []
    for await (const event of always.generate({ ...request, ...changed }, new AbortController().signal)) events.push(event)
    const { code, message } = endOf(events)
    return [events.length, code, message]
  }
  assert.deepEqual(await ask({ sampling: { ...request.sampling, temperature: 9 } }), [1, 'bad_sampling', 'The sampling value temperature=9 is not allowed.'])
  assert.deepEqual(await ask({ sampling: { ...request.sampling, topP: Number.NaN } }), [1, 'bad_sampling', 'The sampling value topP=NaN is not allowed.'])
  assert.equal((await ask({ messages: [] }))[1], 'bad_request')
  assert.deepEqual(await ask({ probabilities: 3 }), [1, 'unsupported', 'Reporting token probabilities is not supported by this model or adapter.'])
})

test('a fault needs only what its sentence cannot do without', async () => {
  for (const fault of [{ code: 'context_overflow', detail: { promptTokens: 9000, contextTokens: 8192 } }, { code: 'provider_auth', detail: { provider: 'p', how: 'status 401' } }]) {
    const path = join(dir, 'fault.json')
    await writeFile(path, JSON.stringify({ version: 1, turns: [{ fault }] }))
    const loaded = await loadScript(path)
    assert.ok(loaded.ok, loaded.ok ? '' : loaded.fault.message)
  }
})

test('a file that is not a script is refused with the place', async () => {
  const path = join(dir, 'bad.json')
  const cases: [string, string][] = [
    ['{"version": 1, "turns": []}', 'turns: Too small: expected array to have >=1 items'],
    ['{"version": 2, "turns": [{"text": "x"}]}', 'version: Invalid input: expected 1'],
    ['{"version": 1, "turns": [{"txt": "x"}]}', 'turns[0]: Unrecognized key: "txt"'],
    ['{"version": 1, "turns": [{"delayMs": 5}]}', 'turns[0]: needs at least one of text, calls, malformed, fault, hang'],
    ['{"version": 1, "turns": [{"malformed": "x", "hang": true}]}', 'turns[0]: may have only one of calls, malformed, fault, hang'],
    ['{"version": 1, "turns": [{"fault": {"code": "nonsense"}}]}', 'turns[0].fault.code: there is no such fault code'],
    ['{"version": 1, "turns": [{"text": "x"}, {"fault": {"code": "worker_stuck"}}]}', "turns[1].fault.detail: the sentence of 'worker_stuck' needs other fields"],
    ['{"version": 1, "turns": [{"calls": [{"name": "bash", "arguments": {"tool": 1}}]}]}', "turns[0].calls[0].arguments: 'tool' names the tool in json mode and cannot be an argument"],
  ]
  for (const [text, problem] of cases) {
    await writeFile(path, text)
    const loaded = await loadScript(path)
    assert.ok(!loaded.ok, text)
    assert.deepEqual([loaded.fault.code, loaded.fault.message], ['bad_script', `The scripted model ${path} is not valid: ${problem}.`])
  }
  await writeFile(path, '{"version": 1,')
  const cut = await loadScript(path)
  assert.match(cut.ok ? '' : cut.fault.message, /is not valid: it is not JSON \(.*\)\.$/)
  const missing = await loadScript(join(dir, 'none.json'))
  assert.equal(missing.ok ? '' : missing.fault.message, `The scripted model ${join(dir, 'none.json')} is not valid: there is no such file.`)
})

test('a good file becomes a model named after it', async () => {
  const path = join(dir, 'good.json')
  await writeFile(path, JSON.stringify({ version: 1, about: 'a demo', contextTokens: 4096, toolMode: 'json', turns: [{ text: 'hi' }] }))
  const loaded = await loadScript(path)
  assert.ok(loaded.ok)
  assert.deepEqual(loaded.model.info, {
    id: `scripted:${path}`, place: 'local', contextTokens: 4096,
    profile: { toolMode: 'json', tools: null, fewShot: null, sampling: {}, maxCallTokens: 4096, minContextTokens: 64 },
  })
  assert.equal(textOf(await collect(loaded.model)), 'hi')
})

test('a hundred streams at 200 tokens/s keep their speed and share one timer', async (t) => {
  const model = script([{ text: 'word'.repeat(200), tokensPerSecond: 200 }])
  const cpuBefore = process.cpuUsage()
  const began = performance.now()
  const all = await Promise.all(Array.from({ length: 100 }, () => collect(model)))
  const seconds = (performance.now() - began) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  for (const events of all) {
    assert.equal(endOf(events).usage.completionTokens, 200)
    const last = events.at(-1)
    // 200 tokens: the first at once, the last 199/200 s later.
    assert.ok(last?.type === 'done' && last.timings.decodeMs >= 990, 'the stream was faster than its speed')
  }
  t.diagnostic(`100 streams: ${seconds.toFixed(2)} s, ${((cpu.user + cpu.system) / 1000).toFixed(0)} ms CPU, ${(all[0] ?? []).length} events each`)
})
