// The table of hostile programs under each kind of limits this box can have, and as an ordinary user.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import type { RunResult, SandboxReport } from '@hearth/protocol'
import { makePlace, table, tryRow } from './hostile.ts'
import { makeReadableCopy, ordinaryUid, startAsUser } from './ordinary-user.ts'

const isRoot = process.getuid?.() === 0

describe('with the strongest limits of this box', () => {
  test('they are the kernel\'s, or the sandbox refuses', async () => {
    const place = makePlace(false)
    const report = await place.sandbox.report()
    await place.remove()
    if (isRoot) assert.match(report.detail, /^bubblewrap \d+\.\d+\.\d+; limits by cgroup v[12] \(memory, pids\)$/, 'root needs control groups of memory and pids here')
    else assert.ok(report.available || report.fault?.code === 'limits_unavailable', report.detail)
  })
  for (const row of table) {
    test(row.name, async () => {
      const place = makePlace(false)
      const { available } = await place.sandbox.report()
      await place.remove()
      if (!available && !isRoot) return // Asserted above: an ordinary user without a delegated group is refused; the weak round below runs the row.
      await tryRow(row, false)
    })
  }
})

describe('with weak limits', () => {
  for (const row of table) test(row.name, () => tryRow(row, true))
})

describe('as an ordinary user', () => {
  test('strict refuses, weak holds', async (t) => {
    const copy = makeReadableCopy()
    const child = startAsUser(copy.folder, 'test/sandbox/as-user.ts')
    try {
      assert.ok(child.stdout)
      const lines: unknown[] = []
      for await (const line of createInterface({ input: child.stdout })) lines.push(JSON.parse(line))
      if (child.exitCode === null) await once(child, 'exit')
      assert.equal(child.exitCode, 0)
      const [first, ...rows] = lines as [{ strict: SandboxReport; refused: RunResult; uid: number }, ...{ name: string; problem: string | null }[]]
      if (isRoot) {
        assert.equal(first.uid, ordinaryUid)
        assert.equal(first.strict.available, false)
        assert.equal(first.strict.fault?.code, 'limits_unavailable')
        assert.deepEqual(first.refused, { ok: false, fault: first.strict.fault })
        assert.match(first.strict.detail, /^Memory and process limits cannot be enforced here: .+\.$/)
      }
      assert.deepEqual(rows.map((row) => row.name), table.map((row) => row.name))
      for (const row of rows) await t.test(row.name, () => assert.equal(row.problem, null))
    } finally {
      child.kill('SIGKILL')
      copy.remove()
    }
  })
})
