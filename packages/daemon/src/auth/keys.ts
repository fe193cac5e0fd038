// Owns API keys: making, checking and revoking them, and cutting what a revoked one has open. Keeps no secret: at rest there is its SHA-256.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { fault, FaultError, faultFrom, type ApiKey, type Fault, type KeyRequest, type Principal } from '@hearth/protocol'
import type { Log } from '../log.ts'
import type { Store } from '../store/store.ts'

export type KeysOptions = { store: Store; log: Log; now?: () => number }

// 12 characters of id (60 bits) and 32 random bytes in base64url.
const form = /^([0-9a-hjkmnp-tv-z]{12})\.([A-Za-z0-9_-]{43})$/
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz'
// A stored time of last use may be this old: one write a minute, not one a request.
const usedEveryMs = 60_000
const nobody = Buffer.alloc(32)

export class Keys {
  /** Called after a key was added or revoked. */
  onChange: (() => void) | null = null

  readonly #o: KeysOptions
  readonly #now: () => number
  readonly #open = new Map<string, Set<(why: Fault) => void>>()
  readonly #noted = new Map<string, number>()

  constructor(options: KeysOptions) {
    this.#o = options
    this.#now = options.now ?? Date.now
  }

  /** Makes a key. `secret` is the whole of it, `id.secret`; it is in this answer only. */
  async add(request: KeyRequest): Promise<{ key: ApiKey; secret: string }> {
    const id = Array.from(randomBytes(12), (byte) => alphabet[byte % 32]).join('')
    const secret = `${id}.${randomBytes(32).toString('base64url')}`
    const createdAt = this.#now()
    const { expiresInSeconds, ...rest } = request
    const expiresAt = expiresInSeconds === null ? null : createdAt + Math.round(expiresInSeconds * 1000)
    const key: ApiKey = { id, ...rest, createdAt, expiresAt, lastUsedAt: null, revokedAt: null }
    await this.#o.store.addKey(key, hashOf(secret).toString('hex'))
    this.onChange?.()
    return { key, secret }
  }

  list(): ApiKey[] {
    return this.#o.store.read.keys()
  }

  /** True when some key would be let in now. */
  usable(): boolean {
    return this.list().some((key) => this.#lives(key))
  }

  /** Ends a key for good and cuts what it has open. Again is no error. Throws FaultError `unknown_key`. */
  async revoke(id: string): Promise<ApiKey> {
    const known = this.#o.store.read.key(id)
    if (known === null) throw new FaultError(fault('unknown_key', { id }))
    await this.#o.store.revokeKey(id, this.#now())
    for (const cut of this.#open.get(`key:${id}`) ?? []) cut(fault('unauthorized', {}))
    this.onChange?.()
    return this.#o.store.read.key(id)?.key ?? known.key
  }

  /**
   * The principal of a key, null whatever is wrong with it. The row is read anew each time: what was revoked a moment ago is refused now.
   * A text that cannot be a key never reaches the database, and an unknown id costs the same comparison as a known one.
   */
  check(value: string): Principal | null {
    const id = form.exec(value)?.[1]
    if (id === undefined) return null
    const found = this.#o.store.read.key(id)
    const same = timingSafeEqual(hashOf(value), found === null ? nobody : Buffer.from(found.hash, 'hex'))
    if (found === null || !same || !this.#lives(found.key)) return null
    this.#note(found.key)
    const { origin, scopes, models } = found.key
    return { id: `key:${id}`, kind: 'key', origin, scopes, class: found.key.class, ...(models === null ? {} : { models }) }
  }

  /** `cut` is called when the principal's key is revoked, until the returned function is called. */
  watch(principalId: string, cut: (why: Fault) => void): () => void {
    const open = this.#open.get(principalId) ?? new Set()
    this.#open.set(principalId, open.add(cut))
    return () => {
      open.delete(cut)
      if (open.size === 0) this.#open.delete(principalId)
    }
  }

  #lives(key: ApiKey): boolean {
    return key.revokedAt === null && (key.expiresAt === null || key.expiresAt > this.#now())
  }

  #note(key: ApiKey): void {
    const now = this.#now()
    if (now - Math.max(key.lastUsedAt ?? 0, this.#noted.get(key.id) ?? 0) < usedEveryMs) return
    this.#noted.set(key.id, now)
    this.#o.store.usedKey(key.id, now).catch((error: unknown) => this.#o.log('warn', 'the last use of a key was not stored', { problem: faultFrom(error).message }))
  }
}

function hashOf(value: string): Buffer {
  return createHash('sha256').update(value).digest()
}
