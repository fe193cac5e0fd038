// Owns the made files of /etc inside the sandbox: one user, no other names. Says nothing about the host.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const files: Readonly<Record<string, string>> = {
  passwd: 'hearth:x:1000:1000:hearth:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n',
  group: 'hearth:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost hearth\n::1 localhost\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files\n',
}

/** Writes the files below `folder` and returns name inside -> host file. */
export function makeIdentity(folder: string): Record<string, string> {
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const made: Record<string, string> = {}
  for (const [name, text] of Object.entries(files)) {
    const path = join(folder, name)
    writeFileSync(path, text, { mode: 0o644 })
    made[`/etc/${name}`] = path
  }
  return made
}
