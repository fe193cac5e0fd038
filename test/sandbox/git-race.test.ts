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
// As fast as it can, in a process of its own; it ends with its stdin.
const swapper = `
const { renameSync, symlinkSync, unlinkSync } = require('node:fs')
const [workspace, outside] = process.argv.slice(1)
const git = workspace + '/.git', kept = workspace + '/.kept'
process.stdin.on('end', () => process.exit(0)).resume()
const turn = () => {
  for (let n = 0; n < 50; n++) {
    try { renameSync(git, kept); symlinkSync(outside, git) } catch {}
    try { unlinkSync(git); renameSync(kept, git) } catch {}
  }
  setImmediate(turn)
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
    for (let turn = 0; turn < 60; turn++) {
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
  assert.ok(ran >= 5, `only ${ran} of 60 runs were not refused`)
  rmSync(root, { recursive: true, force: true })
})
