// Owns the daemon's folders and the claim on them: private folders, and one daemon on one state folder.
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Paths } from '@hearth/protocol/paths'
import { holdLock } from './store/db.ts'

export function databasePath(paths: Paths): string {
  return join(paths.state, 'hearth.db')
}

/** Makes the folders that are missing, 0700. Throws FaultError `cannot_create`. */
export function makeFolders(paths: Paths): void {
  for (const path of [paths.state, paths.models, paths.cache, join(paths.state, 'outputs')]) {
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 })
    } catch (error) {
      throw new FaultError(fault('cannot_create', { path, problem: (error as Error).message }))
    }
  }
  chmodSync(paths.state, 0o700)
}

/**
 * Claims the state folder for this process until `release` or its end. Throws FaultError `daemon_running` with the owner's pid.
 * The claim is a kernel lock; the pid in the file beside it is only told to people.
 */
export function claim(paths: Paths): { release(): void } {
  const lock = holdLock(join(paths.state, 'daemon.lock'))
  const pidFile = join(paths.state, 'daemon.pid')
  if (lock === null) throw new FaultError(fault('daemon_running', { pid: readPid(pidFile) ?? 0, dir: paths.state }))
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 })
  return {
    release() {
      rmSync(pidFile, { force: true })
      lock.release()
    },
  }
}

function readPid(path: string): number | null {
  try {
    const pid = Number(readFileSync(path, 'utf8').trim())
    return Number.isInteger(pid) && pid > 0 ? pid : null
  } catch {
    return null
  }
}
