// A second Hearth as a provider: a real daemon behind its key and its port, asked through the chat dialect.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { KeyReply, Model } from '@hearth/protocol'
import { ask } from '../contract/model-contract.ts'
import { DaemonProcess, makePlace, real } from '../daemon/process.ts'
import { failure, remoteAt } from '../fixtures/provider.ts'

const place = makePlace()
const folder = join(place.root, 'scripts')
const scripts = {
  plain: { turns: [{ text: 'Hello from the other box.', usage: { promptTokens: 100, reusedTokens: 60, completionTokens: 7 } }] },
  calls: { turns: [{ text: 'I look.', calls: [{ name: 'weather', arguments: { town: 'Bern' } }, { name: 'weather', arguments: { town: 'Rome' } }] }] },
  json: { turns: [{ text: '{"town":"Bern"}' }] },
  broken: { turns: [{ text: 'first words', fault: { code: 'worker_exited', detail: { model: 'm', how: 'signal 9' } } }] },
  narrow: { contextTokens: 64, turns: [{ text: 'x' }] },
}
let daemon: DaemonProcess
let key: KeyReply
const closers: (() => void)[] = []
const request = { messages: [{ role: 'user' as const, text: 'How is the weather?' }], maxTokens: 50 }

function model(name: keyof typeof scripts | 'nothing', secret = key.secret): Model {
  const far = remoteAt('compatible', `${key.url ?? assert.fail('it does not listen')}/v1`, { model: { model: `scripted:${join(folder, `${name}.json`)}` } })
  writeFileSync(far.keyFile, secret)
  closers.push(far.close)
  return far.model
}

before(async () => {
  mkdirSync(folder)
  for (const [name, script] of Object.entries(scripts)) writeFileSync(join(folder, `${name}.json`), JSON.stringify({ version: 1, loop: true, ...script }))
  writeFileSync(join(place.home, 'config.json'), JSON.stringify({ http: { port: 0 } }))
  daemon = await DaemonProcess.start(place, real)
  key = await daemon.client.call<KeyReply>('POST', '/api/keys', { name: 'other box', models: [...Object.keys(scripts), 'nothing'].map((name) => `scripted:${join(folder, `${name}.json`)}`) })
})
after(async () => {
  closers.forEach((close) => close())
  await daemon.kill('SIGTERM')
  place.clear()
})

test('text, counts, calls and a schema come over', async () => {
  const said = await ask(model('plain'), request)
  assert.equal(said.text, 'Hello from the other box.')
  assert.deepEqual(said.end.usage, { promptTokens: 100, reusedTokens: 60, completionTokens: 7 })
  const weather = { name: 'weather', description: 'Tells the weather.', parameters: { type: 'object', properties: { town: { type: 'string' } } } }
  const called = await ask(model('calls'), { ...request, tools: [weather] })
  assert.deepEqual(called.events.flatMap((event) => (event.type === 'tool_call' ? [event.call.arguments] : [])), [{ town: 'Bern' }, { town: 'Rome' }])
  assert.equal((await ask(model('json'), { ...request, responseFormat: { type: 'json_schema', schema: { type: 'object', properties: { town: { type: 'string' } } } } })).text, '{"town":"Bern"}')
})

test('its faults keep their names on the way', async () => {
  const codes = async (made: Model, text = 'x'): Promise<string> => failure(await ask(made, { ...request, messages: [{ role: 'user', text }] })).code
  assert.equal(await codes(model('narrow'), 'word '.repeat(100)), 'context_overflow')
  assert.equal(await codes(model('broken')), 'provider_failed')
  assert.equal(await codes(model('plain', 'wrong-key')), 'provider_auth')
  assert.equal(await codes(model('nothing')), 'provider_rejected')
})
