// Owns the record of what is sent to models outside of the house: one row for each body, on disk before its first byte, and the body itself, sealed, for a
// time. What cannot be recorded is not sent. Decides nothing about what may leave.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { brotliCompress, brotliDecompress, constants } from 'node:zlib'
import type { Send } from '@hearth/engine'
import { fault, faultFrom, FaultError, type Door, type Fault, type PacketEntry } from '@hearth/protocol'
import type { Store } from '../store/store.ts'
import type { PacketKey } from './packets-key.ts'
import { scanKnown } from './scan.ts'
import type { KnownTexts } from './scan-known.ts'

const compress = promisify(brotliCompress)
const decompress = promisify(brotliDecompress)
const nonceBytes = 12
const tagBytes = 16
const dayMs = 86_400_000

/** What is known of a body beside its bytes. */
export type About = Pick<PacketEntry, 'jobId' | 'escalation' | 'principal' | 'purpose' | 'host' | 'model' | 'redactions'>

export type PacketsOptions = { store: Pick<Store, 'packet' | 'dropPacketBodies' | 'read'>; key(): Promise<PacketKey>; bodyDays: number; now?: () => number }

export class Packets {
  readonly #o: PacketsOptions
  readonly #now: () => number

  constructor(options: PacketsOptions) {
    this.#o = options
    this.#now = options.now ?? Date.now
  }

  /** Resolves when row and sealed body are on disk: then, and only then, the body may leave. Every failure is the fault `egress_unrecorded`. */
  async record(about: About, body: string | Uint8Array): Promise<{ ok: true; id: string } | { ok: false; fault: Fault }> {
    try {
      const bytes = typeof body === 'string' ? Buffer.from(body) : Buffer.from(body)
      const id = Array.from(randomBytes(12), (byte) => '0123456789abcdefghjkmnpqrstvwxyz'.charAt(byte % 32)).join('')
      const entry: PacketEntry = { id, at: this.#now(), ...about, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
      const key = await this.#o.key()
      await this.#o.store.packet(entry, { keyId: key.id, sealed: await seal(key, entry, bytes) })
      return { ok: true, id }
    } catch (error) {
      return { ok: false, fault: fault('egress_unrecorded', { host: about.host, problem: faultFrom(error).message.replace(/\.$/, '') }) }
    }
  }

  /** The row and the body as it left. Throws FaultError `not_found` or `packet_body`. */
  async body(id: string): Promise<{ entry: PacketEntry; body: Buffer }> {
    const found = this.#o.store.read.packet(id)
    if (found === null) throw new FaultError(fault('not_found', { what: `packet '${id}'` }))
    const no = (why: string): FaultError => new FaultError(fault('packet_body', { id, why }))
    if (found.body === null) throw no(`it was removed after ${this.#o.bodyDays} days`)
    const key = await this.#o.key()
    if (key.id !== found.body.keyId) throw no('it was sealed with another key')
    try {
      const body = await unseal(key, found.entry, found.body.sealed)
      if (createHash('sha256').update(body).digest('hex') !== found.entry.sha256) throw new Error('another sha256')
      return { entry: found.entry, body }
    } catch {
      throw no('what lies there is not what was sealed')
    }
  }

  /** Removes the bodies that are too old. */
  prune(): Promise<void> {
    return this.#o.store.dropPacketBodies(this.#now() - this.#o.bodyDays * dayMs)
  }
}

// The row is sealed along: a body cannot be put behind another row.
const bound = ({ id, at, sha256 }: PacketEntry): Buffer => Buffer.from(`${id} ${at} ${sha256}`)

async function seal(key: PacketKey, entry: PacketEntry, body: Buffer): Promise<Buffer> {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key.seal, nonce).setAAD(bound(entry))
  const packed = await compress(body, { params: { [constants.BROTLI_PARAM_QUALITY]: 4 } })
  return Buffer.concat([nonce, cipher.update(packed), cipher.final(), cipher.getAuthTag()])
}

async function unseal(key: PacketKey, entry: PacketEntry, sealed: Uint8Array): Promise<Buffer> {
  const bytes = Buffer.from(sealed)
  const decipher = createDecipheriv('aes-256-gcm', key.seal, bytes.subarray(0, nonceBytes)).setAAD(bound(entry)).setAuthTag(bytes.subarray(-tagBytes))
  return decompress(Buffer.concat([decipher.update(bytes.subarray(nonceBytes, -tagBytes)), decipher.final()]))
}

/** What is said of one call's bodies; `held` is looked for once more in the very bytes. */
export type Recording = Omit<About, 'host'> & { packets: Packets; held: KnownTexts }

/**
 * A provider's way out which records each body before it passes it on, repeated ones too: the very bytes, after whatever a provider's library made of
 * them. Rejects with FaultError `egress_unrecorded`, or `packet_held_back` when a text that is held stands in the body or the address; nothing left then.
 */
export function recordedSend(send: Send, { packets, held, ...about }: Recording): Send {
  return async (post) => {
    const { host } = new URL(post.url)
    const kinds = new Set([post.body, post.url].flatMap((text) => scanKnown(text, held, [])).map(({ kind }) => kind))
    if (kinds.size > 0) throw new FaultError(fault('packet_held_back', { host, kinds: [...kinds] }))
    const recorded = await packets.record({ ...about, host }, post.body)
    if (!recorded.ok) throw new FaultError(recorded.fault)
    return send(post)
  }
}

/** A door whose posts are recorded first, as those of a provider's client are. */
export function recordedDoor(door: Door, recording: Recording): Door {
  return {
    fetch: (url, options) => door.fetch(url, options),
    helper: (purpose, host, jobId) => door.helper(purpose, host, jobId),
    post: (url, { purpose, jobId, headers = {}, body, signal = new AbortController().signal }) =>
      recordedSend((post) => door.post(post.url, { purpose, jobId, headers: { ...post.headers }, body: post.body, signal: post.signal }), recording)({ url, headers, body, signal }),
  }
}
