// Doctor's judgement of hardware, over changed snapshots of captured boxes: each row of the preflight list with its numbers and remedy.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { GpuSnapshot, HardwareSnapshot } from '../../packages/protocol/src/hardware.ts'
import { examineHardware } from '../../packages/daemon/src/doctor/hardware.ts'
import { documentsDrift, parts } from '../../scripts/docs.ts'
import { readTree } from '../../scripts/rules/tree.ts'
import { boxSnapshot } from '../fixtures/hardware/box.ts'

const tuned = await boxSnapshot('strix-halo-128-tuned')
const GiB = 2 ** 30

function gpuWith(changes: Partial<GpuSnapshot>): Partial<HardwareSnapshot> {
  return { gpus: tuned.gpus.map((gpu) => ({ ...gpu, ...changes })) }
}

function judged(changes: Partial<HardwareSnapshot>): [name: string, detail: string, remedy: string | null][] {
  return examineHardware({ ...tuned, ...changes }).filter((check) => check.state !== 'ok').map((check) => [check.name, check.detail, check.remedy])
}

test('a tuned box has nothing to mend', () => {
  assert.deepEqual(judged({}), [])
})

const cases: readonly [what: string, changes: Partial<HardwareSnapshot>, name: string, detail: string, remedy: string][] = [
  ['GTT at its default', gpuWith({ gttTotalBytes: 62.5 * GiB }), 'gtt', 'models can use 62.5 GiB of 125.0 GiB; 117 GiB would leave 8.0 GiB for the system',
    'Boot with ttm.pages_limit=30670848 ttm.page_pool_size=30670848, or run: amd-ttm --set 117'],
  ['no RADV', { vulkan: { drivers: [] } }, 'vulkan driver', 'RADV is not installed; without it the CPU computes, about 7 times slower', 'Install the Vulkan driver of Mesa (mesa-vulkan-drivers or vulkan-radeon).'],
  ['a short lockup timeout given by the owner', { limits: { ...tuned.limits, lockupTimeout: '10000,5000,10000,10000' } }, 'lockup timeout',
    '5000 ms; a long prompt takes longer, and the GPU is then lost (ring timeout)', 'Boot with amdgpu.lockup_timeout=20000.'],
  ['an old kernel with CWSR off', { kernel: { ...tuned.kernel, release: '6.18.3' }, limits: { ...tuned.limits, cwsrEnable: 0 } }, 'kernel',
    '6.18.3 is older than 6.18.4, the first that is stable with gfx1151', 'Install a kernel of 6.18.4 or later.'],
  ['the bad scheduler firmware', gpuWith({ mesFirmware: 0x83 }), 'mes firmware', '0x83 (linux-firmware 20251125) makes ROCm hang',
    'Install linux-firmware 20260110 or later, remove amdgpu-dkms-firmware if it is there, and rebuild the initramfs.'],
  ['a platform profile without tuned', { power: { platformProfile: 'low-power', tunedProfile: null } }, 'power profile', 'platform low-power; prefill is 5 to 8 % slower than it could be',
    'Run: tuned-adm profile accelerator-performance'],
  ['no device node', { access: { ...tuned.access, devices: [] } }, 'gpu access', 'there is no /dev/dri/renderD* (groups of the daemon: hearth render)', 'Load the driver of the GPU; in a container pass --device /dev/dri.'],
  ['gttsize that agrees', { limits: { ...tuned.limits, gttSizeMiB: 119_808 } }, 'gttsize', 'amdgpu.gttsize=119808 (30670848 pages) is deprecated',
    'Remove amdgpu.gttsize from the kernel command line and set ttm.pages_limit alone.'],
]
for (const [what, changes, name, detail, remedy] of cases) {
  test(`${what} is a warning with its numbers and remedy`, () => {
    assert.deepEqual(judged(changes), [[name, detail, remedy]])
  })
}

test('a lockup timeout without a limit, or one that cannot be read as numbers, is not warned about', () => {
  for (const lockupTimeout of ['-1', '0', 'words']) assert.deepEqual(judged({ limits: { ...tuned.limits, lockupTimeout } }), [])
})

test('what a box does not tell is not judged', () => {
  const unknown = gpuWith({ vramTotalBytes: null, gttTotalBytes: null, mesFirmware: null, gfx: null, integrated: null })
  const silent = { ...unknown, kernel: { release: null, commandLine: null }, limits: { ...tuned.limits, lockupTimeout: null, iommuGroups: null }, power: { platformProfile: null, tunedProfile: null } }
  assert.deepEqual(examineHardware({ ...tuned, ...silent }).map((check) => check.name), ['hardware', 'cpu governor', 'gpu', 'gpu access', 'vulkan driver'])
})

test('the document shows what doctor says about every captured box', () => {
  const text = readFileSync(new URL('../../docs/hardware.md', import.meta.url), 'utf8')
  assert.ok(text.includes(parts['hardware-doctor']?.() ?? 'missing'), "run 'node_modules/.bin/node scripts/docs.ts --write'")
  const tree = readTree(new URL('../..', import.meta.url).pathname)
  assert.deepEqual(documentsDrift({ ...tree, files: tree.files.filter((file) => file === 'docs/hardware.md') }, parts, []), [])
})
