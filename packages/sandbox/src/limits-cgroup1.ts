// Owns limits by cgroup v1: one group per run in the memory and in the pids hierarchy, made as root. Nothing else of cgroups.
import { dirname, join } from 'node:path'
import type { Limits } from '@hearth/protocol'
import { forkStorm, killPids, makeFolder, readControl, readCount, removeFolder, removeIfEmpty, removeLeftovers, sweepEmpty, writeControl } from './group-folder.ts'
import { ownName } from './processes.ts'
import { bwrapTasks, type Group, type Limiter, type LimiterOptions } from './limiter.ts'

/**
 * The groups stand below /hearth/KEY of each hierarchy and not below the daemon's own group: a killed daemon's groups must be
 * found again by the next one, which may have been started somewhere else.
 */
export async function findCgroup1({ cgroupRoot, key, log }: LimiterOptions): Promise<Limiter | { why: string }> {
  const parents = { memory: join(cgroupRoot, 'memory', 'hearth', key), pids: join(cgroupRoot, 'pids', 'hearth', key) }
  for (const [hierarchy, file] of [['memory', 'memory.limit_in_bytes'], ['pids', 'pids.max']] as const) {
    if (readControl(join(cgroupRoot, hierarchy), 'cgroup.procs') === '') return { why: `cgroup v1 has no ${hierarchy} hierarchy at ${cgroupRoot}` }
    // A group of its own for the trial: it holds the folder above against another daemon's sweep.
    const trial = join(parents[hierarchy], ownName())
    try {
      sweepEmpty(dirname(parents[hierarchy]))
      makeFolder(trial)
    } catch (error) {
      return { why: `cgroup v1 groups cannot be made here (${(error as NodeJS.ErrnoException).code ?? String(error)})` }
    }
    const limited = readControl(trial, file) !== ''
    removeIfEmpty(trial)
    if (!limited) return { why: `cgroup v1 has no ${file} here` }
  }
  const found = (await removeLeftovers(parents.memory)) + (await removeLeftovers(parents.pids))
  if (found > 0) log(`sandbox: ${found} processes of a killed daemon's sandboxes were ended`)
  return {
    kind: 'cgroup1',
    detail: 'cgroup v1 (memory, pids)',
    open: (limits) => openGroup(parents, limits, log),
    async close() {
      for (const folder of [parents.memory, parents.pids]) {
        await removeFolder(folder)
        removeIfEmpty(dirname(folder))
      }
    },
  }
}

function openGroup(parents: { memory: string; pids: string }, limits: Limits, log: (line: string) => void): Group {
  const name = ownName()
  const memory = join(parents.memory, name)
  const pids = join(parents.pids, name)
  makeFolder(memory)
  makeFolder(pids)
  writeControl(memory, 'memory.limit_in_bytes', String(limits.memoryBytes))
  try {
    // Memory and swap together, so that no swap is used; absent where swap accounting is off.
    writeControl(memory, 'memory.memsw.limit_in_bytes', String(limits.memoryBytes))
  } catch {
    // The memory limit itself holds.
  }
  writeControl(pids, 'pids.max', String(limits.pids + bwrapTasks))
  const killedForMemory = (): number => readCount(memory, 'memory.oom_control', 'oom_kill')
  const refusedForks = (): number => readCount(pids, 'pids.events', 'max')
  const storm = forkStorm(pids, limits.pids + bwrapTasks)
  return {
    enter: [join(memory, 'cgroup.procs'), join(pids, 'cgroup.procs')],
    rlimits: [],
    started() {},
    excess: () => (killedForMemory() > 0 ? 'memory' : storm() ? 'pids' : null),
    verdict: (failed) => (killedForMemory() > 0 ? 'memory' : failed && refusedForks() > 0 ? 'pids' : null),
    kill() {
      killPids(pids)
      killPids(memory)
    },
    async remove() {
      await Promise.all([memory, pids].map(async (folder) => {
        if (!(await removeFolder(folder))) log(`sandbox: the control group ${folder} could not be removed`)
      }))
    },
  }
}
