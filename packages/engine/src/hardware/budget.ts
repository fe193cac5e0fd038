// Owns what a box can give to models: pure arithmetic over a snapshot. VRAM and GTT are two views and never added up; unknown stays unknown.
import type { GpuSnapshot, HardwareSnapshot } from '@hearth/protocol'

const GiB = 2 ** 30

/** Kept for everything that is not a model: a sixteenth of the memory (8 GiB of 128), at least 1 GiB. Below 6 to 8 GiB free boxes of 128 GiB were seen to freeze. */
export function reserveBytes(totalBytes: number): number {
  return Math.max(GiB, Math.floor(totalBytes / 16))
}

/** A carve-out larger than this is memory the owner gave away: models can live in GTT, the system cannot live in VRAM. */
export const smallCarveOutBytes = 4 * GiB
/** What the BIOS keeps at least when its frame buffer is set to the smallest size. */
const leastCarveOutBytes = GiB / 2

/** Whole GiB of `totalBytes` after the reserve, as pages of 4 KiB: the value for ttm.pages_limit. */
export function pagesLimitFor(totalBytes: number): { pages: number; gib: number } {
  const gib = Math.floor((totalBytes - reserveBytes(totalBytes)) / GiB)
  return { pages: gib * 262_144, gib }
}

/** MemTotal as it would be with the smallest carve-out; null when it or the carve-out is not known. */
export function totalWithoutCarveOut(memory: HardwareSnapshot['memory'], gpu: GpuSnapshot): number | null {
  if (memory.totalBytes === null || gpu.vramTotalBytes === null) return null
  return memory.totalBytes + Math.max(0, gpu.vramTotalBytes - leastCarveOutBytes)
}

/** The GPU that models would run on: the one that can hold most; null when there is none whose memory is known. */
export function mainGpu({ gpus }: HardwareSnapshot): GpuSnapshot | null {
  const ranked = gpus.filter((gpu) => reachOf(gpu) > 0).toSorted((a, b) => reachOf(b) - reachOf(a))
  return ranked[0] ?? null
}

function reachOf(gpu: GpuSnapshot): number {
  return Math.max(gpu.vramTotalBytes ?? 0, gpu.integrated === true ? gpu.gttTotalBytes ?? 0 : 0)
}

export type Budget = {
  /** Where a model would be put. */
  place: 'ram' | 'gtt' | 'vram'
  /** What could be used if nothing else used it: the limit minus the reserve. */
  limitBytes: number
  /** What can be used at this moment. */
  freeBytes: number
  /** All memory of that place, before reserve and use. */
  totalBytes: number
  reserveBytes: number
}

/**
 * What a model may take. `cpu`: MemAvailable minus the reserve. `gpu`: the larger of free VRAM and free GTT, never their sum; GTT is system
 * memory, so it is bounded by MemAvailable minus the reserve too. Null when the numbers are not known.
 */
export function budgetOf(snapshot: HardwareSnapshot, on: 'cpu' | 'gpu'): Budget | null {
  const { totalBytes, availableBytes } = snapshot.memory
  if (totalBytes === null || availableBytes === null) return null
  const reserve = reserveBytes(totalBytes)
  const ram: Budget = {
    place: 'ram', totalBytes, reserveBytes: reserve, limitBytes: Math.max(0, totalBytes - reserve), freeBytes: Math.max(0, availableBytes - reserve),
  }
  if (on === 'cpu') return ram
  const gpu = mainGpu(snapshot)
  if (gpu === null) return null
  const candidates: Budget[] = []
  if (gpu.vramTotalBytes !== null) {
    // The display and the driver live in VRAM too; 512 MiB is what a BIOS gives them when it gives them nothing else.
    const kept = Math.min(GiB / 2, gpu.vramTotalBytes)
    candidates.push({
      place: 'vram', totalBytes: gpu.vramTotalBytes, reserveBytes: kept, limitBytes: gpu.vramTotalBytes - kept,
      freeBytes: Math.max(0, gpu.vramTotalBytes - Math.max(kept, gpu.vramUsedBytes ?? 0)),
    })
  }
  if (gpu.integrated === true && gpu.gttTotalBytes !== null) {
    candidates.push({
      place: 'gtt', totalBytes: gpu.gttTotalBytes, reserveBytes: reserve, limitBytes: Math.min(gpu.gttTotalBytes, ram.limitBytes),
      freeBytes: Math.max(0, Math.min(gpu.gttTotalBytes - (gpu.gttUsedBytes ?? 0), ram.freeBytes)),
    })
  }
  return candidates.toSorted((a, b) => b.limitBytes - a.limitBytes)[0] ?? null
}
