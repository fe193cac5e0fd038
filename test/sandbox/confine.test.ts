// A long-lived child of our own in its confinement: ipc works, the named files are there, nothing else is.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createConfine } from '../../packages/sandbox/src/index.ts'
import { processesWith } from './hostile.ts'

const child = `
import { existsSync, readFileSync, writeFileSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
const read = (path) => { try { return readFileSync(path, 'utf8') } catch (error) { return error.code } }
const write = (path) => { try { writeFileSync(path, 'x'); return 'written' } catch (error) { return error.code } }
process.on('message', (asked) => {
  if (asked === 'stay') return process.send('staying')
  process.send({
    read: asked.read.map(read), write: asked.write.map(write), env: process.env, pid1: read('/proc/1/environ'),
    net: Object.keys(networkInterfaces()), top: readdirSync('/'), sys: existsSync('/sys/class'), cwd: process.cwd(),
  })
})
`

type Answer = { read: string[]; write: string[]; env: Record<string, string>; pid1: string; net: string[]; top: string[]; sys: boolean; cwd: string }

function start(folder: string, more: { readOnly?: string[]; readWrite?: string[]; gpu?: boolean; token?: string } = {}) {
  const node = realpathSync(process.execPath)
  const program = join(folder, 'child.mjs')
  writeFileSync(program, child)
  const wrapped = createConfine().wrap({
    argv: [node, program, more.token ?? 'none'], readOnly: [dirname(node), program, ...(more.readOnly ?? [])], readWrite: more.readWrite ?? [],
    gpu: more.gpu ?? false, env: { ONLY: 'this' },
  })
  if ('fault' in wrapped) assert.fail(wrapped.fault.message)
  return spawn(wrapped.file, wrapped.args, { env: wrapped.env, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
}

test('sees the named files, by both names of a link, and nothing else', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-confine-'))
  process.env['HEARTH_TEST_SECRET'] = 'SECRET'
  try {
    for (const name of ['models', 'cache', 'other']) mkdirSync(join(folder, name))
    writeFileSync(join(folder, 'models/m.gguf'), 'weights')
    writeFileSync(join(folder, 'other/key'), 'SECRET')
    symlinkSync(join(folder, 'models'), join(folder, 'link'))
    symlinkSync(join(folder, 'models/m.gguf'), join(folder, 'file-link'))
    const worker = start(folder, { readOnly: [join(folder, 'link'), join(folder, 'file-link')], readWrite: [join(folder, 'cache')] })
    worker.send({
      read: [join(folder, 'link/m.gguf'), join(folder, 'models/m.gguf'), join(folder, 'file-link'), join(folder, 'other/key'), '/etc/shadow', '/etc/passwd', join(homedir(), '.profile')],
      write: [join(folder, 'models/x'), join(folder, 'cache/x'), '/usr/x', '/x', '/tmp/x', '/proc/sys/kernel/core_pattern'],
    })
    const [answer] = (await once(worker, 'message')) as [Answer]
    worker.kill('SIGKILL')
    assert.deepEqual(answer.read, ['weights', 'weights', 'weights', 'ENOENT', 'ENOENT', 'ENOENT', 'ENOENT'])
    assert.deepEqual(answer.write, ['EROFS', 'written', 'EROFS', 'EROFS', 'written', 'EROFS'])
    assert.equal(readFileSync(join(folder, 'cache/x'), 'utf8'), 'x')
    assert.equal(answer.env['ONLY'], 'this')
    assert.doesNotMatch(JSON.stringify([answer.env, answer.pid1]), /SECRET/)
    assert.deepEqual(answer.net, ['lo'])
    assert.ok(!answer.sys)
    assert.equal(answer.cwd, '/')
  } finally {
    delete process.env['HEARTH_TEST_SECRET']
    rmSync(folder, { recursive: true, force: true })
  }
})

test('for a GPU it also sees /sys, read-only, on a box with or without one', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-confine-'))
  try {
    const worker = start(folder, { gpu: true })
    worker.send({ read: [], write: ['/sys/kernel/x', '/sys/power/state'] })
    const [answer] = (await once(worker, 'message')) as [Answer]
    worker.kill('SIGKILL')
    assert.ok(answer.sys)
    for (const outcome of answer.write) assert.match(outcome, /^(EROFS|EACCES|ENOENT|EPERM)$/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('ends with bubblewrap, whoever kills it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-confine-'))
  const token = `confined-${process.pid}`
  try {
    const worker = start(folder, { token })
    worker.send('stay')
    assert.deepEqual(await once(worker, 'message'), ['staying', undefined])
    worker.kill('SIGKILL')
    await once(worker, 'exit')
    for (let round = 0; processesWith(token).length > 0; round++) {
      assert.ok(round < 1000, 'the worker is still there ten seconds after bubblewrap')
      await sleep(10)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
