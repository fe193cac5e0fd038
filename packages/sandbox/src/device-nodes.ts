// Owns that a run leaves the host's device nodes as they were. Only needed when the daemon is uid 0.
import { chmodSync, statSync } from 'node:fs'

/** What bubblewrap's --dev binds from the host. */
const nodes = ['/dev/null', '/dev/zero', '/dev/full', '/dev/random', '/dev/urandom', '/dev/tty'] as const

/**
 * The nodes inside are the host's own, and a program of uid 0 owns them in the eyes of chmod, capabilities or not.
 * A read-only bind would prevent it, but bubblewrap makes those without devices. So the modes are put back after each run;
 * the function returns the nodes that had been changed.
 */
export function watchDeviceNodes(): () => string[] {
  if (process.getuid?.() !== 0) return () => []
  const modes = nodes.map((path) => modeOf(path))
  return () => nodes.filter((path, index) => {
    const before = modes[index]
    if (before === undefined || before === null || modeOf(path) === before) return false
    chmodSync(path, before)
    return true
  })
}

function modeOf(path: string): number | null {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? null : found.mode & 0o7777
}
