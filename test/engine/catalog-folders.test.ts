// Models that other programs left on this disk, and what lies in the models folder for nothing. Real files in the layouts of those programs.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { copyFile, link, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { ModelStore } from '@hearth/engine'
import type { Door } from '@hearth/protocol'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'

const door: Door = { fetch: () => Promise.reject(new Error('no network here')), post: () => Promise.reject(new Error('no network here')), helper: () => Promise.resolve() }
const gguf = (name: string): Buffer => Buffer.concat([writeGguf(smallGguf({ name })), randomBytes(20_000)])
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')

let dir = ''
let modelsDir = ''
let cache = ''
let store: ModelStore
before(async () => { dir = await mkdtemp(join(tmpdir(), 'folders-')) })
after(async () => { await rm(dir, { recursive: true }) })
beforeEach(async () => {
  modelsDir = await mkdtemp(join(dir, 'models-'))
  cache = await mkdtemp(join(dir, 'cache-'))
  store = await storeOf([])
})

async function storeOf(models: unknown[]): Promise<ModelStore> {
  const catalogPath = join(cache, '..', `${randomBytes(4).toString('hex')}.json`)
  await writeFile(catalogPath, JSON.stringify({ version: 1, models }))
  return new ModelStore({ catalogPath, modelsDir, door })
}

async function put(path: string, bytes: Buffer | string): Promise<string> {
  await mkdir(dirname(join(cache, path)), { recursive: true })
  await writeFile(join(cache, path), bytes)
  return join(cache, path)
}

async function take(dryRun = false, path = cache) {
  const result = await store.importFolder({ path, dryRun })
  assert.ok(result.ok, result.ok ? '' : result.fault.message)
  return result.reply
}

test('Ollama: the manifest names the blob; it is linked under a name that says something', async () => {
  const weights = gguf('Q')
  const blob = await put(`models/blobs/sha256-${sha256(weights)}`, weights)
  const manifest = { schemaVersion: 2, layers: [{ mediaType: 'application/vnd.ollama.image.license', digest: `sha256:${'1'.repeat(64)}`, size: 1 }, { mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${sha256(weights)}`, size: weights.length }] }
  await put('models/manifests/host.example/library/qwen3/30b', JSON.stringify(manifest))
  await put('models/manifests/host.example/library/gone/latest', JSON.stringify({ layers: [{ mediaType: 'application/vnd.ollama.image.model', digest: `sha256:${'2'.repeat(64)}`, size: 1 }] }))
  await put('models/manifests/host.example/library/broken/latest', '{')
  const listed = await take(true)
  assert.equal(listed.kind, 'ollama')
  assert.deepEqual(listed.found.map(({ name, state }) => [name, state]), [['gone:latest', 'refused'], ['qwen3:30b', 'new']])
  assert.deepEqual(await store.list(), [])
  const taken = await take()
  assert.deepEqual(taken.found.map(({ name, state, id }) => [name, state, id]), [['gone:latest', 'refused', null], ['qwen3:30b', 'imported', 'qwen3-30b']])
  assert.match(taken.found[0]?.problem ?? '', /there is no such file/)
  assert.equal((await stat(join(modelsDir, 'qwen3-30b/qwen3-30b.gguf'))).ino, (await stat(blob)).ino, 'no byte was copied')
  assert.ok((await store.resolve('qwen3-30b')).ok)
  assert.deepEqual((await take()).found.map(({ state, id }) => [state, id]), [['refused', null], ['known', 'qwen3-30b']])
})

test('a hub cache: links of snapshots lead to blobs; two snapshots of one blob are one model', async () => {
  const weights = gguf('H')
  await put(`models--org--Some-GGUF/blobs/${sha256(weights)}`, weights)
  for (const commit of ['a'.repeat(40), 'b'.repeat(40)]) {
    await mkdir(join(cache, `models--org--Some-GGUF/snapshots/${commit}`), { recursive: true })
    await symlink(`../../blobs/${sha256(weights)}`, join(cache, `models--org--Some-GGUF/snapshots/${commit}/Some-Q4_K_M.gguf`))
  }
  const split = [0, 1].map((n) => writeGguf(smallGguf({ name: `Split ${n}`, metadata: { 'split.count': { type: 'u32', value: 2 }, 'split.no': { type: 'u32', value: n } } })))
  await mkdir(join(cache, `models--org--Other-GGUF/snapshots/${'c'.repeat(40)}`), { recursive: true })
  for (const [n, bytes] of split.entries()) {
    await put(`models--org--Other-GGUF/blobs/${sha256(bytes)}`, bytes)
    await symlink(`../../blobs/${sha256(bytes)}`, join(cache, `models--org--Other-GGUF/snapshots/${'c'.repeat(40)}/Other-0000${n + 1}-of-00002.gguf`))
  }
  const reply = await take()
  assert.equal(reply.kind, 'hub')
  assert.deepEqual(reply.found.map(({ name, state, id }) => [name, state, id]), [['org/Other-GGUF/Other-00001-of-00002.gguf', 'imported', 'other'], ['org/Some-GGUF/Some-Q4_K_M.gguf', 'imported', 'some-q4_k_m']])
})

test('plain folders: publisher/repo/file, split models as one, projectors and damaged files told apart', async () => {
  await put('lmstudio/Repo-GGUF/a-Q8_0.gguf', gguf('A'))
  for (const n of [0, 1]) {
    const metadata = { 'split.count': { type: 'u32' as const, value: 2 }, 'split.no': { type: 'u32' as const, value: n } }
    await put(`lmstudio/Split/s-0000${n + 1}-of-00002.gguf`, writeGguf(smallGguf({ name: 'S', metadata })))
  }
  await put('lmstudio/Repo-GGUF/mmproj-F16.gguf', gguf('P'))
  await put('lmstudio/bad.gguf', 'GGUF but not really')
  const reply = await take()
  assert.equal(reply.kind, 'files')
  assert.deepEqual(reply.found.map(({ name, state, id }) => [name, state, id]), [
    ['lmstudio/Repo-GGUF/a-Q8_0.gguf', 'imported', 'a-q8_0'], ['lmstudio/Split/s-00001-of-00002.gguf', 'imported', 's'], ['lmstudio/bad.gguf', 'refused', null],
  ])
  const missing = await store.importFolder({ path: join(cache, 'nowhere') })
  assert.equal(missing.ok ? '' : missing.fault.message, `${join(cache, 'nowhere')} cannot be used: there is no such file.`)
})

test('prune lists first, frees what it said, and touches nothing else', async () => {
  const same = gguf('Same')
  await put('one.gguf', same)
  const other = await mkdtemp(join(dir, 'other-'))
  await writeFile(join(other, 'two.gguf'), same)
  for (const [path, id] of [[join(cache, 'one.gguf'), 'one'], [join(other, 'two.gguf'), 'two']] as const) {
    const result = await store.importFile({ path, id, copy: true })
    assert.ok(result.ok, result.ok ? '' : result.fault.message)
  }
  // Two ids with the same bytes in two files, as two pulls of an older version left them.
  await rm(join(modelsDir, 'two/two.gguf'), { force: true })
  await rm(join(modelsDir, 'two/one.gguf'), { force: true })
  const [first = ''] = [join(modelsDir, 'one/one.gguf')]
  const record = JSON.parse(await readFile(join(modelsDir, 'two/hearth.json'), 'utf8')) as { files: { name: string; marks: { mtimeNs: string; inode: string } }[] }
  const twin = join(modelsDir, 'two', record.files[0]?.name ?? '')
  await copyFile(first, twin)
  const marks = await stat(twin, { bigint: true })
  Object.assign(record.files[0]?.marks ?? {}, { mtimeNs: String(marks.mtimeNs), inode: String(marks.ino) })
  await writeFile(join(modelsDir, 'two/hearth.json'), JSON.stringify(record))
  // A pull that was cut after its first part; a model that left the catalogue; a folder that is not ours.
  await mkdir(join(modelsDir, '.downloads/half'), { recursive: true })
  await writeFile(join(modelsDir, '.downloads/half/x.gguf.part'), randomBytes(8192))
  await mkdir(join(modelsDir, 'half'))
  await writeFile(join(modelsDir, 'half/x-00001-of-00002.gguf'), randomBytes(4096))
  await mkdir(join(modelsDir, 'old'))
  await writeFile(join(modelsDir, 'old/old.gguf'), randomBytes(12_288))
  await writeFile(join(modelsDir, 'old/hearth.json'), JSON.stringify({ ...record, id: 'old', imported: null, files: [{ ...record.files[0], name: 'old.gguf' }] }))
  await mkdir(join(modelsDir, 'photos'))
  await writeFile(join(modelsDir, 'photos/cat.jpg'), 'mine')

  const listed = await store.prune({ apply: false })
  assert.deepEqual(listed.items.map(({ kind, model }) => [kind, model]), [['unfinished', 'half'], ['leftover', 'old'], ['duplicate', 'two']])
  assert.equal(listed.done, false)
  assert.ok(listed.items.every((item) => item.bytes > 0))
  assert.notEqual((await stat(first)).ino, (await stat(twin)).ino, 'a list changes nothing')
  const done = await store.prune({ apply: true })
  assert.deepEqual([done.items.length, done.bytes, done.done], [3, listed.bytes, true])
  assert.equal((await stat(first)).ino, (await stat(twin)).ino)
  assert.ok((await store.resolve('two')).ok, 'a linked twin is still usable')
  assert.equal(await readFile(join(modelsDir, 'photos/cat.jpg'), 'utf8'), 'mine')
  for (const gone of ['.downloads/half', 'half', 'old']) await assert.rejects(stat(join(modelsDir, gone)))
  assert.deepEqual(await store.prune({ apply: false }), { items: [], bytes: 0, done: false })
  await link(first, join(cache, 'kept-name.gguf'))
})
