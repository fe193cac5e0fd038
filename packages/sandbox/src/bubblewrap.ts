// Owns the bubblewrap argument lists: what a confined program sees of the host. Starts nothing, writes nothing.
// Deny by default, for reads too: what is not named here does not exist inside.
import { existsSync, lstatSync, readlinkSync, realpathSync } from 'node:fs'
import { dirname, sep } from 'node:path'

/** Where distributions put it. Never taken from PATH: a vendored bwrap is refused by Ubuntu's AppArmor profile. */
export const bwrapPlaces = ['/usr/bin/bwrap', '/bin/bwrap', '/usr/local/bin/bwrap'] as const

/** The file to start, or null. A given path is used as it is. */
export function findBwrap(given?: string): string | null {
  if (given !== undefined) return existsSync(given) ? given : null
  return bwrapPlaces.find((path) => existsSync(path)) ?? null
}

/** True when `path` is `folder` or lies below it. Both absolute. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith(sep) ? folder : folder + sep)
}

/** /usr, and the old top-level names as this host has them: links into /usr, or folders of their own. */
export function systemArgs(): string[] {
  const args = ['--ro-bind', '/usr', '/usr']
  for (const name of ['/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']) {
    const found = lstatSync(name, { throwIfNoEntry: false })
    if (found === undefined) continue
    if (found.isSymbolicLink()) args.push('--symlink', readlinkSync(name), name)
    else args.push('--ro-bind', name, name)
  }
  return args
}

/** The few files of /etc that the loader and the C library want. passwd and its kin are made by us (see identity.ts). */
export function loaderArgs(): string[] {
  return ['/etc/ld.so.cache', '/etc/ld.so.conf', '/etc/ld.so.conf.d', '/etc/alternatives', '/etc/localtime'].flatMap((path) => ['--ro-bind-try', path, path])
}

/** Parts of /proc that are root's and change the whole machine: read-only. (bubblewrap covers irq and bus itself.) */
const rootProc = ['fs', 'acpi', 'driver', 'scsi', 'tty'] as const
/** Parts of /proc that are root's and for no program inside: empty. */
const emptyProc = ['sysrq-trigger', 'mtrr', 'keys', 'latency_stats'] as const

/**
 * A fresh /proc of the new pid namespace and a minimal /dev. With --disable-userns bubblewrap 0.8 leaves /proc/sys
 * writable: to an ordinary user only the settings of the namespace itself; to uid 0 all of them, because it stays uid 0
 * in the eyes of sysctl, whatever uid the program sees and without any capability. A core_pattern written there would run
 * on the host. `asRoot`: bubblewrap runs as uid 0, so what root owns in /proc is covered too (each bind costs 0.3 ms).
 * The nodes of --dev: see device-nodes.ts.
 */
export function kernelArgs(asRoot: boolean): string[] {
  const cover = (source: string, name: string): string[] => (asRoot && existsSync(`/proc/${name}`) ? ['--ro-bind', source, `/proc/${name}`] : [])
  const covers = [...rootProc.flatMap((name) => cover(`/proc/${name}`, name)), ...emptyProc.flatMap((name) => cover('/dev/null', name))]
  return ['--proc', '/proc', '--ro-bind', '/proc/sys', '/proc/sys', ...covers, '--dev', '/dev']
}

type Bound = { path: string; writable: boolean }

/**
 * Binds of host paths at their own names. A path that is a link is bound at its real place and, where the name would not
 * exist inside, under the given name too. Paths that do not exist are left out. Parents come before children, so that a
 * writable folder inside a read-only one stays writable.
 */
export function pathArgs(readOnly: readonly string[], readWrite: readonly string[] = []): string[] {
  const wanted: (Bound & { from: string })[] = []
  for (const { path, writable } of [...readOnly.map((path) => ({ path, writable: false })), ...readWrite.map((path) => ({ path, writable: true }))]) {
    if (!existsSync(path)) continue
    const real = realpathSync(path)
    wanted.push({ path: real, from: real, writable })
    if (real !== path) wanted.push({ path, from: real, writable })
  }
  wanted.sort((a, b) => a.path.length - b.path.length)
  const bound: Bound[] = []
  const args: string[] = []
  for (const { path, from, writable } of wanted) {
    if (bound.some((other) => other.path === path && other.writable === writable)) continue
    // Below a folder that is already there a link needs no bind of its own: the link itself is visible.
    if (path !== from && [...bound.map((other) => other.path), '/usr'].some((folder) => isWithin(dirname(path), folder))) continue
    if (!writable && isWithin(path, '/usr')) continue
    args.push(writable ? '--bind' : '--ro-bind', from, path)
    bound.push({ path, writable })
  }
  return args
}

export type SandboxMounts = {
  /** Real path of the workspace. */
  workspace: string
  readOnly: boolean
  /** Working directory as the sandbox names it. */
  chdir: string
  /** Binds inside the workspace that keep git from running foreign programs (see git-guard.ts). */
  guards: readonly string[]
  /** Arguments that hide places inside the workspace (see hidden.ts). */
  veil?: readonly string[]
  /** Further host folders at names of their own (see RunSpec). */
  mounts: readonly { from: string; to: string; writable: boolean }[]
  /** Real paths that must not be seen although they may lie below a bound folder. */
  hidden: readonly string[]
  readOnlyPaths: readonly string[]
  /** Arguments for the made files of /etc (see identity.ts). */
  identity: readonly string[]
  /** Arguments for what a run with a network finds (see proxy-inside.ts). */
  network?: readonly string[]
  tmpBytes: number
  /** bubblewrap runs as uid 0. */
  asRoot: boolean
  /** What the program takes itself for. */
  ids: { uid: number; gid: number }
  env: Readonly<Record<string, string>>
}

/** What every program inside finds in its environment, before RunSpec.env. */
export const baseEnv: Readonly<Record<string, string>> = {
  PATH: '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin',
  HOME: '/tmp', TMPDIR: '/tmp', USER: 'hearth', LOGNAME: 'hearth', SHELL: '/bin/sh', LANG: 'C.UTF-8', TERM: 'dumb',
}

/** Size of /dev/shm; it counts as memory. */
export const shmBytes = 64 * 2 ** 20

/** Flags of every run of a foreign program, before the mounts. The user namespace is not optional: without it uid 0 stays uid 0. */
const isolation = [
  '--unshare-user', '--unshare-all', '--disable-userns', '--cap-drop', 'ALL',
  '--new-session', '--die-with-parent', '--clearenv', '--hostname', 'hearth',
]

/** Arguments for a foreign program (everything but the program itself). */
export function sandboxArgs(mounts: SandboxMounts): string[] {
  const args = [...isolation, '--uid', String(mounts.ids.uid), '--gid', String(mounts.ids.gid), ...systemArgs(), ...loaderArgs(), ...mounts.identity, ...(mounts.network ?? [])]
  args.push(...kernelArgs(mounts.asRoot))
  args.push('--size', String(shmBytes), '--perms', '1777', '--tmpfs', '/dev/shm')
  args.push('--size', String(mounts.tmpBytes), '--perms', '1777', '--tmpfs', '/tmp')
  args.push(...pathArgs(mounts.readOnlyPaths))
  args.push(mounts.readOnly ? '--ro-bind' : '--bind', mounts.workspace, '/work', ...mounts.guards, ...(mounts.veil ?? []))
  for (const { from, to, writable } of mounts.mounts) args.push(writable ? '--bind' : '--ro-bind', from, to)
  for (const path of mounts.hidden) {
    if (isWithin(path, mounts.workspace)) args.push(...cover(`/work${path.slice(mounts.workspace.length)}`))
    for (const folder of mounts.readOnlyPaths) if (existsSync(folder) && isWithin(path, realpathSync(folder))) args.push(...cover(path))
  }
  // The root and /dev are tmpfs too: left writable, they would be memory without a size.
  args.push('--remount-ro', '/dev', '--remount-ro', '/', '--chdir', mounts.chdir)
  for (const [name, value] of Object.entries({ ...baseEnv, ...mounts.env })) args.push('--setenv', name, value)
  return args
}

/** An empty read-only folder over one that must not be seen. */
function cover(path: string): string[] {
  return ['--size', '4096', '--perms', '0555', '--tmpfs', path, '--remount-ro', path]
}
