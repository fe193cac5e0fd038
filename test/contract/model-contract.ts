// Owns what every Model must do, whoever makes the tokens. Each adapter's test file calls `modelContract` with a way to make one.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { ModelRequest, type Message, type Model, type ModelEvent, type ModelRequestInput, type ToolSpec } from '@hearth/protocol'

/** What a model that can be told shall say; a real one says what it wants and is held only to the shape. */
export type Says = { text?: string; calls?: { name: string; arguments: Record<string, unknown> }[] }

export type ModelUnderTest = {
  /** A model that answers every request with `says`, if it can be told. May be the same one each time. */
  make(says: Says): Promise<Model> | Model
  /** `counts` late: the prompt is counted for certain only at the end. `reuse` false: whoever plays this provider says nothing of its cache. */
  offers: { tools: boolean; probabilities: boolean; /** It says how likely the model itself found its tokens; everybody may be asked. */ likelihoods?: true; counts?: 'late'; reuse?: false }
  close?(): Promise<void>
}

const prose = 'The quick brown fox jumps over the lazy dog, and then it walks home through the quiet wood while the rain is falling on the hills.'
const user = (text: string): Message => ({ role: 'user', text })
const story = [user('Tell me a story about a fox.')]
const greedy = { temperature: 0 }
const weather: ToolSpec = {
  name: 'weather', description: 'Tells the weather of a town.',
  parameters: { type: 'object', properties: { town: { type: 'string', maxLength: 12 }, days: { type: 'integer', minimum: 1, maximum: 7 } }, required: ['town', 'days'], additionalProperties: false },
}

export type Answer = { events: ModelEvent[]; text: string; end: Extract<ModelEvent, { type: 'done' | 'failed' }> }

/** Runs one request to its end and checks what holds for every answer: the order of events and the one last word. */
export async function ask(model: Model, request: ModelRequestInput | ModelRequest, signal: AbortSignal = new AbortController().signal, onEvent?: (event: ModelEvent) => void): Promise<Answer> {
  const events: ModelEvent[] = []
  // A broken request must reach the model as it is; everything else gets its defaults.
  const parsed = ModelRequest.safeParse(request)
  for await (const event of model.generate(parsed.success ? parsed.data : (request as ModelRequest), signal)) {
    events.push(event)
    onEvent?.(event)
  }
  const order = events.map((event) => (event.type === 'queued' ? 'q' : event.type === 'started' ? 's' : event.type === 'done' || event.type === 'failed' ? 'e' : 'm')).join('')
  assert.match(order, /^q*(sm*)?e$/, `the order of events is wrong: ${events.map((event) => event.type).join(' ')}`)
  const end = events.at(-1)
  assert.ok(end?.type === 'done' || end?.type === 'failed')
  for (const [name, value] of Object.entries(end.timings)) assert.ok(value === null || value >= 0, `${name} is ${value}`)
  assert.ok(end.usage.reusedTokens <= end.usage.promptTokens)
  return { events, text: events.map((event) => (event.type === 'text' ? event.text : '')).join(''), end }
}

function stopOf(answer: Answer): string {
  return answer.end.type === 'done' ? answer.end.stop : `failed: ${answer.end.fault.message}`
}

function codeOf(answer: Answer): string {
  return answer.end.type === 'failed' ? answer.end.fault.code : `done: ${answer.end.stop}`
}

export function modelContract(name: string, setUp: () => Promise<ModelUnderTest> | ModelUnderTest): void {
  describe(`the model contract: ${name}`, () => {
    let it: ModelUnderTest
    before(async () => { it = await setUp() })
    after(async () => { await it.close?.() })

    test('text streams in order and ends at the limit with true counts', async () => {
      const model = await it.make({ text: prose })
      const answer = await ask(model, { messages: story, sampling: greedy, maxTokens: 12 })
      assert.equal(stopOf(answer), 'max_tokens')
      assert.notEqual(answer.text, '')
      const started = answer.events.find((event) => event.type === 'started')
      assert.ok(started !== undefined && started.promptTokens > 0)
      const { promptTokens, reusedTokens } = it.offers.counts === 'late' ? answer.end.usage : started
      assert.ok(promptTokens > 0)
      assert.deepEqual(answer.end.usage, { promptTokens, reusedTokens, completionTokens: 12 })
      assert.notEqual(answer.end.timings.ttftMs, null)
    })

    test('the second turn of a session reuses the first one', async () => {
      const model = await it.make({ text: prose })
      const first = await ask(model, { messages: story, sampling: greedy, maxTokens: 12, sessionKey: 'reuse' })
      const second = await ask(model, {
        messages: [...story, { role: 'assistant', text: first.text }, user('And then?')], sampling: greedy, maxTokens: 4, sessionKey: 'reuse',
      })
      if (it.offers.reuse === false) {
        assert.equal(second.end.usage.reusedTokens, 0)
        return
      }
      assert.ok(second.end.usage.reusedTokens >= first.end.usage.promptTokens - 1,
        `${second.end.usage.reusedTokens} of ${second.end.usage.promptTokens} tokens were reused after a first turn of ${first.end.usage.promptTokens}`)
      assert.ok(second.end.usage.reusedTokens < second.end.usage.promptTokens, 'at least one token is evaluated')
    })

    test('a stop sequence ends the text before it', async () => {
      const model = await it.make({ text: prose })
      const whole = (await ask(model, { messages: story, sampling: greedy, maxTokens: 24 })).text
      const at = whole.indexOf(' ', Math.floor(whole.length / 2))
      assert.ok(at > 0, `no blank in the second half of ${JSON.stringify(whole)}`)
      const stop = whole.slice(at, at + 4)
      const answer = await ask(model, { messages: story, sampling: greedy, maxTokens: 24, stop: ['never said', stop] })
      assert.equal(stopOf(answer), 'stop_sequence')
      assert.equal(answer.text, whole.slice(0, whole.indexOf(stop)))
    })

    test('the same seed gives the same text', async () => {
      const model = await it.make({ text: prose })
      const request = { messages: story, sampling: { temperature: 1, seed: 7 }, maxTokens: 16 }
      assert.equal((await ask(model, request)).text, (await ask(model, request)).text)
    })

    test('an aborted request ends as cancelled and its place is free again', async () => {
      const model = await it.make({ text: prose })
      for (let round = 0; round < 9; round++) {
        const abort = new AbortController()
        const answer = await ask(model, { messages: story, maxTokens: 512 }, abort.signal, (event) => {
          if (event.type === 'text') abort.abort()
        })
        assert.equal(stopOf(answer), 'cancelled')
      }
      assert.equal(stopOf(await ask(model, { messages: story, sampling: greedy, maxTokens: 4 })), 'max_tokens')
    })

    test('a request that is aborted before it begins says only that', async () => {
      const answer = await ask(await it.make({ text: prose }), { messages: story }, AbortSignal.abort())
      assert.deepEqual(answer.events.map((event) => event.type), ['done'])
      assert.equal(stopOf(answer), 'cancelled')
    })

    test('a reader who leaves the loop leaves nothing behind', async () => {
      const model = await it.make({ text: prose })
      for (let round = 0; round < 9; round++) {
        for await (const event of model.generate(ModelRequest.parse({ messages: story, maxTokens: 512 }), new AbortController().signal)) {
          if (event.type === 'text') break
        }
      }
      assert.equal(stopOf(await ask(model, { messages: story, sampling: greedy, maxTokens: 4 })), 'max_tokens')
    })

    test('bad sampling values are refused by name', async () => {
      const model = await it.make({ text: prose })
      for (const [field, value] of [['temperature', -1], ['topP', 0], ['topP', 1.5], ['topK', 1.5], ['minP', 2], ['repeatPenalty', 0], ['seed', -1], ['temperature', Number.NaN]] as const) {
        const answer = await ask(model, { messages: story, sampling: { [field]: value } })
        assert.equal(codeOf(answer), 'bad_sampling')
        assert.equal(answer.events.length, 1)
        assert.ok(answer.end.type === 'failed' && answer.end.fault.message === `The sampling value ${field}=${value} is not allowed.`)
      }
    })

    test('a request outside the schema is refused', async () => {
      const model = await it.make({ text: prose })
      assert.equal(codeOf(await ask(model, { messages: [] })), 'bad_request')
      assert.equal(codeOf(await ask(model, { messages: story, maxTokens: 0 })), 'bad_request')
      assert.equal(codeOf(await ask(model, { messages: story, colour: 'red' } as ModelRequestInput)), 'bad_request')
    })

    test('a prompt over the window is refused with the numbers', async () => {
      const model = await it.make({ text: prose })
      // The window is known for certain only once the model has answered something.
      await ask(model, { messages: story, maxTokens: 1 })
      const answer = await ask(model, { messages: [user('word '.repeat(model.info.contextTokens + 10))] })
      assert.equal(codeOf(answer), 'context_overflow')
      assert.ok(answer.end.type === 'failed')
      assert.match(answer.end.fault.message, new RegExp(`^The prompt has \\d+ tokens and the context window(?: of '[^']+' at '[^']+')? holds ${model.info.contextTokens}\\.$`))
    })

    test('a JSON schema is obeyed', async () => {
      const schemas: { schema: Record<string, unknown>; says: unknown }[] = [
        { schema: { type: 'object', properties: { name: { type: 'string', minLength: 2, maxLength: 8 }, age: { type: 'integer', minimum: 1, maximum: 130 } }, required: ['name', 'age'], additionalProperties: false }, says: { name: 'Ann', age: 30 } },
        { schema: { oneOf: [{ type: 'object', properties: { tool: { const: 'read' }, path: { type: 'string', maxLength: 10 } }, required: ['tool', 'path'] }, { type: 'object', properties: { tool: { const: 'finish' } }, required: ['tool'] }] }, says: { tool: 'finish' } },
        { schema: { type: 'array', items: { enum: ['red', 'green', 'blue'] }, minItems: 2, maxItems: 4 }, says: ['red', 'blue'] },
        { schema: { type: 'object', properties: { from: { $ref: '#/$defs/point' }, to: { $ref: '#/$defs/point' }, done: { type: 'boolean' } }, required: ['from', 'to'], additionalProperties: false, $defs: { point: { type: 'object', properties: { x: { type: 'integer', minimum: -9, maximum: 9 }, y: { type: 'integer', minimum: -9, maximum: 9 } }, required: ['x', 'y'], additionalProperties: false } } }, says: { from: { x: 1, y: 2 }, to: { x: 3, y: 4 } } },
      ]
      for (const { schema, says } of schemas) {
        const model = await it.make({ text: JSON.stringify(says) })
        const answer = await ask(model, { messages: story, responseFormat: { type: 'json_schema', schema }, sampling: { temperature: 1, seed: 3 }, maxTokens: 120 })
        assert.equal(stopOf(answer), 'end')
        assert.ok(fits(JSON.parse(answer.text), schema, schema), `${answer.text} does not fit ${JSON.stringify(schema)}`)
      }
    })

    test('tools are called, or refused as unsupported', async () => {
      const model = await it.make({ text: 'I look.', calls: [{ name: 'weather', arguments: { town: 'Ulm', days: 2 } }] })
      const required = await ask(model, { messages: story, tools: [weather], toolChoice: 'required', sampling: { temperature: 1, seed: 5 }, maxTokens: 200 })
      if (!it.offers.tools) {
        assert.equal(codeOf(required), 'unsupported')
        return
      }
      assert.equal(stopOf(required), 'tool_calls')
      const call = required.events.find((event) => event.type === 'tool_call')
      assert.ok(call !== undefined && call.call.name === 'weather' && call.call.id !== '')
      assert.ok(fits(call.call.arguments, weather.parameters, weather.parameters), JSON.stringify(call.call.arguments))
      const named = await ask(model, { messages: story, tools: [weather], toolChoice: { name: 'weather' }, sampling: { temperature: 1, seed: 6 }, maxTokens: 200 })
      assert.equal(stopOf(named), 'tool_calls')
    })

    test('without an offer nothing is called', async () => {
      const model = await it.make({ text: prose })
      const answer = await ask(model, { messages: story, tools: [weather], toolChoice: 'none', sampling: greedy, maxTokens: 16 })
      assert.equal(answer.events.filter((event) => event.type === 'tool_call').length, 0)
      assert.equal(stopOf(answer), 'max_tokens')
    })

    test('probabilities are probabilities, or refused as unsupported', async () => {
      const model = await it.make({ text: prose })
      const answer = await ask(model, { messages: story, sampling: greedy, maxTokens: 8, probabilities: 3 })
      if (!it.offers.probabilities) {
        assert.equal(codeOf(answer), 'unsupported')
        return
      }
      const pieces = answer.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))
      assert.equal(pieces.length, 8)
      assert.equal(pieces.map((piece) => piece.text).join(''), answer.text)
      for (const piece of pieces) {
        assert.equal(piece.top.length, 3)
        assert.ok(piece.probability > 0 && piece.probability <= 1)
        assert.ok(piece.top.reduce((sum, other) => sum + other.probability, 0) <= 1.001)
        assert.equal(piece.top[0]?.text, piece.text, 'greedy takes the likeliest')
      }
    })

    test('a wish for likelihoods changes no word, and is met with the model\'s own or not at all', async () => {
      const model = await it.make({ text: '{"town":"Ulm","days":3}' })
      const request: ModelRequestInput = { messages: story, sampling: { temperature: 1, seed: 7 }, maxTokens: 60, responseFormat: { type: 'json_schema', schema: weather.parameters } }
      const plain = await ask(model, request)
      const wished = await ask(model, { ...request, likelihoods: true })
      assert.equal(wished.text, plain.text)
      const pieces = wished.events.flatMap((event) => (event.type === 'text' ? event.probabilities ?? [] : []))
      if (it.offers.likelihoods !== true) {
        assert.deepEqual(pieces, [])
        return
      }
      assert.ok(pieces.map((piece) => piece.text).join('').startsWith(wished.text))
      assert.ok(pieces.every((piece) => piece.probability >= 0 && piece.probability <= 1))
      // A story does not begin with a brace: the grammar made it, and the model's own word about it is no certainty.
      assert.ok((pieces[0]?.probability ?? 1) < 0.5, `${pieces[0]?.probability} for '${pieces[0]?.text}'`)
    })

    test('four streams at once say what each says alone', async () => {
      const model = await it.make({ text: prose })
      const requests = ['fox', 'sea', 'clock', 'king'].map((word) => ({ messages: [user(`Tell me a story about a ${word}.`)], sampling: greedy, maxTokens: 24, sessionKey: word }))
      const alone: string[] = []
      for (const request of requests) alone.push((await ask(model, request)).text)
      const together = await Promise.all(requests.map((request) => ask(model, request)))
      assert.deepEqual(together.map((answer) => answer.text), alone)
      assert.deepEqual(together.map(stopOf), ['max_tokens', 'max_tokens', 'max_tokens', 'max_tokens'])
    })
  })
}

/** A small validator, written apart from the grammar, for the keywords that the contract uses. */
function fits(value: unknown, schema: unknown, root: unknown): boolean {
  const node = schema as Record<string, unknown>
  if (typeof node['$ref'] === 'string') return fits(value, (root as { $defs: Record<string, unknown> }).$defs[node['$ref'].split('/').at(-1) ?? ''], root)
  if ('const' in node) return value === node['const']
  if (Array.isArray(node['enum'])) return node['enum'].includes(value)
  const choice = node['oneOf'] ?? node['anyOf']
  if (Array.isArray(choice)) return choice.some((part) => fits(value, part, root))
  const within = (size: number, least: string, most: string): boolean => size >= Number(node[least] ?? 0) && size <= Number(node[most] ?? Infinity)
  switch (node['type']) {
    case 'null': return value === null
    case 'boolean': return typeof value === 'boolean'
    case 'string': return typeof value === 'string' && within(Array.from(value).length, 'minLength', 'maxLength')
    case 'integer': return Number.isInteger(value) && Number(value) >= Number(node['minimum'] ?? -Infinity) && Number(value) <= Number(node['maximum'] ?? Infinity)
    case 'array': return Array.isArray(value) && within(value.length, 'minItems', 'maxItems') && value.every((item) => fits(item, node['items'], root))
    case 'object': {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
      const properties = (node['properties'] ?? {}) as Record<string, unknown>
      return ((node['required'] ?? []) as string[]).every((key) => key in value)
        && Object.entries(value).every(([key, item]) => key in properties && fits(item, properties[key], root))
    }
    default: return false
  }
}
