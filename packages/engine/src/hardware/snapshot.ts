// Owns the one snapshot of a box: every reader's answer in one value. Starts no program, needs no library, changes nothing.
import type { HardwareSnapshot } from '@hearth/protocol'
import { readAccess, readVulkan } from './access.ts'
import { readGpus } from './gpus.ts'
import { readBoard, readCpu, readKernel, readLimits, readMemory, readPower, readRapl } from './machine.ts'
import { KernelTree, type TreeNotes } from './tree.ts'

/** Reads the box below `root`. Never throws: what cannot be read is null or absent. `notes` stand in for what a captured tree cannot hold. */
export async function readHardware(root = '/', notes: TreeNotes | null = null): Promise<HardwareSnapshot> {
  const tree = new KernelTree(root, notes)
  const [kernel, board, cpu, memory, limits, gpus, vulkan, power, rapl, access] = await Promise.all([
    readKernel(tree), readBoard(tree), readCpu(tree), readMemory(tree), readLimits(tree), readGpus(tree), readVulkan(tree), readPower(tree), readRapl(tree), readAccess(tree),
  ])
  return { kernel, board, cpu, memory, limits, gpus, vulkan, power, rapl, access }
}
