// Owns the reading of used energy: the power sensor of an APU, or the energy counters of the CPU package. Keeps the last reading; knows no calls and no clock.
import { KernelTree } from './tree.ts'

export interface PowerReader {
  /** What is measured, for people: never the wall. */
  readonly source: string
  /** Joules used since the previous reading, over so many milliseconds; null when there is no previous one or it cannot be read now. */
  since(elapsedMs: number): Promise<number | null>
}

/**
 * The reader of this box; null when nothing can be read. An APU's PPT sensor goes first: it is the whole socket, CPU and GPU. A discrete card's sensor is not used,
 * because it leaves out the CPU; the counters of the CPU package (RAPL, usually readable by root only) are the second choice.
 */
export async function findPowerReader(root = '/'): Promise<PowerReader | null> {
  const tree = new KernelTree(root)
  return await apuSensor(tree) ?? await packageCounters(tree)
}

/** hwmon of amdgpu whose power1_label is PPT (kernel documentation: gpu/amdgpu/thermal.rst); power1_average in microwatts, averaged by the firmware. */
async function apuSensor(tree: KernelTree): Promise<PowerReader | null> {
  for (const card of (await tree.list('/sys/class/drm')).filter((name) => /^card\d+$/.test(name))) {
    const folder = `/sys/class/drm/${card}/device/hwmon`
    for (const name of await tree.list(folder)) {
      const at = `${folder}/${name}`
      if (await tree.text(`${at}/name`) !== 'amdgpu' || await tree.text(`${at}/power1_label`) !== 'PPT') continue
      for (const file of ['power1_average', 'power1_input']) {
        if (plausibleWatts(await tree.number(`${at}/${file}`)) !== null) return sensorReader(tree, `${at}/${file}`)
      }
    }
  }
  return null
}

function sensorReader(tree: KernelTree, path: string): PowerReader {
  let last: number | null = null
  return {
    source: 'APU PPT, not wall',
    async since(elapsedMs) {
      const before = last
      last = plausibleWatts(await tree.number(path))
      // The mean of both ends: the trapezoid rule.
      return before === null || last === null ? null : (before + last) / 2 * elapsedMs / 1000
    },
  }
}

/** A box of this class takes less than 300 W; a sensor that says 0 or thousands of watts is not measuring. */
const mostWatts = 1000

function plausibleWatts(microwatts: number | null): number | null {
  return microwatts === null || microwatts <= 0 || microwatts > mostWatts * 1e6 ? null : microwatts / 1e6
}

/** Counters that stand still are not counting, and ones that began anew (a driver was loaded again) look as if they had gone round. A short interval says nothing of either. */
function plausible(joules: number, elapsedMs: number): boolean {
  return elapsedMs < 500 || (joules > 0 && joules / elapsedMs * 1000 <= mostWatts)
}

async function packageCounters(tree: KernelTree): Promise<PowerReader | null> {
  const folder = '/sys/class/powercap'
  const zones: { path: string; wrap: number | null; last: number | null }[] = []
  for (const name of (await tree.list(folder)).filter((one) => /^intel-rapl:\d+$/.test(one))) {
    const path = `${folder}/${name}/energy_uj`
    const last = await tree.number(path)
    if (last !== null) zones.push({ path, wrap: await tree.number(`${folder}/${name}/max_energy_range_uj`), last })
  }
  if (zones.length === 0) return null
  let begun = false
  return {
    source: 'CPU package (RAPL), not wall',
    async since(elapsedMs) {
      let sum: number | null = begun ? 0 : null
      begun = true
      for (const zone of zones) {
        const now = await tree.number(zone.path)
        const grown = now === null || zone.last === null ? null : now >= zone.last ? now - zone.last : zone.wrap === null ? null : now + zone.wrap - zone.last
        zone.last = now
        sum = sum === null || grown === null ? null : sum + grown / 1e6
      }
      return sum === null || plausible(sum, elapsedMs) ? sum : null
    },
  }
}
