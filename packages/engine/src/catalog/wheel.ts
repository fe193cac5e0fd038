// Owns taking one file out of a wheel (a zip): central directory, stored or deflated data, hashed while it is written. Starts no unzip program, trusts no size.
import { createHash } from 'node:crypto'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { crc32, createInflateRaw } from 'node:zlib'
import { pipeline } from 'node:stream/promises'
import { FaultError, type TransferEvent } from '@hearth/protocol'
import { writeAll } from './durable.ts'
import { Progress } from './progress.ts'
import { cancelledBy } from './verify.ts'

/** The archive is not one that can be used; the sentence says why. */
export class BadWheel extends Error {}

export type Member = { name: string; bytes: number; packedBytes: number; crc32: number; method: 'stored' | 'deflated'; headerAt: number }

// Layouts and numbers: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (central header), 4.3.14 to 4.3.16 (ends).
const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, end64Locator: 0x07064b50 }
const directoryCapBytes = 64 * 2 ** 20

/** Finds a member by its exact name. Throws BadWheel when the archive is damaged or has no such member. */
export async function findMember(wheel: string, name: string): Promise<Member> {
  const file = await open(wheel, 'r')
  try {
    const { size } = await file.stat()
    const { at, bytes } = await findDirectory(file, size)
    if (bytes > directoryCapBytes || at + bytes > size) throw new BadWheel('its directory is damaged')
    const directory = await readAt(file, at, bytes)
    for (let offset = 0; offset + 46 <= directory.length;) {
      if (directory.readUInt32LE(offset) !== signatures.central) break
      const nameBytes = directory.readUInt16LE(offset + 28)
      const extraBytes = directory.readUInt16LE(offset + 30)
      const next = offset + 46 + nameBytes + extraBytes + directory.readUInt16LE(offset + 32)
      if (next > directory.length) break
      if (directory.toString('utf8', offset + 46, offset + 46 + nameBytes) === name) {
        return memberOf(directory.subarray(offset, next), name, nameBytes, extraBytes)
      }
      offset = next
    }
    throw new BadWheel(`it has no member ${name}`)
  } finally {
    await file.close()
  }
}

/**
 * Writes the member to `target` (synced) and returns its size and sha256. Events name it `label`. Throws BadWheel, and keeps nothing, when the data is
 * damaged, longer than it claims, or is not `expectedBytes` long (null: not known).
 */
export async function* extractMember(
  wheel: string, member: Member, target: string, label: string, expectedBytes: number | null, signal: AbortSignal,
): AsyncGenerator<TransferEvent, { bytes: number; sha256: string }> {
  if (expectedBytes !== null && member.bytes !== expectedBytes) throw new BadWheel(`${member.name} has ${member.bytes} bytes, and ${expectedBytes} were expected`)
  const source = await open(wheel, 'r')
  try {
    const local = await readAt(source, member.headerAt, 30)
    if (local.readUInt32LE(0) !== signatures.local) throw new BadWheel(`the header of ${member.name} is damaged`)
    const start = member.headerAt + 30 + local.readUInt16LE(26) + local.readUInt16LE(28)
    const packed = source.createReadStream({ start, end: Math.max(start, start + member.packedBytes - 1), autoClose: false, highWaterMark: 2 ** 18 })
    const plain = member.packedBytes === 0 ? [] : member.method === 'stored' ? packed : inflated(packed)
    return yield* write(plain as AsyncIterable<Buffer>, member, target, label, signal)
  } catch (error) {
    await rm(target, { force: true })
    throw error instanceof Error && 'code' in error && String(error.code).startsWith('Z_') ? new BadWheel(`the data of ${member.name} is damaged`) : error
  } finally {
    await source.close()
  }
}

function inflated(packed: NodeJS.ReadableStream): AsyncIterable<Buffer> {
  const inflate = createInflateRaw({ chunkSize: 2 ** 18 })
  // A failure of either side destroys both and is thrown by the reader of `inflate`.
  pipeline(packed, inflate).catch(() => undefined)
  return inflate
}

async function* write(
  plain: AsyncIterable<Buffer>, member: Member, target: string, label: string, signal: AbortSignal,
): AsyncGenerator<TransferEvent, { bytes: number; sha256: string }> {
  const out = await open(target, 'w', 0o600)
  try {
    const progress = new Progress(label, 0, member.bytes)
    const hash = createHash('sha256')
    let bytes = 0
    let sum = 0
    for await (const chunk of plain) {
      if (signal.aborted) throw new FaultError(cancelledBy(signal))
      bytes += chunk.length
      if (bytes > member.bytes) throw new BadWheel(`${member.name} is longer than the ${member.bytes} bytes it claims`)
      hash.update(chunk)
      sum = crc32(chunk, sum)
      await writeAll(out, chunk)
      yield* progress.due(bytes)
    }
    if (bytes !== member.bytes || sum !== member.crc32) throw new BadWheel(`the data of ${member.name} is damaged`)
    await out.sync()
    return { bytes, sha256: hash.digest('hex') }
  } finally {
    await out.close()
  }
}

async function findDirectory(file: FileHandle, size: number): Promise<{ at: number; bytes: number }> {
  // The end record has 22 bytes and a comment of at most 65,535 behind it.
  const tailAt = Math.max(0, size - 22 - 65_535)
  const tail = await readAt(file, tailAt, size - tailAt)
  for (let offset = tail.length - 22; offset >= 0; offset--) {
    if (tail.readUInt32LE(offset) !== signatures.end) continue
    const bytes = tail.readUInt32LE(offset + 12)
    const at = tail.readUInt32LE(offset + 16)
    if (bytes !== 0xffff_ffff && at !== 0xffff_ffff) return { at, bytes }
    const locatorAt = tailAt + offset - 20
    const locator = await readAt(file, Math.max(0, locatorAt), 20)
    if (locatorAt < 0 || locator.readUInt32LE(0) !== signatures.end64Locator) break
    const end64 = await readAt(file, whole(locator, 8), 56)
    if (end64.readUInt32LE(0) !== signatures.end64) break
    return { bytes: whole(end64, 40), at: whole(end64, 48) }
  }
  throw new BadWheel('it is not a zip archive, or it is cut')
}

function memberOf(entry: Buffer, name: string, nameBytes: number, extraBytes: number): Member {
  const method = entry.readUInt16LE(10)
  if ((entry.readUInt16LE(8) & 1) !== 0) throw new BadWheel(`${name} is encrypted`)
  if (method !== 0 && method !== 8) throw new BadWheel(`${name} is packed by the unknown method ${method}`)
  const found = { bytes: entry.readUInt32LE(24), packedBytes: entry.readUInt32LE(20), headerAt: entry.readUInt32LE(42) }
  const extra = entry.subarray(46 + nameBytes, 46 + nameBytes + extraBytes)
  // APPNOTE 4.5.3: field 1 holds, in this order, the values that do not fit into 32 bits.
  for (let offset = 0; offset + 4 <= extra.length; offset += 4 + extra.readUInt16LE(offset + 2)) {
    if (extra.readUInt16LE(offset) !== 1) continue
    let at = offset + 4
    for (const key of ['bytes', 'packedBytes', 'headerAt'] as const) {
      if (found[key] !== 0xffff_ffff) continue
      if (at + 8 > extra.length) throw new BadWheel(`the sizes of ${name} are damaged`)
      found[key] = whole(extra, at)
      at += 8
    }
  }
  return { name, ...found, crc32: entry.readUInt32LE(16), method: method === 0 ? 'stored' : 'deflated' }
}

function whole(buffer: Buffer, at: number): number {
  const value = buffer.readBigUInt64LE(at)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new BadWheel('its sizes are damaged')
  return Number(value)
}

async function readAt(file: FileHandle, at: number, bytes: number): Promise<Buffer> {
  const buffer = Buffer.alloc(bytes)
  for (let done = 0; done < bytes;) {
    const { bytesRead } = await file.read(buffer, done, bytes - done, at + done)
    if (bytesRead === 0) throw new BadWheel('it is cut')
    done += bytesRead
  }
  return buffer
}
