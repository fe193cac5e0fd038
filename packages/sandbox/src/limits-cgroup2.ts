// Owns limits by cgroup v2: finds the subtree that was delegated to the daemon, and makes one group per run in it.
import { accessSync, constants, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Limits } from '@hearth/protocol'
import { forkStorm, killPids, makeFolder, pidsIn, readControl, readCount, removeFolder, removeLeftovers, writeControl } from './group-folder.ts'
import { ownName, treeBelow } from './processes.ts'
import { bwrapTasks, type Group, type Limiter, type LimiterOptions } from './limiter.ts'

const needed = ['memory', 'pids'] as const
/** The leaf into which the daemon moves itself: a group that hands controllers to its children may hold no process ("no internal processes"). */
const leafName = 'hearth-daemon'

const has = (folder: string, file: string): boolean => {
  const words = readControl(folder, file).split(/\s+/)
  return needed.every((controller) => words.includes(controller))
}

const writable = (folder: string): boolean => {
  try {
    accessSync(folder, constants.W_OK)
    accessSync(join(folder, 'cgroup.subtree_control'), constants.W_OK)
    return true
  } catch {
    return false
  }
}

/** This process's group by /proc/self/cgroup: the line `0::/path`. Null without cgroup v2. */
function ownPath(procSelfCgroup: string): string | null {
  try {
    return /^0::(\/.*)$/m.exec(readFileSync(procSelfCgroup, 'utf8'))?.[1] ?? null
  } catch {
    return null
  }
}

/** `procSelfCgroup` is a parameter for tests on a made tree. */
export async function findCgroup2({ cgroupRoot, key, log }: LimiterOptions, procSelfCgroup = '/proc/self/cgroup'): Promise<Limiter | { why: string }> {
  const root = [cgroupRoot, join(cgroupRoot, 'unified')].find((folder) => readControl(folder, 'cgroup.controllers') !== '')
  const path = ownPath(procSelfCgroup)
  if (root === undefined || path === null) return { why: 'cgroup v2 has no controllers here' }
  const base = delegated(root, join(root, path))
  if ('why' in base) return base
  const parent = join(base.folder, `hearth-${key}`)
  try {
    makeFolder(parent)
    writeControl(parent, 'cgroup.subtree_control', '+memory +pids')
  } catch (error) {
    return { why: `the cgroup v2 subtree ${base.folder} refuses groups (${(error as NodeJS.ErrnoException).code ?? String(error)})` }
  }
  const found = await removeLeftovers(parent)
  if (found > 0) log(`sandbox: ${found} processes of a killed daemon's sandboxes were ended`)
  return {
    kind: 'cgroup2',
    detail: 'cgroup v2 (memory, pids)',
    open: (limits) => openGroup(parent, limits, log),
    async close() {
      await removeFolder(parent)
    },
  }
}

/** A group below which we may make groups with controllers, prepared for it. */
function delegated(root: string, own: string): { folder: string } | { why: string } {
  // After a restart of ours inside the leaf, or under systemd's DelegateSubgroup=, the parent is the delegated group.
  const above = dirname(own)
  if (own !== root && has(above, 'cgroup.subtree_control') && writable(above) && (basename(own) === leafName || pidsIn(above).length === 0)) return { folder: above }
  const divided = divide(own)
  // An administrator's shell in a login session: the group is not ours to empty, but uid 0 may make one at the top.
  return 'why' in divided && own !== root && 'folder' in divide(root) ? { folder: root } : divided
}

/** Gives the controllers to the children of a group; the processes in it move to a leaf first, when they are all ours. */
function divide(own: string): { folder: string } | { why: string } {
  if (!has(own, 'cgroup.controllers')) return { why: `the daemon's cgroup v2 group ${own} was not given the memory and pids controllers` }
  if (!writable(own)) return { why: `the daemon's cgroup v2 group ${own} is not delegated to it` }
  try {
    // Only the root of the whole tree, which has no cgroup.type, may hold processes beside children with controllers.
    if (readControl(own, 'cgroup.type') !== '') {
      const pids = pidsIn(own)
      const ours = treeBelow(process.pid).pids
      if (!pids.every((pid) => ours.includes(pid))) return { why: `the cgroup v2 group ${own} holds processes that are not the daemon's` }
      const leaf = join(own, leafName)
      makeFolder(leaf)
      for (const pid of pids) writeControl(leaf, 'cgroup.procs', String(pid))
    }
    writeControl(own, 'cgroup.subtree_control', '+memory +pids')
    return { folder: own }
  } catch (error) {
    return { why: `the cgroup v2 group ${own} cannot be divided (${(error as NodeJS.ErrnoException).code ?? String(error)})` }
  }
}

function openGroup(parent: string, limits: Limits, log: (line: string) => void): Group {
  const folder = join(parent, ownName())
  makeFolder(folder)
  writeControl(folder, 'memory.max', String(limits.memoryBytes))
  writeControl(folder, 'pids.max', String(limits.pids + bwrapTasks))
  for (const [file, value] of [['memory.swap.max', '0'], ['memory.oom.group', '1']] as const) {
    try {
      writeControl(folder, file, value)
    } catch {
      // Absent without swap accounting, or on old kernels; the memory limit itself holds.
    }
  }
  const killedForMemory = (): number => readCount(folder, 'memory.events', 'oom_kill')
  const refusedForks = (): number => readCount(folder, 'pids.events', 'max')
  const storm = forkStorm(folder, limits.pids + bwrapTasks)
  return {
    enter: [join(folder, 'cgroup.procs')],
    rlimits: [],
    started() {},
    excess: () => (killedForMemory() > 0 ? 'memory' : storm() ? 'pids' : null),
    verdict: (failed) => (killedForMemory() > 0 ? 'memory' : failed && refusedForks() > 0 ? 'pids' : null),
    kill() {
      try {
        writeControl(folder, 'cgroup.kill', '1')
      } catch {
        // Before Linux 5.14.
        killPids(folder)
      }
    },
    async remove() {
      if (!(await removeFolder(folder))) log(`sandbox: the control group ${folder} could not be removed`)
    },
  }
}
