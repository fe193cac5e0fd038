// `hearth models show` and the endpoints in `hearth models ls`, with the real daemon, the shipped catalogue and a real server on the network.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { EndpointConfig, type ModelDetail, type ModelList } from '@hearth/protocol'
import { endpointRows } from '@hearth/engine'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { makeHome, type Home } from './cli.ts'

/** Knows one model; wants the key `good` on /keyed, answers nothing on /deaf. */
async function server(t: TestContext): Promise<string> {
  const listening = createServer((request, answer) => {
    if (request.url === '/deaf/models') return
    const inside = request.url !== '/keyed/models' || request.headers.authorization === 'Bearer good'
    answer.writeHead(inside ? 200 : 401).end(inside ? JSON.stringify({ object: 'list', data: [{ id: 'Big-235B' }] }) : 'who are you')
  })
  await new Promise<void>((resolve) => { listening.listen(0, '127.0.0.1', resolve) })
  t.after(() => {
    listening.closeAllConnections()
    listening.close()
  })
  return `http://127.0.0.1:${(listening.address() as AddressInfo).port}`
}

const endpoint = (id: string, url: string, more: Record<string, unknown> = {}) => ({ id, url, model: 'Big-235B', contextTokens: 65_536, ...more })

function homeWith(t: TestContext, endpoints: readonly unknown[]): Home {
  const home = makeHome(t, true)
  writeFileSync(join(home.dir, 'config.json'), JSON.stringify({ engine: { endpoints } }))
  return home
}

test('endpoints are listed, and asked only when that is wished', async (t) => {
  const url = await server(t)
  const home = homeWith(t, [endpoint('big', `${url}/v1`, { local: true }), endpoint('shut', `${url}/keyed/`), endpoint('other', `${url}/v1`, { model: 'Small-1B' }), endpoint('gone', 'http://127.0.0.1:9/v1')])
  const plain = (await home.hearth('models', 'ls', '--installed')).stdout
  assert.match(plain, /^ENDPOINT +PLACE +CONTEXT +ANSWERS +ADDRESS, MODEL$/m)
  assert.ok(plain.includes(`big       LAN, as this box   65,536  ?        ${url}/v1, Big-235B\n`), plain)
  const { endpoints } = JSON.parse((await home.hearth('models', 'ls', '--check', '--json')).stdout) as ModelList
  assert.deepEqual(endpoints?.map((one) => [one.id, one.countsAsLocal, one.check?.ok, one.check?.detail]), [
    ['big', true, true, 'answers'], ['shut', false, false, 'it does not let us in (status 401)'], ['other', false, false, "it answers and does not list 'Small-1B'"],
    ['gone', false, false, 'nobody listens there'],
  ])
  assert.match((await home.hearth('models', 'ls', '--check')).stdout, /^big +LAN, as this box +65,536 +answers in \d+ ms +http/m)
  assert.equal((await home.hearth('models', 'show', 'big')).stdout, [
    'endpoint    big', `address     ${url}/v1`, 'model       Big-235B', 'place       another machine of this network; the owner lets it count as this box', 'key         none',
    'context     65,536 tokens', 'tool calls  by its own template', '',
  ].join('\n'))
})

test('what providers sell is listed with the price of today', async (t) => {
  const home = makeHome(t, true)
  const model = (id: string, prices: readonly object[]) => ({ id, model: id.slice(4), contextTokens: 200_000, maxOutputTokens: 8192, prices })
  const price = (from: string, input: number, output: number) => ({ from, input, cacheRead: 1, cacheWrite: 1, output })
  writeFileSync(join(home.dir, 'config.json'), JSON.stringify({ escalation: { providers: [{
    id: 'far', kind: 'compatible', url: 'https://far.example/v1', keyFile: '/nowhere/key',
    models: [model('far/big', [price('2026-01-01', 9_000_000, 9_000_000), price('2026-02-01', 3_000_000, 15_000_000), price('2999-01-01', 1, 1)]), model('far/new', [])],
  }] } }))
  const said = (await home.hearth('models', 'ls', '--installed')).stdout
  assert.ok(said.includes([
    'SOLD     PLACE   CONTEXT  A MILLION TOKENS                   ASKED FOR  LAST    COST  PROVIDER, MODEL',
    'far/big  remote  200,000  $3.00 in, $15.00 out (2026-02-01)  not yet    never  $0.00  far, big',
    'far/new  remote  200,000  no price                           not yet    never  $0.00  far, new',
    'What is missing: hearth models show far/big', '',
  ].join('\n')), said)
  assert.equal((await home.hearth('models', 'show', 'far/new')).stdout, `sold        far/new
provider    far (compatible), https://far.example/v1
model       new
place       outside of this house
key         from its key file
context     200,000 tokens, answers of at most 8,192
tool calls  by its own template
price       no price: refused until one is set
asked for   advise
bought      nothing yet

Before anything is bought
  - The key of 'far' cannot be used: its key file /nowhere/key cannot be read (ENOENT).
    Put the key into /nowhere/key, one line, and: chmod 600 /nowhere/key
  - The model 'far/new' has no price, so nothing is bought from it.
    hearth provider price far/new --input USD --output USD (for a million tokens, as the provider's page says today)
  - This box has no limit in money, and without one nothing is bought.
    hearth provider allow --budget 2/day
  - The consent of this box is 'never', so jobs buy nothing.
    hearth provider allow --consent ask (a person approves each packet; auto: within the budget)
`)
  assert.match((await home.hearth('models', 'show', 'far/big')).stdout, /^price +a million tokens: \$3\.00 read, \$0\.000001 out of its cache, \$0\.000001 into it, \$15\.00 written; set for 2026-02-01 and later$/m)
})

test('who mistypes an id is told all there are, also those on other machines', async (t) => {
  const home = makeHome(t, true)
  const sold = { id: 'far/big', model: 'big', contextTokens: 200_000, maxOutputTokens: 8192, prices: [] }
  writeFileSync(join(home.dir, 'config.json'), JSON.stringify({
    engine: { endpoints: [endpoint('near', 'http://127.0.0.1:9/v1')] }, escalation: { providers: [{ id: 'far', kind: 'compatible', url: 'https://far.example/v1', keyFile: '/nowhere/key', models: [sold] }] },
  }))
  const { code, stderr } = await home.hearth('models', 'show', 'far')
  assert.equal(code, 65)
  assert.match(stderr, /^hearth: There is no model 'far' here\.\nUse one of: .*, near, far\/big; or run 'hearth models import FILE\.gguf'\.\n$/)
})

test('a check sends the key of its file, passes the door and does not wait for ever', async (t) => {
  const url = await server(t)
  const home = makeHome(t)
  const keyFile = join(home.dir, 'key')
  writeFileSync(keyFile, 'good\n')
  chmodSync(keyFile, 0o600)
  const rows: { purpose: string; host: string }[] = []
  const door = createDoor(async ({ purpose, host }) => void rows.push({ purpose, host }))
  const parsed = [endpoint('keyed', `${url}/keyed`, { keyFile }), endpoint('deaf', `${url}/deaf`)].map((one) => EndpointConfig.parse(one))
  const asked = await endpointRows(parsed, door, true, 300)
  assert.deepEqual(asked.map((one) => [one.id, one.key, one.check?.ok, one.check?.detail]), [['keyed', true, true, 'answers'], ['deaf', false, false, 'no answer in 0.3 s']])
  assert.deepEqual(rows, [0, 1].map(() => ({ purpose: 'lan-endpoint', host: url.slice(7) })))
  assert.ok(!JSON.stringify(asked).includes('good'))
  chmodSync(keyFile, 0o644)
  assert.equal((await endpointRows(parsed.slice(0, 1), door, true))[0]?.check?.detail, `The endpoint 'keyed' does not let us in: others may read its key file ${keyFile} (mode 644).`)
  assert.equal((await endpointRows(parsed, door, false))[0]?.check, undefined)
  assert.equal(rows.length, 2, 'what may not be used is not asked for')
})

test('show prints all that an entry knows', async (t) => {
  const home = homeWith(t, [])
  const entry = JSON.parse((await home.hearth('models', 'show', 'qwen3.6-35b', '--json')).stdout) as ModelDetail
  assert.equal(entry.row?.id, 'qwen3.6-35b-a3b', 'an alias will do')
  const { stdout } = await home.hearth('models', 'show', 'qwen3.6-35b')
  const file = entry.entry?.files[0]
  for (const line of [
    'qwen3.6-35b-a3b  Qwen3.6 35B-A3B, UD-Q4_K_XL', 'state       not on this disk; hearth models pull qwen3.6-35b-a3b', 'licence     Apache-2.0', 'context     262,144 tokens as trained',
    'KV cache    20,480 bytes a token', 'sampling    temperature 0.6, topK 20, topP 0.95, minP 0, repeatPenalty 1', '  writing  62.8 tokens/s, behind 0 tokens; Strix Halo 128 GB, Vulkan RADV', '  Qwen3.6-35B-A3B-UD-Q4_K_XL.gguf  22,360,456,160 bytes', `    sha256 ${file?.sha256}`,
    '    from hub unsloth/Qwen3.6-35B-A3B-GGUF, Qwen3.6-35B-A3B-UD-Q4_K_XL.gguf, commit a483e9e6cbd595906af30beda3187c2663a1118c',
    'Speeds that others published; nothing of this box', '  reading  1,243 tokens/s, behind 0 tokens; Strix Halo 128 GB, Vulkan RADV', '           by kyuz0/amd-strix-halo-toolboxes results, 2026-08',
  ]) assert.ok(stdout.split('\n').includes(line), `${line}\nis not in\n${stdout}`)
  assert.match(stdout, /^fits {8}(one conversation of|no;|yes,)/m)
  for (const note of entry.entry?.notes ?? []) assert.ok(stdout.includes(`  - ${note}\n`), note)
})

test('show prints what a profile of the owner says', async (t) => {
  const home = homeWith(t, [])
  mkdirSync(join(home.dir, 'models.d'))
  const profile = { toolMode: 'native', maxTools: 6, editFormat: 'write', prompt: { how: 'add', text: 'Write short lines.' }, reasoning: { ask: 'off' }, stop: ['\nUser:'], minContextTokens: 4096 }
  writeFileSync(join(home.dir, 'models.d/mine.json'), JSON.stringify({ version: 1, models: [{ id: 'qwen3-8b', profile }] }))
  const { stdout } = await home.hearth('models', 'show', 'qwen3-8b')
  for (const line of [
    'tools          at most 6', 'changes files  by writing them whole', "own words      behind Hearth's: Write short lines.", 'thoughts       asked for: off; dropped from the prompt',
    'stops at       "\\nUser:"', 'set up for     a window from 4,096 tokens on',
  ]) assert.ok(stdout.split('\n').includes(line), `${line}\nis not in\n${stdout}`)
})

test('every entry of the catalogue has a page, and what is not known says why', async (t) => {
  const home = homeWith(t, [])
  const { models } = JSON.parse((await home.hearth('models', 'ls', '--json')).stdout) as ModelList
  const withUnknown = []
  for (const { id } of models) {
    const { code, stdout } = await home.hearth('models', 'show', id)
    assert.equal(code, 0, id)
    if (stdout.includes('\nNot known\n')) withUnknown.push(id)
    assert.doesNotMatch(stdout, /undefined|\[object/, id)
  }
  assert.ok(withUnknown.length > 0)
  const missing = await home.hearth('models', 'show', 'nobody')
  assert.equal(missing.code, 65)
  assert.match(missing.stderr, /^hearth: There is no model 'nobody' here\.\n/)
})
