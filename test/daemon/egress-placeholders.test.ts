// Placeholders: stable in a job, different in every other, put back where they may be and never invented.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { AgentProfile, ModelRequest, type ModelEvent, type ModelInfo } from '@hearth/protocol'
import { gated } from '../../packages/daemon/src/egress/gate.ts'
import { Placeholders, putsBackFor } from '../../packages/daemon/src/egress/placeholders.ts'
import { KnownTexts } from '../../packages/daemon/src/egress/scan-known.ts'
import { scan } from '../../packages/daemon/src/egress/scan.ts'
import { makers, randomOf, ways } from '../fixtures/planted-secrets.ts'

const none = new KnownTexts([])
const key = randomBytes(32)
const planted = (kind: string, seed = 1): [before: string, secret: string, after: string] => [...makers[kind]?.(randomOf(seed)) ?? ['', '', '']]

test('what is hidden is put back to the letter, for every kind and way', async () => {
  let texts = 0
  for (const [kind, make] of Object.entries(makers)) {
    const placeholders = new Placeholders(key, 'job')
    for (const way of ways) {
      const [before, secret, after] = make(randomOf(11))
      const text = way.make({ kind, before, secret, after })?.text
      if (text === undefined) continue
      const hidden = await placeholders.hide(text, none)
      assert.equal(placeholders.putBack(hidden.text), text)
      texts += Number(hidden.redactions.length > 0)
    }
  }
  assert.ok(texts > 1200)
})

test('the same secret has one placeholder in a job, also after a restart, and another in another job', async () => {
  const [before, secret] = planted('github classic')
  const first = new Placeholders(key, 'job-1')
  const one = await first.hide(`${before}${secret}`, none)
  assert.match(one.text, /^GITHUB_TOKEN=‹secret:github-token:[0-9a-z]{6}›$/)
  assert.deepEqual(one.redactions, [{ kind: 'github-token', count: 1 }])
  assert.equal((await first.hide(`again ${secret}!`, none)).text, `again ${one.text.slice(before.length)}!`)
  const restarted = new Placeholders(key, 'job-1')
  assert.equal(restarted.putBack(one.text), one.text, 'nothing is put back that was not seen again')
  assert.equal((await restarted.hide(`${before}${secret}`, none)).text, one.text)
  assert.equal(restarted.putBack(one.text), `${before}${secret}`)
  const other = new Placeholders(key, 'job-2')
  assert.notEqual((await other.hide(`${before}${secret}`, none)).text, one.text)
  assert.equal(other.putBack(one.text), one.text)
})

test('what was hidden is no secret any more, and a value is one wherever it stands later', async () => {
  const placeholders = new Placeholders(key, 'job')
  const [before, secret, after] = planted('password in yaml')
  const first = await placeholders.hide(before + secret + after, none)
  assert.deepEqual(await scan(first.text, none), [])
  const later = await placeholders.hide(`the log says: login with ${secret} failed`, none)
  assert.equal(later.text.includes(secret), false)
  assert.equal(placeholders.putBack(later.text), `the log says: login with ${secret} failed`)
})

test('a placeholder that comes in pieces is put back, and nothing else is held for long', async () => {
  const placeholders = new Placeholders(key, 'job')
  const [before, secret] = planted('password in json')
  const { text } = await placeholders.hide(`${before}${secret}"`, none)
  const mark = /‹.*›/.exec(text)?.[0] ?? ''
  const escaped = mark.replace('‹', '\\u2039').replace('›', '\\u203a')
  const answer = `a ‹ b ${mark}${mark} \\ \\n ‹secret:none:aaaaaa› c‹secret:x \\u20 ${escaped} end‹`
  const wanted = `a ‹ b ${secret}${secret} \\ \\n ‹secret:none:aaaaaa› c‹secret:x \\u20 ${JSON.stringify(secret).slice(1, -1)} end‹`
  for (let size = 1; size < 40; size += 1) {
    const stream = placeholders.stream()
    let made = ''
    for (let at = 0; at < answer.length; at += size) made += stream.push(answer.slice(at, at + size))
    assert.equal(made + stream.end(), wanted, `pieces of ${size}`)
  }
  const stream = placeholders.stream()
  assert.equal(stream.push(`‹${'x'.repeat(200)}`), `‹${'x'.repeat(200)}`)
})

test('in JSON it is put back as JSON, in arguments in every text, and an unknown one stays', async () => {
  const placeholders = new Placeholders(key, 'job')
  const secret = 'a "quoted" one\nof two lines 4711'
  const held = new KnownTexts([{ kind: 'Denied Text', value: secret }])
  const { text } = await placeholders.hide(JSON.stringify({ note: secret }), held)
  assert.match(text, /^\{"note":"‹secret:denied-text:[0-9a-z]{6}›"\}$/)
  const raw = await placeholders.hide(secret, held)
  assert.deepEqual(JSON.parse(placeholders.putBack(JSON.stringify({ note: raw.text }), { json: true })), { note: secret })
  assert.deepEqual(placeholders.putBackInside({ path: 'x', [raw.text]: [1, null, { deep: `<${raw.text}>` }], other: '‹secret:denied-text:000000›' }),
    { path: 'x', [secret]: [1, null, { deep: `<${secret}>` }], other: '‹secret:denied-text:000000›' })
})

test('a placeholder that stood in the text before is left alone', async () => {
  const placeholders = new Placeholders(key, 'job')
  const text = 'password: ‹secret:password:abcdef› and ‹secret:password:1›'
  assert.deepEqual(await placeholders.hide(text, none), { text, redactions: [], findings: [] })
  assert.equal(placeholders.putBack(text), text)
})

test('secrets are not put back where they could leave', () => {
  for (const tool of ['read', 'write', 'edit', 'glob', 'grep', 'plan', 'finish']) assert.equal(putsBackFor(tool, true), true)
  assert.equal(putsBackFor('bash', false), true)
  for (const tool of ['bash', 'fetch', 'mcp', 'ask_expert', 'server__tool', 'unheard-of']) assert.equal(putsBackFor(tool, true), false)
  for (const tool of ['fetch', 'mcp', 'ask_expert']) assert.equal(putsBackFor(tool, false), false)
})

test('a text inside a value is a secret by its own words, or as a whole by the name before it', async () => {
  const placeholders = new Placeholders(Buffer.alloc(16, 1), 'job')
  const value = { path: 'a.ts', content: 'const a = 1\npassword: "Tr0ub4dor&3"\nconst b = 2', login: { user: 'bob', password: 'hunter2x9', list: ['plain', { api_key: 'required' }] }, 'Tr0ub4dor&3': 1 }
  const { value: made, redactions, places } = await placeholders.hideInside(value, new KnownTexts())
  assert.match(JSON.stringify(made), /^\{"path":"a\.ts","content":"const a = 1\\npassword: \\"‹secret:password:\w{6}›\\"\\nconst b = 2","login":\{"user":"bob","password":"‹secret:password:\w{6}›","list":\["plain",\{"api_key":"required"\}\]\},"‹secret:password:\w{6}›":1\}$/)
  assert.deepEqual(redactions, [{ kind: 'password', count: 3 }])
  assert.deepEqual(places.map(({ at }) => at), ['content', 'login.password', ''])
  assert.deepEqual(placeholders.putBackInside(made), value)
})

test('the thoughts of a message are looked at as its words are', async () => {
  const sent: ModelRequest[] = []
  const token = 'ghp_0a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R'
  const info: ModelInfo = { id: 'desk', place: 'lan', contextTokens: 4096, profile: AgentProfile.parse({ toolMode: 'json' }) }
  const request = ModelRequest.parse({ messages: [{ role: 'user', text: 'Go on.' }, { role: 'assistant', text: 'Yes.', reasoning: `The token is ${token}.` }, { role: 'user', text: 'And now?' }] })
  const ask = async (secrets: 'redact' | 'hold'): Promise<ModelEvent[]> => Array.fromAsync(gated({
    info, host: 'desk.lan', may: () => ({ ok: true, secrets }), placeholders: new Placeholders(key, 'job'), held: () => Promise.resolve(none), approved: null, putsBack: () => false,
    inner: () => Promise.resolve({ info, generate: async function* (asked) { sent.push(asked); await Promise.resolve(); yield { type: 'text', text: 'ok' } } }),
  }).generate(request, new AbortController().signal))
  await ask('redact')
  const [, thought] = sent[0]?.messages ?? []
  assert.match(thought?.role === 'assistant' ? thought.reasoning ?? '' : '', /^The token is ‹secret:github-token:[0-9a-z]{6}›\.$/)
  const [refused] = await ask('hold')
  assert.match(refused?.type === 'failed' ? refused.fault.message : '', /github-token at messages\[1\]\.reasoning, line 1/)
  assert.equal(sent.length, 1)
})
