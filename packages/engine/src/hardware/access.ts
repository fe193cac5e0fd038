// Owns who may use the GPU: groups of this process, owners of the device nodes, and which Vulkan drivers are installed.
import type { HardwareSnapshot } from '@hearth/protocol'
import { wholeNumber, type KernelTree } from './tree.ts'

export async function readAccess(tree: KernelTree): Promise<HardwareSnapshot['access']> {
  const names = await groupNames(tree)
  const { uid, gids } = tree.notes ?? await caller(tree)
  const paths = [...(await tree.list('/dev/dri')).filter((name) => /^renderD\d+$/.test(name)).map((name) => `/dev/dri/${name}`), '/dev/kfd', '/dev/accel/accel0']
  const devices: HardwareSnapshot['access']['devices'] = []
  for (const path of paths) {
    const node = await tree.node(path)
    if (node !== null) devices.push({ path, group: names.get(node.gid) ?? null, usable: node.usable })
  }
  return { uid, groups: gids.map((gid) => names.get(gid) ?? String(gid)), devices }
}

/** Effective user and all groups of this process, as the kernel counts them (not as /etc/group would after the next login). */
async function caller(tree: KernelTree): Promise<{ uid: number; gids: number[] }> {
  const text = await tree.text('/proc/self/status') ?? ''
  const numbers = (key: string): number[] => (new RegExp(`^${key}:(.*)$`, 'm').exec(text)?.[1] ?? '').split(/\s+/)
    .map(wholeNumber).filter((value) => value !== null)
  const [, uid = process.getuid?.() ?? 0] = numbers('Uid')
  const [, gid] = numbers('Gid')
  return { uid, gids: [...new Set([...(gid === undefined ? [] : [gid]), ...numbers('Groups')])] }
}

async function groupNames(tree: KernelTree): Promise<Map<number, string>> {
  const found = new Map<number, string>()
  for (const line of (await tree.text('/etc/group') ?? '').split('\n')) {
    const [name, , id] = line.split(':')
    const gid = wholeNumber(id)
    if (name !== undefined && name !== '' && gid !== null) found.set(gid, name)
  }
  return found
}

/** Manifests of installable drivers in the loader's system folders. */
export async function readVulkan(tree: KernelTree): Promise<HardwareSnapshot['vulkan']> {
  const drivers: HardwareSnapshot['vulkan']['drivers'] = []
  for (const folder of ['/etc/vulkan/icd.d', '/usr/local/share/vulkan/icd.d', '/usr/share/vulkan/icd.d']) {
    for (const name of (await tree.list(folder)).filter((file) => file.endsWith('.json'))) {
      const path = `${folder}/${name}`
      const library = libraryOf(await tree.text(path))
      drivers.push({ path, library, kind: kindOf(library ?? name) })
    }
  }
  return { drivers }
}

function libraryOf(text: string | null): string | null {
  try {
    const manifest: unknown = JSON.parse(text ?? '')
    const icd = typeof manifest === 'object' && manifest !== null && 'ICD' in manifest ? manifest.ICD : null
    const path = typeof icd === 'object' && icd !== null && 'library_path' in icd ? icd.library_path : null
    return typeof path === 'string' ? path : null
  } catch {
    return null
  }
}

// AMDVLK's library is amdvlk64.so and its manifest amd_icd64.json; Mesa's RADV is libvulkan_radeon.so and radeon_icd.*.json.
function kindOf(name: string): HardwareSnapshot['vulkan']['drivers'][number]['kind'] {
  if (/amdvlk|amd_icd/i.test(name)) return 'amdvlk'
  if (/radeon/i.test(name)) return 'radv'
  return /lvp|lavapipe/i.test(name) ? 'software' : 'other'
}
