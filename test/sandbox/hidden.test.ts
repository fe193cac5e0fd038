// Places of the workspace that a run does not see: not by their names, not by links, and not by moving what stands around them.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, existsSync, linkSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Config, type Limits, type RunResult, type Sandbox } from '@hearth/protocol'
import { veilOver } from '../../packages/sandbox/src/hidden.ts'
import { createSandbox } from '../../packages/sandbox/src/index.ts'

const limits: Limits = { memoryBytes: 512 * 2 ** 20, pids: 64, wallMs: 60_000, outputBytes: 2 ** 20, tmpBytes: 2 ** 20, fileBytes: 2 ** 20 }
const root = mkdtempSync(join(tmpdir(), 'hearth-hidden-'))
const work = join(root, 'work')
let sandbox: Sandbox & { close(): Promise<void> }
before(() => {
  for (const folder of ['', 'a/private/deep', 'b', '.git']) mkdirSync(join(work, folder), { recursive: true })
  for (const [name, text] of Object.entries({ 'a/private/deep/x': 'SECRET deep', 'b/data.csv': 'SECRET csv', 'b/open.txt': 'open', '.git/HEAD': 'SECRET head' })) writeFileSync(join(work, name), text)
  symlinkSync('b/data.csv', join(work, 'link'))
  symlinkSync('a/private', join(work, 'folder'))
  mkdirSync(join(root, 'objects'))
  writeFileSync(join(root, 'objects/pack'), 'SECRET pack')
  sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(root, 'state'), log: () => undefined })
})
after(async () => {
  await sandbox.close()
  rmSync(root, { recursive: true, force: true })
})
const run = async (command: string, hidden: readonly string[], more: { readOnly?: boolean } = {}): Promise<string> => {
  const result: RunResult = await sandbox.run({ argv: ['sh', '-c', `exec 2>&1; ${command}`], workspace: work, limits, captureBytes: 65_536, hidden, mounts: [{ from: join(root, 'objects'), to: '/objects', writable: false }], ...more }, new AbortController().signal)
  assert.ok(result.ok, JSON.stringify(result))
  return result.stdout.text
}
const all = ['a/private', 'b/data.csv', '.git', '/objects']

test('what is hidden is read by no command, and everything else is', async () => {
  const look = 'grep -rs SECRET /work /objects; cat b/data.csv link folder/deep/x /objects/pack; ls -A a/private .git; tar cf - . | grep -ac SECRET; cat b/open.txt'
  for (const readOnly of [false, true]) {
    const seen = await run(look, all, { readOnly })
    assert.doesNotMatch(seen, /SECRET/)
    assert.match(seen, /data\.csv: Permission denied/)
    assert.match(seen, /open$/)
  }
  assert.equal((await run('grep -rhs SECRET /work /objects | sort', [])).split('\n').filter(Boolean).length, 4)
})

test('neither it nor a folder around it can be moved, replaced or removed, and nothing can be put into it', async () => {
  const said = await run('mv a c; mv a/private c; mv b c; mv b/data.csv c; rm -rf a/private b/data.csv; echo x > a/private/y; ln -f b/open.txt b/data.csv; mv .git g; rm -rf a b .git; cat c/* g/*', all)
  assert.doesNotMatch(said, /SECRET/)
  assert.deepEqual(['a/private/deep/x', 'b/data.csv', '.git/HEAD'].map((name) => readFileSync(join(work, name), 'utf8')), ['SECRET deep', 'SECRET csv', 'SECRET head'])
  assert.ok(!existsSync(join(work, 'a/private/y')))
  rmSync(join(work, 'c'), { recursive: true, force: true })
  writeFileSync(join(work, 'b/open.txt'), 'open')
})

test('work beside it goes on: files are made, moved and removed in the folders around it', async () => {
  assert.equal(await run('echo 1 > b/new && mv b/new b/newer && mv b/newer a/newer && cat a/newer && rm a/newer && echo done', all), '1\ndone\n')
})

test('a part of .git is all of it, so that its hooks and settings stay as they are; a place in a hidden folder is hidden with it', async () => {
  mkdirSync(join(work, '.git/hooks'), { recursive: true })
  writeFileSync(join(work, '.git/config'), '[core]\n')
  for (const hidden of [['.git/HEAD'], ['.git/hooks/none'], ['a/private/deep/x', 'a/private', 'a/private/deep', '.git/config', '.git']]) {
    assert.doesNotMatch(await run('echo x > .git/hooks/post-checkout; echo x > .git/config; cat .git/HEAD a/private/deep/x', hidden), hidden.length > 1 ? /SECRET/ : /SECRET head/)
  }
  assert.ok(!existsSync(join(work, '.git/hooks/post-checkout')))
  assert.equal(readFileSync(join(work, '.git/config'), 'utf8'), '[core]\n')
})

test('a file that goes between the look at it and the run is not there afterwards; an empty one that was there stays', () => {
  for (const name of ['gone.csv', 'b/gone.csv', 'empty.csv']) writeFileSync(join(work, name), '', { mode: 0o444 })
  const veil = veilOver(work, ['gone.csv', 'b/gone.csv', 'empty.csv'], true)
  rmSync(join(work, 'gone.csv'))
  rmSync(join(work, 'b/gone.csv'))
  const made = spawnSync('bwrap', ['--ro-bind', '/usr', '/usr', '--symlink', 'usr/lib', '/lib', '--symlink', 'usr/lib64', '/lib64', '--bind', work, '/work', ...veil.args(3), '/usr/bin/true'])
  assert.equal(made.status, 0, String(made.stderr))
  for (const fd of veil.hand()) closeSync(fd)
  assert.ok(existsSync(join(work, 'gone.csv')))
  assert.deepEqual(veil.close(), ['gone.csv', 'b/gone.csv'])
  assert.deepEqual(['gone.csv', 'b/gone.csv', 'empty.csv'].map((name) => existsSync(join(work, name))), [false, false, true])
})

test('what is not there, and a link, are left out; a folder of the way may be a link or a file', async () => {
  symlinkSync('/etc', join(work, 'etc'))
  assert.equal(await run('ls a/none || true; cat b/open.txt', ['a/none', 'none/x', 'link', 'etc/passwd', 'b/open.txt/x']), "ls: cannot access 'a/none': No such file or directory\nopen")
  assert.ok(!existsSync(join(work, 'none')))
  // Another name of the same file is another file: said in the docs.
  linkSync(join(work, 'b/data.csv'), join(work, 'twin'))
  assert.equal(await run('cat twin', all), 'SECRET csv')
})
