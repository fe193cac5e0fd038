// Why the sandbox cannot start: each cause with its sentence and remedy, and never a run without it.
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Config } from '@hearth/protocol'
import { createConfine, createSandbox } from '../../packages/sandbox/src/index.ts'
import { pidMaxIsPerNamespace } from '../../packages/sandbox/src/limits-weak.ts'
import { whyNot } from '../../packages/sandbox/src/probe.ts'
import { limits, makePlace } from './hostile.ts'

function inFolder(): { folder: string } & Disposable {
  const folder = mkdtempSync(join(tmpdir(), 'hearth-report-'))
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
}

async function reportWith(bwrap: string, folder: string) {
  const lines: string[] = []
  const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(folder, 'state'), log: (line) => lines.push(line), cgroupRoot: folder, bwrap })
  const report = await sandbox.report()
  const result = await sandbox.run({ argv: ['touch', join(folder, 'ran')], workspace: folder, limits, captureBytes: 10 }, new AbortController().signal)
  await sandbox.close()
  assert.equal(report.available, false)
  assert.deepEqual(result, { ok: false, fault: report.fault })
  return report
}

/** A little program in place of bubblewrap. */
function fakeBwrap(folder: string, body: string): string {
  const path = join(folder, 'bwrap')
  writeFileSync(path, `#!/bin/sh\n${body}\n`)
  chmodSync(path, 0o755)
  return path
}

test('bubblewrap is not there', async () => {
  using place = inFolder()
  const report = await reportWith(join(place.folder, 'none'), place.folder)
  assert.deepEqual([report.fault?.code, report.detail, report.fault?.remedy], ['sandbox_unavailable',
    'The sandbox cannot start: bubblewrap is not installed (no /usr/bin/bwrap). Nothing is run without it.',
    'Install it: apt-get install bubblewrap (Debian, Ubuntu) or dnf install bubblewrap (Fedora).'])
  const wrapped = createConfine({ bwrap: join(place.folder, 'none') }).wrap({ argv: ['true'], readOnly: [], readWrite: [], gpu: false, env: {} })
  assert.deepEqual(wrapped, { fault: report.fault })
})

test('bubblewrap is too old', async () => {
  using place = inFolder()
  const report = await reportWith(fakeBwrap(place.folder, 'echo bubblewrap 0.6.1'), place.folder)
  assert.equal(report.detail, 'The sandbox cannot start: bubblewrap 0.6 is too old, 0.8 is needed. Nothing is run without it.')
})

test('bubblewrap is refused its namespaces', async () => {
  using place = inFolder()
  const report = await reportWith(fakeBwrap(place.folder, '[ "$1" = --version ] && exec echo bubblewrap 0.9.0\necho "bwrap: setting up uid map: Permission denied" >&2; exit 1'), place.folder)
  assert.match(report.detail, /^The sandbox cannot start: .*bubblewrap said: bwrap: setting up uid map: Permission denied\. Nothing is run without it\.$/)
})

test('bubblewrap that runs nothing and says success is not believed', async () => {
  using place = inFolder()
  const report = await reportWith(fakeBwrap(place.folder, '[ "$1" = --version ] && exec echo bubblewrap 0.9.0\nexit 0'), place.folder)
  assert.equal(report.detail, 'The sandbox cannot start: bubblewrap ended without a word. Nothing is run without it.')
})

test('the system\'s switches are named when they forbid it', () => {
  using place = inFolder()
  const set = (name: string, value: string): void => {
    const path = join(place.folder, name.replaceAll('.', '/'))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `${value}\n`)
  }
  const said = 'bwrap: No permissions to create new namespace\n'
  assert.equal(whyNot(said, 1000, place.folder).why, 'bubblewrap said: bwrap: No permissions to create new namespace')
  set('kernel.apparmor_restrict_unprivileged_userns', '1')
  assert.deepEqual(whyNot(said, 1000, place.folder), {
    why: 'AppArmor forbids user namespaces to this bubblewrap (kernel.apparmor_restrict_unprivileged_userns = 1); bubblewrap said: bwrap: No permissions to create new namespace',
    remedy: "Use the distribution's own /usr/bin/bwrap with an AppArmor profile that allows userns (package apparmor-profiles: bwrap-userns-restrict), or run: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0.",
  })
  assert.match(whyNot(said, 0, place.folder).why, /^bubblewrap said/, 'these two do not concern root')
  set('kernel.unprivileged_userns_clone', '0')
  assert.deepEqual(whyNot(said, 1000, place.folder), {
    why: 'user namespaces are forbidden to ordinary users (kernel.unprivileged_userns_clone = 0); bubblewrap said: bwrap: No permissions to create new namespace',
    remedy: 'Run: sysctl -w kernel.unprivileged_userns_clone=1 (and keep it in /etc/sysctl.d).',
  })
  set('user.max_user_namespaces', '0')
  assert.equal(whyNot(said, 0, place.folder).why, 'user namespaces are switched off (user.max_user_namespaces = 0); bubblewrap said: bwrap: No permissions to create new namespace')
})

test('strict limits without control groups are refused, not weakened', async () => {
  using place = inFolder()
  const sandbox = createSandbox({ config: Config.parse({}).sandbox, stateDir: join(place.folder, 'state'), log: () => {}, cgroupRoot: place.folder })
  const report = await sandbox.report()
  assert.deepEqual([report.available, report.limits, report.fault?.code, report.detail], [false, 'none', 'limits_unavailable',
    `Memory and process limits cannot be enforced here: cgroup v2 has no controllers here; cgroup v1 has no memory hierarchy at ${place.folder}.`])
  const result = await sandbox.run({ argv: ['true'], workspace: place.folder, limits, captureBytes: 10 }, new AbortController().signal)
  assert.deepEqual(result, { ok: false, fault: report.fault })
  await sandbox.close()
})

test('weak limits say that they are weak', async () => {
  const place = makePlace(true)
  assert.match((await place.sandbox.report()).detail, /^bubblewrap \d+\.\d+\.\d+; limits by rlimits and a watching parent \(weak\)$/)
  await place.remove()
})

test('kernel.pid_max is touched only where it is the namespace\'s own', () => {
  assert.deepEqual(['6.13.9', '6.14.0-rc1', '6.18.44-fc', '7.0', '5.15.0-91-generic', 'odd'].map(pidMaxIsPerNamespace), [false, true, true, true, false, false])
})
