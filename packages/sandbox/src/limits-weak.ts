// Owns limits without control groups: rlimits, which hold per process, and counting by the parent, which holds for the whole but late.
import { execFile } from 'node:child_process'
import { statfsSync } from 'node:fs'
import { release } from 'node:os'
import type { Limits } from '@hearth/protocol'
import { shmBytes } from './bubblewrap.ts'
import type { Group, Limiter } from './limiter.ts'
import { residentBytes, treeBelow } from './processes.ts'

/** Used only when the owner asked for it by "sandbox": {"limits": "weak"}. */
export function weakLimits(): Limiter {
  return { kind: 'weak', detail: 'rlimits and a watching parent (weak)', open, close: async () => {} }
}

function open(limits: Limits): Group {
  // The namespace's first process is bubblewrap's own.
  const allowed = limits.pids + 1
  // A little above what the parent lets live: a run that was refused a fork for good is seen and ended, and does not sit there until its time is over.
  const refused = allowed + 8
  return {
    enter: [],
    // RLIMIT_DATA and not RLIMIT_AS: JavaScript and Go reserve address space they never use.
    rlimits: [`--data=${limits.memoryBytes}`, `--nproc=${refused}`],
    started(init) {
      // RLIMIT_NPROC does not hold for uid 0, whatever user namespace it is in.
      if (process.getuid?.() === 0 && pidMaxIsPerNamespace(release())) capPids(init, refused)
    },
    excess(init) {
      const { pids } = treeBelow(init, allowed)
      return residentBytes(pids) + tmpBytes(init, { tmp: limits.tmpBytes, 'dev/shm': shmBytes }) > limits.memoryBytes ? 'memory' : null
    },
    verdict: () => null,
    kill() {},
    remove: async () => {},
  }
}

/** Since Linux 6.14 kernel.pid_max belongs to the pid namespace; before, writing it would change the whole host. */
export function pidMaxIsPerNamespace(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number)
  return major > 6 || (major === 6 && minor >= 14)
}

/** The kernel takes no smaller kernel.pid_max (RESERVED_PIDS + 1). */
const smallestPidMax = 301

/**
 * As uid 0: bounds the process numbers of the namespace, so that a fork bomb stands still at some hundred processes until
 * the next count, where it was seen to reach thousands and to take seconds to kill. The comparison with the host's own
 * namespace is for the case that the process has ended and its number was given to another.
 */
function capPids(init: number, allowed: number): void {
  const script = 'test /proc/self/ns/pid -ef /proc/1/ns/pid || echo "$1" > /proc/sys/kernel/pid_max'
  execFile('/usr/bin/nsenter', ['--pid', '--target', String(init), '/bin/sh', '-c', script, 'sh', String(Math.max(smallestPidMax, allowed))], { env: {} }, () => {
    // A run that ended first needs no bound; where nsenter is missing the parent counts as it does for everyone.
  })
}

/** statfs(2) type of tmpfs. */
const tmpfsType = 0x01021994

/**
 * What the private /tmp and /dev/shm hold: they are memory that belongs to no process. Until bubblewrap has changed its
 * root, these names still lead to the host's folders, which are told apart by their size.
 */
function tmpBytes(init: number, sizes: { tmp: number; 'dev/shm': number }): number {
  let total = 0
  for (const [name, size] of Object.entries(sizes)) {
    try {
      const { type, blocks, bfree, bsize } = statfsSync(`/proc/${init}/root/${name}`)
      if (type === tmpfsType && blocks === Math.ceil(size / bsize)) total += (blocks - bfree) * bsize
    } catch {
      continue
    }
  }
  return total
}
