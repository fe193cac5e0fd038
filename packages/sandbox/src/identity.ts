// Owns the made files of /etc inside the sandbox: one user, no other names. Says nothing about the host.
import { mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const files: Readonly<Record<string, string>> = {
  passwd: 'hearth:x:1000:1000:hearth:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n',
  group: 'hearth:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost hearth\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
}

export type Identity = {
  /** bubblewrap's arguments, when the descriptors of `open` are the child's descriptors from `firstFd` on. */
  args(firstFd: number): string[]
  /** How many descriptors `open` gives. */
  readonly count: number
  /** One descriptor a file, in the order of `args`; the caller closes them. */
  open(): number[]
}

/**
 * Writes the files into `folder`. They are handed over as descriptors and not as paths, because bubblewrap may run as a
 * user who cannot enter the daemon's folder.
 */
export function makeIdentity(folder: string): Identity {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const paths = Object.entries(files).map(([name, text]) => {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o644 })
    return path
  })
  return {
    count: paths.length,
    args: (firstFd) => Object.keys(files).flatMap((name, index) => ['--perms', '0444', '--ro-bind-data', String(firstFd + index), `/etc/${name}`]),
    open: () => paths.map((path) => openSync(path, 'r')),
  }
}
