// scripts/try with a scripted model: what it says, its exit code, the visible second try, and that nothing stays behind.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { demoJob } from '../../scripts/demo.ts'
import { processes } from '../../scripts/leftovers.ts'

const root = join(import.meta.dirname, '../..')

type Tried = { code: number | null; err: string; temp: string }

/** Runs scripts/try.ts on a script of turns. `interruptAt`: Ctrl-C as a terminal sends it, to the whole group, once stderr holds that text. */
async function tries(t: TestContext, turns: object[], argv: string[], interruptAt: string | null = null): Promise<Tried> {
  const temp = mkdtempSync(join(tmpdir(), 'try-'))
  t.after(() => rmSync(temp, { recursive: true, force: true }))
  const script = join(temp, 'model.json')
  writeFileSync(script, JSON.stringify({ version: 1, loop: true, turns }))
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'scripts/try.ts'), ...argv], {
    detached: true, stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, HEARTH_MODEL: `scripted:${script}`, HEARTH_MODELS: join(temp, 'models'), TMPDIR: temp },
  })
  const pid = child.pid
  assert.ok(pid !== undefined)
  let err = ''
  let interrupted = false
  child.stdout.resume()
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text
    if (interruptAt !== null && !interrupted && err.includes(interruptAt)) {
      interrupted = true
      process.kill(-pid, 'SIGINT')
    }
  })
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve))
  return { code, err, temp }
}

function nothingStays(temp: string): void {
  assert.deepEqual(readdirSync(temp).filter((name) => name.startsWith('hearth-try-')), [], 'its folder is removed')
  assert.deepEqual(processes().filter((one) => one.environment.includes(`HEARTH_HOME=${temp}/`) && one.state !== 'Z').map((one) => one.command), [], 'its daemon is gone')
}

/** The file and the text that the job of a seed asks for, read out of its check. */
function wanted(seed: number): { path: string; content: string } {
  const [, path, content] = /^test "\$\(cat (.+)\)" = "(.+)"$/.exec(demoJob(seed).check) ?? []
  assert.ok(path !== undefined && content !== undefined, 'the check compares a file with a text')
  return { path, content }
}

test('a job that the model does ends resolved, with the receipt', async (t) => {
  const { code, err, temp } = await tries(t, [
    { calls: [{ name: 'write', arguments: wanted(7) }] },
    { calls: [{ name: 'finish', arguments: { summary: 'written' } }] },
  ], ['--seed', '7'])
  assert.equal(code, 0, err)
  assert.match(err, /^try: the built-in job, seed 7: "Make check\.sh pass\." in a folder with check\.sh$/m)
  assert.match(err, /resolved/)
  assert.doesNotMatch(err, /second try/)
  nothingStays(temp)
})

test('an unresolved run is told and tried once more with another seed, visibly', async (t) => {
  const { code, err, temp } = await tries(t, [{ calls: [{ name: 'finish', arguments: { summary: 'I am done' } }] }], ['--seed', '7'])
  assert.notEqual(code, 0)
  assert.match(err, new RegExp(`^try: the model did not manage this one \\(exit code ${code}\\)\\. It is a very small model; here is a second try with another seed\\.$`, 'm'))
  assert.match(err, /^try: the built-in job, seed 8:/m)
  assert.match(err, /^try: the second try was not resolved either/m)
  nothingStays(temp)
})

test('a prompt runs once in a folder that stays', async (t) => {
  const { code, err, temp } = await tries(t, [
    { calls: [{ name: 'write', arguments: { path: 'hello.txt', content: 'hello' } }] },
    { calls: [{ name: 'finish', arguments: { summary: 'written' } }] },
  ], ['write hello', '--check', 'test -f hello.txt'])
  assert.equal(code, 0, err)
  const folder = /^try: the files are in (.+)$/m.exec(err)?.[1]
  assert.ok(folder !== undefined, err)
  assert.equal(readFileSync(join(folder, 'hello.txt'), 'utf8').trim(), 'hello')
  nothingStays(temp)
})

for (const [moment, text] of [['before the job', 'try: the built-in job'], ['while the job runs', '\ncheck ']] as const) {
  test(`Ctrl-C ${moment} ends the daemon and removes the folder`, async (t) => {
    const { code, err, temp } = await tries(t, [{ text: 'thinking', hang: true }], ['--seed', '7'], text)
    assert.equal(code, 130, err)
    assert.doesNotMatch(err, /second try/)
    nothingStays(temp)
  })
}

test('a wrong option is refused before anything starts', async (t) => {
  const { code, err, temp } = await tries(t, [{ text: 'never asked' }], ['--cwd', '/tmp'])
  assert.equal(err, 'try: --cwd and --check belong to a prompt; give one; scripts/try --help says more\n')
  assert.equal(code, 2)
  nothingStays(temp)
})
