// `hearth provider` in an empty home, as somebody who never did it walks it: each stop says the next one, up to the first answer. The configuration keeps every byte that
// is the owner's own.
import assert from 'node:assert/strict'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { FaultError } from '@hearth/protocol/fault'
import { edited, readConfigFile, rewriteConfig } from '../../packages/cli/src/config-edit.ts'
import { Seller } from '../fixtures/seller.ts'
import { makeHome } from './cli.ts'

const today = new Date().toISOString().slice(0, 10)

test('an edit changes what it says, and keeps every other byte', () => {
  const owner = '{\n    "http": { "port": 0,   "maxInFlight": 4 },\n\n    "escalation": {\n        "modes": ["advise"],\n        "budget": {}\n    }\n}\n'
  assert.equal(edited(owner, [{ at: ['escalation', 'consent'], value: 'ask' }]), owner.replace('"budget": {}', '"budget": {},\n        "consent": "ask"'))
  assert.equal(edited(owner, [{ at: ['escalation', 'budget', 'dayUsdMicros'], value: 5 }]), owner.replace('"budget": {}', '"budget": {\n          "dayUsdMicros": 5\n        }'))
  assert.equal(edited(owner, [{ at: ['http', 'port'], value: 8080 }]), owner.replace('"port": 0', '"port": 8080'))
  assert.equal(edited(owner, [{ at: ['http', 'why'], value: 'so, {it} is: \\"x\\"' }]), owner.replace('"maxInFlight": 4', '"maxInFlight": 4, "why": "so, {it} is: \\\\\\"x\\\\\\""'))
  assert.equal(edited(owner, [{ at: ['escalation', 'modes', 1], value: 'step' }]), owner.replace('["advise"]', '["advise", "step"]'))
  assert.equal(edited('{}', [{ at: ['escalation', 'providers', 0], value: { id: 'a' } }]), '{\n  "escalation": {\n    "providers": [\n      {\n        "id": "a"\n      }\n    ]\n  }\n}')
  const windows = '{\r\n\t"http": {\r\n\t\t"port": 0\r\n\t}\r\n}\r\n'
  assert.equal(edited(windows, [{ at: ['http', 'maxInFlight'], value: 4 }]), windows.replace('0\r\n', '0,\r\n\t\t"maxInFlight": 4\r\n'))
  // Any edit of any such text is that edit of its value.
  const value = { k: ['v', { n: 1 }] }
  for (const text of [owner, '{"a":[],"b":{"c":[1,{"d":null}]}}', '{ "a" : [ ] , "b" : { "c" : [ 1 , 2 ] } }', '{\t"a":\n[\n]\n,"b":{"c":\n["}{][,\\"",-1.5e3]}}', '{}']) {
    for (const at of [['a', 0], ['b', 'c', 1], ['b', 'c', 2], ['b', 'x', 'y'], ['new'], ['a']]) {
      const before = JSON.parse(text) as { b?: unknown }
      // An index behind the end of no list is nobody's edit.
      if (before.b === undefined && at[1] === 'c') continue
      assert.deepEqual(JSON.parse(edited(text, [{ at, value }])), put(before, at, value), `${text} ${at.join('.')}`)
    }
  }
})

/** The same on the value. */
function put(here: unknown, at: readonly (string | number)[], value: unknown): unknown {
  const [step, ...rest] = at
  if (step === undefined) return value
  const made = (Array.isArray(here) || (here === undefined && typeof step === 'number') ? [...here as unknown[] | undefined ?? []] : { ...(here as object | undefined) }) as Record<string, unknown>
  made[step] = put(made[step], rest, value)
  return made
}

test('from an empty home to the first answer, each stop says the next', async (t) => {
  const home = makeHome(t, true)
  const seller = new Seller(() => 'ok')
  await seller.open()
  t.after(() => seller.close())
  const config = join(home.dir, 'config.json')
  const url = `http://127.0.0.1:${seller.port}/v1`
  const run = (words: readonly string[], input: string | null = null) => home.launch(words, input === null ? {} : { input }).done

  assert.deepEqual(await home.hearth('provider').then(({ code, stderr }) => [code, stderr]), [0, "There is no provider; 'hearth provider add NAME' writes one into the configuration.\n"])
  assert.equal((await home.hearth('provider', 'add', 'shop')).stderr.split('\n')[0], "hearth: 'shop' needs --url, its base address (with /v1); or is it --kind anthropic or --kind openai?")
  assert.equal((await home.hearth('provider', 'add', 'shop', '--url', url)).stderr.split('\n')[0], 'hearth: The key is read from standard input: one line of plain characters. --key-file names a file that holds it; --no-key is for a provider that asks for none.')

  const added = await run(['provider', 'add', 'shop', '--url', url], 'sk-shop-0123456789\n')
  const keyFile = join(home.dir, 'keys/shop.key')
  assert.equal(added.stderr, `The key is in ${keyFile} (0600).\n`)
  assert.equal(added.stdout, `${config} is written.

Before anything is bought
  - The provider 'shop' has no model.
    hearth provider add shop --model NAME --context TOKENS --max-output TOKENS
  - This box has no limit in money, and without one nothing is bought.
    hearth provider allow --budget 2/day
  - The consent of this box is 'never', so jobs buy nothing.
    hearth provider allow --consent ask (a person approves each packet; auto: within the budget)
`)
  assert.deepEqual([statSync(keyFile).mode & 0o777, readFileSync(keyFile, 'utf8')], [0o600, 'sk-shop-0123456789\n'])

  const model = await home.hearth('provider', 'add', 'shop', '--model', 'Big-1', '--context', '32000', '--max-output', '4000')
  assert.match(model.stdout, /^ {2}- The model 'shop\/big-1' has no price, so nothing is bought from it\.\n {4}hearth provider price shop\/big-1 --input USD --output USD/m)
  assert.match((await home.hearth('doctor')).stdout, /^! provider shop +The model 'shop\/big-1' has no price, so nothing is bought from it\n +hearth provider price shop\/big-1 --input USD --output USD/m)
  assert.deepEqual(await home.hearth('provider', 'test', 'shop', '--yes').then(({ code, stderr }) => [code, stderr]), [14, `hearth: The model 'shop/big-1' has no price, so nothing is bought from it.
hearth provider price shop/big-1 --input USD --output USD (for a million tokens, as the provider's page says today)
`])
  const priced = await home.hearth('provider', 'price', 'shop/big-1', '--input', '3', '--output', '15')
  // The daemon that the trial started still runs.
  assert.equal(priced.stdout.split('\n')[1], 'The daemon that runs reads it at its next start: hearth down, then hearth up.')
  await home.hearth('provider', 'allow', '--budget', '2/day')
  await home.hearth('down')
  assert.equal((await home.hearth('provider', 'allow', '--consent', 'ask')).stdout, `${config} is written.\nNothing is missing. Try it: hearth provider test shop\n`)
  assert.deepEqual(JSON.parse(readFileSync(config, 'utf8')), { escalation: {
    providers: [{ id: 'shop', kind: 'compatible', url, keyFile, models: [{ id: 'shop/big-1', model: 'Big-1', contextTokens: 32_000, maxOutputTokens: 4000, prices: [{ from: today, input: 3_000_000, cacheRead: 3_000_000, cacheWrite: 3_000_000, output: 15_000_000 }] }] }],
    budget: { dayUsdMicros: 2_000_000 }, consent: 'ask',
  } })

  seller.usage = { prompt_tokens: 14, completion_tokens: 1, prompt_tokens_details: { cached_tokens: 0 } }
  const unasked = await run(['provider', 'test', 'shop'], '')
  assert.deepEqual([unasked.code, unasked.stderr.split('\n')[0], seller.heard.length], [64, 'hearth: Nobody can be asked here, so nothing was sent; --yes sends it.', 0])
  const tried = await home.hearth('provider', 'test', 'shop', '--yes')
  assert.match(tried.stdout, new RegExp(`^To shop/big-1 at 127\\.0\\.0\\.1:${seller.port}: 'Answer with the one word: ok', an answer of at most 16 tokens; \\$0\\.00\\d+ at worst\\.\nIt answers: 'ok' after \\d+ ms, for \\$0\\.000057 \\(14 tokens read, 1 written\\)\\.\n`))
  assert.equal(seller.heard.length, 1)
  assert.match(seller.heard[0] ?? '', /authorization: Bearer sk-shop-0123456789/i)
  const shown = (await home.hearth('models', 'show', 'shop/big-1')).stdout
  assert.match(shown, /^bought +1 call for \$0\.000057; the last one /m)
  assert.doesNotMatch(shown, /Before anything/)
  assert.match((await home.hearth('egress')).stdout, /127\.0\.0\.1/)
  seller.answer = () => (socket) => socket.end('HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n')
  const refused = await home.hearth('provider', 'test', 'shop', '--yes')
  assert.equal(refused.code, 77)
  assert.match(refused.stderr, /^hearth: The provider 'shop' does not let us in: /)
})

test('what is not JSON is left alone, a link is followed, and a wrong word changes nothing', async (t) => {
  const home = makeHome(t)
  const config = join(home.dir, 'config.json')
  const commented = '// mine\n{ "http": { "port": null } }\n'
  writeFileSync(config, commented)
  const refused = await home.hearth('provider', 'allow', '--budget', '2/day')
  assert.equal(refused.code, 65)
  assert.match(refused.stderr, /so nothing was changed in it/)
  assert.equal(readFileSync(config, 'utf8'), commented)

  const linked = makeHome(t)
  mkdirSync(join(linked.dir, 'mine'))
  const real = join(linked.dir, 'mine/hearth.json')
  writeFileSync(real, '{ "http": { "port": null } }\n', { mode: 0o640 })
  symlinkSync(real, join(linked.dir, 'config.json'))
  await linked.hearth('provider', 'allow', '--consent', 'auto')
  assert.equal(readFileSync(real, 'utf8'), '{ "http": { "port": null }, "escalation": {"consent":"auto"} }\n')
  assert.equal(statSync(real).mode & 0o777, 0o640)
  const before = readFileSync(real, 'utf8')
  const key = join(linked.dir, 'keys/x.key')
  assert.notEqual((await linked.launch(['provider', 'add', 'x', '--url', 'ftp://x.example'], { input: 'sk-0123456789' }).done).code, 0)
  assert.equal(existsSync(key), false)
  for (const words of [['allow', '--consent', 'yes'], ['allow'], ['price', 'none/such', '--input', '1', '--output', '1'], ['add', 'anthropic', '--model', 'm', '--context', '1000', '--max-output', '100', '--input', '1', '--output', '1', '--no-key'], ['add', 'Big', '--no-key', '--url', 'https://x.example/v1'], ['add', 'x', '--no-key', '--url', 'ftp://x.example']]) {
    const wrong = await linked.hearth('provider', ...words)
    assert.notEqual(wrong.code, 0, words.join(' '))
    assert.equal(readFileSync(real, 'utf8'), before, words.join(' '))
  }
})

test('two commands at once lose nothing of each other', async (t) => {
  const home = makeHome(t)
  const path = join(home.dir, 'config.json')
  const slow = readConfigFile(path)
  assert.equal((await home.hearth('provider', 'allow', '--consent', 'ask')).stdout, `${path} is written.\nThere is no provider; 'hearth provider add NAME' writes one into the configuration.\n`)
  const written = readFileSync(path, 'utf8')
  let keys = 0
  assert.throws(() => rewriteConfig(slow, '{}', () => (keys += 1)), (error) => error instanceof FaultError && error.fault.code === 'conflict')
  assert.deepEqual([readFileSync(path, 'utf8'), keys], [written, 0])

  const names = ['a', 'b', 'c']
  const ran = await Promise.all(names.map((name) => home.launch(['provider', 'add', name, '--url', 'http://127.0.0.1:1/v1'], { input: `sk-of-${name}-0123456789` }).done))
  const value = JSON.parse(readFileSync(path, 'utf8')) as { escalation: { consent: string; providers: { id: string }[] } }
  assert.deepEqual(value.escalation.providers.map(({ id }) => id).toSorted(), names.filter((_, index) => ran[index]?.code === 0))
  assert.equal(value.escalation.consent, 'ask')
  assert.deepEqual(readdirSync(home.dir).filter((name) => name.endsWith('.new')), [])

  writeFileSync(`${path}.new`, '')
  const met = await home.hearth('provider', 'allow', '--consent', 'auto')
  assert.deepEqual([met.code, met.stderr.split('\n')[0]], [73, `hearth: ${path} cannot be created: another command writes it just now, or was ended while it did: then remove ${path}.new.`])
})

test('a model is there once; what is read-only or a link to nothing stays, and a file stays whose it is', async (t) => {
  const home = makeHome(t)
  const path = join(home.dir, 'config.json')
  writeFileSync(path, '{}\n', { mode: 0o640 })
  // Root gives it to the user of the daemon; for anybody else it is their own before and after.
  if (process.getuid?.() === 0) chownSync(path, 65534, 65534)
  const owner = ({ uid, gid, mode }: { uid: number; gid: number; mode: number }) => [uid, gid, mode & 0o777]
  const { uid, gid } = statSync(path)
  await home.launch(['provider', 'add', 'shop', '--url', 'http://127.0.0.1:1/v1'], { input: 'sk-shop-0123456789' }).done
  assert.deepEqual(owner(statSync(path)), [uid, gid, 0o640])
  assert.deepEqual([owner(statSync(join(home.dir, 'keys'))), owner(statSync(join(home.dir, 'keys/shop.key')))], [[uid, gid, 0o700], [uid, gid, 0o600]])

  const model = ['provider', 'add', 'shop', '--model', 'Big-1', '--context', '32000', '--max-output', '4000']
  assert.equal((await home.hearth(...model)).code, 0)
  const before = readFileSync(path, 'utf8')
  const again = await home.hearth(...model)
  assert.deepEqual([again.code, again.stderr], [65, "hearth: There is a model 'shop/big-1' already; hearth provider price sets its price, --id gives another one its name.\nNothing was changed.\n"])
  chmodSync(path, 0o440)
  const locked = await home.hearth('provider', 'allow', '--consent', 'ask')
  assert.deepEqual([locked.code, locked.stderr.split('\n')[0]], [73, `hearth: ${path} cannot be created: it is read-only; chmod u+w lets it be changed.`])
  assert.equal(readFileSync(path, 'utf8'), before)

  const linked = makeHome(t)
  symlinkSync(join(linked.dir, 'nowhere.json'), join(linked.dir, 'config.json'))
  assert.match((await linked.hearth('provider', 'allow', '--consent', 'ask')).stderr, /cannot be created: it is a link that leads nowhere\.\n/)
})
