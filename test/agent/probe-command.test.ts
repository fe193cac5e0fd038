// `hearth models probe` over a daemon whose prober is a double; and where a profile is written, in real folders.
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { ModelStore } from '@hearth/engine'
import { AgentProfile, type ProbeEvent } from '@hearth/protocol'
import { makeHome } from '../cli/cli.ts'
import { DaemonProcess, makePlace, stub, type Place } from '../daemon/process.ts'
import { smallGguf, writeGguf } from '../fixtures/gguf-writer.ts'

const root = join(import.meta.dirname, '../..')
const profile = AgentProfile.parse({ toolMode: 'native', sampling: { temperature: 0.2 } })

describe('hearth models probe', () => {
  const begin = async (t: TestContext): Promise<(...words: string[]) => Promise<{ code: number | null; stdout: string; stderr: string }>> => {
    const place: Place = makePlace()
    const daemon = await DaemonProcess.start(place, stub)
    t.after(async () => {
      daemon.child.kill('SIGTERM')
      await daemon.exited
      place.clear()
    })
    const home = makeHome(t)
    return (...words) => home.launch(words, { env: { HEARTH_HOME: place.home } }).done
  }

  it('prints the table, writes when asked, and exits 10 when the profile says otherwise', async (t) => {
    const hearth = await begin(t)
    const table = `QUESTION           NATIVE   JSON   WHAT WAS WRONG
right tool         wrong    right  no call, but words: hello
two calls at once  (wrong)         0 calls

native calls    0 of 1 right
json calls      1 of 1 right
schemas         2 of 2 right
stops           yes
repeats itself  no
changes files   by replacing text: 1 of 3 right; by writing them whole: 3 of 3 right
tools           finds the right one among 7
goes on         as somebody else, at "\\nUser:"
thinks          by itself; not when asked to leave it
window          4,096 tokens
                25 % (1,001 tokens): the code was found
                90 %: not asked, there is no time
recommended     toolMode json: native calls were right in 0 of 1, one JSON object a step right in 1 of 1
profile         --write would make it say: toolMode json; editFormat write
`
    const check = await hearth('models', 'probe', 'stub', '--check')
    assert.deepEqual([check.code, check.stdout, check.stderr], [10, table, '1 of 1  json: right tool\nwindow, 25 % full: the code was found\n'])
    const written = await hearth('models', 'probe', 'stub', '--write')
    assert.deepEqual([written.code, written.stdout], [0, `${table.replace('--write would make it say', 'says now')}written to /stub.json\n`])
    const lines = (await hearth('models', 'probe', 'stub', '--json')).stdout.trim().split('\n').map((line) => JSON.parse(line) as ProbeEvent)
    assert.deepEqual(lines.map(({ type }) => type), ['case', 'window', 'done'])
  })

  it('refuses a model that is not there, two wishes at once and a time that is none', async (t) => {
    const hearth = await begin(t)
    assert.equal((await hearth('models', 'probe', 'other')).code, 65)
    assert.equal((await hearth('models', 'probe', 'stub', '--write', '--check')).stderr.split('\n')[0], 'hearth: --write and --check cannot both be meant.')
    assert.equal((await hearth('models', 'probe', 'stub', '--seconds', 'soon')).code, 64)
  })
})

describe('a written profile', () => {
  const open = (t: TestContext): { store: ModelStore; overlayDir: string } => {
    const place = makePlace()
    t.after(() => place.clear())
    const overlayDir = join(place.home, 'models.d')
    const door = { open: () => Promise.reject(new Error('nothing is fetched')) } as unknown as ConstructorParameters<typeof ModelStore>[0]['door']
    return { overlayDir, store: new ModelStore({ catalogPath: join(root, 'models.json'), modelsDir: join(place.home, 'models'), overlayDir, door }) }
  }

  it('is a file of its own beside the others, and is what is read from then on', async (t) => {
    const { store, overlayDir } = open(t)
    mkdirSync(overlayDir)
    writeFileSync(join(overlayDir, 'mine.json'), JSON.stringify({ version: 1, models: [{ id: 'gpt-oss-20b', summary: 'My own words.' }] }))
    assert.deepEqual(await store.keepProfile('gpt-oss-20b', profile), { ok: true, path: join(overlayDir, 'probe-gpt-oss-20b.json') })
    const { entry } = await store.detail('gpt-oss-20b')
    assert.deepEqual([entry?.profile, entry?.summary], [profile, 'My own words.'])
    assert.deepEqual(JSON.parse(readFileSync(join(overlayDir, 'mine.json'), 'utf8')), { version: 1, models: [{ id: 'gpt-oss-20b', summary: 'My own words.' }] })
  })

  it('is refused, and leaves nothing, when a file that is read later says otherwise', async (t) => {
    const { store, overlayDir } = open(t)
    mkdirSync(overlayDir)
    writeFileSync(join(overlayDir, 'zz.json'), JSON.stringify({ version: 1, models: [{ id: 'gpt-oss-20b', profile: { toolMode: 'json' } }] }))
    const kept = await store.keepProfile('gpt-oss-20b', profile)
    assert.equal(kept.ok ? '' : kept.fault.message, `Another file in ${overlayDir} names a profile of 'gpt-oss-20b' and is read later; change it there.`)
    assert.equal((await store.detail('gpt-oss-20b')).entry?.profile.toolMode, 'json')
    assert.throws(() => readFileSync(join(overlayDir, 'probe-gpt-oss-20b.json')), { code: 'ENOENT' })
  })

  it('of a model that nobody knows is refused', async (t) => {
    const kept = await open(t).store.keepProfile('no-such-model', profile)
    assert.equal(kept.ok ? '' : kept.fault.code, 'unknown_model')
  })

  it('of an imported model stands in its record', async (t) => {
    const { store, overlayDir } = open(t)
    const file = join(overlayDir, '../mine.gguf')
    writeFileSync(file, writeGguf(smallGguf()))
    const taken = await store.importFile({ path: file, id: 'mine', copy: true })
    assert.ok(taken.ok, taken.ok ? '' : taken.fault.message)
    const kept = await store.keepProfile('mine', profile)
    assert.ok(kept.ok && kept.path.endsWith('/mine/hearth.json'))
    const found = await store.resolve('mine')
    assert.deepEqual(found.ok ? found.model.profile : null, profile)
  })
})
