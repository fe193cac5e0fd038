// Owns the port of this box to which a browser is sent back after a login: on 127.0.0.1, for one login, closed with it. Judges nothing itself.
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

const path = '/callback'

export class Callback {
  readonly port: number
  readonly #server: Server

  private constructor(server: Server) {
    this.#server = server
    this.port = (server.address() as AddressInfo).port
  }

  /** `brought`: what is answered to the browser that brought this. `port` null = any free one. Throws the system's own error when it is taken. */
  static async open(port: number | null, brought: (query: URLSearchParams) => Promise<{ status: number; text: string }>): Promise<Callback> {
    const server = createServer({ maxHeaderSize: 16_384, requestTimeout: 10_000 }, (request, response) => {
      const answer = (status: number, text: string): void => {
        response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'x-content-type-options': 'nosniff', 'referrer-policy': 'no-referrer', 'cache-control': 'no-store', connection: 'close' }).end(`${text}\n`)
      }
      const host = `127.0.0.1:${(server.address() as AddressInfo | null)?.port ?? ''}`
      // A page elsewhere that gives its own name to this address is not the browser that was sent here.
      if (request.method !== 'GET' || request.headers.host !== host || !URL.canParse(request.url ?? '', `http://${host}`)) return answer(400, 'This is not what was waited for.')
      const url = new URL(request.url ?? '', `http://${host}`)
      if (url.pathname !== path) return answer(404, 'There is nothing here.')
      void brought(url.searchParams).then(({ status, text }) => answer(status, text))
    })
    server.maxConnections = 16
    server.listen(port ?? 0, '127.0.0.1')
    await once(server, 'listening')
    return new Callback(server)
  }

  get redirect(): string {
    return `http://127.0.0.1:${this.port}${path}`
  }

  close(): void {
    this.#server.close()
    // The answer to the browser is on its way; whoever holds the connection longer than that is cut.
    setTimeout(() => this.#server.closeAllConnections(), 1000).unref()
  }
}
