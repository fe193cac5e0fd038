// `hearth engine build|ls|rm` as a person has it: the real command, the real daemon, a toolchain of little programs.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import type { BuildEvent, StatusReply } from '@hearth/protocol'
import { makeHome, type Home } from '../cli/cli.ts'
import { fakeToolchain, hangs, type Toolchain } from '../fixtures/fake-toolchain.ts'

function boxOf(t: TestContext): { home: Home; tools: Toolchain; left(): string[] } {
  const tools = fakeToolchain(t)
  const home = makeHome(t, true)
  // The daemon is started with this PATH by the first command.
  home.env['PATH'] = `${tools.bin}:/usr/bin:/bin`
  const folder = join(home.dir, 'cache/builds')
  return { home, tools, left: () => (existsSync(folder) ? readdirSync(folder).toSorted() : []) }
}

async function until(what: () => boolean): Promise<void> {
  while (!what()) await pause(20)
}

test('a build in a pipe: a line each tenth, then listed and removed', async (t) => {
  const { home, tools, left } = boxOf(t)
  tools.does('good', 10)
  const ran = await home.hearth('engine', 'build', '--backend', 'cpu', '--target', 'server', '--jobs', '2')
  assert.equal(ran.code, 0, ran.stderr)
  assert.match(ran.stdout, /^cpu-v0\.5\.0 is built: \d+ bytes in [\d.]+ m?s, c\+\+ \(fake\) 1\.2\.3\n$/)
  const lines = ran.stderr.trimEnd().split('\n')
  assert.deepEqual([lines[0], lines[1], lines[2], lines.at(-1)], [
    'unpacking llama.cpp v0.5.0 from the bundle in node-llama-cpp', 'configuring llama.cpp v0.5.0 for cpu', 'compiling for cpu at low priority, 2 at a time', 'trying what was built',
  ])
  assert.equal(lines.at(-2), '100%  10 of 10 steps')
  assert.ok(lines.some((line) => /^\d0%  \d of 10 steps  .* left$/.test(line)), ran.stderr)
  assert.deepEqual(left(), ['cpu-v0.5.0'])
  const listed = await home.hearth('engine')
  assert.match(listed.stdout, /^BUILD +BACKEND +HOLDS +LLAMA\.CPP +SIZE +BUILT +USED BY\ncpu-v0\.5\.0 +cpu +server +v0\.5\.0 012345678 +\d+ bytes +\d+ s ago +-\n$/)
  assert.equal((await home.hearth('engine', 'rm', 'cpu-v0.5.0')).stdout, 'cpu-v0.5.0 is removed\n')
  assert.deepEqual(left(), [])
  assert.equal((await home.hearth('engine', 'ls')).stdout, "Nothing was built here; 'hearth engine build --backend cpu' builds llama.cpp for this box.\n")
  assert.deepEqual(await home.hearth('engine', 'rm', 'cpu-v0.5.0'), { code: 65, signal: null, stdout: '', stderr: "hearth: There is no build 'cpu-v0.5.0'; 'hearth engine ls' lists them.\nRun 'hearth help'.\n" })
})

test('what is missing, what fails and what is mistyped', async (t) => {
  const { home, tools, left } = boxOf(t)
  assert.deepEqual(await home.hearth('engine', 'build'), { code: 64, signal: null, stdout: '', stderr: "hearth: --backend takes cpu, vulkan, hip.\nRun 'hearth help' for the commands, or 'hearth help COMMAND' for one of them.\n" })
  assert.match((await home.hearth('engine', 'build', '--backend', 'cpu', '--target', 'all')).stderr, /^hearth: --target takes library, server or both, not 'all'\.\n/)
  tools.does('fails')
  const failed = await home.hearth('engine', 'build', '--backend', 'cpu')
  assert.equal(failed.code, 69)
  assert.ok(failed.stderr.endsWith([
    'hearth: The cpu engine could not be built: ninja ended with exit status 1.', 'FAILED: file-7.cpp.o', "file-7.cpp:3:1: error: expected ';' before '}' token",
    'ninja: build stopped: subcommand failed.', 'Nothing of it is left. Mend what the last lines name and build again.', '',
  ].join('\n')), failed.stderr)
  assert.deepEqual(left(), [])
  // A daemon that finds no programs but these: the launcher itself needs one.
  tools.without('git', 'ninja')
  symlinkSync('/usr/bin/readlink', join(tools.bin, 'readlink'))
  await home.hearth('down')
  home.env['PATH'] = tools.bin
  assert.deepEqual(await home.hearth('engine', 'build', '--backend', 'cpu'), {
    code: 69, signal: null, stdout: '',
    stderr: 'hearth: The cpu engine cannot be built here: git and ninja are missing.\nDebian, Ubuntu: apt-get install git ninja-build. Fedora: dnf install git ninja-build.\n',
  })
  assert.deepEqual(left(), [])
})

test('Ctrl-C stops the build and leaves nothing', async (t) => {
  const { home, tools, left } = boxOf(t)
  tools.does('hangs')
  const running = home.launch(['engine', 'build', '--backend', 'cpu', '--target', 'server', '--json'])
  await running.said('stdout', '"done":3')
  await until(() => hangs(tools.mark))
  const second = await home.hearth('engine', 'build', '--backend', 'cpu')
  assert.equal(second.code, 65)
  assert.equal(second.stderr, 'hearth: A build is under way; wait for it, or stop it with Ctrl-C where it was started.\nNothing was changed.\n')
  running.child.kill('SIGINT')
  const ran = await running.done
  assert.equal(ran.code, 130)
  assert.match(ran.stderr, /^hearth: Cancelled by the terminal; nothing of the build is left\.\n/m)
  await until(() => !hangs(tools.mark) && left().length === 0)
})

test('a daemon killed in the middle of a build leaves nothing that the next one trips over', async (t) => {
  const { home, tools, left } = boxOf(t)
  tools.does('hangs')
  const running = home.launch(['engine', 'build', '--backend', 'cpu', '--target', 'server', '--json'])
  await running.said('stdout', '"done":3')
  await until(() => hangs(tools.mark))
  const { pid } = JSON.parse((await home.hearth('status', '--json')).stdout) as StatusReply
  process.kill(pid, 'SIGKILL')
  assert.equal((await running.done).code, 69)
  // The sandbox ends with its parent.
  await until(() => !hangs(tools.mark))
  // Where its programs wrote, and where its results are collected.
  assert.deepEqual(left().map((name) => /^\.building-/.test(name)), [true, true])
  assert.equal((await home.hearth('engine', 'ls')).stdout, "Nothing was built here; 'hearth engine build --backend cpu' builds llama.cpp for this box.\n")
  tools.does('good')
  const again = await home.hearth('engine', 'build', '--backend', 'cpu', '--target', 'server', '--json')
  assert.equal(again.code, 0, again.stderr)
  const events = again.stdout.trimEnd().split('\n').map((line) => JSON.parse(line) as BuildEvent)
  assert.equal(events.at(-1)?.type, 'done')
  assert.deepEqual(left(), ['cpu-v0.5.0'])
})
