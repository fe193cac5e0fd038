// Owns what is read of the machine around the GPU: kernel, board, CPU, memory, power settings, energy counters. Decides nothing about it.
import type { HardwareSnapshot } from '@hearth/protocol'
import { quantity, wholeNumber, type KernelTree } from './tree.ts'

// A command line may hold an owner's secrets; only these words of it are taken.
const concerning = /^(amdgpu|amdttm|ttm|amd_iommu|iommu|zswap|transparent_hugepage|mem|hugepages)[.=]/

export async function readKernel(tree: KernelTree): Promise<HardwareSnapshot['kernel']> {
  const words = (await tree.text('/proc/cmdline'))?.split(/\s+/).filter((word) => concerning.test(word))
  return { release: await tree.text('/proc/sys/kernel/osrelease'), commandLine: words?.join(' ') ?? null }
}

export async function readBoard(tree: KernelTree): Promise<HardwareSnapshot['board']> {
  const dmi = (file: string): Promise<string | null> => tree.text(`/sys/class/dmi/id/${file}`)
  return {
    vendor: await dmi('sys_vendor'), product: await dmi('product_name'), version: await dmi('product_version'), board: await dmi('board_name'),
    biosVersion: await dmi('bios_version'), biosDate: await dmi('bios_date'),
  }
}

export async function readCpu(tree: KernelTree): Promise<HardwareSnapshot['cpu']> {
  const text = await tree.text('/proc/cpuinfo') ?? ''
  const all = (key: string): string[] => [...text.matchAll(new RegExp(`^${key}\\s*:[ \\t]*(.*)$`, 'gm'))].map((found) => (found[1] ?? '').trim())
  const processors = all('processor').length
  const sockets = all('physical id')
  const cores = all('core id')
  // A core's number is unique inside its socket only.
  const physical = new Set(cores.map((core, i) => `${sockets[i] ?? ''}/${core}`))
  return {
    model: all('model name')[0] ?? null, sockets: sockets.length === 0 ? null : new Set(sockets).size, physicalCores: physical.size === 0 ? null : physical.size,
    logicalCpus: processors === 0 ? null : processors, flags: (all('flags')[0] ?? all('Features')[0] ?? '').split(' ').filter((flag) => flag !== ''),
    governor: await tree.text('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
  }
}

export async function readMemory(tree: KernelTree): Promise<HardwareSnapshot['memory']> {
  const text = await tree.text('/proc/meminfo') ?? ''
  const bytes = (field: string): number | null => {
    const kib = wholeNumber(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text)?.[1])
    return kib === null ? null : quantity(kib * 1024)
  }
  return { totalBytes: bytes('MemTotal'), availableBytes: bytes('MemAvailable'), installedBytes: await readModules(tree) }
}

/**
 * Sum of the memory modules of SMBIOS (structure 17, DSP0134): size in MiB at byte 12, or in KiB when its top bit is set; 0x7fff means that
 * the 32-bit size at byte 28 counts; 0 is an empty slot. Null when a module does not tell its size, or none may be read.
 */
async function readModules(tree: KernelTree): Promise<number | null> {
  const entries = '/sys/firmware/dmi/entries'
  let total = 0
  let modules = 0
  for (const name of (await tree.list(entries)).filter((entry) => /^17-\d+$/.test(entry))) {
    const raw = await tree.bytes(`${entries}/${name}/raw`)
    if (raw === null || raw.length < 14 || raw.readUInt8(0) !== 17) return null
    const size = raw.readUInt16LE(12)
    if (size === 0xffff || (size === 0x7fff && raw.length < 32)) return null
    const bytes = size === 0x7fff ? (raw.readUInt32LE(28) & 0x7fffffff) * 2 ** 20 : (size & 0x7fff) * ((size & 0x8000) === 0 ? 2 ** 20 : 1024)
    total += bytes
    if (bytes > 0) modules++
  }
  return modules === 0 ? null : total
}

export async function readLimits(tree: KernelTree): Promise<HardwareSnapshot['limits']> {
  // The out-of-tree driver brings a module of its own under another name.
  const ttm = async (file: string): Promise<number | null> =>
    quantity(await tree.number(`/sys/module/ttm/parameters/${file}`) ?? await tree.number(`/sys/module/amdttm/parameters/${file}`))
  const amdgpu = '/sys/module/amdgpu/parameters'
  const present = (await tree.list('/sys/kernel')).includes('iommu_groups')
  return {
    ttmPagesLimit: await ttm('pages_limit'), ttmPagePoolSize: await ttm('page_pool_size'), gttSizeMiB: await tree.number(`${amdgpu}/gttsize`),
    lockupTimeout: await tree.text(`${amdgpu}/lockup_timeout`), cwsrEnable: await tree.number(`${amdgpu}/cwsr_enable`),
    iommuGroups: present ? (await tree.list('/sys/kernel/iommu_groups')).filter((name) => /^\d+$/.test(name)).length : null,
  }
}

export async function readPower(tree: KernelTree): Promise<HardwareSnapshot['power']> {
  return { platformProfile: await tree.text('/sys/firmware/acpi/platform_profile'), tunedProfile: await tree.text('/etc/tuned/active_profile') }
}

/** The zones of whole packages; AMD's counters carry the name intel-rapl too. */
export async function readRapl(tree: KernelTree): Promise<HardwareSnapshot['rapl']> {
  const folder = '/sys/class/powercap'
  const zones = (await tree.list(folder)).filter((name) => /^intel-rapl:\d+$/.test(name))
  return await Promise.all(zones.map(async (zone) => ({
    name: await tree.text(`${folder}/${zone}/name`) ?? zone,
    energyMicrojoules: quantity(await tree.number(`${folder}/${zone}/energy_uj`)),
    wrapMicrojoules: quantity(await tree.number(`${folder}/${zone}/max_energy_range_uj`)),
  })))
}
