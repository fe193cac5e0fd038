// A daemon whose home is a little file system of its own, which goes with the process: it can be filled without harm.
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Client } from '@hearth/protocol'
import { DaemonProcess, real, type Place } from './process.ts'

export type SmallDisk = {
  daemon: DaemonProcess
  client: Client
  /** Runs a shell command that sees the little disk; what it says. */
  inside(command: string): string
  /** Takes all room but so many KiB. */
  fill(leftKiB?: number): void
  empty(): void
}

/** `config.json` of the place's root is taken in. `mounts`: further little disks at these paths. */
export async function startOnSmallDisk(place: Place, mib: number, mounts: Readonly<Record<string, number>> = {}): Promise<SmallDisk> {
  const user = process.getuid?.() === 0
  const more = Object.entries(mounts).map(([path, size]) => `mkdir -p "${path}" && mount -t tmpfs -o size=${size}m,mode=700 tmpfs "${path}" && `).join('')
  // A mount namespace of its own: the disks go with the process.
  const setup = `mount -t tmpfs -o size=${mib}m,mode=700 tmpfs "$HEARTH_HOME" && ${more}cp "${place.root}/config.json" "$HEARTH_HOME" && exec "$@"`
  const daemon = await DaemonProcess.start(place, real, ['serve'], {}, ['unshare', ...(user ? ['--mount'] : ['--mount', '--map-root-user']), 'sh', '-c', setup, 'sh'])
  const inside = (command: string): string =>
    spawnSync('nsenter', [`--target=${daemon.child.pid}`, '--mount', ...(user ? [] : ['--user', '--preserve-credentials']), 'sh', '-c', command], { encoding: 'utf8' }).stdout
  return {
    daemon, client: new Client(`/proc/${daemon.child.pid}/root${place.home}/hearth.sock`), inside,
    fill: (leftKiB = 0) => void inside(`dd if=/dev/zero of=${join(place.home, 'room')} bs=1024 count=${leftKiB} 2>/dev/null; dd if=/dev/zero of=${join(place.home, 'filler')} bs=4096 2>/dev/null; rm ${join(place.home, 'room')}`),
    empty: () => void inside(`rm ${join(place.home, 'filler')}`),
  }
}

export async function until<T>(what: string, found: () => Promise<T | undefined | false>): Promise<T> {
  for (const end = Date.now() + 90_000; Date.now() < end; await pause(50)) {
    const value = await found()
    if (value !== undefined && value !== false) return value
  }
  throw new Error(`${what}: not within 90 s`)
}
