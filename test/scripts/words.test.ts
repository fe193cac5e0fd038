// What the scripts say of themselves: --help before anything is set up, and one sentence for a word that they do not take.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'

const root = join(import.meta.dirname, '../..')
const firstLines = {
  test: 'scripts/test [--full] [--file-seconds N] [NAME...]',
  check: 'scripts/check [--size]',
  bench: 'scripts/bench [NAME...] [--list] [--rounds N] [--json] [--record] [--draw]; of the bench agent: [--model ID] [--tasks NAMES] [--update]',
  try: 'scripts/try ["PROMPT"] [--cwd DIR] [--check CMD] [--seed N]',
}

for (const [name, first] of Object.entries(firstLines)) {
  test(`scripts/${name}: --help on a bare checkout, and an unknown option`, (t) => {
    // Nothing but the sh file: help needs no set-up.
    const bare = mkdtempSync(join(tmpdir(), 'words-'))
    t.after(() => rmSync(bare, { recursive: true, force: true }))
    mkdirSync(join(bare, 'scripts'))
    cpSync(join(root, 'scripts', name), join(bare, 'scripts', name))
    for (const words of [['--help'], ['one', '-h']]) {
      const help = spawnSync(join(bare, 'scripts', name), words, { encoding: 'utf8' })
      assert.deepEqual([help.status, help.stderr, help.stdout.split('\n')[0]], [0, '', first])
      assert.match(help.stdout, /^(.+\n){2,3}$/)
    }
    assert.deepEqual(readdirSync(bare), ['scripts'])
    const wrong = spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'scripts', `${name}.ts`), '--nonsense'], { encoding: 'utf8' })
    assert.deepEqual([wrong.status, wrong.stdout, wrong.stderr], [2, '', `${name}: Unknown option '--nonsense'; scripts/${name} --help says more\n`])
  })
}
