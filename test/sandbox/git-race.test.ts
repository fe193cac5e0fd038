// A program beside a run exchanges .git for a link to elsewhere, over and over: no run ever gets the elsewhere.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { Config } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'

const limits = { memoryBytes: 512 * 2 ** 20, pids: 64, wallMs: 20_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }
// In a process of its own, which ends with its stdin. Each state lies for some moments, about as long as a run takes from its look to its mounts, and now and then both take turns as fast as they can.
const swapper = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs')
const [workspace, outside] = process.argv.slice(1)
const git = workspace + '/.git', kept = workspace + '/.kept'
process.stdin.on('end', () => process.exit(0)).resume()
const away = () => { try { renameSync(git, kept); symlinkSync(outside, git) } catch {} }
const back = () => { try { unlinkSync(git); renameSync(kept, git) } catch {} }
const turn = () => {
  for (let n = 0; n < 20; n++) { away(); back() }
  away()
  setTimeout(() => { back(); setTimeout(turn, Math.random() * 8) }, Math.random() * 8)
}
turn()`

it('what is bound is what was looked at', async () => {
  const root = mkdtempSync(join(tmpdir(), 'hearth-git-race-'))
  const [workspace, outside] = [join(root, 'work'), join(root, 'outside')]
  mkdirSync(join(workspace, '.git'), { recursive: true })
  // Another repository's: every name that is bound is there.
  mkdirSync(join(outside, 'hooks'), { recursive: true })
  writeFileSync(join(outside, 'private'), 'x')
  const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(root, 'state'), log: () => undefined })
  const beside = spawn(process.execPath, ['-e', swapper, workspace, outside], { stdio: ['pipe', 'ignore', 'ignore'] })
  const gone = new Promise((resolve) => beside.once('exit', resolve))
  let ran = 0
  try {
    // How many are refused is a matter of the machine, so runs are counted and not tries. Bound by name instead, about one time in three of this test sees the other's file.
    for (let turn = 0; ran < 40 && turn < 2000; turn++) {
      const result = await sandbox.run({ argv: ['sh', '-c', 'cat .git/private; echo x > .git/planted'], workspace, limits, captureBytes: 4096 }, new AbortController().signal)
      if (!result.ok) continue
      ran += 1
      assert.equal(result.stdout.text, '')
    }
  } finally {
    beside.stdin.end()
    await gone
    await sandbox.close()
  }
  assert.deepEqual(readdirSync(outside).toSorted(), ['hooks', 'private'])
  assert.ok(ran >= 5, `only ${ran} runs were not refused`)
  rmSync(root, { recursive: true, force: true })
})
