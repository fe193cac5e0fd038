// What a provider's model thought between the turns of a conversation: it goes back sealed and in its place, where it was thought behind the very words that it goes back
// behind; else it stays out. What it can cost is known before.
import assert from 'node:assert/strict'
import type { ServerResponse } from 'node:http'
import { test, type TestContext } from 'node:test'
import { KeptThoughts } from '@hearth/engine'
import { ModelRequest, type Message, type ModelRequestInput } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { events, failure, mockWith, remote, says, stream, type Kind, type Seen } from '../fixtures/provider.ts'

const counts = { prompt: 40, completion: 30 }
const weather = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: { town: { type: 'string' } }, required: ['town'] } }
const request = { messages: [{ role: 'user' as const, text: 'Rain in Ulm?' }], maxTokens: 100, tools: [weather], reasoning: 'high' as const }
const called = (id: string, text = ''): Message => ({ role: 'assistant', text, toolCalls: [{ id, name: 'weather', arguments: { town: 'Ulm' } }] })
const result = (callId: string): Message => ({ role: 'tool', callId, name: 'weather', text: 'rain' })

type Block = { type: 'thinking'; thinking: string; signature: string } | { type: 'redacted_thinking'; data: string } | { type: 'text'; text: string } | { type: 'tool_use'; id: string }

/** The events of a turn of Anthropic's, block by block. */
function turn(blocks: readonly Block[]): unknown[] {
  const piece = (index: number, delta: object): unknown => ({ type: 'content_block_delta', index, delta })
  return [...events.begin('anthropic', counts), ...blocks.flatMap((block, index) => {
    switch (block.type) {
      case 'thinking': return [
        { type: 'content_block_start', index, content_block: { type: 'thinking', thinking: '', signature: '' } },
        ...(block.thinking === '' ? [] : [piece(index, { type: 'thinking_delta', thinking: block.thinking })]),
        ...(block.signature === '' ? [] : [piece(index, { type: 'signature_delta', signature: block.signature })]),
      ]
      case 'redacted_thinking': return [{ type: 'content_block_start', index, content_block: block }]
      case 'text': return [{ type: 'content_block_start', index, content_block: { type: 'text', text: '' } }, piece(index, { type: 'text_delta', text: block.text })]
      case 'tool_use': return events.call('anthropic', index, block.id, 'weather', ['{"town":', '"Ulm"}'])
      default: return block satisfies never
    }
  }), ...events.end('anthropic', blocks.some(({ type }) => type === 'tool_use') ? 'calls' : 'end', counts)]
}

type Body = { messages?: { role: string; content: Record<string, unknown>[] }[]; input?: Record<string, unknown>[] }

/** Turns of one conversation, each asked of a model of its own, as the gate does it. */
async function conversation(t: TestContext, kind: Kind, answers: readonly unknown[][], thoughts = new KeptThoughts()): Promise<{ thoughts: KeptThoughts; say(more: Partial<ModelRequestInput>): Promise<Body> }> {
  let at = 0
  return {
    thoughts,
    async say(more) {
      const { model, seen, log } = await remote(t, kind, (to) => stream(to, answers[at++] ?? says(kind, ['Rain.'], counts)), { thoughts })
      const answer = await ask(model, { ...request, ...more })
      assert.equal(answer.end.type, 'done', JSON.stringify(answer.end))
      assert.deepEqual(log, [])
      return seen[0]?.body as Body
    },
  }
}
const contents = (body: Body): unknown[][] => (body.messages ?? []).map(({ content }) => content.map((block) => ({ ...block, cache_control: undefined })).map(({ cache_control: _, ...block }) => block))

const thought = { type: 'thinking', thinking: 'Hm, Ulm.', signature: 'c2lnbmVk' } as const
const hidden = { type: 'redacted_thinking', data: 'ZGF0YQ' } as const
const use = (id: string): object => ({ type: 'tool_use', id, name: 'weather', input: { town: 'Ulm' } })

test('a turn goes back in the order in which it came, thoughts without words among it', async (t) => {
  const between = { type: 'thinking', thinking: '', signature: 'bW9yZQ' } as const
  const { say } = await conversation(t, 'anthropic', [turn([thought, hidden, { type: 'text', text: 'I look.' }, between, { type: 'tool_use', id: 'n1' }]), turn([{ type: 'tool_use', id: 'n2' }])])
  await say({})
  await say({ messages: [...request.messages, called('n1', 'I look.'), result('n1')] })
  const body = await say({ messages: [...request.messages, called('n1', 'I look.'), result('n1'), called('n2'), result('n2')] })
  assert.deepEqual(contents(body).slice(1), [
    [thought, hidden, { type: 'text', text: 'I look.' }, between, use('n1')], [{ type: 'tool_result', tool_use_id: 'n1', content: 'rain' }],
    [use('n2')], [{ type: 'tool_result', tool_use_id: 'n2', content: 'rain' }],
  ])
})

test('an answer in words keeps its thoughts too, and the marks of a message of OpenAI', async (t) => {
  const spoken = [{ role: 'assistant' as const, text: 'Rain, I think.' }, { role: 'user' as const, text: 'Look.' }]
  const claude = await conversation(t, 'anthropic', [turn([thought, { type: 'text', text: 'Rain, I think.' }])])
  await claude.say({})
  assert.deepEqual(contents(await claude.say({ messages: [...request.messages, ...spoken] }))[1], [thought, { type: 'text', text: 'Rain, I think.' }])
  const item = { type: 'reasoning', id: 'rs_1', summary: [], encrypted_content: 'c2VhbGVk' }
  const gpt = await conversation(t, 'openai', [[
    ...events.begin('openai', counts), { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.output_text.delta', output_index: 1, delta: 'Rain, I think.' },
    { type: 'response.output_item.done', output_index: 1, item: { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', phase: 'commentary', content: [{ type: 'output_text', text: 'Rain, I think.', annotations: [] }] } },
    ...events.end('openai', 'end', counts),
  ]])
  await gpt.say({})
  // No id of an item but the sealed one's own: nothing is stored there, so nothing is found by an id.
  assert.deepEqual((await gpt.say({ messages: [...request.messages, ...spoken] })).input?.slice(1), [item, { role: 'assistant', content: 'Rain, I think.', phase: 'commentary' }, { role: 'user', content: 'Look.' }])
})

test('a thought stays out when what stood before it was changed, and all behind it with it', async (t) => {
  const second = { type: 'thinking', thinking: 'Still Ulm.', signature: 'dHdv' } as const
  const answers = [turn([thought, { type: 'tool_use', id: 'n1' }]), turn([second, { type: 'tool_use', id: 'n2' }])]
  const { say, thoughts } = await conversation(t, 'anthropic', answers)
  await say({})
  const one = [...request.messages, called('n1'), result('n1')]
  await say({ messages: one })
  const both: Message[] = [...one, called('n2'), result('n2')]
  const sealed = (body: Body): unknown[] => contents(body).flat().filter((block) => ['thinking', 'redacted_thinking'].includes((block as Block).type))
  assert.deepEqual(sealed(await say({ messages: both })), [thought, second])
  for (const [how, changed] of Object.entries({
    'the first words': { messages: [{ role: 'user' as const, text: 'Rain in Bonn?' }, ...both.slice(1)] },
    'the tools': { messages: both, tools: [{ ...weather, description: 'Says the weather.' }] },
    'the system prompt': { messages: [{ role: 'system' as const, text: 'Be short.' }, ...both] },
    'the first turn': { messages: [...request.messages, called('n1', 'I look.'), ...both.slice(2)] },
  })) assert.deepEqual(sealed(await say(changed)), [], how)
  assert.deepEqual(sealed(await say({ messages: [...one.slice(0, 2), { ...result('n1'), text: 'cut' }, ...both.slice(3)] })), [thought], 'a result that was shortened')
  // Asked not to think, or to make a call without thinking, it is not shown thoughts either.
  assert.deepEqual(sealed(await say({ messages: both, reasoning: 'off' })), [])
  answers[9] = turn([{ type: 'tool_use', id: 'n3' }])
  assert.deepEqual(sealed(await say({ messages: both, toolChoice: 'required' })), [])
  assert.deepEqual(sealed(await say({ messages: both })), [thought, second], 'and they are still there')
  // Another daemon knows none of them.
  const anew = await conversation(t, 'anthropic', [])
  assert.deepEqual(sealed(await anew.say({ messages: both })), [])
  assert.equal(anew.thoughts.tokensAtMost(ModelRequest.parse({ ...request, messages: both })), 0)
  assert.ok(thoughts.tokensAtMost(ModelRequest.parse({ ...request, messages: both })) > thoughts.tokensAtMost(ModelRequest.parse({ ...request, messages: one })))
})

test('what cannot go back as it came is not kept: a thought without its seal, a call that was none, an answer that broke off', async (t) => {
  const calls: Message[] = [...request.messages, called('n1'), result('n1')]
  for (const [how, answer] of Object.entries({
    unsealed: turn([{ type: 'thinking', thinking: 'Hm', signature: '' }, { type: 'tool_use', id: 'n1' }]),
    blank: turn([thought, { type: 'text', text: '\n\n' }, { type: 'tool_use', id: 'n1' }]),
    malformed: [...turn([thought]).slice(0, -2), ...events.call('anthropic', 1, 'n1', 'weather', ['{"town":']), ...events.end('anthropic', 'calls', counts)],
  })) {
    const { say } = await conversation(t, 'anthropic', [answer])
    await say({})
    assert.deepEqual(contents(await say({ messages: calls }))[1], [use('n1')], how)
  }
})

test('thoughts count as a token for each byte, or as what their answer was billed for', () => {
  const asked = { messages: request.messages, tools: [weather] }
  const next = { messages: [...request.messages, called('n1'), result('n1')], tools: [weather] }
  const said = { text: '', calls: [{ id: 'n1', name: 'weather', arguments: { town: 'Ulm' } }] }
  const thoughts = new KeptThoughts()
  assert.equal(thoughts.tokensAtMost(next), 0)
  thoughts.keep(asked, said, [{ type: 'sealed', block: thought }, { type: 'call' }], 9000)
  assert.equal(thoughts.tokensAtMost(next), 9000)
  thoughts.keep(asked, said, [{ type: 'sealed', block: { ...thought, signature: 's'.repeat(20_000) } }, { type: 'call' }], 9000)
  assert.ok(thoughts.tokensAtMost(next) > 20_000)
  assert.equal(thoughts.tokensAtMost(asked), 0)
})

test('thoughts of turns that are gone make room', () => {
  const thoughts = new KeptThoughts()
  const ask = (n: number): Pick<ModelRequest, 'messages' | 'tools'> => ({ messages: [{ role: 'user', text: `question ${n}` }], tools: [] })
  const block = { type: 'thinking', thinking: '', signature: 's'.repeat(2 ** 20) }
  for (let n = 0; n < 40; n += 1) thoughts.keep(ask(n), { text: 'Well.', calls: [] }, [{ type: 'sealed', block }, { type: 'text', text: 'Well.' }], 1)
  const kept = Array.from({ length: 40 }, (_, n) => thoughts.of({ ...ask(n), messages: [...ask(n).messages, { role: 'assistant', text: 'Well.' }] }).size)
  assert.equal(kept.slice(0, 24).reduce((sum, one) => sum + one, 0), 0)
  assert.equal(kept.slice(-15).reduce((sum, one) => sum + one, 0), 15)
})

test('a foreign mock that insists on thoughts, as the models do that are told how long to think, is content', async (t) => {
  const mock = await mockWith(({ messages }) => (messages.some(({ role }) => role === 'tool')
    ? { content: 'Rain.' } : { toolCalls: [{ id: 'toolu_1', name: 'weather', arguments: '{"town":"Ulm"}' }], reasoning: 'Hm, Ulm.', reasoningSignature: 'c2lnbmVk' }))
  t.after(() => mock.stop())
  // The mock insists only where the old way of thinking is asked for.
  const insisting = (to: ServerResponse, { body }: Seen): void => {
    void fetch(`${mock.url}/v1/messages`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-aimock-strict': 'true' }, body: JSON.stringify({ ...body, thinking: { type: 'enabled', budget_tokens: 1024 } }) })
      .then(async (answer) => to.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' }).end(await answer.text()))
  }
  const thoughts = new KeptThoughts()
  const turns = [...request.messages, called('toolu_1'), result('toolu_1')]
  const first = await ask((await remote(t, 'anthropic', insisting, { thoughts })).model, request)
  assert.deepEqual(first.events.flatMap((event) => (event.type === 'tool_call' ? [event.call.id] : [])), ['toolu_1'])
  const without = failure(await ask((await remote(t, 'anthropic', insisting)).model, { ...request, messages: turns }))
  assert.equal(without.code, 'provider_rejected')
  assert.match(without.message, /must begin with a `thinking` b/)
  assert.equal((await ask((await remote(t, 'anthropic', insisting, { thoughts })).model, { ...request, messages: turns })).text, 'Rain.')
})
