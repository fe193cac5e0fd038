// The file protocol of cgroup v2 on a made tree: what is written where, and what is concluded from what the kernel would write.
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Config } from '@hearth/protocol'
import { findCgroup2 } from '../../packages/sandbox/src/limits-cgroup2.ts'
import { limits } from './hostile.ts'

type Tree = { root: string; own: string; find(): ReturnType<typeof findCgroup2>; write(path: string, text: string): void; read(path: string): string } & Disposable

/** A tree as systemd would mount it, with this process in /system.slice/hearth.service. */
function makeTree(own = 'system.slice/hearth.service', controllers = 'cpu memory pids'): Tree {
  const root = mkdtempSync(join(tmpdir(), 'hearth-cgroup2-'))
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text)
  mkdirSync(join(root, own), { recursive: true })
  write('cgroup.controllers', 'cpuset cpu io memory pids\n')
  write('cgroup.subtree_control', 'memory pids\n')
  write(`${own}/cgroup.controllers`, `${controllers}\n`)
  write(`${own}/cgroup.subtree_control`, '\n')
  write(`${own}/cgroup.type`, 'domain\n')
  write(`${own}/cgroup.procs`, `${process.pid}\n`)
  write('self', `0::/${own}\n`)
  return {
    root, own, write, read: (path) => readFileSync(join(root, path), 'utf8'),
    find: () => findCgroup2({ cgroupRoot: root, key: 'abc', config: Config.parse({}).sandbox, log: () => {} }, join(root, 'self')),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  }
}

test('the daemon moves to a leaf, and hands memory and pids down', async () => {
  using tree = makeTree()
  const limiter = await tree.find()
  assert.ok('open' in limiter)
  assert.equal(limiter.kind, 'cgroup2')
  assert.equal(tree.read(`${tree.own}/hearth-daemon/cgroup.procs`), String(process.pid))
  assert.equal(tree.read(`${tree.own}/cgroup.subtree_control`), '+memory +pids')
  assert.equal(tree.read(`${tree.own}/hearth-abc/cgroup.subtree_control`), '+memory +pids')
})

test('one group a run, with its limits, and swap off', async () => {
  using tree = makeTree()
  const limiter = await tree.find()
  assert.ok('open' in limiter)
  const group = limiter.open(limits)
  const [name = ''] = readdirSync(join(tree.root, tree.own, 'hearth-abc')).filter((entry) => entry.startsWith(`${process.pid}-`))
  const folder = `${tree.own}/hearth-abc/${name}`
  assert.deepEqual(group.enter, [join(tree.root, folder, 'cgroup.procs')])
  assert.deepEqual(['memory.max', 'memory.swap.max', 'memory.oom.group', 'pids.max'].map((file) => tree.read(`${folder}/${file}`)), [String(limits.memoryBytes), '0', '1', String(limits.pids + 2)])
  assert.deepEqual([group.excess(1), group.verdict(true), group.verdict(false)], [null, null, null])
  tree.write(`${folder}/pids.events`, 'max 3\n')
  tree.write(`${folder}/pids.current`, '10\n')
  assert.deepEqual([group.excess(1), group.verdict(true), group.verdict(false)], [null, 'pids', null], 'refused forks explain a failure, not a success')
  tree.write(`${folder}/pids.current`, `${limits.pids + 2}\n`)
  assert.deepEqual(Array.from({ length: 20 }, () => group.excess(1)).at(-1), 'pids', 'stuck at the limit for two seconds')
  tree.write(`${folder}/memory.events`, 'low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 1\n')
  assert.deepEqual([group.excess(1), group.verdict(false)], ['memory', 'memory'])
  group.kill()
  assert.equal(tree.read(`${folder}/cgroup.kill`), '1')
})

test('in a leaf already (a second start, or systemd\'s DelegateSubgroup=), the group above is used', async () => {
  using tree = makeTree('system.slice/hearth.service/hearth-daemon')
  tree.write('system.slice/hearth.service/cgroup.subtree_control', 'memory pids\n')
  const limiter = await tree.find()
  assert.ok('open' in limiter)
  assert.ok(existsSync(join(tree.root, 'system.slice/hearth.service/hearth-abc')))
  assert.equal(tree.read(`${tree.own}/cgroup.procs`), `${process.pid}\n`)
})

test('a group without the controllers is refused with its name', async () => {
  using tree = makeTree('user.slice/session-1.scope', 'cpu')
  tree.write('cgroup.controllers', 'cpu\n')
  assert.deepEqual(await tree.find(), { why: `the daemon's cgroup v2 group ${join(tree.root, tree.own)} was not given the memory and pids controllers` })
})

test('a group with foreign processes is not emptied; uid 0 takes one at the top', async () => {
  using tree = makeTree('user.slice/session-1.scope')
  tree.write(`${tree.own}/cgroup.procs`, `${process.pid}\n1\n`)
  const found = await tree.find()
  assert.ok(!existsSync(join(tree.root, tree.own, 'hearth-daemon')))
  assert.ok('open' in found)
  assert.ok(existsSync(join(tree.root, 'hearth-abc')))
})

test('no cgroup v2 at all', async () => {
  using tree = makeTree()
  rmSync(join(tree.root, 'cgroup.controllers'))
  assert.deepEqual(await tree.find(), { why: 'cgroup v2 has no controllers here' })
})
