// Owns the listener on 127.0.0.1: open while it is wanted, never on another address. Refuses strange names and pages before anything is routed.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { fault, httpOf, type ErrorReply } from '@hearth/protocol'
import { strangeAddress } from '../auth/credential.ts'
import type { Log } from '../log.ts'
import { closeServer, type Fetch } from './listen.ts'

export type LoopbackState = { url: string | null; problem: string | null }

const address = '127.0.0.1'
const maxConnections = 1024

export class Loopback {
  readonly #port: number | null
  readonly #fetch: Fetch
  readonly #log: Log
  #server: Server | null = null
  #problem: string | null = null
  #turn: Promise<void> = Promise.resolve()
  #connections = 0

  /** `port` null: it never listens; 0: any free one. */
  constructor(port: number | null, fetch: Fetch, log: Log) {
    this.#port = port
    this.#fetch = fetch
    this.#log = log
  }

  get state(): LoopbackState {
    const port = portOf(this.#server)
    return { url: port === null ? null : `http://${address}:${port}`, problem: this.#problem }
  }

  get connections(): number {
    return this.#connections
  }

  /** Opens or closes it, after what was wanted before. A port that is taken is `state.problem` and a line in the log, never a failure. */
  want(open: boolean): Promise<void> {
    this.#turn = this.#turn.then(() => (open ? this.#open() : this.#close()))
    return this.#turn
  }

  async #open(): Promise<void> {
    if (this.#server !== null || this.#port === null) return
    const port = this.#port
    const answer = getRequestListener(this.#fetch as Parameters<typeof getRequestListener>[0], { overrideGlobalObjects: false })
    // The whole request must be here in a minute, its head in ten seconds: a slow sender holds a socket, not the daemon.
    const server = createServer({ keepAliveTimeout: 5000, headersTimeout: 10_000, requestTimeout: 60_000, maxHeaderSize: 16 * 1024, connectionsCheckingInterval: 2000 },
      (incoming, outgoing) => { if (!refused(incoming, outgoing, portOf(server) ?? 0)) void answer(incoming, outgoing) })
    server.maxConnections = maxConnections
    server.on('connection', (socket) => {
      this.#connections += 1
      socket.setNoDelay(true)
      socket.once('close', () => { this.#connections -= 1 })
    })
    const problem = await new Promise<string | null>((resolve) => {
      server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code === 'EADDRINUSE' ? 'another program listens there' : error.message))
      server.listen({ port, host: address }, () => resolve(null))
    })
    this.#problem = problem === null ? null : fault('cannot_listen', { address: `${address}:${this.#port}`, problem }).message
    if (problem === null) this.#server = server
    this.#log(problem === null ? 'info' : 'warn', this.#problem ?? 'listening', { url: this.state.url })
  }

  async #close(): Promise<void> {
    const server = this.#server
    this.#server = null
    this.#problem = null
    if (server !== null) await closeServer(server)
  }
}

function portOf(server: Server | null): number | null {
  const found = server?.address() ?? null
  return typeof found === 'object' && found !== null ? found.port : null
}

function refused(incoming: IncomingMessage, outgoing: ServerResponse, port: number): boolean {
  const cause = strangeAddress((name) => incoming.headers[name] as string | undefined, port)
  if (cause === null) return false
  const body: ErrorReply = { error: cause }
  outgoing.writeHead(httpOf(cause), { 'content-type': 'application/json', connection: 'close' }).end(JSON.stringify(body))
  return true
}
