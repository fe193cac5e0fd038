// Owns limits without control groups: rlimits, which hold per process, and counting by the parent, which holds for the whole but late.
import { statfsSync } from 'node:fs'
import type { Limits } from '@hearth/protocol'
import type { Group, Limiter } from './limits.ts'
import { residentBytes, treeBelow } from './processes.ts'

/** Used only when the owner asked for it by "sandbox": {"limits": "weak"}. */
export function weakLimits(): Limiter {
  return { kind: 'weak', detail: 'rlimits and a watching parent (weak)', open, close: async () => {} }
}

function open(limits: Limits): Group {
  return {
    enter: [],
    // RLIMIT_DATA and not RLIMIT_AS: JavaScript and Go reserve address space they never use.
    // RLIMIT_NPROC does not hold for uid 0, whatever user namespace it is in; there only the parent counts.
    rlimits: [`--data=${limits.memoryBytes}`, `--nproc=${limits.pids + 1}`],
    excess(init) {
      const { pids, tasks } = treeBelow(init, limits.pids + 1)
      if (tasks > limits.pids + 1) return 'pids'
      return residentBytes(pids) + tmpBytes(init) > limits.memoryBytes ? 'memory' : null
    },
    verdict: () => null,
    kill() {},
    remove: async () => {},
  }
}

/** What the private /tmp and /dev/shm hold: they are memory that belongs to no process. */
function tmpBytes(init: number): number {
  let total = 0
  for (const name of ['tmp', 'dev/shm']) {
    try {
      const { blocks, bfree, bsize } = statfsSync(`/proc/${init}/root/${name}`)
      total += (blocks - bfree) * bsize
    } catch {
      continue
    }
  }
  return total
}
