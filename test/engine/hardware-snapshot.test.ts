// The readers over captured trees: what a Strix Halo box, a carve-out, a plain CPU and an unknown GPU say, and that no garbage throws.
import assert from 'node:assert/strict'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { HardwareSnapshot } from '../../packages/protocol/src/hardware.ts'
import { budgetOf, mainGpu, pagesLimitFor, reserveBytes } from '../../packages/engine/src/hardware/budget.ts'
import { readGpuMetrics } from '../../packages/engine/src/hardware/gpu-metrics.ts'
import { readHardware } from '../../packages/engine/src/hardware/snapshot.ts'
import { boxes, boxSnapshot, notesOf, rootOf } from '../fixtures/hardware/box.ts'

const GiB = 2 ** 30
const scratch = mkdtempSync(join(tmpdir(), 'hardware-'))
after(() => { rmSync(scratch, { recursive: true }) })

test('a Strix Halo box of 128 GiB is told whole', async () => {
  const { cpu, ...rest } = await boxSnapshot('strix-halo-128')
  assert.deepEqual({ ...cpu, flags: cpu.flags.includes('avx512_vnni') }, {
    model: 'AMD RYZEN AI MAX+ 395 w/ Radeon 8060S', sockets: 1, physicalCores: 16, logicalCpus: 32, flags: true, governor: 'powersave',
  })
  assert.deepEqual(rest, {
    kernel: { release: '7.1.3-200.fc44.x86_64', commandLine: '' },
    board: { vendor: 'Framework', product: 'Desktop (AMD Ryzen AI Max 300 Series)', version: 'A6', board: null, biosVersion: '3.03', biosDate: null },
    memory: { totalBytes: 131_072_000 * 1024, availableBytes: 126_000_000 * 1024, installedBytes: 128 * GiB },
    limits: { ttmPagesLimit: 16_384_000, ttmPagePoolSize: 16_384_000, gttSizeMiB: -1, lockupTimeout: null, cwsrEnable: -1, iommuGroups: 3 },
    gpus: [{
      card: 'card1', driver: 'amdgpu', vendorId: 0x1002, deviceId: 0x1586, gfx: 'gfx1151', computeUnits: 40, simds: 80, integrated: true,
      vramTotalBytes: GiB / 2, vramUsedBytes: 64 * 2 ** 20, visibleVramTotalBytes: GiB / 2, gttTotalBytes: 67_108_864_000, gttUsedBytes: 180 * 2 ** 20,
      busyPercent: 3, socketWatts: 15, temperaturesC: { edge: 38 }, clockMHz: 600, clockMaxMHz: 2900, performanceLevel: 'auto', mesFirmware: 0x80,
      metrics: { format: '3.0', gfxTemperatureC: 51.2, socTemperatureC: 48.9, gfxActivityPercent: 3, socketWatts: 15.23, gfxClockMHz: 600, memoryClockMHz: 800 },
    }],
    vulkan: { drivers: [
      { path: '/etc/vulkan/icd.d/amd_icd64.json', library: '/usr/lib/amdvlk64.so', kind: 'amdvlk' },
      { path: '/usr/share/vulkan/icd.d/radeon_icd.json', library: '/usr/lib/libvulkan_radeon.so', kind: 'radv' },
    ] },
    power: { platformProfile: null, tunedProfile: 'balanced' },
    rapl: [{ name: 'package-0', energyMicrojoules: null, wrapMicrojoules: 65_532_610_987 }],
    access: { uid: 1000, groups: ['hearth'], devices: [{ path: '/dev/dri/renderD128', group: 'render', usable: false }, { path: '/dev/kfd', group: 'render', usable: false }] },
  })
})

test('the command line keeps its words about the GPU and no others', async () => {
  const snapshot = await boxSnapshot('strix-halo-128-tuned')
  assert.equal(snapshot.kernel.commandLine, 'amd_iommu=off ttm.pages_limit=30670848 ttm.page_pool_size=30670848 amdgpu.lockup_timeout=20000')
  assert.equal(snapshot.limits.iommuGroups, 0)
  assert.ok(snapshot.access.devices.every((device) => device.usable), 'group render may use the nodes')
})

test('a box without a GPU has none, and an unknown one keeps its ids and nothing that is garbage', async () => {
  const plain = await boxSnapshot('plain-cpu')
  assert.deepEqual([plain.gpus, plain.vulkan.drivers, plain.access.devices, plain.memory.installedBytes], [[], [], [], null])
  const [gpu] = (await boxSnapshot('unknown-gpu')).gpus
  assert.deepEqual([gpu?.driver, gpu?.vendorId, gpu?.integrated, gpu?.vramTotalBytes, gpu?.gttTotalBytes, gpu?.busyPercent, gpu?.metrics], ['xe', 0xbeef, null, null, null, null, null])
})

test('a root that does not exist answers with nothing known', async () => {
  const nothing = HardwareSnapshot.parse(await readHardware(join(scratch, 'absent'), { uid: 1, gids: [], nodes: {} }))
  assert.deepEqual([nothing.gpus, nothing.memory.totalBytes, nothing.cpu.model, nothing.kernel.release], [[], null, null, null])
})

test('the present machine is read without a throw and fits the schema', async () => {
  const here = HardwareSnapshot.parse(await readHardware())
  assert.ok((here.memory.totalBytes ?? 0) > (here.memory.availableBytes ?? Infinity) * 0.5)
  assert.ok((here.cpu.logicalCpus ?? 0) >= 1)
})

const garbage: readonly [name: string, bytes: Buffer][] = [
  ['empty', Buffer.alloc(0)], ['zeros', Buffer.alloc(300)], ['ones', Buffer.alloc(300, 0xff)], ['words', Buffer.from('lots of it\n'.repeat(50))],
  ['a huge number', Buffer.from('9'.repeat(400))], ['a negative number', Buffer.from('-1\n')], ['half a number', Buffer.from('12abc')],
]
for (const [name, bytes] of garbage) {
  test(`every file of a box may hold ${name}: nothing throws and the schema still holds`, async () => {
    const root = join(scratch, name.replaceAll(' ', '-'))
    cpSync(rootOf('strix-halo-128'), root, { recursive: true })
    for (const file of readdirSync(root, { recursive: true, encoding: 'utf8' })) {
      if (statSync(join(root, file)).isFile()) writeFileSync(join(root, file), bytes)
    }
    HardwareSnapshot.parse(await readHardware(root, notesOf('strix-halo-128')))
  })
}

test('folders where files are expected, and files where folders are, are nothing known', async () => {
  const root = join(scratch, 'shapes')
  mkdirSync(join(root, 'proc/meminfo'), { recursive: true })
  mkdirSync(join(root, 'sys/class'), { recursive: true })
  writeFileSync(join(root, 'sys/class/drm'), 'card0')
  const snapshot = await readHardware(root, { uid: 0, gids: [], nodes: {} })
  assert.deepEqual([snapshot.memory.totalBytes, snapshot.gpus], [null, []])
})

test('gpu_metrics of another revision or length is not read', () => {
  const table = readFileSync(join(rootOf('strix-halo-128'), 'sys/class/drm/card1/device/gpu_metrics'))
  assert.equal(readGpuMetrics(table)?.gfxClockMHz, 600)
  assert.equal(readGpuMetrics(table.subarray(0, 263)), null)
  const other = Buffer.from(table)
  other.writeUInt8(2, 2)
  assert.equal(readGpuMetrics(other), null)
})

test('VRAM and GTT are never added up: the larger one that is free counts, bounded by memory', async () => {
  const limits = await Promise.all(boxes.map(async (box) => {
    const budget = budgetOf(await boxSnapshot(box), 'gpu')
    return budget === null ? `${box}: null` : `${box}: ${budget.place} ${(budget.limitBytes / GiB).toFixed(1)}, free ${(budget.freeBytes / GiB).toFixed(1)}`
  }))
  assert.deepEqual(limits, [
    'plain-cpu: null', 'strix-halo-128: gtt 62.5, free 62.3', 'strix-halo-128-tuned: gtt 117.0, free 112.4', 'strix-halo-96-carve-out: vram 95.5, free 94.8', 'unknown-gpu: null',
  ])
  const plain = await boxSnapshot('plain-cpu')
  assert.equal(mainGpu(plain), null)
  assert.deepEqual(budgetOf(plain, 'cpu')?.place, 'ram')
})

test('the reserve is a sixteenth and at least 1 GiB; the pages are whole GiB', () => {
  assert.deepEqual([reserveBytes(128 * GiB), reserveBytes(64 * GiB), reserveBytes(8 * GiB)], [8 * GiB, 4 * GiB, GiB])
  assert.deepEqual(pagesLimitFor(128 * GiB), { gib: 120, pages: 31_457_280 })
})
