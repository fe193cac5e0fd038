// Gathers what doctor looks at: files, /proc, /sys. Reads only; each missing thing is a fact, not a failure.
import { access, constants, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Facts, PathFact } from './checks.ts'

export async function pathFact(name: string, path: string): Promise<PathFact> {
  try {
    const info = await stat(path)
    const writable = await access(path, constants.W_OK).then(() => true, () => false)
    return { name, path, exists: true, uid: info.uid, mode: info.mode & 0o7777, writable }
  } catch {
    return { name, path, exists: false, uid: 0, mode: 0, writable: false }
  }
}

/** From `proc`/meminfo; null when it cannot be read. */
export async function memoryFact(proc = '/proc'): Promise<Facts['memory']> {
  const text = await readOr(join(proc, 'meminfo'))
  const bytes = (field: string): number | null => {
    const found = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(text ?? '')?.[1]
    return found === undefined ? null : Number(found) * 1024
  }
  const totalBytes = bytes('MemTotal')
  const availableBytes = bytes('MemAvailable')
  return totalBytes === null || availableBytes === null ? null : { totalBytes, availableBytes }
}

/** Which control groups there are, and whether this process may make groups below its own. `root` is the prefix of /proc and /sys. */
export async function cgroupFact(root = '/'): Promise<Facts['cgroups']> {
  const own = (await readOr(join(root, 'proc/self/cgroup')) ?? '').split('\n').filter((line) => line !== '').map((line) => {
    const [, controllers = '', ...path] = line.split(':')
    return { controllers, path: path.join(':') }
  })
  const base = join(root, 'sys/fs/cgroup')
  const unified = await readOr(join(base, 'cgroup.controllers'))
  const writable = (path: string): Promise<boolean> => access(path, constants.W_OK).then(() => true, () => false)
  if (unified !== null) {
    const folder = join(base, own.find((line) => line.controllers === '')?.path ?? '/')
    const mine = await readOr(join(folder, 'cgroup.controllers')) ?? unified
    return { kind: 'v2', controllers: mine.trim().split(' ').filter((word) => word !== ''), writable: await writable(folder) }
  }
  const old = own.filter((line) => line.controllers !== '')
  if (old.length === 0) return { kind: 'none', controllers: [], writable: false }
  const folders = old.filter((line) => /(^|,)(memory|pids)(,|$)/.test(line.controllers))
    .map(async (line) => await writable(join(base, line.controllers, line.path)) || await writable(join(base, line.controllers)))
  return {
    kind: own.some((line) => line.controllers === '') ? 'hybrid' : 'v1',
    controllers: old.flatMap((line) => line.controllers.split(',')), writable: folders.length > 0 && (await Promise.all(folders)).every(Boolean),
  }
}

export async function usernsFact(proc = '/proc'): Promise<Facts['userns']> {
  const value = async (path: string): Promise<number | null> => {
    const text = await readOr(join(proc, 'sys', path))
    return text === null ? null : Number(text.trim())
  }
  return {
    maxNamespaces: await value('user/max_user_namespaces'), debianSwitch: await value('kernel/unprivileged_userns_clone'),
    apparmorRestricts: await value('kernel/apparmor_restrict_unprivileged_userns'),
  }
}

function readOr(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch(() => null)
}
