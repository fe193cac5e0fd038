// Owns what a figure of speed depends on beside the model file: the build of the library, the CPU, the driver of the GPU. Reads small files only.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { availableParallelism, release } from 'node:os'
import { join } from 'node:path'

const drivers = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d']

/** Name, version and build of the inference library below `root`; a build from source counts as another library. */
export function libraryOf(root: string): string {
  const folder = join(root, 'node_modules/node-llama-cpp')
  const version = field(join(folder, 'package.json'), 'version')
  const release = field(join(folder, 'llama/binariesGithubRelease.json'), 'release')
  const built = namesIn(join(folder, 'llama/localBuilds'))
  return [`node-llama-cpp ${version ?? '?'}`, `llama.cpp ${release ?? '?'}`, built === '' ? 'prebuilt' : `built here: ${built}`].join(', ')
}

/** The CPU with the number of threads that this process may use; with a GPU also the GPUs, the kernel and the drivers, which carry its speed. `root`: a test's tree. */
export function machineOf(backend: string, root = '/'): string {
  const cpu = `${cpuModel() ?? 'unknown CPU'}, ${availableParallelism()} threads`
  if (backend === 'cpu') return cpu
  const rocm = text(join(root, 'opt/rocm/.info/version'))?.trim() ?? null
  return [
    cpu, `Linux ${release()}`, ...drivers.flatMap((folder) => namesIn(join(root, folder)).split(' ').filter((name) => name !== '')),
    ...gpusIn(join(root, 'sys/class/drm')), ...(rocm === null ? [] : [`ROCm ${rocm}`]),
  ].join(', ')
}

/** Each GPU that can compute, by its numbers on the bus. */
function gpusIn(folder: string): string[] {
  try {
    const devices = readdirSync(folder).filter((name) => /^renderD\d+$/.test(name)).toSorted().map((name) => join(folder, name, 'device'))
    return devices.map((device) => `GPU ${text(join(device, 'vendor'))?.trim() ?? '?'}:${text(join(device, 'device'))?.trim() ?? '?'}`)
  } catch {
    return []
  }
}

export function cpuModel(): string | null {
  return /^model name\s*:\s*(.*)$/m.exec(text('/proc/cpuinfo') ?? '')?.[1]?.trim() ?? null
}

/** Physical cores among the CPUs that this process may use, as far as the kernel tells. */
export function cores(): { physical: number; logical: number } {
  const logical = availableParallelism()
  const found = new Set<string>()
  let socket = ''
  for (const line of (text('/proc/cpuinfo') ?? '').split('\n')) {
    const [key, value] = line.split(':').map((part) => part.trim())
    if (key === 'physical id') socket = value ?? ''
    if (key === 'core id') found.add(`${socket}/${value ?? ''}`)
  }
  return { physical: found.size === 0 ? logical : Math.min(found.size, logical), logical }
}

/** File names with their times of change: a new driver or build has another one. */
function namesIn(folder: string): string {
  try {
    return readdirSync(folder).toSorted().map((name) => `${name}@${Math.round(statSync(join(folder, name)).mtimeMs)}`).join(' ')
  } catch {
    return ''
  }
}

function field(path: string, name: string): string | null {
  try {
    const value: unknown = JSON.parse(text(path) ?? 'null')
    const found = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : null
    return typeof found === 'string' ? found : null
  } catch {
    return null
  }
}

function text(path: string): string | null {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}
