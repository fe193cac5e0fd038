// What outlives a run: nothing, also when the daemon is killed; and a workspace of another user when the daemon is root.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Config } from '@hearth/protocol'
import { createSandbox } from '../../packages/sandbox/src/index.ts'
import { limits, makePlace, processesWith, sleepToken } from './hostile.ts'
import { ordinaryUid } from './ordinary-user.ts'

const isRoot = process.getuid?.() === 0

async function until(what: string, done: () => boolean): Promise<void> {
  for (let round = 0; round < 1000; round++) {
    if (done()) return
    await sleep(10)
  }
  assert.fail(`not within ten seconds: ${what}`)
}

describe('kill -9 of the daemon', () => {
  for (const kind of isRoot ? ['strict', 'weak'] : ['weak']) {
    test(`leaves no sandbox process (${kind})`, async () => {
      const place = makePlace(kind === 'weak')
      const token = sleepToken()
      const program = join(import.meta.dirname, 'doomed.ts')
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, place.stateDir, place.workspace, token, kind], { stdio: ['ignore', 'pipe', 'inherit'] })
      try {
        const [first] = (await once(child.stdout, 'data')) as [Buffer]
        assert.equal(first.toString(), 'up\n')
        await until('the sandboxed processes are there', () => processesWith(token).length >= 2)
        child.kill('SIGKILL')
        await once(child, 'exit')
        await until('the sandboxed processes are gone', () => processesWith(token).length === 0)
        // The next daemon on the same folder starts as if nothing had been.
        assert.equal((await place.run(['echo', 'next'])).stdout.text, 'next\n')
        assert.deepEqual(readdirSync(join(place.stateDir, 'sandbox', 'pipes')).filter((name) => name.startsWith(`${child.pid}-`)), [])
        if (kind === 'strict') assert.deepEqual(groupsOf(child.pid ?? 0), [])
      } finally {
        child.kill('SIGKILL')
        await place.remove()
      }
    })
  }
})

/** v1 groups that were made by a process. */
function groupsOf(pid: number): string[] {
  return ['memory', 'pids'].flatMap((name) => {
    const top = join('/sys/fs/cgroup', name, 'hearth')
    if (!existsSync(top)) return []
    return readdirSync(top).flatMap((key) => (statSync(join(top, key)).isDirectory() ? readdirSync(join(top, key)).map((group) => join(top, key, group)) : [])).filter((path) => path.split('/').at(-1)?.startsWith(`${pid}-`))
  })
}

// Two facts of this box decide whether there is anything to test here at all; version 2 has its own file.
if (isRoot && existsSync('/sys/fs/cgroup/pids/cgroup.procs')) describe('control groups of version 1', () => {
  test('a killed daemon\'s group is emptied and removed by the next one, and all are gone after close', async () => {
    const place = makePlace(false)
    await place.run(['true'])
    const before = readdirSync('/sys/fs/cgroup/pids/hearth')
    assert.deepEqual(groupsOf(process.pid), [], 'a finished run has no group')
    // A group of a process that does not exist, with a process in it that bubblewrap's own guard did not catch.
    const token = sleepToken()
    const left = spawn('sleep', [token], { stdio: 'ignore' })
    const gone = once(left, 'exit')
    const key = keyOf(place.stateDir)
    assert.ok(before.includes(key))
    const group = join('/sys/fs/cgroup/pids/hearth', key, '999999999-1-0')
    mkdirSync(group)
    writeFileSync(join(group, 'cgroup.procs'), String(left.pid))
    // And what a daemon on another folder left: only its empty groups go.
    const others = join('/sys/fs/cgroup/pids/hearth', `test-${process.pid}`)
    mkdirSync(join(others, '999999999-1-0'), { recursive: true })
    const lines: string[] = []
    const next = createSandbox({ config: Config.parse({}).sandbox, stateDir: place.stateDir, log: (line) => lines.push(line) })
    assert.equal((await next.report()).available, true)
    assert.deepEqual(await gone, [null, 'SIGKILL'])
    assert.deepEqual(lines, ["sandbox: 1 processes of a killed daemon's sandboxes were ended"])
    assert.ok(!existsSync(group))
    assert.ok(!existsSync(others))
    await next.close()
    await place.remove()
    assert.ok(!existsSync(dirname(group)))
  })
})

/** How the sandbox names the groups of one daemon. */
function keyOf(stateDir: string): string {
  return createHash('sha256').update(stateDir).digest('hex').slice(0, 12)
}

if (isRoot) describe('a daemon that is root', () => {
  test('works in another user\'s folder as that user', async () => {
    const place = makePlace(false)
    try {
      chmodSync(place.root, 0o755)
      chmodSync(place.stateDir, 0o700)
      chownSync(place.workspace, ordinaryUid, ordinaryUid)
      const result = await place.run(['sh', '-c', 'id -u; id -un; echo x > made; echo y > /dev/stderr; cat made'], { stdin: 'unused' })
      assert.equal(result.stdout.text, '1000\nhearth\nx\n')
      assert.equal(result.stderr.text, 'y\n')
      assert.equal(statSync(join(place.workspace, 'made')).uid, ordinaryUid)
      chmodSync(place.root, 0o700)
      const refused = await place.sandbox.run({ argv: ['true'], workspace: place.workspace, limits, captureBytes: 10 }, new AbortController().signal)
      assert.match(refused.ok ? 'it ran' : refused.fault.message, /^The working directory \S+ cannot be used: its owner cannot reach it \(.*Permission denied\)\.$/)
    } finally {
      await place.remove()
    }
  })
})
