// Owns what leaves for MCP servers at an address: each request to the server's own address alone, with its secrets, through the door. No secret comes back from here.
import { isSecure, isThisBox, type McpAddress, type McpDoor, type McpServer, type PinnedDoor } from '@hearth/protocol'
import type { Login } from '@hearth/agent/mcp/oauth'
import { overlap } from '@hearth/engine/local/stop-scan'
import { scanKnown } from '../egress/scan.ts'
import type { Logins, Place } from './logins.ts'
import { Outward, type Asking, type OutwardOptions } from './outward.ts'
import { readSecret } from './secret-file.ts'

export type RemoteOptions = OutwardOptions & {
  /** Of the configuration; they go before those of a folder. */
  servers: Readonly<Record<string, McpServer>>
  logins: Logins
  door: PinnedDoor
}

/** A secret shorter than this would be found in any text. */
const redactFrom = 8
/** What a login server says of itself, or a token, is smaller than this. */
const loginBytes = 2 ** 20

export class RemoteServers {
  readonly #o: RemoteOptions

  constructor(options: RemoteOptions) {
    this.#o = options
  }

  /** The way of one job, which works in this folder, to its servers. `fromFolder`: those that the folder names and its owner approved. */
  forJob(asking: Asking, folder: string, fromFolder: Readonly<Record<string, McpServer>>): McpDoor {
    const outward = new Outward(asking, this.#o)
    const serverOf = (name: string): McpAddress | null => {
      const server = this.#o.servers[name] ?? fromFolder[name]
      return server !== undefined && 'url' in server ? server : null
    }
    return {
      send: async (name, request) => {
        const server = serverOf(name)
        if (server === null) throw new Error(`there is no server ${name} at an address`)
        const place = { folder: name in this.#o.servers ? null : folder, url: server.url }
        // What goes to this very box does not leave it.
        if (isThisBox(server.url)) return this.#send(asking.job.id, name, server, place, request)
        const body = await outward.leave({ ...server, name }, request.body)
        return outward.back(await this.#send(asking.job.id, name, server, place, { ...request, body }))
      },
      question: async (name, tool, args) => {
        const server = serverOf(name)
        return server === null || isThisBox(server.url) ? null : outward.question({ ...server, name }, tool, args)
      },
    }
  }

  /** Requests that a login needs, for the server at this place; they may go to whom the server names as its login server. */
  loginFetch({ url, folder }: Place, jobId: string | null): (url: string | URL, init?: RequestInit) => Promise<Response> {
    return async (to, init = {}) => {
      if (!isSecure(to)) throw new Error(`a login goes over https only, and ${new URL(to).host} is not asked so`)
      const answer = await this.#o.door.request(String(to), {
        method: init.method === 'POST' ? 'POST' : 'GET', purpose: 'mcp', jobId, headers: Object.fromEntries(new Headers(init.headers)),
        body: init.body === undefined || init.body === null ? null : String(init.body as string | URLSearchParams), nearHosts: nearHosts(url, folder),
        signal: AbortSignal.timeout(20_000),
      })
      return atMost(loginBytes, answer)
    }
  }

  async #send(jobId: string, name: string, server: McpAddress, place: Place, request: Parameters<McpDoor['send']>[1]): Promise<Response> {
    const extra = Object.fromEntries(await Promise.all(Object.entries(server.headerFiles).map(async ([header, file]) => [header.toLowerCase(), await readSecret(file)] as const)))
    const renew = async (login: Login): Promise<Login | null> => (await import('@hearth/agent/mcp/oauth')).renewLogin(login, this.loginFetch(place, jobId), Date.now)
    const fixed = server.tokenFile === null ? null : await readSecret(server.tokenFile)
    const login = fixed !== null || !isSecure(server.url) ? null : await this.#o.logins.usable(place, renew)
    const held = request.body === null ? [] : scanKnown(request.body, await this.#o.held(), [])
    if (held.length > 0) throw new Error(`nothing was sent to it: a secret of this box stands in the request (${[...new Set(held.map(({ kind }) => kind))].join(', ')})`)
    const ask = async (token: string | null): Promise<Response> => {
      const secrets = { ...extra, ...(token === null ? {} : { authorization: `Bearer ${token}` }) }
      const answer = await this.#o.door.request(server.url, {
        method: request.method, purpose: 'mcp', jobId, headers: { ...request.headers, ...secrets }, body: request.body, nearHosts: nearHosts(server.url, place.folder), signal: request.signal,
      }).catch((error: unknown) => { throw request.signal.aborted ? error : new Error(unreached(error)) })
      return without([...Object.values(extra), ...(token === null ? [] : [token])], answer)
    }
    let answer = await ask(fixed ?? login?.token ?? null)
    if (answer.status === 401 && login !== null) {
      const fresh = await this.#o.logins.usable(place, renew, login.token)
      if (fresh !== null) {
        await answer.body?.cancel()
        answer = await ask(fresh.token)
      }
    }
    const refusal = answer.status === 401 ? await this.#unauthorized(name, server, place) : elsewhere(server.url, answer)
    if (refusal === null) return answer
    await answer.body?.cancel()
    throw new Error(refusal)
  }

  async #unauthorized(name: string, server: McpAddress, place: Place): Promise<string> {
    if (server.tokenFile !== null) return 'it does not take the token of its tokenFile'
    const command = `'hearth mcp login ${name}${place.folder === null ? '' : ' FOLDER'}'`
    switch (await this.#o.logins.state(place)) {
      case 'none': return `it wants a login: run ${command}`
      case 'expired': return `its login is over: run ${command}`
      case 'logged_in': return `it does not take its login, though that is fresh: run ${command} again`
    }
  }
}

/** Only the owner's configuration may name a host of this network. */
function nearHosts(url: string, folder: string | null): string[] {
  return folder === null ? [new URL(url).hostname] : []
}

function elsewhere(url: string, answer: Response): string | null {
  if (answer.status < 300 || answer.status > 399) return null
  const to = answer.headers.get('location')
  const host = to !== null && URL.canParse(to, url) ? new URL(to, url).host : 'nowhere'
  return `it sends us on to ${host}, which is not followed; if it moved there, change its url`
}

function unreached(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code === undefined ? message : `it cannot be reached (${code})`
}

function atMost(limit: number, answer: Response): Response {
  if (answer.body === null) return answer
  let bytes = 0
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      bytes += chunk.length
      if (bytes > limit) controller.error(new Error(`an answer about a login has more than ${limit / 2 ** 20} MiB`))
      else controller.enqueue(chunk)
    },
  })
  return new Response(answer.body.pipeThrough(count), { status: answer.status, headers: answer.headers })
}

/** The same answer without what was sent in secret: a server may say again what it was told. */
function without(secrets: readonly string[], answer: Response): Response {
  const sought = secrets.filter((secret) => secret.length >= redactFrom)
  if (answer.body === null || sought.length === 0) return answer
  // Bytes as characters, so that nothing is decoded here.
  let held = ''
  const put = (text: string, controller: TransformStreamDefaultController<Uint8Array>): void => {
    if (text !== '') controller.enqueue(Buffer.from(text, 'latin1'))
  }
  const clean = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      let text = held + Buffer.from(chunk).toString('latin1')
      for (const secret of sought) text = text.replaceAll(secret, '[secret]')
      // A secret may go on in the next piece; nothing else is held back, or the end of a message would wait for the next one.
      const keep = Math.max(...sought.map((secret) => overlap(text, secret)))
      held = text.slice(text.length - keep)
      put(text.slice(0, text.length - keep), controller)
    },
    flush: (controller) => put(held, controller),
  })
  return new Response(answer.body.pipeThrough(clean), { status: answer.status, headers: answer.headers })
}
