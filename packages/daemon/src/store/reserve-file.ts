// Owns the reserve: a file beside the database that only takes up room. On a full disk it is given up, so that what is under way can still be written down.
import { randomBytes } from 'node:crypto'
import { rmSync, statSync, statfsSync } from 'node:fs'
import { open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fault, type Fault } from '@hearth/protocol/fault'

const mib = 2 ** 20
/** A step of a job is some dozen commits of a few pages: room for the last step of a few dozen jobs, and what it cost. */
const reserveBytes = 4 * mib
/** The reserve again, and as much to work with. */
const neededBytes = 2 * reserveBytes

function reservePath(databasePath: string): string {
  return join(dirname(databasePath), 'hearth.reserve')
}

/** Gives the reserve up, at once. False when there was none. */
export function spendReserve(databasePath: string): boolean {
  try {
    rmSync(reservePath(databasePath))
    return true
  } catch {
    return false
  }
}

/** The reserve is gone, and the disk has too little to make it again and work; so has one that cannot be asked, because the folder is gone. */
export function isDiskFull(databasePath: string): boolean {
  if (hasReserve(databasePath)) return false
  try {
    const { bavail, bsize } = statfsSync(dirname(databasePath))
    return bavail * bsize < neededBytes
  } catch {
    return true
  }
}

function hasReserve(databasePath: string): boolean {
  return statSync(reservePath(databasePath), { throwIfNoEntry: false })?.size === reserveBytes
}

/** What is said of a full disk, and what certainly suffices to go on. */
export function diskFull(databasePath: string): Fault {
  return fault('disk_full', { path: dirname(databasePath), neededBytes })
}

/** Makes the reserve unless it is there. False when it does not fit; nothing is left of it then. */
export async function keepReserve(databasePath: string): Promise<boolean> {
  if (hasReserve(databasePath)) return true
  const path = reservePath(databasePath)
  const made = `${path}.new`
  try {
    const file = await open(made, 'w', 0o600)
    try {
      // A file system that compresses keeps nothing for zeros.
      for (let done = 0; done < reserveBytes; done += mib) await file.writeFile(randomBytes(mib))
    } finally {
      await file.close()
    }
    await rename(made, path)
    return true
  } catch {
    await rm(made, { force: true }).catch(() => undefined)
    return false
  }
}
