// Chat clients that name no conversation: their next turn still finds its memory, one-shot calls cost it nothing, and no key profits from another's.
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import OpenAI from 'openai'
import type { ChatCompletionMessageParam } from 'openai/resources/chat/completions'
import type { KeyReply, Message, ModelRow, StatusReply } from '@hearth/protocol'
import { Conversations } from '../../packages/daemon/src/http/openai/conversations.ts'
import { starterPath } from '../fixtures/starter.ts'
import { daemonsOfThisFile, real } from './process.ts'

const user = (text: string): Message => ({ role: 'user', text })
const said = (text: string): Message => ({ role: 'assistant', text })
const me = ['key:a', 'm', null, []]

test('the longest earlier prompt that a request begins with is its conversation, whatever the client made of the answer', () => {
  const known = new Conversations()
  const first = known.find(me, [user('one')])
  assert.equal(first.tentative, true)
  const second = known.find(me, [user('one'), said('an answer'), user('two')])
  assert.deepEqual(second, { sessionKey: first.sessionKey, tentative: false })
  assert.deepEqual(known.find(me, [user('one'), said('an answer'), user('two'), said('cut'), user('three')]), second)
  assert.deepEqual(known.find(me, [user('one'), said('an answer'), user('another two')]), second, 'a branch')
  assert.notEqual(known.find(me, [user('other')]).sessionKey, first.sessionKey)
})

test('the same first prompt again is the same conversation until that one has gone on; then it is another one', () => {
  const known = new Conversations()
  const first = known.find(me, [user('hi')])
  assert.deepEqual(known.find(me, [user('hi')]), first)
  known.find(me, [user('hi'), said('hello'), user('how are you?')])
  const other = known.find(me, [user('hi')])
  assert.equal(other.tentative, true)
  assert.notEqual(other.sessionKey, first.sessionKey)
  assert.equal(known.find(me, [user('hi'), said('good day'), user('fine?')]).sessionKey, other.sessionKey)
  assert.equal(known.find(me, [user('hi'), said('hello'), user('how are you?'), said('well'), user('good')]).sessionKey, first.sessionKey)
})

test('a daemon that remembers nothing gives a conversation the key it had; a prompt without answers that grows stays one conversation', () => {
  const [before, after] = [new Conversations(), new Conversations()]
  const turns = [user('first words'), said('an answer'), user('two')]
  assert.equal(after.find(me, turns).sessionKey, before.find(me, turns.slice(0, 1)).sessionKey)
  const first = before.find(me, [user('a')])
  assert.deepEqual(before.find(me, [user('a'), user('b')]), { sessionKey: first.sessionKey, tentative: false })
})

test('owner, model, user and tools tell conversations apart; what is remembered is bounded, the oldest goes first', () => {
  const known = new Conversations(4)
  const first = known.find(me, [user('one')])
  for (const scope of [['key:b', 'm', null, []], ['key:a', 'n', null, []], ['key:a', 'm', 'u', []], ['key:a', 'm', null, [{ name: 'bash' }]]]) {
    assert.notEqual(known.find(scope, [user('one')]).sessionKey, first.sessionKey)
  }
  assert.equal(known.find(me, [user('one'), user('two')]).tentative, true, 'it was forgotten')
})

const daemons = daemonsOfThisFile()
const filler = (name: string): string => `My name is ${name}. ` + Array.from({ length: 12 }, (_, i) => `In the year ${1900 + i} a ship called ${name} ${i} came into the harbour and stayed for ${i + 2} days.`).join(' ')

async function begin(place: ReturnType<typeof daemons.place>) {
  const daemon = await daemons.start(place, real)
  const key = async (name: string): Promise<string> => (await daemon.client.call<KeyReply>('POST', '/api/keys', { name })).secret
  const client = async (apiKey: string): Promise<OpenAI> => {
    const { http } = await daemon.client.call<StatusReply>('GET', '/api/status')
    return new OpenAI({ baseURL: `${http?.url ?? assert.fail('it does not listen')}/v1`, apiKey, maxRetries: 0, timeout: 120_000 })
  }
  return { daemon, key, client }
}

type Talk = { messages: ChatCompletionMessageParam[]; promptTokens: number }

/** One turn; the counts of its prompt. */
async function turn(client: OpenAI, talk: Talk, more: Record<string, unknown> = {}): Promise<{ prompt: number; cached: number }> {
  const answer = await client.chat.completions.create({ model: 'tiny', messages: talk.messages, max_tokens: 6, temperature: 0, ...more })
  const prompt = answer.usage?.prompt_tokens ?? 0
  talk.messages = [...talk.messages, { role: 'assistant', content: answer.choices[0]?.message.content ?? '' }, { role: 'user', content: 'And then?' }]
  talk.promptTokens = prompt
  return { prompt, cached: answer.usage?.prompt_tokens_details?.cached_tokens ?? 0 }
}

// The template opens the answer behind the prompt; the last token is always evaluated again.
const tailTokens = 4

test('a client without keys of its own: turn two finds turn one, behind 12 titles, in rotation with more talks than sequences, and after a restart', async () => {
  const place = daemons.place()
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ http: { port: 0 }, engine: { threads: 1, contextTokens: 1024, sequences: 2, backend: 'cpu' }, jobs: { model: 'tiny' } }))
  const { daemon, key, client: clientOf } = await begin(place)
  await daemon.client.call<ModelRow>('POST', '/api/models/import', { path: starterPath(), id: 'tiny' })
  const secret = await key('one')
  const client = await clientOf(secret)
  const open = (name: string): Talk => ({ messages: [{ role: 'user', content: filler(name) }], promptTokens: 0 })
  const goesOn = async (talk: Talk, with_: OpenAI, when: string): Promise<void> => {
    const before = talk.promptTokens
    const { cached } = await turn(with_, talk)
    assert.ok(cached >= before - tailTokens, `${when}: ${cached} of ${before} tokens`)
  }

  const ada = open('Ada')
  assert.equal((await turn(client, ada)).cached, 0)
  await goesOn(ada, client, 'the next request')
  for (let i = 0; i < 12; i++) await client.chat.completions.create({ model: 'tiny', messages: [{ role: 'user', content: `Write a title for talk number ${i}, which is about ships.` }], max_tokens: 2 })
  await goesOn(ada, client, 'behind 12 titles')

  const talks = ['Bea', 'Cora', 'Dora'].map(open)
  for (const talk of talks) await turn(client, talk)
  for (const talk of [...talks, ada]) await goesOn(talk, client, 'in rotation')

  // Another key with the very same words gets nothing of it, though it takes the same sequences: only what its own prompts have in common (the template's beginning).
  const other = await clientOf(await key('two'))
  const guessed = []
  for (const name of ['Ada', 'Bea', 'Cora', 'Dora']) guessed.push((await turn(other, open(name))).cached)
  assert.equal(guessed[0], 0)
  assert.ok(Math.max(...guessed) < 40, `${guessed.join(', ')} tokens of ${ada.promptTokens}`)

  await daemon.kill('SIGTERM')
  const renewed = await (await begin(place)).client(secret)
  for (const talk of [ada, ...talks]) await goesOn(talk, renewed, 'after a restart')
})
