// Owns logging people in at MCP servers and telling how things stand: one login is one open page, one port, one state, and ends in ten minutes.
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { fault, FaultError, isSecure, type FolderServers, type McpLoginEvent, type McpServer, type McpServerRow } from '@hearth/protocol'
import { Callback } from './callback.ts'
import { rowOf, type FolderServerStore } from './folder-servers.ts'
import type { Logins, Place } from './logins.ts'
import type { RemoteServers } from './remote.ts'
import { readSecret } from './secret-file.ts'

export type DeskOptions = {
  /** Of the configuration. */
  servers: Readonly<Record<string, McpServer>>
  folderServers: FolderServerStore
  logins: Logins
  remote: RemoteServers
}

const minutesAtMost = 10
const loginsAtMost = 8

export class LoginDesk {
  readonly #o: DeskOptions
  /** What was brought by hand, by the id of its login. */
  readonly #open = new Map<string, (query: URLSearchParams) => Promise<void>>()

  constructor(options: DeskOptions) {
    this.#o = options
  }

  /** The servers of the configuration. */
  list(): Promise<McpServerRow[]> {
    return Promise.all(Object.entries(this.#o.servers).map(([name, server]) => this.#row(name, server, null)))
  }

  /** The same file with how its logins stand. */
  async withLogins(found: FolderServers, folder: string): Promise<FolderServers> {
    const { servers } = await this.#o.folderServers.of(folder)
    return {
      ...found, servers: await Promise.all(found.servers.map(async (row) => {
        const approved = servers[row.name]
        return approved === undefined ? row : this.#row(row.name, approved, folder)
      })),
    }
  }

  /** How to log in at this server: what is returned is one login, told as it goes; who leaves gives it up. `folder`: whose own server it is; null = the configuration's. Throws FaultError. */
  async login(name: string, folder: string | null): Promise<(left: AbortSignal) => AsyncGenerator<readonly McpLoginEvent[]>> {
    const server = await this.#server(name, folder)
    if (server.tokenFile !== null) throw conflict(`The token for '${name}' is in its tokenFile; take that out of the configuration to log in instead.`)
    if (!isSecure(server.url)) throw conflict(`'${name}' is not at an https address, and a login goes nowhere else.`)
    if (this.#open.size >= loginsAtMost) throw conflict(`${loginsAtMost} logins are under way already.`)
    return (left) => this.#told(name, this.#login(name, server, { folder, url: server.url }, left))
  }

  /** Hands in by hand the address that the browser was sent to. Throws FaultError when it does not belong to this login. */
  async bring(id: string, address: string): Promise<void> {
    const brought = this.#open.get(id)
    if (brought === undefined) throw new FaultError(fault('not_found', { what: 'login under way of this id' }))
    const text = address.trim()
    if (!URL.canParse(text)) throw new FaultError(fault('bad_request', { where: 'address', problem: 'it is no address; paste the whole line of the browser, beginning with http' }))
    await brought(new URL(text).searchParams)
  }

  /** Forgets the login. Throws FaultError when there is no such server. */
  async logout(name: string, folder: string | null): Promise<boolean> {
    const { url } = await this.#server(name, folder)
    return this.#o.logins.forget({ folder, url })
  }

  async *#told(name: string, steps: AsyncGenerator<readonly McpLoginEvent[]>): AsyncGenerator<readonly McpLoginEvent[]> {
    try {
      yield* steps
    } catch (error) {
      const how = (error instanceof Error ? error.message : String(error)).replace(/\s+/g, ' ').replace(/\.$/, '').slice(0, 300)
      yield [{ type: 'failed', fault: error instanceof FaultError ? error.fault : fault('mcp_login_failed', { server: name, how }) }]
    }
  }

  async *#login(name: string, server: Extract<McpServer, { url: string }>, place: Place, signal: AbortSignal): AsyncGenerator<readonly McpLoginEvent[]> {
    const { clientId, clientSecretFile, scope, redirectPort } = server.oauth
    const { beginLogin } = await import('@hearth/agent/mcp/oauth')
    const [state, id] = [randomBytes(32).toString('base64url'), randomBytes(9).toString('base64url')]
    const over = Promise.withResolvers<void>()
    // Who leaves before the end does not wait for it.
    over.promise.catch(() => undefined)
    let begun: Awaited<ReturnType<typeof beginLogin>> = null
    let taken = false
    const brought = async (query: URLSearchParams): Promise<void> => {
      if (begun === null || taken || !same(query.get('state') ?? '', state)) throw conflict('That does not belong to this login.')
      taken = true
      await begun.finish(query).then((login) => this.#o.logins.keep(place, login)).then(over.resolve, over.reject)
    }
    const page = (query: URLSearchParams): Promise<{ status: number; text: string }> => brought(query).then(() => over.promise).then(
      () => ({ status: 200, text: 'You are logged in. This page can be closed.' }), () => ({ status: 400, text: 'That did not work; the command that you ran says why.' }))
    const callback = await Callback.open(redirectPort, page)
    const timer = setTimeout(() => over.reject(new Error(`nobody agreed within ${minutesAtMost} minutes`)), minutesAtMost * 60_000)
    const leave = (): void => over.reject(new Error('it was given up'))
    signal.addEventListener('abort', leave, { once: true })
    try {
      begun = await beginLogin({
        url: server.url, scope, redirect: callback.redirect, state, now: Date.now, fetch: this.#o.remote.loginFetch(place, null),
        client: clientId === null ? null : { id: clientId, secret: clientSecretFile === null ? null : await readSecret(clientSecretFile) },
      })
      if (begun === null) throw conflict(`'${name}' lets everybody in; it needs no login.`)
      this.#open.set(id, brought)
      yield [{ type: 'open', id, page: begun.page.href, port: callback.port }]
      await over.promise
      yield [{ type: 'done', server: await this.#row(name, server, place.folder) }]
    } finally {
      signal.removeEventListener('abort', leave)
      clearTimeout(timer)
      this.#open.delete(id)
      callback.close()
    }
  }

  async #row(name: string, server: McpServer, folder: string | null): Promise<McpServerRow> {
    const row = rowOf(name, server)
    return 'url' in server && server.tokenFile === null ? { ...row, login: await this.#o.logins.state({ folder, url: server.url }) } : row
  }

  async #server(name: string, folder: string | null): Promise<Extract<McpServer, { url: string }>> {
    const servers = folder === null ? this.#o.servers : (await this.#o.folderServers.of(folder)).servers
    const server = servers[name]
    if (server === undefined) throw new FaultError(fault('not_found', { what: folder === null ? `MCP server '${name}' in the configuration (agent.mcpServers)` : `approved MCP server '${name}' of this folder` }))
    if (!('url' in server)) throw conflict(`'${name}' is a program in the sandbox; there is nothing to log in at.`)
    return server
  }
}

function conflict(problem: string): FaultError {
  return new FaultError(fault('conflict', { problem }))
}

function same(a: string, b: string): boolean {
  const [one, other] = [Buffer.from(a), Buffer.from(b)]
  return one.length === other.length && timingSafeEqual(one, other)
}
