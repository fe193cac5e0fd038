// Owns what is read of graphics cards: DRM, amdgpu's own files, its hwmon sensors and the KFD topology. Decides nothing about them.
import type { GpuSnapshot } from '@hearth/protocol'
import { readGpuMetrics } from './gpu-metrics.ts'
import { quantity, wholeNumber, type KernelTree } from './tree.ts'

const drm = '/sys/class/drm'
const kfd = '/sys/class/kfd/kfd/topology/nodes'

// Radeon 8060S/8050S/8040S share one id. Other APUs are told by their instruction set: these are integrated only.
const integratedDevices = new Set(['1002:1586'])
const integratedGfx = new Set(['gfx902', 'gfx90c', 'gfx1035', 'gfx1036', 'gfx1103', 'gfx1150', 'gfx1151', 'gfx1152', 'gfx1153'])

export async function readGpus(tree: KernelTree): Promise<GpuSnapshot[]> {
  const nodes = await readTopology(tree)
  const cards = (await tree.list(drm)).filter((name) => /^card\d+$/.test(name))
  return await Promise.all(cards.map((card) => readCard(tree, card, nodes)))
}

async function readCard(tree: KernelTree, card: string, nodes: readonly KfdNode[]): Promise<GpuSnapshot> {
  const device = `${drm}/${card}/device`
  const bytes = async (file: string): Promise<number | null> => quantity(await tree.number(`${device}/${file}`))
  const [vendorId, deviceId] = [await bytes('vendor'), await bytes('device')]
  const render = (await tree.list(`${device}/drm`)).map((name) => /^renderD(\d+)$/.exec(name)?.[1]).find((minor) => minor !== undefined)
  const node = nodes.find((one) => render !== undefined && one.renderMinor === Number(render))
  const gfx = node?.gfx ?? null
  const sensors = await readSensors(tree, `${device}/hwmon`)
  const clocks = dpmClocks(await tree.text(`${device}/pp_dpm_sclk`))
  const driver = /^DRIVER=(\S+)$/m.exec(await tree.text(`${device}/uevent`) ?? '')?.[1] ?? null
  const busyPercent = quantity(await tree.number(`${device}/gpu_busy_percent`))
  return {
    card, driver, vendorId, deviceId, gfx, computeUnits: node?.computeUnits ?? null, simds: node?.simds ?? null,
    integrated: isIntegrated(vendorId, deviceId, gfx),
    vramTotalBytes: await bytes('mem_info_vram_total'), vramUsedBytes: await bytes('mem_info_vram_used'), visibleVramTotalBytes: await bytes('mem_info_vis_vram_total'),
    gttTotalBytes: await bytes('mem_info_gtt_total'), gttUsedBytes: await bytes('mem_info_gtt_used'),
    busyPercent: busyPercent !== null && busyPercent <= 100 ? busyPercent : null,
    ...sensors, ...clocks, performanceLevel: await tree.text(`${device}/power_dpm_force_performance_level`),
    mesFirmware: await readMes(tree, device, card), metrics: readGpuMetrics(await tree.bytes(`${device}/gpu_metrics`)),
  }
}

function isIntegrated(vendorId: number | null, deviceId: number | null, gfx: string | null): boolean | null {
  if (vendorId !== null && deviceId !== null && integratedDevices.has(`${vendorId.toString(16)}:${deviceId.toString(16)}`)) return true
  return gfx !== null && integratedGfx.has(gfx) ? true : null
}

/** The number of the hwmon folder changes from boot to boot; the one that is named amdgpu is meant. Power is in microwatts, temperatures in thousandths. */
async function readSensors(tree: KernelTree, folder: string): Promise<Pick<GpuSnapshot, 'socketWatts' | 'temperaturesC'>> {
  for (const name of await tree.list(folder)) {
    const at = `${folder}/${name}`
    if (await tree.text(`${at}/name`) !== 'amdgpu') continue
    const microwatts = quantity(await tree.number(`${at}/power1_average`) ?? await tree.number(`${at}/power1_input`))
    const temperaturesC: Record<string, number> = {}
    for (const file of await tree.list(at)) {
      const sensor = /^(temp\d+)_input$/.exec(file)?.[1]
      if (sensor === undefined) continue
      const value = await tree.number(`${at}/${file}`)
      if (value !== null) temperaturesC[await tree.text(`${at}/${sensor}_label`) ?? sensor] = value / 1000
    }
    return { socketWatts: microwatts === null ? null : microwatts / 1e6, temperaturesC }
  }
  return { socketWatts: null, temperaturesC: {} }
}

/** Lines such as `1: 2900Mhz *`; the star marks the present one. */
function dpmClocks(text: string | null): Pick<GpuSnapshot, 'clockMHz' | 'clockMaxMHz'> {
  const levels = [...(text ?? '').matchAll(/^\d+:\s*(\d+)Mhz\s*(\*?)$/gim)].map(([, mhz, star]) => ({ mhz: Number(mhz), now: star === '*' }))
  return { clockMHz: levels.find((level) => level.now)?.mhz ?? null, clockMaxMHz: levels.length === 0 ? null : Math.max(...levels.map((level) => level.mhz)) }
}

/** From the card's own file; older kernels show it only to root, below debugfs. */
async function readMes(tree: KernelTree, device: string, card: string): Promise<number | null> {
  const own = quantity(await tree.number(`${device}/fw_version/mes_fw_version`))
  if (own !== null) return own
  const info = await tree.text(`/sys/kernel/debug/dri/${card.slice('card'.length)}/amdgpu_firmware_info`)
  return quantity(wholeNumber(/^MES feature version: \d+, firmware version: (0x[0-9a-f]+)$/im.exec(info ?? '')?.[1]))
}

type KfdNode = { renderMinor: number | null; gfx: string | null; simds: number | null; computeUnits: number | null }

async function readTopology(tree: KernelTree): Promise<KfdNode[]> {
  const found: KfdNode[] = []
  for (const name of await tree.list(kfd)) {
    const text = await tree.text(`${kfd}/${name}/properties`) ?? ''
    const value = (key: string): number | null => quantity(wholeNumber(new RegExp(`^${key} (\\d+)$`, 'm').exec(text)?.[1]))
    const simds = value('simd_count')
    if (simds === null || simds === 0) continue
    const perUnit = value('simd_per_cu')
    found.push({ renderMinor: value('drm_render_minor'), gfx: gfxName(value('gfx_target_version')), simds, computeUnits: perUnit === null || perUnit === 0 ? null : simds / perUnit })
  }
  return found
}

/** 110501 -> gfx1151: major decimal, minor and stepping one hexadecimal digit each. */
function gfxName(version: number | null): string | null {
  if (version === null || version === 0) return null
  return `gfx${Math.floor(version / 10_000)}${(Math.floor(version / 100) % 100).toString(16)}${(version % 100).toString(16)}`
}
