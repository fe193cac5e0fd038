// A person's way through the folder of a job: run, look at the diff, undo, run with a branch, all with the real command and the real daemon.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { Box } from './box.ts'

const turn = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })
const sh = (cwd: string, script: string): string => execFileSync('/bin/sh', ['-c', script], { cwd, encoding: 'utf8' })

describe('the folder of a job', () => {
  let box: Box
  before(async () => { box = new Box(); await box.up() })
  after(() => box.close())

  const repository = (): string => {
    const cwd = box.folder({ 'a.txt': 'hello\n', 'b.txt': 'bye\n' })
    sh(cwd, 'git init -q -b main . && git config user.email a@example.com && git config user.name A && git add -A && git commit -q -m one && echo mine > mine.txt')
    return cwd
  }
  const model = (): string => box.script({ turns: [
    turn('bash', { command: "printf 'hello\\nworld\\n' > a.txt" }), turn('bash', { command: "rm b.txt; printf '\\033[31mred\\n' > new.txt" }), turn('finish', { answer: 'done' }),
  ] })
  const run = async (cwd: string, words: string[] = []): Promise<{ id: string; stderr: string }> => {
    const { code, stderr } = await box.hearth(['run', '--model', model(), ...words, 'change it'], { cwd })
    assert.equal(code, 0, stderr)
    return { id: stderr.split('\n')[0] ?? '', stderr }
  }
  const ok = async (words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await box.hearth(words)
    assert.equal(code, 0, stderr)
    return stdout
  }

  it('in place: diff, undo, forward again, and a refusal that names the file', async () => {
    const cwd = repository()
    const { id, stderr } = await run(cwd)
    assert.match(stderr, new RegExp(`\\nresult: 3 files in ${cwd}; 'hearth undo ${id}' puts them back\\n`))
    assert.equal(await ok(['diff', id, '--stat']), 'a.txt    +1 -0\nb.txt    +0 -1\nnew.txt  +1 -0\n3 files, +2 -1\n')
    assert.equal(await ok(['diff', id, '--stat', '--step', '1']), 'a.txt  +1 -0\n1 file, +1 -0\n')
    const patch = await ok(['diff', id])
    assert.ok(patch.includes('+\u001b[31mred\n'), 'a pipe gets the bytes')
    assert.equal(await ok(['undo', id]), `${cwd} is back at its state before the job: 3 files\n  a.txt\n  b.txt\n  new.txt\n`)
    assert.equal(sh(cwd, 'git status --porcelain'), '?? mine.txt\n')
    writeFileSync(join(cwd, '../job.patch'), patch)
    sh(cwd, 'git apply --check ../job.patch')
    assert.equal(await ok(['undo', id, '2']), `${cwd} is back at its state after step 2: 3 files\n  a.txt\n  b.txt\n  new.txt\n`)
    writeFileSync(join(cwd, 'a.txt'), 'the owner\n')
    const refused = await box.hearth(['undo', id])
    assert.deepEqual([refused.code, refused.stderr], [65, 'hearth: 1 file that would be put back was changed after the job: a.txt.\nNothing was changed. With --force these changes are put away too; they stay in the kept states.\n'])
    await ok(['undo', id, '--force'])
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'hello\n')
    const events = (await ok(['logs', id, '--json'])).trim().split('\n').map((line) => JSON.parse(line) as { type: string; seq: number })
    assert.deepEqual(events.map(({ seq }) => seq), events.map((_event, index) => index + 1))
    assert.deepEqual(events.filter(({ type }) => /workspace|committed|delivered|ended|reverted/.test(type)).map(({ type }) => type), ['workspace', 'committed', 'committed', 'delivered', 'ended', 'reverted', 'reverted', 'reverted'])
    const wrong = await box.hearth(['undo', id, '9'])
    assert.deepEqual([wrong.code, wrong.stderr.split('\n')[0]], [65, `hearth: The request is not valid at the step: job ${id} has the steps 0 to 3.`])
  })

  it('a branch: the folder stays, show and logs name the result', async () => {
    const cwd = repository()
    const { id, stderr } = await run(cwd, ['--result', 'branch'])
    assert.match(stderr, new RegExp(`\\nresult: 3 files on the branch hearth/${id}\\n`))
    assert.equal(sh(cwd, 'git status --porcelain; git branch --show-current'), '?? mine.txt\nmain\n')
    assert.equal(sh(cwd, `git log --format=%s main..hearth/${id}`), `change it\nWork that was not committed when job ${id} began\n`)
    assert.match(await ok(['show', id]), /\nresult +as a branch; it works in a copy\n/)
    const refused = await box.hearth(['undo', id])
    assert.deepEqual([refused.code, refused.stderr.split('\n')[0]], [65, `hearth: Job ${id} worked in a copy, so there is nothing to undo in the folder.`])
  })

  it('a patch of a folder without git; the configuration chooses when nobody says', async () => {
    box.configure({ sandbox: { limits: 'weak' }, jobs: { result: 'diff' } })
    await box.hearth(['down'])
    await box.up()
    const cwd = box.folder({ 'a.txt': 'hello\n', 'b.txt': 'bye\n' })
    const { id } = await run(cwd)
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'hello\n')
    writeFileSync(join(cwd, '../job.patch'), await ok(['diff', id]))
    sh(cwd, 'git apply ../job.patch')
    assert.equal(readFileSync(join(cwd, 'a.txt'), 'utf8'), 'hello\nworld\n')
    assert.ok(!existsSync(join(cwd, 'b.txt')))
  })

  it('refused while the job runs', async () => {
    const cwd = repository()
    const slow = box.script({ turns: [turn('bash', { command: 'echo x > a.txt' }), turn('bash', { command: 'sleep 60' }), turn('finish', { answer: 'done' })] })
    const id = (await ok(['run', '--detach', '--result', 'in-place', '--cwd', cwd, '--model', slow, 'be slow'])).trim()
    const { code, stderr } = await box.hearth(['undo', id])
    assert.deepEqual([code, stderr.split('\n')[0]], [65, `hearth: Job ${id} is not over yet.`])
    await ok(['cancel', id])
  })

  it('--result takes three words', async () => {
    const { code, stderr } = await box.hearth(['run', '--result', 'pr', 'x'])
    assert.deepEqual([code, stderr.split('\n')[0]], [64, "hearth: --result is in-place, branch or diff, not 'pr'."])
  })
})
