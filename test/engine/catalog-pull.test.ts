// Pulling a model over HTTP: resume, retries, servers that cut and lie, wrong bytes, full disks, a killed process. Real sockets, real files, the daemon's real door.
import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { promisify } from 'node:util'
import { ModelStore, type ModelStoreOptions } from '@hearth/engine'
import { AgentProfile, type Catalog, type EgressEntry, type Fault, type TransferEvent } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { FileServer, type Behaviour } from '../fixtures/file-server.ts'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'

const MiB = 2 ** 20
const header = writeGguf(smallGguf())
// A valid header with weights that no two parts of the file share.
const file = Buffer.concat([header, randomBytes(3 * MiB)])
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const profile = AgentProfile.parse({ toolMode: 'json', sampling: {}, maxCallTokens: 100 })
const program = join(import.meta.dirname, '../fixtures/pull-program.ts')

let dir = ''
let modelsDir = ''
let server: FileServer
let rows: Omit<EgressEntry, 'id'>[] = []
before(async () => { dir = await mkdtemp(join(tmpdir(), 'pull-')) })
after(async () => { await rm(dir, { recursive: true }) })
beforeEach(async () => {
  modelsDir = await mkdtemp(join(dir, 'models-'))
  rows = []
  server = await new FileServer(file).start()
})
afterEach(() => server.close())

type FileChange = { bytes?: number | null; sha256?: string | null; urls?: string[] }

async function catalogWith(change: FileChange = {}): Promise<string> {
  const catalog: Catalog = {
    version: 1,
    models: [{
      id: 'm', name: 'M', roles: ['agent'], license: null, summary: 'A test.', contextTokens: 4096, toolFormat: 'none', kvBytesPerToken: null, aliases: [], unknown: {}, notes: [], reported: [],
      profile,
      files: [{
        name: 'm.gguf', bytes: change.bytes === undefined ? file.length : change.bytes, sha256: change.sha256 === undefined ? sha256(file) : change.sha256,
        sources: (change.urls ?? [server.url()]).map((url) => ({ type: 'https', url })),
      }],
    }],
  }
  const path = join(modelsDir, '..', `catalog-${randomBytes(4).toString('hex')}.json`)
  await writeFile(path, JSON.stringify(catalog))
  return path
}

async function storeWith(change: FileChange = {}, options: Partial<ModelStoreOptions> = {}): Promise<ModelStore> {
  const door = createDoor((entry) => {
    rows.push(entry)
    return Promise.resolve()
  })
  return new ModelStore({ catalogPath: await catalogWith(change), modelsDir, door, retryDelaysMs: [1, 1, 1], ...options })
}

async function pull(store: ModelStore, options: { trustFirstUse?: boolean } = {}, signal = new AbortController().signal): Promise<TransferEvent[]> {
  const events: TransferEvent[] = []
  for await (const event of store.pull('m', signal, options)) events.push(event)
  assert.equal(events.filter((event) => event.type === 'done' || event.type === 'failed').length, 1)
  return events
}

function failure(events: TransferEvent[]): Fault {
  const last = events.at(-1)
  assert.ok(last?.type === 'failed', `it ended with ${JSON.stringify(last)}`)
  return last.fault
}

function downloaded(events: TransferEvent[]): number {
  const last = events.at(-1)
  assert.ok(last?.type === 'done', `it ended with ${JSON.stringify(last)}`)
  return last.downloadedBytes
}

const sources = (events: TransferEvent[]): number[] => events.flatMap((event) => event.type === 'source' ? [event.resumedBytes] : [])
const notes = (events: TransferEvent[]): string[] => events.flatMap((event) => event.type === 'note' ? [event.text] : [])
const kept = async (): Promise<string[]> => (await readdir(modelsDir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name).sort()
const host = (): string => new URL(server.url()).host

/** Waits until so many bytes of the part are on disk. */
async function partOf(bytes: number): Promise<void> {
  const part = join(modelsDir, '.downloads/m/m.gguf.part')
  for (let size = 0; size < bytes;) size = await stat(part).then((found) => found.size, () => 0)
}

/** A part on disk as an interrupted pull leaves it. */
async function leftover(bytes: Buffer, note: object | null = { url: server.url(), etag: '"one"', lastModified: null, totalBytes: file.length }): Promise<void> {
  const work = join(modelsDir, '.downloads/m')
  await mkdir(work, { recursive: true })
  await writeFile(join(work, 'm.gguf.part'), bytes)
  if (note !== null) await writeFile(join(work, 'm.gguf.part.json'), JSON.stringify(note))
}

test('a pull installs the file whole, privately, with its record, and one egress row', async () => {
  const store = await storeWith()
  assert.deepEqual((await store.resolve('m')), { ok: false, fault: { code: 'model_not_installed', origin: 'client', message: "The model 'm' is in the catalogue but not on this disk.", remedy: "Run 'hearth models pull m'." } })
  await rm(modelsDir, { recursive: true })
  const events = await pull(store)
  const path = join(modelsDir, 'm/m.gguf')
  assert.deepEqual(events[0], { type: 'source', file: 'm.gguf', source: host(), totalBytes: file.length, resumedBytes: 0 })
  assert.deepEqual(events.at(-1), {
    type: 'done', downloadedBytes: file.length,
    model: { id: 'm', name: 'M', summary: 'A test.', license: null, roles: ['agent'], bytes: file.length, contextTokens: 4096, toolMode: 'json', installed: true, origin: 'catalog', path, sha256: sha256(file), problem: null },
  })
  assert.ok(file.equals(await readFile(path)))
  assert.equal((await stat(modelsDir)).mode & 0o777, 0o700)
  assert.deepEqual(await kept(), ['hearth.json', 'm.gguf'])
  assert.deepEqual(rows.map(({ purpose, host: to, jobId }) => [purpose, to, jobId]), [['model-download', host(), null]])
  const resolved = await store.resolve('m')
  assert.ok(resolved.ok)
  assert.deepEqual(resolved.model, { id: 'm', path, contextTokens: 4096, toolFormat: 'none', profile })
  assert.equal(downloaded(await pull(store)), 0)
  assert.equal(server.asked.length, 1)
})

test('cut connections are resumed where they were cut', async () => {
  server.next.push({ cutAfter: MiB }, { cutAfter: 100_000 }, { cutAfter: 100_000 })
  const events = await pull(await storeWith())
  assert.equal(downloaded(events), file.length)
  assert.equal(server.asked[0]?.range, null)
  assert.deepEqual(server.asked.slice(1).map(({ ifRange }) => ifRange), ['"one"', '"one"', '"one"'])
  // What was on its way when the connection died may be lost, so the bytes sent are a little more than the file.
  const resumed = sources(events)
  assert.deepEqual(resumed, resumed.toSorted((a, b) => a - b))
  assert.ok((resumed.at(-1) ?? 0) > MiB / 2 && server.sentBytes < file.length + MiB, `${server.sentBytes} bytes were sent`)
  assert.ok(file.equals(await readFile(join(modelsDir, 'm/m.gguf'))))
})

test('after three retries without progress the source is given up, and the part stays for the next pull', async () => {
  await leftover(file.subarray(0, MiB))
  server.next.push({ cutAfter: 0 }, { cutAfter: 0 }, { cutAfter: 0 }, { cutAfter: 0 })
  const { code, message } = failure(await pull(await storeWith()))
  assert.deepEqual([code, message], ['source_failed', `m.gguf could not be fetched: ${host()}: the connection failed (ECONNRESET) (tried 4 times).`])
  const again = await pull(await storeWith())
  assert.ok(downloaded(again) < file.length && (sources(again)[0] ?? 0) > 0)
})

test('a stalled connection counts as cut', async () => {
  server.next.push({ stallAfter: MiB })
  const events = await pull(await storeWith({}, { stallMs: 200 }))
  assert.deepEqual(notes(events), ['no byte came for 0.2 s; trying again in 0.001 s.'])
  assert.equal(downloaded(events), file.length)
})

test('a cancelled pull keeps its part and the next one fetches only the rest', async () => {
  server.next.push({ stallAfter: 2 * MiB })
  const control = new AbortController()
  const stalled = server.stalled().then(() => partOf(2 * MiB)).then(() => { control.abort('the owner') })
  const fault = failure(await pull(await storeWith(), {}, control.signal))
  await stalled
  assert.deepEqual([fault.code, fault.message], ['cancelled', 'Cancelled by the owner.'])
  assert.deepEqual(await kept(), ['m.gguf.part', 'm.gguf.part.json'])
  const events = await pull(await storeWith())
  assert.equal(downloaded(events), file.length - 2 * MiB)
  assert.deepEqual(server.asked.at(-1), { url: '/m.gguf', range: `bytes=${2 * MiB}-`, ifRange: '"one"' })
})

test('a killed process leaves a part that the next pull goes on with', async () => {
  server.next.push({ stallAfter: 2 * MiB })
  const stalled = server.stalled()
  const child = spawn(process.execPath, [program, await catalogWith(), modelsDir, 'm'], { stdio: 'ignore' })
  const exited = new Promise((resolve) => child.once('exit', (_code, signal) => { resolve(signal) }))
  await stalled
  await partOf(2 * MiB)
  child.kill('SIGKILL')
  assert.equal(await exited, 'SIGKILL')
  const events = await pull(await storeWith())
  assert.deepEqual(sources(events), [2 * MiB])
  assert.equal(downloaded(events), file.length - 2 * MiB)
})

test('a server that ignores or lies about ranges is asked for the whole file', async () => {
  const cases: [Behaviour, string][] = [
    [{ ignoreRange: true }, 'The server does not resume; the file is fetched from the beginning.'],
    [{ rangeFrom: 5 }, 'The server sends another range than was asked for; it is fetched from the beginning.'],
    [{ etag: '"two"' }, 'The server does not resume; the file is fetched from the beginning.'],
    [{ body: Buffer.concat([file, file]) }, 'The file on the server has another size now; it is fetched from the beginning.'],
  ]
  for (const [behaviour, note] of cases) {
    await rm(join(modelsDir, 'm'), { recursive: true, force: true })
    await leftover(file.subarray(0, MiB))
    server.next.push(behaviour)
    const events = await pull(await storeWith())
    assert.deepEqual(notes(events), [note])
    assert.equal(downloaded(events), file.length)
  }
})

test('a part with wrong bytes is found by the hash and fetched again from the beginning', async () => {
  await leftover(Buffer.alloc(MiB))
  const events = await pull(await storeWith())
  assert.deepEqual(notes(events), ['The resumed file has a wrong sha256; it is fetched again from the beginning.'])
  assert.equal(downloaded(events), 2 * file.length - MiB)
})

test('a complete part needs no connection', async () => {
  await leftover(file, null)
  assert.equal(downloaded(await pull(await storeWith())), 0)
  assert.equal(server.asked.length, 0)
})

test('without a known sha256 a pull is refused, or trusted when asked, and resumed only with If-Range', async () => {
  const change = { sha256: null }
  const { code } = failure(await pull(await storeWith(change)))
  assert.equal(code, 'no_sha256')
  assert.equal(server.asked.length, 0)
  await leftover(file.subarray(0, MiB), null)
  assert.deepEqual(sources(await pull(await storeWith(change), { trustFirstUse: true })), [0])
  await rm(join(modelsDir, 'm'), { recursive: true })
  await leftover(file.subarray(0, MiB))
  const store = await storeWith(change)
  const events = await pull(store, { trustFirstUse: true })
  assert.deepEqual(sources(events), [MiB])
  assert.equal((await store.list())[0]?.sha256, sha256(file))
})

test('a redirect is followed and is a row of its own', async () => {
  server.next.push({ redirect: true })
  assert.equal(downloaded(await pull(await storeWith())), file.length)
  assert.equal(rows.length, 2)
})

test('an unknown length is accepted when the hash is right', async () => {
  server.next.push({ chunked: true })
  assert.equal(downloaded(await pull(await storeWith({ bytes: null }))), file.length)
})

test('wrong bytes are not kept', async () => {
  const wrong = Buffer.from(file)
  wrong[2 * MiB] = (wrong[2 * MiB] ?? 0) ^ 1
  server.next.push({ body: wrong })
  const fault = failure(await pull(await storeWith()))
  assert.deepEqual([fault.code, fault.message], ['wrong_hash', `m.gguf has sha256 ${sha256(wrong).slice(0, 16)}…, expected ${sha256(file).slice(0, 16)}…; it was not kept.`])
  assert.deepEqual(await kept(), [])
})

test('right bytes that are no GGUF are not kept', async () => {
  const junk = Buffer.from('<html>not a model</html>')
  server.next.push({ body: junk })
  const fault = failure(await pull(await storeWith({ bytes: junk.length, sha256: sha256(junk) })))
  assert.equal(fault.code, 'bad_gguf')
  assert.deepEqual(await kept(), [])
})

test('a source that fails is named, and the next one is tried', async () => {
  server.next.push({ status: 404 })
  const events = await pull(await storeWith({ urls: [server.url('/gone'), server.url()] }))
  assert.deepEqual(notes(events), [`${host()}: the server answers HTTP 404; trying the next source.`])
  assert.equal(downloaded(events), file.length)
  await rm(join(modelsDir, 'm'), { recursive: true })
  server.next.push({ status: 403 }, { body: Buffer.from('short') })
  assert.equal(failure(await pull(await storeWith({ urls: [server.url(), server.url()] }))).message,
    `m.gguf could not be fetched: ${host()}: the server answers HTTP 403; ${host()}: the server offers 5 bytes, and ${file.length} were expected.`)
  assert.equal(failure(await pull(await storeWith({ urls: [] }))).message, 'm.gguf could not be fetched: the catalogue names no source.')
  const nobody = await new FileServer(file).start()
  const gone = nobody.url()
  await nobody.close()
  assert.equal(failure(await pull(await storeWith({ urls: [gone] }))).message, `m.gguf could not be fetched: ${new URL(gone).host}: the connection failed (ECONNREFUSED) (tried 4 times).`)
})

test('of two pulls at once the second is refused', async () => {
  server.next.push({ stallAfter: MiB })
  const control = new AbortController()
  const stalled = server.stalled()
  const store = await storeWith()
  const first = pull(store, {}, control.signal)
  await stalled
  const fault = failure(await pull(await storeWith()))
  assert.deepEqual([fault.code, fault.message], ['conflict', "The model 'm' is being fetched or changed at this moment."])
  const removed = await store.remove('m')
  assert.equal(removed.ok ? null : removed.fault.code, 'conflict')
  control.abort()
  assert.equal(failure(await first).code, 'cancelled')
})

test('a disk without room is refused before anything is fetched', async () => {
  const fault = failure(await pull(await storeWith({}, { freeBytes: () => Promise.resolve(10 * MiB) })))
  assert.deepEqual([fault.code, fault.message], ['no_space', `${join(modelsDir, '.downloads/m')} needs 35.0 MiB and has 10.0 MiB free.`])
  assert.equal(server.asked.length, 0)
})

test('a disk that fills up ends the pull and gets its space back', async () => {
  const small = join(modelsDir, 'small')
  await mkdir(small)
  const script = 'mount -t tmpfs -o size=2m none "$1" && "$2" "$3" "$4" "$1" m unlimited && find "$1" -type f'
  const { stdout } = await promisify(execFile)('unshare', ['-rm', 'sh', '-c', script, 'sh', small, process.execPath, program, await catalogWith()])
  const lines = stdout.trim().split('\n')
  const last = JSON.parse(lines.at(-1) ?? '') as TransferEvent
  assert.equal(failure([last]).code, 'no_space')
})

test('a model of another person cannot be named by a path', async () => {
  const store = await storeWith()
  for (const id of ['../m', '.downloads', 'm/..', '']) {
    const removed = await store.remove(id)
    assert.equal(removed.ok ? null : removed.fault.code, 'unknown_model')
    const resolved = await store.resolve(id)
    assert.equal(resolved.ok ? null : resolved.fault.code, 'unknown_model')
  }
})
