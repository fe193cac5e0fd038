// Owns the logins at MCP servers: kept in a private file, each for one address (and one folder, when its own file names the server), renewed when they run out.
import { join } from 'node:path'
import type { Login } from '@hearth/agent/mcp/oauth'
import type { McpLogin } from '@hearth/protocol'
import { z } from 'zod'
import { PrivateFile } from './private-file.ts'

/** `folder`: whose .mcp.json names it; null = the configuration. A login serves this very address and no other. */
export type Place = { folder: string | null; url: string }

const Kept = z.strictObject({
  folder: z.string().nullable(), url: z.string(),
  /** null = it is over. */
  login: z.strictObject({ token: z.string(), expiresAt: z.number().nullable(), renewal: z.unknown() }).nullable(),
})
const File = z.strictObject({ version: z.literal(1), logins: z.array(Kept) })
type File = z.infer<typeof File>

/** A token that ends within this is renewed first: it has to last for the request. */
const marginMs = 30_000

export class Logins {
  readonly #file: PrivateFile<File>
  readonly #now: () => number
  readonly #renewing = new Map<string, Promise<Login | null>>()

  constructor(stateDir: string, now: () => number = Date.now) {
    this.#file = new PrivateFile(join(stateDir, 'mcp-logins.json'), File, { version: 1, logins: [] })
    this.#now = now
  }

  async state(place: Place): Promise<McpLogin> {
    const kept = await this.#find(place)
    if (kept === undefined) return 'none'
    return kept.login === null || (this.#isOver(kept.login, 0) && kept.login.renewal === null) ? 'expired' : 'logged_in'
  }

  /**
   * The login of this place, renewed by `renew` when it is over or is `refused`, the token that was just not taken. Null = there is none,
   * or it cannot be renewed. However many ask, it is renewed once: a login server may take a renewal's token only once.
   */
  async usable(place: Place, renew: (login: Login) => Promise<Login | null>, refused: string | null = null): Promise<Login | null> {
    const login = (await this.#find(place))?.login ?? null
    if (login === null || (login.token !== refused && !this.#isOver(login, marginMs))) return login
    const key = JSON.stringify([place.folder, place.url])
    const under = this.#renewing.get(key) ?? this.#renew(place, login, renew).finally(() => this.#renewing.delete(key))
    this.#renewing.set(key, under)
    return under
  }

  /** Every token that is kept, so that none of them leaves in another message. */
  async secrets(): Promise<string[]> {
    const { logins } = await this.#file.read()
    return logins.flatMap(({ login }) => (login === null ? [] : [login.token, ...textsIn(login.renewal)]))
  }

  async keep(place: Place, login: Login): Promise<void> {
    await this.#put(place, login)
  }

  /** Whether there was one. */
  async forget(place: Place): Promise<boolean> {
    const known = (await this.#find(place)) !== undefined
    await this.#file.change(({ logins }) => ({ version: 1, logins: logins.filter((one) => !isAt(one, place)) }))
    return known
  }

  async #renew(place: Place, login: Login, renew: (login: Login) => Promise<Login | null>): Promise<Login | null> {
    const fresh = login.renewal === null ? null : await renew(login)
    // One that was forgotten meanwhile, or put in by a new login, is left as it is.
    const now = (await this.#find(place))?.login ?? null
    if (now?.token !== login.token) return now
    await this.#put(place, fresh)
    return fresh
  }

  #put(place: Place, login: Login | null): Promise<void> {
    return this.#file.change(({ logins }) => ({ version: 1, logins: [...logins.filter((one) => !isAt(one, place)), { ...place, login }] }))
  }

  async #find(place: Place): Promise<z.infer<typeof Kept> | undefined> {
    return (await this.#file.read()).logins.find((one) => isAt(one, place))
  }

  #isOver({ expiresAt }: Login, marginMs: number): boolean {
    return expiresAt !== null && expiresAt - marginMs < this.#now()
  }
}

function isAt(one: Place, { folder, url }: Place): boolean {
  return one.folder === folder && one.url === url
}

// Words of a protocol are shorter than secrets.
const leastSecret = 12

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return value.length < leastSecret || /^https?:/.test(value) ? [] : [value]
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : []
}
