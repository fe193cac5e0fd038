// The test runner: what counts as failed (a failure, a skip, a hang, a process left behind, no test at all), on little files of its own.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { orphans, type Process } from '../../scripts/leftovers.ts'

const root = join(import.meta.dirname, '../..')

/** Runs the runner in a checkout that holds only these test files. */
function runs(t: TestContext, files: Record<string, string>, names: string[] = ['.test.ts']): { code: number | null; out: string } {
  const copy = mkdtempSync(join(tmpdir(), 'runner-'))
  t.after(() => rmSync(copy, { recursive: true, force: true }))
  mkdirSync(join(copy, 'scripts'))
  mkdirSync(join(copy, 'test/one'), { recursive: true })
  for (const script of ['test.ts', 'words.ts', 'report.ts', 'leftovers.ts']) cpSync(join(root, 'scripts', script), join(copy, 'scripts', script))
  writeFileSync(join(copy, 'package.json'), '{"type":"module"}')
  symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const [name, text] of Object.entries(files)) writeFileSync(join(copy, 'test/one', name), `import { test } from 'node:test'\nimport assert from 'node:assert/strict'\n${text}`)
  const done = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', 'scripts/test.ts', ...names], { cwd: copy, encoding: 'utf8' })
  return { code: done.status, out: done.stdout + done.stderr }
}

function lastLine(text: string): string | undefined {
  return text.trimEnd().split('\n').at(-1)
}

test('passing files end with the count and exit 0', (t) => {
  const { code, out } = runs(t, {
    'a.test.ts': `test('one', () => {}); test('two', async (t) => { await t.test('inner', () => {}) })`,
    'b.test.ts': `test('three', () => { assert.equal(1, 1) })`,
  })
  assert.match(out, /^ok {4}test\/one\/a\.test\.ts {2}3 passed {2}\d+\.\d s$/m)
  assert.equal(lastLine(out), '4 passed, 0 failed')
  assert.equal(code, 0)
})

test('a failure is printed in full with the output of its file', (t) => {
  const { code, out } = runs(t, { 'a.test.ts': `console.log('said before'); test('sum', () => { assert.equal(1 + 1, 3) }); test('fine', () => {})` })
  assert.match(out, /^FAIL {2}test\/one\/a\.test\.ts {2}1 passed, 1 failed/m)
  assert.match(out, /2 !== 3/)
  assert.match(out, /said before/)
  assert.equal(lastLine(out), '1 passed, 1 failed')
  assert.equal(code, 1)
})

test('skipped and todo tests count as failed', (t) => {
  const { code, out } = runs(t, { 'a.test.ts': `test.skip('later', () => {}); test.todo('some day'); test('now', () => {})` })
  assert.match(out, /it was skipped; a test that cannot run here must fail and say what is missing/)
  assert.equal(lastLine(out), '1 passed, 2 failed')
  assert.equal(code, 1)
})

test('a file without a test, a file that throws and no file at all are failures', (t) => {
  const { out } = runs(t, { 'a.test.ts': `void test, void assert`, 'b.test.ts': `test('fine', () => {}); throw new Error('at load')` })
  assert.match(out, /it holds no test/)
  assert.match(out, /at load/)
  assert.match(lastLine(out) ?? '', /, 2 failed$/)
  const none = runs(t, {}, ['no-such-file'])
  assert.match(none.out, /no test was run: no file matches no-such-file/)
  assert.equal(lastLine(none.out), '0 passed, 1 failed')
  assert.equal(none.code, 1)
})

test('processes left behind are listed, ended and counted as a failure', (t) => {
  const { code, out } = runs(t, {
    'plain.test.ts': `import { spawn } from 'node:child_process'
      test('leaves a child', () => { spawn('sleep', ['961'], { stdio: 'ignore' }).unref() })`,
    'own-session.test.ts': `import { spawn } from 'node:child_process'
      test('leaves a child in a session of its own', () => { spawn('sleep', ['962'], { stdio: 'ignore', detached: true }).unref() })`,
  })
  assert.match(out, /left 1 process\(es\) behind \(ended now\):\n\s+\d+ {2}sleep 961/)
  assert.match(out, /left 1 process\(es\) behind \(ended now\):\n\s+\d+ {2}sleep 962/)
  assert.equal(lastLine(out), '2 passed, 2 failed')
  assert.equal(code, 1)
  const still = spawnSync('pgrep', ['-f', '^sleep 96[12]$'], { encoding: 'utf8' })
  assert.equal(still.stdout, '', 'the runner ended them')
})

test('a hang is a named failure', (t) => {
  const { code, out } = runs(t, { 'a.test.ts': `test('fine', () => {}); setInterval(() => {}, 1000)` }, ['--file-seconds', '2', '.test.ts'])
  assert.match(out, /did not end within 2 s and was killed; the last test that ended was fine/)
  assert.equal(lastLine(out), '1 passed, 1 failed')
  assert.equal(code, 1)
})

test('the runner is no orphan of its own, also when nothing but init is above it', () => {
  const one = (pid: number): Process => ({ pid, parent: 1, session: pid, state: 'S', startTicks: 10, command: '/here/node /here/scripts/test.ts', environment: '' })
  assert.deepEqual(orphans([one(5), one(6)], '/here', 10, 5).map(({ pid }) => pid), [6])
})
