// Owns the name of what computes below the engine: GPUs, their firmware, the kernel, Vulkan drivers, ROCm. Reads small files below a root path; nothing throws.
import { stat } from 'node:fs/promises'
import { release } from 'node:os'
import { basename, join } from 'node:path'
import { readVulkan } from '../hardware/access.ts'
import { KernelTree } from '../hardware/tree.ts'

/** For a CPU, nothing: its code is the library's. Else everything whose change may change tokens, as one line. */
export async function driverOf(backend: string, root = '/'): Promise<string> {
  if (/(^| )cpu$/.test(backend)) return ''
  const tree = new KernelTree(root)
  const drivers = await readVulkan(tree)
  const manifests = await Promise.all(drivers.drivers.map(async ({ path, library }) => `${basename(path)} ${library ?? '?'} ${await changed(root, [path, ...placesOf(library)])}`))
  const rocm = await tree.text('/opt/rocm/.info/version')
  const gpus = await Promise.all((await tree.list('/sys/class/drm')).filter((name) => /^renderD\d+$/.test(name)).map(async (name) => {
    const device = `/sys/class/drm/${name}/device`
    const firmware = (await tree.list(`${device}/fw_version`)).map(async (file) => `${file} ${await tree.text(`${device}/fw_version/${file}`) ?? '?'}`)
    return [await tree.text(`${device}/vendor`) ?? '?', await tree.text(`${device}/device`) ?? '?', ...await Promise.all(firmware)].join(' ')
  }))
  return [`kernel ${release()}`, ...gpus.map((gpu) => `gpu ${gpu}`), ...manifests.map((manifest) => `vulkan ${manifest}`), ...(rocm === null ? [] : [`rocm ${rocm}`])].join('; ')
}

/** Where the loader would find a library that its manifest names without a folder. */
function placesOf(library: string | null): string[] {
  if (library === null) return []
  if (library.startsWith('/')) return [library]
  return ['/usr/lib', '/usr/lib64', '/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/local/lib'].map((folder) => join(folder, basename(library)))
}

/** Sizes and times of change: a package that is updated replaces its files. */
async function changed(root: string, paths: readonly string[]): Promise<string> {
  const seen = await Promise.all(paths.map((path) => stat(join(root, path)).then(({ size, mtimeMs }) => `${size}@${Math.round(mtimeMs)}`, () => null)))
  return seen.filter((one) => one !== null).join(' ')
}
