// The models of a box: listing, importing, verifying, removing, the default, and a catalogue that is broken.
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { copyFile, link, lstat, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, truncate, utimes, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { ModelStore, type ModelStoreOptions } from '@hearth/engine'
import { Catalog, FaultError, type Door, type Fault, type ModelRow, type TransferEvent } from '@hearth/protocol'
import { smallGguf, writeGguf, type GgufSpec } from '../fixtures/gguf-writer.ts'

const starter = process.env['HEARTH_TEST_MODEL'] ?? join(homedir(), '.cache/hearth-test/SmolLM2-135M-Instruct.Q4_1.gguf')
const shipped = join(import.meta.dirname, '../../models.json')
const catalogIds = Catalog.parse(JSON.parse(readFileSync(shipped, 'utf8'))).models.map((model) => model.id)
const closed: Door = {
  fetch: () => Promise.reject(new Error('nothing may be fetched here')),
  post: () => Promise.reject(new Error('nothing may be sent here')),
  helper: () => Promise.reject(new Error('no helper may be started here')),
}

let dir = ''
let modelsDir = ''
let files = ''
let store: ModelStore
before(async () => { dir = await mkdtemp(join(tmpdir(), 'store-')) })
after(async () => { await rm(dir, { recursive: true }) })
beforeEach(async () => {
  modelsDir = join(await mkdtemp(join(dir, 'box-')), 'models')
  files = await mkdtemp(join(dir, 'files-'))
  store = storeWith({})
})

const storeWith = (options: Partial<ModelStoreOptions>): ModelStore => new ModelStore({ catalogPath: shipped, modelsDir, door: closed, ...options })

async function gguf(name: string, spec: Parameters<typeof smallGguf>[0] = {}): Promise<string> {
  const path = join(files, name)
  await writeFile(path, writeGguf(smallGguf(spec)))
  return path
}

async function imported(path: string, rest: { id?: string; copy?: boolean } = {}): Promise<ModelRow> {
  const result = await store.importFile({ path, ...rest })
  assert.ok(result.ok, result.ok ? '' : result.fault.message)
  return result.model
}

async function refused(path: string, rest: { id?: string; copy?: boolean } = {}, by = store): Promise<Fault> {
  const result = await by.importFile({ path, ...rest })
  assert.ok(!result.ok, 'the import was accepted')
  return result.fault
}

async function verify(id: string): Promise<TransferEvent> {
  let last: TransferEvent | undefined
  for await (const event of store.verify(id, new AbortController().signal)) last = event
  assert.ok(last !== undefined)
  return last
}

async function problemOf(id: string): Promise<string | null> {
  const resolved = await store.resolve(id)
  assert.equal((await store.list()).find((row) => row.id === id)?.problem === null, resolved.ok, 'list and resolve disagree')
  return resolved.ok ? null : `${resolved.fault.code}: ${resolved.fault.message}`
}

test('the starter file becomes the model of the catalogue, with its profile, without a copy', async () => {
  const row = await imported(starter)
  assert.deepEqual([row.id, row.origin, row.installed, row.problem], ['smollm2-135m', 'catalog', true, null])
  assert.equal((await stat(join(modelsDir, 'smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf'))).ino, (await stat(starter)).ino)
  const resolved = await store.resolve('smollm2-135m')
  assert.ok(resolved.ok)
  assert.deepEqual([resolved.model.profile.fewShot?.bank, resolved.model.contextTokens, resolved.model.path], ['starter', 8192, row.path])
  assert.equal((await stat(modelsDir)).mode & 0o777, 0o700)
  assert.deepEqual(await imported(starter), row)
  assert.equal((await verify('smollm2-135m')).type, 'done')
})

test('a file the catalogue does not know gets an id, a name and a profile from itself', async () => {
  const path = await gguf('My Model-7B.Q4_K.GGUF', { name: 'My Model 7B' })
  const row = await imported(path)
  assert.deepEqual(row, {
    id: 'my-model-7b.q4_k', name: 'My Model 7B', license: null, roles: ['agent'], bytes: (await stat(path)).size, contextTokens: 4096, toolMode: 'json', installed: true,
    origin: 'imported', path: join(modelsDir, 'my-model-7b.q4_k/My Model-7B.Q4_K.GGUF'), problem: null, sha256: row.sha256,
    summary: `Imported from ${path}: llama with 0.00 billion parameters; its template has no tools that Hearth reads.`,
  })
  assert.match(row.sha256 ?? '', /^[0-9a-f]{64}$/)
  await rm(path)
  assert.equal(await problemOf(row.id), null, 'a hard link does not need the original')
})

test('the tool format is read from the markers of the template', async () => {
  const cases: [string, string, string][] = [
    ['{% if tools %}<tool_call>{{ x }}</tool_call>{% endif %}', 'native', 'hermes'],
    ['{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]', 'native', 'mistral'],
    ['{% if tools %}<|python_tag|>{% endif %}ipython', 'native', 'llama3'],
    ['{% if tools %}<tool_call><function=x>{% endif %}', 'native', 'qwen_xml'],
    ['{% if tools %}<tool_call>{{ x }}<arg_key>{% endif %}', 'native', 'glm'],
    ['{% if tools %}<|tool_call>call:{{ x }}{% endif %}', 'native', 'gemma4'],
    ['{% if tools %}<｜tool▁call▁begin｜>{{ x }}<｜tool▁sep｜>{% endif %}', 'native', 'deepseek'],
    ['{% if tools %}x{% endif %}<|channel|>final<|message|>', 'native', 'harmony'],
    ['{% if tools %}<|START_ACTION|>{% endif %}', 'json', 'none'],
    ['<tool_call> without an offer', 'json', 'none'],
    ['{{ messages }}', 'json', 'none'],
  ]
  for (const [n, [template, toolMode, toolFormat]] of cases.entries()) {
    const row = await imported(await gguf(`t${n}.gguf`, { template }))
    assert.equal(row.toolMode, toolMode)
    const resolved = await store.resolve(row.id)
    assert.ok(resolved.ok)
    assert.deepEqual([resolved.model.toolFormat, resolved.model.profile.fewShot, resolved.model.profile.tools], [toolFormat, null, null])
  }
})

test('the same bytes are one model, or one file under two ids', async () => {
  const first = await gguf('a.gguf', { name: 'A' })
  const row = await imported(first)
  await copyFile(first, join(files, 'b.gguf'))
  assert.equal((await imported(join(files, 'b.gguf'))).id, row.id)
  const named = await imported(join(files, 'b.gguf'), { id: 'second', copy: true })
  assert.equal(named.id, 'second')
  assert.equal((await stat(named.path ?? '')).ino, (await stat(row.path ?? '')).ino)
})

test('ids: a wished one, a taken one, and one made free', async () => {
  assert.equal((await imported(await gguf('x.gguf', { name: 'one' }), { id: 'mine' })).id, 'mine')
  const fault = await refused(await gguf('y.gguf', { name: 'two' }), { id: 'mine' })
  assert.deepEqual([fault.code, fault.message], ['conflict', "There is a model 'mine' already, with other bytes."])
  assert.equal((await refused(await gguf('z.gguf', { name: 'three' }), { id: 'smollm2-135m' })).code, 'conflict')
  assert.equal((await imported(await gguf('mine.gguf', { name: 'four' }))).id, 'mine-2')
})

test('a copy is a file of its own; another disk gets a symbolic link and the engine its target', async () => {
  const path = await gguf('c.gguf')
  const copied = await imported(path, { copy: true })
  assert.notEqual((await stat(copied.path ?? '')).ino, (await stat(path)).ino)
  const elsewhere = await mkdtemp('/dev/shm/store-')
  try {
    const far = join(elsewhere, 'far.gguf')
    await writeFile(far, writeGguf(smallGguf({ name: 'far away' })))
    const row = await imported(far)
    assert.equal(row.path, far)
    assert.ok((await lstat(join(modelsDir, 'far/far.gguf'))).isSymbolicLink())
    await rm(far)
    assert.equal(await problemOf('far'), `bad_file: ${join(modelsDir, 'far/far.gguf')} cannot be used: the file is gone; run 'hearth models rm far' and install it again.`)
  } finally {
    await rm(elsewhere, { recursive: true })
  }
})

test('a copy without room is refused, and nothing stays behind', async () => {
  const fault = await refused(await gguf('big.gguf'), { copy: true }, storeWith({ freeBytes: () => Promise.resolve(1000) }))
  assert.equal(fault.code, 'no_space')
  assert.deepEqual(await readdir(modelsDir), [])
})

test('what cannot be imported is refused with the reason', async () => {
  const cases: [string, string, string][] = [
    [join(files, 'none.gguf'), 'bad_file', 'cannot be used: there is no such file.'],
    [files, 'bad_file', 'cannot be used: it is not a regular file.'],
    [shipped, 'bad_gguf', 'is not a usable GGUF file: it does not begin with the letters GGUF but with the bytes 7b 0a 20 20.'],
  ]
  const cut = await gguf('cut.gguf')
  await truncate(cut, 300)
  cases.push([cut, 'bad_gguf', 'is not a usable GGUF file: it ends at byte 300 inside'])
  for (const [path, code, message] of cases) {
    const fault = await refused(path)
    assert.equal(fault.code, code)
    assert.ok(fault.message.startsWith(`${path} ${message}`), fault.message)
  }
  await assert.rejects(readdir(modelsDir))
})

test('a split model is taken whole', async () => {
  const split = (n: number): GgufSpec => {
    const metadata: GgufSpec['metadata'] = { 'split.no': { type: 'u16', value: n }, 'split.count': { type: 'u16', value: 3 } }
    return n === 0 ? smallGguf({ metadata }) : { metadata, tensors: [{ name: `t${n}`, dimensions: [64] }] }
  }
  for (const n of [0, 1]) await writeFile(join(files, `s-0000${n + 1}-of-00003.gguf`), writeGguf(split(n)))
  const first = join(files, 's-00001-of-00003.gguf')
  const third = join(files, 's-00003-of-00003.gguf')
  assert.equal((await refused(first)).message, `${third} cannot be used: there is no such file.`)
  await writeFile(third, writeGguf(split(2)))
  assert.equal((await refused(third)).message, `${third} cannot be used: it is a later part of a split model; name the first one.`)
  const row = await imported(first)
  assert.equal(row.id, 's')
  assert.deepEqual((await readdir(join(modelsDir, 's'))).sort(), ['hearth.json', 's-00001-of-00003.gguf', 's-00002-of-00003.gguf', 's-00003-of-00003.gguf'])
  await link(first, join(files, 'renamed.gguf'))
  assert.match((await refused(join(files, 'renamed.gguf'))).message, /it is split into 3 files, and its name is not like NAME-00001-of-00003\.gguf\.$/)
})

test('a file that changed is not used until it was read again', async () => {
  const path = await gguf('v.gguf')
  const { id } = await imported(path)
  const mine = join(modelsDir, 'v/v.gguf')
  const changed = `bad_file: ${mine} cannot be used: the file was changed or replaced since it was verified; run 'hearth models verify v'.`
  await utimes(mine, 1, 1)
  assert.equal(await problemOf(id), changed)
  assert.equal((await verify(id)).type, 'done')
  assert.equal(await problemOf(id), null)
  await copyFile(mine, `${mine}.x`)
  await rename(`${mine}.x`, mine)
  assert.equal(await problemOf(id), changed)
  assert.equal((await verify(id)).type, 'done')

  const bytes = await readFile(mine)
  bytes[bytes.length - 5] = 1
  await writeFile(mine, bytes)
  const failed = await verify(id)
  assert.ok(failed.type === 'failed')
  assert.match(failed.fault.message, /^\S+ cannot be used: its sha256 is [0-9a-f]{16}…, and [0-9a-f]{16}… was expected; import it again from a good copy\.$/)
  assert.match(await problemOf(id) ?? '', /^bad_file: .* was expected; import it again/)

  await truncate(mine, 100)
  assert.match(await problemOf(id) ?? '', /its sha256 is/)
  await rm(mine)
  const gone = await verify(id)
  assert.ok(gone.type === 'failed')
  assert.equal(gone.fault.message, `${mine} cannot be used: the file is gone; run 'hearth models rm v' and install it again.`)
})

test('a damaged catalogue model is fetched again by pull, from the same bytes under another id when they are here', async () => {
  await imported(starter)
  assert.equal((await imported(starter, { id: 'spare' })).id, 'spare')
  const mine = join(modelsDir, 'smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf')
  await rm(mine)
  assert.match(await problemOf('smollm2-135m') ?? '', /the file is gone/)
  const events: TransferEvent[] = []
  for await (const event of store.pull('smollm2-135m', new AbortController().signal)) events.push(event)
  assert.deepEqual(events[0], { type: 'note', text: "The same file is here as 'spare'; it is linked." })
  const last = events.at(-1)
  assert.ok(last?.type === 'done' && last.downloadedBytes === 0)
  assert.equal(await problemOf('smollm2-135m'), null)
})

test('remove takes away what is ours and leaves what was only linked', async () => {
  const path = await gguf('r.gguf')
  await imported(path)
  assert.deepEqual(await store.remove('r'), { ok: true })
  assert.ok((await stat(path)).isFile())
  assert.deepEqual(await readdir(modelsDir), [])
  const again = await store.remove('r')
  assert.equal(again.ok ? '' : again.fault.message, "There is no model 'r' here.")
  const starterGone = await store.remove('smollm2-135m')
  assert.equal(starterGone.ok ? '' : starterGone.fault.code, 'model_not_installed')
})

test('an unknown id is told the known ones', async () => {
  await imported(await gguf('k.gguf'))
  const resolved = await store.resolve('nothing')
  assert.deepEqual(resolved.ok ? null : [resolved.fault.message, resolved.fault.remedy],
    ["There is no model 'nothing' here.", `Use one of: ${[...catalogIds, 'k'].join(', ')}; or run 'hearth models import FILE.gguf'.`])
  const verified = await verify('nothing')
  assert.equal(verified.type === 'failed' ? verified.fault.code : '', 'unknown_model')
  const imports: TransferEvent[] = []
  for await (const event of store.pull('k', new AbortController().signal)) imports.push(event)
  assert.equal(imports[0]?.type === 'failed' ? imports[0].fault.message : '', "The model 'k' was imported from this box; there is nothing to fetch.")
})

test('a damaged record is a problem of its model alone', async () => {
  await imported(await gguf('d.gguf'))
  const record = join(modelsDir, 'd/hearth.json')
  await writeFile(record, '{"version": 1')
  assert.equal(await problemOf('d'), `bad_file: ${join(modelsDir, 'd')} cannot be used: its record ${record} is damaged; run 'hearth models rm d' and install it again.`)
  assert.equal((await store.list()).length, catalogIds.length + 1)
  assert.deepEqual(await store.remove('d'), { ok: true })
})

test('the default: the preferred one, else the largest usable one, else the fallback, else none', async () => {
  assert.equal(await store.default(null, 'smollm2-135m'), null)
  assert.equal(await store.default('wished', 'smollm2-135m'), 'wished')
  await imported(starter)
  assert.equal(await store.default(null, 'smollm2-135m'), 'smollm2-135m')
  await imported(await gguf('small.gguf'))
  await imported(await gguf('large.gguf', { name: 'large', tensors: [{ name: 't', dimensions: [64, 5000] }] }))
  assert.equal(await store.default(null, 'smollm2-135m'), 'large')
  await rm(join(modelsDir, 'large/large.gguf'))
  assert.equal(await store.default(null, 'smollm2-135m'), 'small')
})

test('a catalogue that does not fit is refused with its place', async () => {
  const path = join(files, 'models.json')
  const good = JSON.parse(await readFile(shipped, 'utf8')) as { version: number; models: Record<string, unknown>[] }
  const cases: [string, string, string][] = [
    ['{', 'the top', 'it is not JSON ('],
    [JSON.stringify({ ...good, version: 2 }), 'version', 'Invalid input: expected 1'],
    [JSON.stringify({ ...good, extra: 1 }), 'the top', 'Unrecognized key: "extra"'],
    [JSON.stringify({ ...good, models: [{ ...good.models[0], id: 'Big' }] }), 'models[0].id', 'Invalid string: must match pattern'],
    [JSON.stringify({ ...good, models: [good.models[0], good.models[0]] }), 'models[1].id', "'smollm2-135m' occurs twice"],
  ]
  for (const [text, where, problem] of cases) {
    await writeFile(path, text)
    const broken = storeWith({ catalogPath: path })
    await assert.rejects(broken.list(), (error) => {
      assert.ok(error instanceof FaultError && error.fault.code === 'bad_catalog')
      assert.ok(error.fault.message.startsWith(`The catalogue ${path} is not valid at ${where}: ${problem}`), error.fault.message)
      return true
    })
    const resolved = await broken.resolve('smollm2-135m')
    assert.equal(resolved.ok ? '' : resolved.fault.code, 'bad_catalog')
  }
  const missing = await storeWith({ catalogPath: join(files, 'no.json') }).resolve('x')
  assert.equal(missing.ok ? '' : missing.fault.message, `The catalogue ${join(files, 'no.json')} is not valid at the top: there is no such file.`)
})

test('a models folder that cannot be made is said so', async () => {
  const path = join(files, 'occupied')
  await writeFile(path, randomBytes(4))
  const fault = await refused(await gguf('o.gguf'), {}, storeWith({ modelsDir: join(path, 'models') }))
  assert.deepEqual([fault.code, fault.message], ['cannot_create', `${join(path, 'models')} cannot be created: a part of its path is not a folder.`])
  await mkdir(modelsDir, { recursive: true })
})
