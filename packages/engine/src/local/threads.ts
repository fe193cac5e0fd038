// Owns how many CPU threads inference gets when nobody measured this box. Pure; is handed /proc/cpuinfo as text.

/**
 * 1 on a machine with one or two CPUs (two spinning threads on a shared 2-core machine made 3-15 tokens/s where one made 55), else the physical cores
 * among the `available` CPUs: a second thread on a core only waits for the same vector unit.
 */
export function defaultThreads(cpuinfo: string, available: number): number {
  if (available <= 2) return 1
  const cores = new Set<string>()
  let socket = ''
  for (const line of cpuinfo.split('\n')) {
    const [key, value] = line.split(':').map((part) => part.trim())
    if (key === 'physical id') socket = value ?? ''
    if (key === 'core id') cores.add(`${socket}/${value ?? ''}`)
  }
  return cores.size === 0 ? available : Math.min(cores.size, available)
}
