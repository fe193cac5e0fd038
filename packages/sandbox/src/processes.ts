// Owns reading the process tree from /proc. Never signals, never decides.
import { readFileSync, readdirSync } from 'node:fs'

/** The fields of /proc/PID/stat that stay meaningful: state letter and start time in ticks since boot; null when there is no such process. */
export function statOf(pid: number): { state: string; started: string } | null {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name in parentheses may hold spaces and parentheses, so fields are counted from the last one (proc(5): state is 3, starttime is 22).
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state: fields[0] ?? '?', started: fields[19] ?? '' }
  } catch {
    return null
  }
}

/** True while the process that had this pid and start time still runs (a zombie does not). */
export function isRunning(pid: number, started: string): boolean {
  const found = statOf(pid)
  return found !== null && found.started === started && found.state !== 'Z' && found.state !== 'X'
}

function numbers(read: () => string): number[] {
  try {
    return read().split(/\s+/).filter((word) => word !== '').map(Number)
  } catch {
    return []
  }
}

/**
 * The pids below `root` (itself included) and the number of their threads. A daemon inside a pid namespace is adopted by
 * that namespace's first process, so the tree below that process is all of it. Stops early once there are more threads than `enough`.
 */
export function treeBelow(root: number, enough = Infinity): { pids: number[]; tasks: number } {
  const pids: number[] = []
  let tasks = 0
  const waiting = [root]
  while (waiting.length > 0 && tasks <= enough) {
    const pid = waiting.pop() ?? 0
    let threads: string[]
    try {
      threads = readdirSync(`/proc/${pid}/task`)
    } catch {
      continue
    }
    pids.push(pid)
    tasks += threads.length
    for (const thread of threads) waiting.push(...numbers(() => readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')))
  }
  return { pids, tasks }
}

/** Memory that only these processes cause: anonymous and shared-memory pages in RAM, in bytes (shared ones are counted for each holder). */
export function residentBytes(pids: readonly number[]): number {
  let total = 0
  for (const pid of pids) {
    try {
      const text = readFileSync(`/proc/${pid}/status`, 'latin1')
      for (const name of ['RssAnon', 'RssShmem']) total += Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024
    } catch {
      continue
    }
  }
  return total
}

let counter = 0

/** A name that says whose thing it is: pid and start time of this process, and a number. */
export function ownName(): string {
  return `${process.pid}-${statOf(process.pid)?.started ?? '0'}-${counter++}`
}

/** True when `name` was made by ownName() of a process that no longer runs. */
export function makerIsDead(name: string): boolean {
  const [, pid, started] = /^(\d+)-(\d+)-\d+$/.exec(name) ?? []
  return pid !== undefined && started !== undefined && !isRunning(Number(pid), started)
}
