// Decides what is well with the hardware and its settings: pure functions of one snapshot, each with its numbers and its remedy. Reads nothing.
import { mainGpu, pagesLimitFor, smallCarveOutBytes, totalWithoutCarveOut } from '@hearth/engine/hardware/budget'
import type { GpuSnapshot, HardwareSnapshot } from '@hearth/protocol'
import { gib, ok, warn, type Check } from './verdict.ts'

type Judge = (snapshot: HardwareSnapshot, gpu: GpuSnapshot) => Check | null

/** The machine, then the GPU and what surrounds it. A box without a GPU is not asked about one; what a box does not tell is not judged. */
export function examineHardware(snapshot: HardwareSnapshot): Check[] {
  const gpu = mainGpu(snapshot) ?? snapshot.gpus[0] ?? null
  const machine = [box(snapshot), governor(snapshot)]
  if (gpu === null) return present([...machine, ok('gpu', 'none; the CPU computes')])
  const judges: readonly Judge[] = gpu.driver === 'amdgpu'
    ? [card, access, carveOut, gtt, gttSize, vulkan, kernel, lockup, mes, profile, iommu] : [card, access]
  return present([...machine, ...judges.map((judge) => judge(snapshot, gpu))])
}

function present(checks: readonly (Check | null)[]): Check[] {
  return checks.filter((check) => check !== null)
}

function box({ board, cpu, memory, kernel: { release } }: HardwareSnapshot): Check {
  const name = [board.vendor, board.product].filter((word) => word !== null).join(' ')
  const cores = cpu.physicalCores === null ? null : `${cpu.physicalCores} cores`
  const size = memory.totalBytes === null ? null
    : memory.installedBytes === null ? `${gib(memory.totalBytes)} visible` : `${gib(memory.totalBytes)} visible of ${gib(memory.installedBytes)} installed`
  return ok('hardware', [name === '' ? null : name, cpu.model, cores, size, release === null ? null : `Linux ${release}`].filter((part) => part !== null).join(', ') || 'nothing is known about it')
}

function governor({ cpu }: HardwareSnapshot): Check | null {
  if (cpu.governor === null) return null
  return cpu.governor === 'performance' ? ok('cpu governor', 'performance')
    : warn('cpu governor', `${cpu.governor}; the CPU slows down between tokens`, 'Set it: cpupower frequency-set -g performance')
}

const card: Judge = (_snapshot, gpu) => {
  const hex = (value: number | null): string => (value === null ? '????' : value.toString(16).padStart(4, '0'))
  const parts = [
    `${hex(gpu.vendorId)}:${hex(gpu.deviceId)}`, gpu.driver === null ? 'no driver' : `driver ${gpu.driver}`, gpu.gfx, gpu.computeUnits === null ? null : `${gpu.computeUnits} CU`,
    gpu.vramTotalBytes === null ? 'its memory is not known' : `VRAM ${gib(gpu.vramTotalBytes)}`, gpu.gttTotalBytes === null ? null : `GTT ${gib(gpu.gttTotalBytes)} (not to be added)`,
    gpu.busyPercent === null ? null : `${gpu.busyPercent} % busy`, gpu.socketWatts === null ? null : `${gpu.socketWatts.toFixed(1)} W package`,
    ...Object.entries(gpu.temperaturesC).map(([label, value]) => `${label} ${value.toFixed(0)} °C`),
  ]
  return ok('gpu', parts.filter((part) => part !== null).join(', '))
}

const access: Judge = ({ access: { groups, devices } }, gpu) => {
  const needed = devices.filter((device) => device.path.startsWith('/dev/dri/') || (device.path === '/dev/kfd' && gpu.driver === 'amdgpu'))
  const mine = `groups of the daemon: ${groups.join(' ') || 'none'}`
  if (!needed.some((device) => device.path.startsWith('/dev/dri/'))) {
    return warn('gpu access', `there is no /dev/dri/renderD* (${mine})`, 'Load the driver of the GPU; in a container pass --device /dev/dri.')
  }
  const closed = needed.filter((device) => !device.usable)
  if (closed.length === 0) return ok('gpu access', needed.map((device) => device.path).join(', '))
  const wanted = [...new Set(closed.map((device) => device.group ?? 'render'))]
  return warn('gpu access', `${closed.map((device) => `${device.path} (group ${device.group ?? 'unknown'})`).join(' and ')} may not be used; ${mine}`,
    `Add the daemon's user: usermod -aG ${wanted.join(',')} USER, then log in again; in a container use the group's number.`)
}

const carveOut: Judge = ({ memory }, gpu) => {
  if (gpu.integrated !== true || gpu.vramTotalBytes === null) return null
  if (gpu.vramTotalBytes <= smallCarveOutBytes) return ok('carve-out', `the BIOS keeps ${gib(gpu.vramTotalBytes)} as VRAM`)
  const total = totalWithoutCarveOut(memory, gpu)
  const left = memory.totalBytes === null ? '' : `; ${gib(memory.totalBytes)} are left for everything else`
  const then = total === null ? '' : `, then boot with ttm.pages_limit=${pagesLimitFor(total).pages} (${pagesLimitFor(total).gib} GiB)`
  return warn('carve-out', `the BIOS keeps ${gib(gpu.vramTotalBytes)} as VRAM${left}`, `Set the UMA frame buffer to 512 MB in the BIOS${then}; it is as fast, and the memory is shared.`)
}

// Somebody who chose 96 of 128 GiB wants it so; the default of one half is what is meant.
const enoughOfBest = 0.75

const gtt: Judge = ({ memory }, gpu) => {
  if (gpu.integrated !== true || gpu.gttTotalBytes === null || memory.totalBytes === null) return null
  // With a large carve-out models live in VRAM, and the check above says what to do.
  if (gpu.vramTotalBytes !== null && gpu.vramTotalBytes > smallCarveOutBytes) return null
  const best = pagesLimitFor(memory.totalBytes)
  const detail = `models can use ${gib(gpu.gttTotalBytes)} of ${gib(memory.totalBytes)}`
  if (gpu.gttTotalBytes >= best.gib * 2 ** 30 * enoughOfBest) return ok('gtt', detail)
  return warn('gtt', `${detail}; ${best.gib} GiB would leave ${gib(memory.totalBytes - best.gib * 2 ** 30)} for the system`,
    `Boot with ttm.pages_limit=${best.pages} ttm.page_pool_size=${best.pages}, or run: amd-ttm --set ${best.gib}`)
}

const gttSize: Judge = ({ limits: { gttSizeMiB, ttmPagesLimit } }) => {
  if (gttSizeMiB === null || gttSizeMiB <= 0) return null
  const agrees = ttmPagesLimit !== null && gttSizeMiB * 256 === ttmPagesLimit
  return warn('gttsize', `amdgpu.gttsize=${gttSizeMiB} (${gttSizeMiB * 256} pages) is deprecated${agrees || ttmPagesLimit === null ? '' : ` and ttm.pages_limit is ${ttmPagesLimit}; the smaller one counts`}`,
    'Remove amdgpu.gttsize from the kernel command line and set ttm.pages_limit alone.')
}

const vulkan: Judge = ({ vulkan: { drivers } }) => {
  const bad = drivers.filter((driver) => driver.kind === 'amdvlk')
  const good = drivers.find((driver) => driver.kind === 'radv')
  if (bad.length > 0) {
    return warn('vulkan driver', `AMDVLK is installed (${bad.map((driver) => driver.path).join(', ')}); it takes the GPU over, halves prefill speed and cannot allocate more than 2 GiB at once`,
      `Remove AMDVLK, or set AMD_VULKAN_ICD=RADV${good === undefined ? '' : ` and VK_DRIVER_FILES=${good.path}`} for the daemon.`)
  }
  return good === undefined ? warn('vulkan driver', 'RADV is not installed; without it the CPU computes, about 7 times slower', 'Install the Vulkan driver of Mesa (mesa-vulkan-drivers or vulkan-radeon).')
    : ok('vulkan driver', `RADV (${good.path})`)
}

/** [major, minor, patch] of a release; null when it does not begin with numbers. */
function versionOf(release: string | null): readonly [number, number, number] | null {
  const found = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(release ?? '')
  return found === null ? null : [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)]
}

function older(version: readonly [number, number, number], than: readonly [number, number, number]): boolean {
  const at = version.findIndex((part, i) => part !== than[i])
  return at >= 0 && (version[at] ?? 0) < (than[at] ?? 0)
}

const leastKernel = [6, 18, 4] as const

const kernel: Judge = ({ kernel: { release }, limits: { cwsrEnable } }, gpu) => {
  const version = versionOf(release)
  if (gpu.gfx !== 'gfx1151' || version === null) return null
  if (!older(version, leastKernel)) return ok('kernel', `${release} (6.18.4 or later for gfx1151)`)
  return warn('kernel', `${release} is older than 6.18.4, the first that is stable with gfx1151${cwsrEnable === 0 ? '' : '; it may hang in the scheduler firmware'}`,
    `Install a kernel of 6.18.4 or later${cwsrEnable === 0 ? '' : '; until then boot with amdgpu.cwsr_enable=0'}.`)
}

const leastLockupMs = 10_000

/** Default of the driver: 10 s; 2 s since kernel 7.0, which long prefills pass and the GPU is then lost. A value of 0 or below means no limit. */
const lockup: Judge = ({ kernel: { release }, limits: { lockupTimeout } }) => {
  const version = versionOf(release)
  const given = (lockupTimeout ?? '').split(',').filter((part) => /^-?\d+$/.test(part)).map(Number).filter((ms) => ms > 0)
  if (given.length === 0 && (version === null || (lockupTimeout ?? '') !== '')) return null
  const shortest = given.length > 0 ? Math.min(...given) : version !== null && version[0] >= 7 ? 2000 : leastLockupMs
  const detail = `${shortest} ms${given.length > 0 ? '' : ` (the default of Linux ${release})`}`
  return shortest >= leastLockupMs ? ok('lockup timeout', detail)
    : warn('lockup timeout', `${detail}; a long prompt takes longer, and the GPU is then lost (ring timeout)`, 'Boot with amdgpu.lockup_timeout=20000.')
}

const mes: Judge = (_snapshot, gpu) => {
  if (gpu.mesFirmware === null) return null
  const version = `0x${(gpu.mesFirmware & 0xfff).toString(16)}`
  return (gpu.mesFirmware & 0xfff) !== 0x83 ? ok('mes firmware', version)
    : warn('mes firmware', `${version} (linux-firmware 20251125) makes ROCm hang`, 'Install linux-firmware 20260110 or later, remove amdgpu-dkms-firmware if it is there, and rebuild the initramfs.')
}

const profile: Judge = ({ power: { platformProfile, tunedProfile } }, gpu) => {
  if (gpu.integrated !== true || (tunedProfile === null && platformProfile === null)) return null
  const detail = [tunedProfile === null ? null : `tuned ${tunedProfile}`, platformProfile === null ? null : `platform ${platformProfile}`].filter((part) => part !== null).join(', ')
  return tunedProfile === 'accelerator-performance' || (tunedProfile === null && platformProfile === 'performance') ? ok('power profile', detail)
    : warn('power profile', `${detail}; prefill is 5 to 8 % slower than it could be`, 'Run: tuned-adm profile accelerator-performance')
}

/** Never a warning: what it costs is small, and what it protects is the owner's to weigh. */
const iommu: Judge = ({ kernel: { commandLine }, limits: { iommuGroups } }, gpu) => {
  if (gpu.integrated !== true || iommuGroups === null) return null
  return iommuGroups === 0 || /\bamd_iommu=off\b/.test(commandLine ?? '') ? ok('iommu', 'off: memory reads are fastest; no NPU and no isolation of devices')
    : ok('iommu', `on (${iommuGroups} groups): memory reads are about 6 % slower than with amd_iommu=off, which would cost the NPU and the isolation of devices`)
}
