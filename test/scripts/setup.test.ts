// The set-up on a machine that lacks something: one sentence with what to run, exit 69, and nothing touched.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'

const root = join(import.meta.dirname, '../..')
const basics = ['sh', 'dirname', 'id', 'touch', 'mktemp', 'date', 'uname', 'rm', 'tail']

/** Runs a copy of scripts/setup with only these programs in PATH. */
function setup(t: TestContext, options: { programs: string[]; modules: boolean; env?: Record<string, string>; argv?: string[] }): { code: number | null; err: string; root: string } {
  const copy = mkdtempSync(join(tmpdir(), 'setup-'))
  t.after(() => rmSync(copy, { recursive: true, force: true }))
  mkdirSync(join(copy, 'scripts'))
  mkdirSync(join(copy, 'bin'))
  cpSync(join(root, 'scripts/setup'), join(copy, 'scripts/setup'))
  cpSync(join(root, 'package-lock.json'), join(copy, 'package-lock.json'))
  // As old as can be, so that the installed packages are never called out of date.
  utimesSync(join(copy, 'package-lock.json'), 0, 0)
  if (options.modules) symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'))
  for (const program of options.programs) symlinkSync(which(program), join(copy, 'bin', program))
  const done = spawnSync(join(copy, 'bin/sh'), [join(copy, 'scripts/setup'), ...(options.argv ?? [])], {
    encoding: 'utf8', env: { PATH: join(copy, 'bin'), HOME: copy, ...options.env },
  })
  return { code: done.status, err: done.stderr, root: copy }
}

function which(program: string): string {
  const found = spawnSync('sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).stdout.trim()
  assert.notEqual(found, '', `this test needs the program '${program}'`)
  return found
}

test('without npm', (t) => {
  const { code, err, root: copy } = setup(t, { programs: basics, modules: false })
  assert.equal(err, "setup: npm is missing; install it first (Debian, Ubuntu: 'apt-get install npm'). Hearth brings its own Node.\n")
  assert.equal(code, 69)
  assert.equal(existsSync(join(copy, 'node_modules')), false)
})

test('without bubblewrap, where nothing may be installed', (t) => {
  const { code, err } = setup(t, { programs: [...basics, 'apt-get'], modules: true, env: { HEARTH_NO_INSTALL: '1' } })
  assert.equal(err, 'setup: bubblewrap is missing and tools are never run without it; run as root: apt-get install -y bubblewrap\n')
  assert.equal(code, 69)
})

test('without bubblewrap and without a package manager that it knows', (t) => {
  const { code, err } = setup(t, { programs: basics, modules: true })
  assert.equal(err, "setup: bubblewrap is missing and tools are never run without it; run as root: your package manager, for the package 'bubblewrap'\n")
  assert.equal(code, 69)
})

test('with everything there it says nothing and does nothing', (t) => {
  const { code, err } = setup(t, { programs: [...basics, 'bwrap'], modules: true })
  assert.equal(err, '')
  assert.equal(code, 0)
})

test('an unknown argument', (t) => {
  const { code, err } = setup(t, { programs: basics, modules: false, argv: ['--tests'] })
  assert.equal(err, "setup: unknown argument '--tests'; usage: scripts/setup [--test | --full]\n")
  assert.equal(code, 2)
})
