// Pulling from a model hub: what a name means, split files, pinned commits, tokens, several connections, resume, and hubs that say too little. A real server that speaks the hub's API.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { ModelStore, type ModelStoreOptions } from '@hearth/engine'
import type { CatalogModel, EgressEntry, TransferEvent } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { writeGguf, smallGguf } from '../fixtures/gguf-writer.ts'
import { HubServer } from '../fixtures/hub-server.ts'

const MiB = 2 ** 20
const repo = 'some-org/Tiny-Test-GGUF'
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const gguf = (name: string, bytes: number): Buffer => Buffer.concat([writeGguf(smallGguf({ name })), randomBytes(bytes)])
const part = (n: number): Buffer => Buffer.concat([writeGguf(smallGguf({ name: 'Split', metadata: { 'split.count': { type: 'u32', value: 3 }, 'split.no': { type: 'u32', value: n } } })), randomBytes(2 * MiB)])

let dir = ''
let modelsDir = ''
let hub: HubServer
let rows: Omit<EgressEntry, 'id'>[] = []
const small = gguf('Small', 100_000)
const large = gguf('Large', 40 * MiB)
const split = [part(0), part(1), part(2)]

before(async () => { dir = await mkdtemp(join(tmpdir(), 'hub-')) })
after(async () => { await rm(dir, { recursive: true }) })
beforeEach(async () => {
  modelsDir = await mkdtemp(join(dir, 'models-'))
  rows = []
  hub = await new HubServer(repo, {
    'README.md': Buffer.from('# hi'), 'Tiny-Test-Q8_0.gguf': small, 'Tiny-Test-Q4_K_M.gguf': large, 'mmproj-F16.gguf': small, 'Tiny-Test-UD-IQ2_M.gguf': small,
    ...Object.fromEntries(split.map((bytes, i) => [`BF16/Tiny-Test-BF16-0000${i + 1}-of-00003.gguf`, bytes])), 'Tiny-Test-Q6_K-00001-of-00002.gguf': small,
  }).start()
})
afterEach(() => hub.close())

async function store(options: Partial<ModelStoreOptions> = {}, models: Partial<CatalogModel>[] = []): Promise<ModelStore> {
  const catalogPath = join(modelsDir, '..', `catalog-${randomBytes(4).toString('hex')}.json`)
  await writeFile(catalogPath, JSON.stringify({ version: 1, models }))
  const door = createDoor((entry) => {
    rows.push(entry)
    return Promise.resolve()
  })
  return new ModelStore({ catalogPath, modelsDir, door, hub: { url: hub.url, tokenFile: null }, pieceBytes: 8 * MiB, retryDelaysMs: [1, 1, 1], stallMs: 5000, ...options })
}

async function pull(shelf: ModelStore, name: string, options: { trustFirstUse?: boolean } = {}, signal = new AbortController().signal): Promise<TransferEvent[]> {
  const events: TransferEvent[] = []
  for await (const event of shelf.pull(name, signal, options)) events.push(event)
  const ends = events.filter((event) => event.type === 'done' || event.type === 'failed')
  assert.equal(ends.length, 1)
  assert.equal(events.at(-1), ends[0])
  return events
}

const endOf = (events: TransferEvent[]): string => {
  const end = events.at(-1)
  return end?.type === 'done' ? `${end.model.id} ${end.downloadedBytes}` : end?.type === 'failed' ? `${end.fault.code}: ${end.fault.message}` : '?'
}

test('a small file: the commit is pinned, the sha256 is the hub\'s, the record says where it came from', async () => {
  const shelf = await store()
  assert.equal(endOf(await pull(shelf, `hf:${repo}:Q8_0`)), `tiny-test-q8_0 ${small.length}`)
  const record = JSON.parse(await readFile(join(modelsDir, 'tiny-test-q8_0/hearth.json'), 'utf8')) as { files: { sha256: string }[]; imported: { from: string; by: string } }
  assert.equal(record.files[0]?.sha256, sha256(small))
  assert.equal(record.imported.from, `hf:${repo}@${hub.commit}`)
  assert.equal(record.imported.by, 'download')
  assert.ok((await shelf.resolve('tiny-test-q8_0')).ok)
  assert.equal(endOf(await pull(shelf, `hf:${repo}:q8_0`)), 'tiny-test-q8_0 0', 'a second pull fetches nothing; case does not matter')
  assert.ok(hub.asked.some((one) => one.path === `/${repo}/resolve/${hub.commit}/Tiny-Test-Q8_0.gguf`), 'never from the moving branch')
  assert.equal(rows.length, hub.asked.length, 'every connection is a row of the egress table')
  assert.deepEqual(await readdir(join(modelsDir, '.downloads')), [])
})

test('a split model: all parts come, and it counts as one', async () => {
  const shelf = await store()
  const events = await pull(shelf, `hf:${repo}:BF16`)
  assert.equal(endOf(events), `tiny-test-bf16 ${split.reduce((sum, bytes) => sum + bytes.length, 0)}`)
  assert.deepEqual((await readdir(join(modelsDir, 'tiny-test-bf16'))).sort(), ['Tiny-Test-BF16-00001-of-00003.gguf', 'Tiny-Test-BF16-00002-of-00003.gguf', 'Tiny-Test-BF16-00003-of-00003.gguf', 'hearth.json'])
  const end = events.at(-1)
  assert.ok(end?.type === 'done' && end.model.bytes === split.reduce((sum, bytes) => sum + bytes.length, 0))
})

test('a large file comes over four connections, cuts are mended, and the bytes are right', async () => {
  hub.cuts = 3
  let open: () => void = () => undefined
  const gate = new Promise<void>((resolve) => { open = resolve })
  hub.beforeBody = () => gate
  const shelf = await store()
  const pulled = pull(shelf, `hf:${repo}`)
  while (hub.mostAtOnce < 4 || hub.cuts > 0) await new Promise((resolve) => { setImmediate(resolve) })
  open()
  assert.equal(endOf(await pulled), `tiny-test-q4_k_m ${large.length}`, 'without a quantization it is Q4_K_M')
  assert.equal(hub.mostAtOnce, 4)
  assert.equal(sha256(await readFile(join(modelsDir, 'tiny-test-q4_k_m/Tiny-Test-Q4_K_M.gguf'))), sha256(large))
  assert.ok(hub.sentBytes < large.length * 1.02, `${hub.sentBytes - large.length} bytes came twice`)
})

test('an aborted pull of several connections goes on where it stopped', async () => {
  const shelf = await store({ connections: 2 })
  const abort = new AbortController()
  // Two pieces are given, and every later one waits until the end of the pull.
  let given = 0
  let third: () => void = () => undefined
  const asked = new Promise<void>((resolve) => { third = resolve })
  hub.beforeBody = () => {
    if (++given <= 2) return Promise.resolve()
    third()
    return new Promise<void>(() => undefined)
  }
  const running = pull(shelf, `hf:${repo}:Q4_K_M`, {}, abort.signal)
  await asked
  abort.abort('test')
  assert.match(endOf(await running), /^cancelled/)
  hub.beforeBody = () => Promise.resolve()
  const again = await pull(await store({ connections: 2 }), `hf:${repo}:Q4_K_M`)
  const source = again.find((event) => event.type === 'source')
  assert.ok(source?.type === 'source' && source.resumedBytes >= 8 * MiB && source.resumedBytes <= 16 * MiB, JSON.stringify(source))
  assert.equal(endOf(again), `tiny-test-q4_k_m ${large.length - source.resumedBytes}`)
  assert.equal(sha256(await readFile(join(modelsDir, 'tiny-test-q4_k_m/Tiny-Test-Q4_K_M.gguf'))), sha256(large))
})

test('a server without ranges is asked over one connection', async () => {
  hub.ignoreRanges = true
  const events = await pull(await store(), `hf:${repo}:Q4_K_M`)
  assert.ok(events.some((event) => event.type === 'note' && event.text === 'The server gives no ranges; the file is fetched over one connection.'))
  assert.equal(endOf(events), `tiny-test-q4_k_m ${large.length}`)
})

test('names that mean nothing are told what there is', async () => {
  const shelf = await store()
  assert.equal(endOf(await pull(shelf, `hf:${repo}:Q5_K_M`)),
    `bad_request: The request is not valid at hf:${repo}: it has no Q5_K_M file, only Tiny-Test-BF16, Tiny-Test-Q4_K_M, Tiny-Test-Q6_K, Tiny-Test-Q8_0, Tiny-Test-UD-IQ2_M.`)
  assert.equal(endOf(await pull(shelf, `hf:${repo}:Q6_K`)), `bad_request: The request is not valid at hf:${repo}: Tiny-Test-Q6_K has 1 of its 2 parts.`)
  assert.equal(endOf(await pull(shelf, `hf:${repo}:IQ2_M`)), `tiny-test-ud-iq2_m ${small.length}`, 'a longer name fits when nothing shorter does')
  assert.equal(endOf(await pull(shelf, 'hf:nobody')), 'bad_request: The request is not valid at the name of the model: it is not like hf:ORG/REPO:QUANT or hf:ORG/REPO:QUANT@REVISION.')
  assert.equal(endOf(await pull(shelf, 'hf:some-org/Other:Q8_0')), `source_failed: hf:some-org/Other:Q8_0 could not be fetched: ${new URL(hub.url).host}: there is no such repository or revision.`)
  hub.pageSize = 2
  assert.match(endOf(await pull(await store({ modelsDir: await mkdtemp(join(dir, 'models-')) }), `hf:${repo}:Q8_0@v1`)), /^tiny-test-q8_0 /, 'a tree of several pages; a tag')
})

test('without a sha256 nothing is fetched, unless the first use is trusted: then it is pinned', async () => {
  hub.hideHashes = true
  const shelf = await store()
  assert.match(endOf(await pull(shelf, `hf:${repo}:Q8_0`)), /^no_sha256: Nothing says which bytes of Tiny-Test-Q8_0\.gguf \(tiny-test-q8_0\) are right/)
  assert.ok(!hub.asked.some((one) => one.where === 'store'))
  assert.equal(endOf(await pull(shelf, `hf:${repo}:Q8_0`, { trustFirstUse: true })), `tiny-test-q8_0 ${small.length}`)
  const row = (await shelf.list()).find((one) => one.id === 'tiny-test-q8_0')
  assert.equal(row?.sha256, sha256(small))
})

test('a token goes to the hub and never to where it redirects; one that others may read is refused', async () => {
  hub.token = 'hf_abcdefgh'
  const tokenFile = join(modelsDir, '..', 'token')
  await writeFile(tokenFile, 'hf_abcdefgh\n', { mode: 0o600 })
  assert.match(endOf(await pull(await store(), `hf:${repo}:Q8_0`)), /it does not show this repository to strangers, or it does not exist; a token goes into the file that models\.hubTokenFile names/)
  const shelf = await store({ hub: { url: hub.url, tokenFile } })
  assert.equal(endOf(await pull(shelf, `hf:${repo}:Q8_0`)), `tiny-test-q8_0 ${small.length}`)
  assert.ok(hub.asked.filter((one) => one.where === 'store').every((one) => one.authorization === null))
  assert.ok(!JSON.stringify(await readdir(modelsDir, { recursive: true })).includes('hf_'))
  await chmod(tokenFile, 0o644)
  assert.equal(endOf(await pull(shelf, `hf:${repo}:BF16`)), `bad_file: ${tokenFile} cannot be used: it holds a token and others may read it; run chmod 600 on it.`)
})

test('an entry without sha256 takes it from the hub; the same bytes by their hub name are that model', async () => {
  const file = { name: 'tiny.gguf', bytes: null, sha256: null, sources: [{ type: 'hf' as const, repo, revision: null, path: 'Tiny-Test-Q8_0.gguf' }] }
  const entry = {
    id: 'tiny', name: 'Tiny', roles: ['agent' as const], license: null, summary: 'A test.', contextTokens: 4096, toolFormat: 'none' as const, profile: { toolMode: 'json' as const, tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 },
    kvBytesPerToken: null, aliases: ['tiny-alias'], unknown: { 'files[0].sha256': 'a test' },
    files: [file],
  }
  const shelf = await store({}, [entry])
  assert.equal(endOf(await pull(shelf, 'tiny-alias')), `tiny ${small.length}`)
  const resolved = await shelf.resolve('tiny-alias')
  assert.ok(resolved.ok && resolved.model.id === 'tiny')
  const pinned = await store({ modelsDir: await mkdtemp(join(dir, 'models-')) }, [{ ...entry, files: [{ ...file, sha256: sha256(small), bytes: small.length }] }])
  assert.equal(endOf(await pull(pinned, `hf:${repo}:Q8_0`)), `tiny ${small.length}`)
})

test('the owner\'s folder changes and adds entries, and an error names its file', async () => {
  const overlayDir = join(modelsDir, 'models.d')
  await mkdir(overlayDir)
  const base: Partial<CatalogModel> = {
    id: 'one', name: 'One', roles: ['agent'], license: null, summary: 'From the catalogue.', contextTokens: 4096, toolFormat: 'none', kvBytesPerToken: null,
    profile: { toolMode: 'json', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 }, files: [{ name: 'a.gguf', bytes: 1, sha256: null, sources: [] }],
  }
  await writeFile(join(overlayDir, '10-change.json'), JSON.stringify({ version: 1, models: [{ id: 'one', summary: 'Mine.' }] }))
  await writeFile(join(overlayDir, '20-add.json'), JSON.stringify({ version: 1, models: [{ ...base, id: 'two', aliases: ['second'] }] }))
  const shelf = await store({ overlayDir }, [base])
  assert.deepEqual((await shelf.list()).map((row) => [row.id, row.summary]), [['one', 'Mine.'], ['two', 'From the catalogue.']])
  const bad = join(overlayDir, '30-bad.json')
  for (const [text, message] of [
    ['{', /^The catalogue .*30-bad\.json is not valid at the top: it is not JSON/],
    [JSON.stringify({ version: 1, models: [{ id: 'three', name: 'Three' }] }), /^The catalogue .*30-bad\.json is not valid at models\[0\]\.roles: /],
    [JSON.stringify({ version: 1, models: [{ id: 'one', sumary: 'typo' }] }), /^The catalogue .*30-bad\.json is not valid at models\[0\]: Unrecognized key: "sumary"/],
    [JSON.stringify({ version: 1, models: [{ id: 'one', aliases: ['second'] }] }), /the name 'second' belongs to 'one' already/],
  ] as const) {
    await writeFile(bad, text)
    await assert.rejects(shelf.list(), (error: Error) => {
      assert.match(error.message, message)
      return true
    })
  }
})
