// Doctor's judgement as a table over facts, and its reading of captured trees.
import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { after, test } from 'node:test'
import { Config, fault, type ModelRow, type PackageRow } from '@hearth/protocol'
import { examine, type Facts } from '../../packages/daemon/src/doctor/checks.ts'
import { cgroupFact, memoryFact, usernsFact } from '../../packages/daemon/src/doctor/facts.ts'
import { makePlace } from './process.ts'

const place = makePlace()
after(() => place.clear())

const model: ModelRow = {
  id: 'm', name: 'M', summary: '', license: null, roles: [], bytes: 2 ** 30, contextTokens: null, toolMode: 'json', installed: true, origin: 'catalog', path: '/m', sha256: null, problem: null,
}
const good: Facts = {
  node: 'v24.21.0', sqlite: '3.53.4', uid: 7, database: ['ok'], folders: [{ name: 'state', path: '/s', exists: true, uid: 7, mode: 0o700, writable: true }],
  socket: { name: 'socket', path: '/s/sock', exists: true, uid: 7, mode: 0o600, writable: true }, freeBytes: 100 * 2 ** 30,
  sandbox: { available: true, limits: 'cgroup2', detail: 'bubblewrap 0.8.0', fault: null }, models: [model], defaultModel: 'm', workers: [],
  memory: { totalBytes: 64 * 2 ** 30, availableBytes: 32 * 2 ** 30 }, cgroups: { kind: 'v2', controllers: ['memory', 'pids'], writable: true },
  userns: { maxNamespaces: 1000, debianSwitch: null, apparmorRestricts: null }, git: true, keys: new Map(), packages: [], now: Date.parse('2026-06-01'),
}
const prepaid: PackageRow = {
  id: 'prepaid', provider: 'shop', unit: 'tokens', amount: 1_000_000, used: 0, left: 1_000_000, boughtAt: '2026-05-01', expiresAt: '2026-06-03', perDay: 0, emptyAt: null, lapses: 0,
  worthUsdMicros: 0, forecastUsdMicros: null, pays: null, warnings: [],
}
const config = Config.parse({})

test('when all is well every check says ok and none has a remedy', () => {
  for (const check of examine({ ...good, packages: [prepaid] }, config)) assert.deepEqual([check.name, check.state, check.remedy], [check.name, 'ok', null])
})

const worker = { model: 'm', pid: null, restarts: 5, lastFault: 'gpu_lost', backend: null, contextTokens: null, sequences: null, busy: 0, waiting: 0 }
const price = { from: '2026-01-01', input: 1, cacheRead: 1, cacheWrite: 1, output: 1 }
const selling = (prices: readonly object[], more: object = {}): object => ({ escalation: { ...more, providers: [{ id: 'shop', kind: 'compatible', url: 'https://x.example/v1', keyFile: '/k', models: [{ id: 'shop/big', model: 'b', contextTokens: 1000, maxOutputTokens: 100, prices }] }] } })
const cases: readonly [name: string, facts: Partial<Facts>, state: 'warn' | 'fail', remedy: RegExp, settings?: unknown][] = [
  ['node', { node: 'v20.1.0' }, 'fail', /node_modules\/\.bin\/node/],
  ['sqlite', { sqlite: '3.49.2' }, 'fail', /node_modules\/\.bin\/node/],
  ['database', { database: ['row 3 missing from index jobs_state'] }, 'fail', /restore a backup/],
  ['database', { database: 'The database cannot be used: file is not a database.' }, 'fail', /Restore a backup/],
  ['folder state', { folders: [{ name: 'state', path: '/s', exists: true, uid: 7, mode: 0o700, writable: false }] }, 'fail', /chown 7 \/s/],
  ['folder state', { folders: [{ name: 'state', path: '/s', exists: true, uid: 0, mode: 0o777, writable: true }] }, 'warn', /chown 7 \/s/],
  ['folder state', { folders: [{ name: 'state', path: '/s', exists: true, uid: 7, mode: 0o770, writable: true }] }, 'warn', /chmod go-w \/s/],
  ['socket', { socket: { ...good.socket, mode: 0o660 } }, 'fail', /chmod 600/],
  ['disk', { freeBytes: 2 ** 30 }, 'fail', /Free some space/],
  ['disk', { freeBytes: 3 * 2 ** 30 }, 'warn', /New jobs are refused below 2\.0 GiB/],
  ['memory', { memory: { totalBytes: 2 ** 33, availableBytes: 2 ** 29 } }, 'warn', /may not load/],
  ['memory', { memory: null }, 'warn', /Mount \/proc/],
  ['cgroups', { cgroups: { kind: 'none', controllers: [], writable: false } }, 'warn', /Delegate=memory pids/],
  ['cgroups', { cgroups: { kind: 'v2', controllers: ['pids'], writable: true } }, 'warn', /Delegate=memory pids/],
  ['provider shop', { keys: new Map([['shop', 'its key file /k cannot be read (ENOENT)']]) }, 'warn', /chmod 600 \/k$/, selling([])],
  ['provider shop', {}, 'warn', /^hearth provider price shop\/big /, selling([])],
  ['provider shop', {}, 'warn', /^hearth provider allow --budget/, selling([price])],
  ['provider shop', {}, 'warn', /^hearth provider allow --consent ask/, selling([price], { budget: { dayUsdMicros: 1 } })],
  ['package prepaid', { packages: [{ ...prepaid, left: 12_000, warnings: ['12,000 tokens of 1,000,000 are left.', 'It lapses after 2026-06-03, at the pace of the last days with 9,000 tokens unused.'] }] }, 'warn', /^'hearth budget' has its figures\. Renew it/],
  ['user namespaces', { userns: { maxNamespaces: 0, debianSwitch: null, apparmorRestricts: null } }, 'warn', /max_user_namespaces/],
  ['user namespaces', { userns: { maxNamespaces: 9, debianSwitch: 0, apparmorRestricts: null } }, 'warn', /unprivileged_userns_clone=1/],
  ['user namespaces', { userns: { maxNamespaces: 9, debianSwitch: null, apparmorRestricts: 1 } }, 'warn', /AppArmor profile/],
  ['sandbox', { sandbox: { available: false, limits: 'none', detail: 'x', fault: fault('sandbox_unavailable', { why: 'bubblewrap is not installed', remedy: 'Install bubblewrap.' }) } }, 'fail', /^Install bubblewrap\.$/],
  ['sandbox', { sandbox: { ...good.sandbox, limits: 'weak' } }, 'warn', /strict/],
  ['git', { git: false }, 'warn', /apt-get install git/],
  ['engine sandbox', {}, 'warn', /Set engine\.sandbox to "bwrap"/, { engine: { sandbox: 'off' } }],
  ['engine check', {}, 'warn', /Set engine\.goldenCheck to "on"/, { engine: { goldenCheck: 'off' } }],
  ['model', { models: [], defaultModel: null }, 'warn', /hearth models pull/],
  ['model', { models: [{ ...model, installed: false }] }, 'warn', /hearth models pull m/],
  ['model', { models: [{ ...model, problem: 'its size is 5, expected 6' }] }, 'fail', /hearth models pull m/],
  ['worker m', { workers: [{ ...worker, state: 'broken' }] }, 'fail', /hearth models reset m/],
  ['worker m', { workers: [{ ...worker, state: 'failed' }] }, 'warn', /started again by itself/],
  ['worker m', { workers: [{ ...worker, state: 'ready', distrusted: 'the built-in engine (vulkan) gave wrong tokens; the built-in engine (cpu) serves instead' }] }, 'warn', /hearth models reset m/],
]
for (const [name, facts, state, remedy, settings] of cases) {
  test(`${name} is ${state} when ${JSON.stringify(settings ?? facts)}`, () => {
    const wrong = examine({ ...good, ...facts }, Config.parse(settings ?? {})).filter((check) => check.state !== 'ok')
    assert.deepEqual(wrong.map((check) => [check.name, check.state]), [[name, state]])
    assert.match(wrong[0]?.remedy ?? '', remedy)
  })
}

test('root needs no switch for user namespaces', () => {
  assert.ok(examine({ ...good, uid: 0, folders: [], userns: { maxNamespaces: 9, debianSwitch: 0, apparmorRestricts: 1 } }, config).every((check) => check.state === 'ok'))
})

function tree(name: string, files: Readonly<Record<string, string>>): string {
  const root = join(place.root, name)
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), text)
  }
  return root
}

test('control groups are told apart: unified, old, both, none', async () => {
  const unified = tree('v2', {
    'proc/self/cgroup': '0::/user.slice/app.service\n', 'sys/fs/cgroup/cgroup.controllers': 'cpu io memory pids\n', 'sys/fs/cgroup/user.slice/app.service/cgroup.controllers': 'memory pids\n',
  })
  assert.deepEqual(await cgroupFact(unified), { kind: 'v2', controllers: ['memory', 'pids'], writable: true })
  const old = tree('v1', { 'proc/self/cgroup': '3:pids:/a\n2:memory:/a\n', 'sys/fs/cgroup/pids/a/tasks': '', 'sys/fs/cgroup/memory/a/tasks': '' })
  assert.deepEqual(await cgroupFact(old), { kind: 'v1', controllers: ['pids', 'memory'], writable: true })
  const both = tree('hybrid', { 'proc/self/cgroup': '2:cpu,memory:/\n0::/\n' })
  assert.deepEqual(await cgroupFact(both), { kind: 'hybrid', controllers: ['cpu', 'memory'], writable: false })
  assert.deepEqual(await cgroupFact(tree('none', { 'proc/self/cgroup': '' })), { kind: 'none', controllers: [], writable: false })
})

test('memory and switches are read from /proc', async () => {
  const proc = join(tree('proc', {
    'proc/meminfo': 'MemTotal:       24680000 kB\nMemFree:  1 kB\nMemAvailable:   12340000 kB\n', 'proc/sys/user/max_user_namespaces': '96365\n', 'proc/sys/kernel/apparmor_restrict_unprivileged_userns': '1\n',
  }), 'proc')
  assert.deepEqual(await memoryFact(proc), { totalBytes: 24_680_000 * 1024, availableBytes: 12_340_000 * 1024 })
  assert.deepEqual(await usernsFact(proc), { maxNamespaces: 96_365, debianSwitch: null, apparmorRestricts: 1 })
  assert.equal(await memoryFact(join(place.root, 'absent')), null)
})
