// Owns how bytes become permanent: whole writes, fsync of file and folder, rename last. A reader sees the old file or the new one, never a piece.
import { mkdir, open, rename, rm, statfs, writeFile, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { fault, FaultError } from '@hearth/protocol/fault'

// Left free beside what is written, so that the database on the same disk can still commit.
const marginBytes = 32 * 2 ** 20

/** Bytes an ordinary user may still write in `dir`. */
export async function freeBytesOf(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir)
  return bavail * bsize
}

/** Refuses with `no_space` when `neededBytes` do not fit. */
export async function requireSpace(dir: string, neededBytes: number, freeBytes: (dir: string) => Promise<number>): Promise<void> {
  const free = await freeBytes(dir)
  if (neededBytes > 0 && free < neededBytes + marginBytes) throw new FaultError(fault('no_space', { where: dir, neededBytes: neededBytes + marginBytes, freeBytes: free }))
}

export async function makePrivate(dir: string): Promise<void> {
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new FaultError(fault('cannot_create', { path: dir, problem: problemOf(error) }))
  }
}

export async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done)
    done += bytesWritten
  }
}

/** Gives a finished file its name. It must be synced before. */
export async function publish(part: string, path: string): Promise<void> {
  await makePrivate(dirname(path))
  await rename(part, path)
  await syncFolder(dirname(path))
}

export async function writeJson(path: string, value: unknown): Promise<void> {
  const part = `${path}.new`
  try {
    await writeFile(part, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600, flush: true })
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
  await publish(part, path)
}

export async function syncFile(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}

const syncFolder = syncFile

export function isFull(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOSPC' || code === 'EDQUOT'
}

export function codeOf(error: unknown): string | null {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : null
  return typeof code === 'string' ? code : null
}

/** A system error in words. */
export function problemOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'ENOENT': return 'there is no such file'
    case 'EACCES': case 'EPERM': return 'it may not be used'
    case 'EROFS': return 'the disk is read-only'
    case 'ENOSPC': case 'EDQUOT': return 'the disk is full'
    case 'ENOTDIR': return 'a part of its path is not a folder'
    case null: default: return error instanceof Error ? error.message : String(error)
  }
}
