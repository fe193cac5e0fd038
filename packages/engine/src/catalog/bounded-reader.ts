// Owns reading a file forwards through one small window: little-endian numbers, strings, skips. Never reads past its byte budget or the end of the file.
import type { FileHandle } from 'node:fs/promises'

const windowBytes = 256 * 1024

/** The file is not what it claims to be. Caught where the file is opened and turned into a fault. */
export class Malformed extends Error {}

export class BoundedReader {
  readonly #file: FileHandle
  readonly #fileBytes: number
  readonly #budgetBytes: number
  readonly #buffer = Buffer.allocUnsafe(windowBytes)
  #window: Buffer = this.#buffer.subarray(0, 0)
  #at = 0
  #windowStart = 0

  /** `budgetBytes`: how far into the file reading may go. */
  constructor(file: FileHandle, fileBytes: number, budgetBytes: number) {
    this.#file = file
    this.#fileBytes = fileBytes
    this.#budgetBytes = budgetBytes
  }

  /** Offset of the next byte in the file. */
  get position(): number {
    return this.#windowStart + this.#at
  }

  get remaining(): number {
    return this.#fileBytes - this.position
  }

  /** True when the next `bytes` are in memory; else await `load(bytes)` first. Kept apart so that hot loops await only at a refill. */
  has(bytes: number): boolean {
    return this.#window.length - this.#at >= bytes
  }

  async load(bytes: number, what: string): Promise<void> {
    if (this.has(bytes)) return
    this.#check(bytes, what)
    const start = this.position
    // One buffer serves all: strings are copied out of it, and only a longer one than itself needs its own.
    const next = bytes > windowBytes ? Buffer.allocUnsafe(bytes) : this.#buffer.subarray(0, Math.min(windowBytes, this.#fileBytes - start))
    let filled = 0
    while (filled < next.length) {
      const { bytesRead } = await this.#file.read(next, filled, next.length - filled, start + filled)
      if (bytesRead === 0) throw new Malformed(`it ends at byte ${start + filled} while it was read`)
      filled += bytesRead
    }
    this.#window = next
    this.#windowStart = start
    this.#at = 0
  }

  /** Passes over bytes without reading them. */
  skip(bytes: number, what: string): void {
    if (this.has(bytes)) {
      this.#at += bytes
      return
    }
    this.#check(bytes, what)
    this.#windowStart = this.position + bytes
    this.#window = this.#buffer.subarray(0, 0)
    this.#at = 0
  }

  /** The following need `has(size)`. */
  u8(): number { return this.#window.readUInt8(this.#take(1)) }
  i8(): number { return this.#window.readInt8(this.#take(1)) }
  u16(): number { return this.#window.readUInt16LE(this.#take(2)) }
  i16(): number { return this.#window.readInt16LE(this.#take(2)) }
  u32(): number { return this.#window.readUInt32LE(this.#take(4)) }
  i32(): number { return this.#window.readInt32LE(this.#take(4)) }
  f32(): number { return this.#window.readFloatLE(this.#take(4)) }
  u64(): bigint { return this.#window.readBigUInt64LE(this.#take(8)) }
  i64(): bigint { return this.#window.readBigInt64LE(this.#take(8)) }
  f64(): number { return this.#window.readDoubleLE(this.#take(8)) }
  text(bytes: number): string {
    const start = this.#take(bytes)
    return this.#window.toString('utf8', start, start + bytes)
  }

  #take(bytes: number): number {
    const at = this.#at
    this.#at += bytes
    return at
  }

  #check(bytes: number, what: string): void {
    if (bytes > this.remaining) throw new Malformed(`it ends at byte ${this.#fileBytes} inside ${what}`)
    if (this.position + bytes > this.#budgetBytes) throw new Malformed(`its header is larger than ${this.#budgetBytes / 2 ** 20} MiB`)
  }
}
