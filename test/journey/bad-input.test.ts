// Bad input of every kind: a sentence with cause and remedy, the right exit code, nothing half-written left behind.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, symlinkSync, truncateSync, writeFileSync, openSync, writeSync, closeSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import type { ModelList } from '@hearth/protocol'
import { Box, root, starterFile } from './box.ts'

const finish = { calls: [{ name: 'finish', arguments: { answer: '' } }] }

describe('bad input', () => {
  let box: Box
  let scripted = ''
  before(async () => { box = new Box(); scripted = box.script({ turns: [finish] }); await box.up() })
  after(() => box.close())

  async function refused(words: string[], code: number, message: RegExp, cwd = box.folder()): Promise<void> {
    const before = (await box.jobs()).length
    const ran = await box.hearth(words, { cwd })
    assert.equal(ran.code, code, ran.stdout + ran.stderr)
    assert.match(ran.stderr, message)
    // Two lines: what happened, and what to do.
    assert.ok(ran.stderr.trim().split('\n').length >= 2, ran.stderr)
    assert.equal((await box.jobs()).length, before)
  }

  it('an unknown model', () => refused(['run', '--model', 'gpt-9', 'x'], 65, /There is no model 'gpt-9' here\.\n.*smollm2-135m/))
  it('a script that does not exist', () => refused(['run', '--model', 'scripted:/no/such.json', 'x'], 65, /there is no such file/))
  it('a folder that does not exist', () => refused(['run', '--model', scripted, '--cwd', '/no/such/folder', 'x'], 65, /The working directory \/no\/such\/folder cannot be used/))
  it('the root of the disk', () => refused(['run', '--model', scripted, '--cwd', '/', 'x'], 65, /The working directory \/ cannot be used/))
  it('a file as folder', () => refused(['run', '--model', scripted, '--cwd', join(box.folder({ f: '' }), 'f'), 'x'], 65, /cannot be used/))
  it('the daemon\'s own folder', () => refused(['run', '--model', scripted, '--cwd', join(box.env['HEARTH_HOME'] ?? '', 'state'), 'x'], 65, /cannot be used/))
  it('no prompt', () => refused(['run', '--model', scripted], 64, /prompt/))
  it('an unknown flag', () => refused(['run', '--modle', 'x', 'y'], 64, /--model/))
  it('an unknown command', () => refused(['rnu'], 64, /run/))
  it('an unknown job', () => refused(['show', 'nothing-here'], 65, /There is no job/))
  it('steps that are no number', () => refused(['run', '--model', scripted, '--max-steps', 'many', 'x'], 64, /max-steps/))

  it('a check that cannot start', async () => {
    const { code, stderr } = await box.hearth(['run', '--model', scripted, '--check', 'no-such-program', 'x'], { cwd: box.folder() })
    assert.equal(code, 65)
    assert.match(stderr, /The check 'no-such-program' cannot start: there is no program no-such-program in the sandbox\./)
  })

  it('a truncated and a bit-flipped model file are refused before anything native reads them, and nothing stays', async () => {
    const cut = join(box.home, 'cut.gguf')
    copyFileSync(starterFile, cut)
    truncateSync(cut, 50_000_000)
    const flipped = join(box.home, 'flipped.gguf')
    copyFileSync(starterFile, flipped)
    const file = openSync(flipped, 'r+')
    writeSync(file, Buffer.from([0xff, 0xff]), 0, 2, 22)
    closeSync(file)
    writeFileSync(join(box.home, 'text.gguf'), 'this is no model')
    const models = join(box.env['HEARTH_HOME'] ?? '', 'models')
    const listed = (): string[] => (existsSync(models) ? readdirSync(models, { recursive: true }).map(String).sort() : [])
    const before = listed()
    for (const path of [cut, flipped, join(box.home, 'text.gguf')]) {
      const begun = performance.now()
      const { code, stderr } = await box.hearth(['models', 'import', path])
      assert.equal(code, 65, stderr)
      assert.match(stderr, /is not a usable GGUF file: /)
      assert.ok(performance.now() - begun < 20_000)
    }
    const { code, stderr } = await box.hearth(['models', 'import', '/no/such.gguf'])
    assert.equal(code, 65)
    assert.match(stderr, /\/no\/such\.gguf cannot be used/)
    assert.deepEqual(listed(), before)
  })

  it('a model file whose bytes were changed after the pull is found by verify', async () => {
    const imported = await box.hearth(['models', 'import', '--copy', starterFile])
    assert.equal(imported.code, 0, imported.stderr)
    const path = (await box.json<ModelList>('models', 'ls')).models.find((one) => one.id === 'smollm2-135m')?.path ?? ''
    const file = openSync(path, 'r+')
    writeSync(file, Buffer.from([1, 2, 3]), 0, 3, 90_000_000)
    closeSync(file)
    const { code, stderr } = await box.hearth(['models', 'verify', 'smollm2-135m'])
    assert.equal(code, 65, stderr)
    assert.match(stderr, /sha256/)
    const refusedJob = await box.hearth(['run', '--model', 'smollm2-135m', 'x'], { cwd: box.folder() })
    assert.equal(refusedJob.code, 65, refusedJob.stderr)
    await box.hearth(['models', 'rm', 'smollm2-135m'])
    assert.ok(!existsSync(path))
  })

  it('a second daemon on the same folder', async () => {
    const second = spawnSync(join(root, 'node_modules/.bin/node'), [join(root, 'packages/daemon/src/main.ts'), 'serve'], { env: box.env, encoding: 'utf8' })
    assert.equal(second.status, 73, second.stderr)
    assert.match(second.stdout + second.stderr, /Another daemon \(pid \d+\) already owns /)
  })
})

describe('a box that lacks something', () => {
  it('a config with an unknown key', async () => {
    const box = new Box({ sandbox: { limit: 'weak' } })
    const { code, stderr } = await box.hearth(['up'])
    assert.equal(code, 65, stderr)
    assert.match(stderr, /config\.json is not valid at sandbox.*limit/)
    assert.match(stderr, /limits/)
    await box.close()
  })

  it('no bwrap: nothing is run without it', async () => {
    const box = new Box()
    withoutPrograms(box, ['bwrap'])
    const { code, stderr } = await box.hearth(['run', '--model', box.script({ turns: [finish] }), 'x'], { cwd: box.folder() })
    await box.close()
    // Where the system's bubblewrap is found by its full path the job runs: the path is not the person's to change.
    if (existsSync('/usr/bin/bwrap')) assert.equal(code, 0, stderr)
    else assert.equal(code, 69, stderr)
  })

  it('no python and no pip: the sentence says how to go on', async () => {
    const box = new Box()
    withoutPrograms(box, ['python3', 'python', 'pip', 'pip3'])
    const { code, stderr } = await box.hearth(['models', 'pull', 'smollm2-135m'])
    assert.equal(code, 69, stderr)
    assert.match(stderr, /python3/)
    assert.match(stderr, /hearth models import/)
    const models = join(box.env['HEARTH_HOME'] ?? '', 'models')
    assert.deepEqual(existsSync(models) ? readdirSync(models).filter((name) => name.endsWith('.gguf')) : [], [])
    await box.close()
  })

  it('no network: the pull fails with the cause, and leaves no half model', async () => {
    const box = new Box()
    box.env['PIP_INDEX_URL'] = 'http://127.0.0.1:9/simple'
    box.env['PIP_NO_INDEX'] = '1'
    box.env['PIP_CONFIG_FILE'] = '/dev/null'
    const { code, stderr } = await box.hearth(['models', 'pull', 'smollm2-135m'])
    assert.equal(code, 69, stderr)
    assert.match(stderr, /could not be fetched/)
    await box.close()
  })
})

/** PATH becomes a folder of links to everything but these. */
function withoutPrograms(box: Box, names: string[]): void {
  const bin = join(box.home, 'bin')
  mkdirSync(bin)
  for (const folder of ['/usr/local/bin', '/usr/bin', '/bin']) {
    if (!existsSync(folder)) continue
    for (const name of readdirSync(folder)) {
      if (names.some((one) => name === one || name.startsWith(`${one}.`)) || existsSync(join(bin, name))) continue
      try { symlinkSync(join(folder, name), join(bin, name)) } catch { /* a dangling link of the machine's own */ }
    }
  }
  chmodSync(bin, 0o755)
  box.env['PATH'] = bin
}
