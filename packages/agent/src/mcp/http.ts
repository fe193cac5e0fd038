// Owns the line between the MCP client and a server at an address: the SDK's Streamable HTTP over the daemon's door, within bounds. Opens no socket, sees no secret.
import { StreamableHTTPClientTransport, type JSONRPCMessage } from '@modelcontextprotocol/client'
import type { McpDoor } from '@hearth/protocol'
import { messageBytes, messagesPerSecond, type Line } from './line.ts'

type SendOptions = Parameters<StreamableHTTPClientTransport['send']>[1]

/** How often a stream that ended is taken up again, all streams of one connection together. */
const reconnectsAtMost = 20
const reconnectMs = { least: 500, most: 10_000 }
/** What is waited for a server to say goodbye. */
const goodbyeMs = 2000

export class HttpTransport extends StreamableHTTPClientTransport implements Line {
  readonly stderr = ''
  problem: string | null = null
  forgotten = false
  #closing: Promise<void> | null = null

  /** `name`: of the server, as the door knows it. */
  constructor(name: string, url: string, door: McpDoor) {
    let reconnects = 0
    super(new URL(url), {
      fetch: async (_url, init = {}) => {
        const headers = Object.fromEntries(new Headers(init.headers))
        const method = init.method === 'POST' || init.method === 'DELETE' ? init.method : 'GET'
        const response = await door.send(name, { method, headers, body: typeof init.body === 'string' ? init.body : null, signal: init.signal ?? AbortSignal.timeout(goodbyeMs) })
        if (response.status === 404 && headers['mcp-session-id'] !== undefined) this.#forget()
        return bounded(response, (problem) => this.#drop(problem))
      },
      reconnectionOptions: { initialReconnectionDelay: 1000, maxReconnectionDelay: reconnectMs.most, reconnectionDelayGrowFactor: 2, maxRetries: 2 },
      // The library counts failures only: a server that ends each stream at once would be asked for ever.
      reconnectionScheduler: (reconnect, delayMs) => {
        reconnects += 1
        if (reconnects > reconnectsAtMost) throw new Error(`it ended its streams ${reconnectsAtMost} times`)
        const timer = setTimeout(reconnect, Math.min(reconnectMs.most, Math.max(reconnectMs.least, delayMs)))
        return () => clearTimeout(timer)
      },
    })
  }

  override send(message: JSONRPCMessage, options?: SendOptions): Promise<void> {
    if (!('method' in message && 'id' in message)) return super.send(message, options)
    const { id } = message
    // The library leaves a request waiting whose stream ended before its answer. For one that was answered this is of no effect.
    return super.send(message, { ...options, onRequestStreamEnd: () => this.onmessage?.({ jsonrpc: '2.0', id, error: { code: -32_000, message: 'the connection ended before the answer' } }) })
  }

  /** Says goodbye to a server that holds a session, and waits for it a moment. */
  override close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.problem === null) {
      this.problem = 'it was closed'
      let timer
      await Promise.race([this.terminateSession().catch(() => undefined), new Promise((resolve) => { timer = setTimeout(resolve, goodbyeMs) })])
      clearTimeout(timer)
    }
    await super.close()
  }

  #forget(): void {
    this.problem ??= 'it forgot the session'
    this.forgotten = true
  }

  #drop(problem: string): void {
    this.problem ??= problem
    void this.close()
  }
}

/** The same answer with its stream counted: neither a message without an end nor a flood of them gets through. */
function bounded(response: Response, drop: (problem: string) => void): Response {
  if (response.body === null) return response
  const lines = response.headers.get('content-type')?.trim().toLowerCase().startsWith('text/event-stream') === true
  let [bytes, second, messages] = [0, 0, 0]
  let previous = 0
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      for (const byte of chunk) {
        bytes += 1
        // A message of an event stream ends with an empty line.
        if (lines && (byte === 10 || byte === 13) && (previous === byte || bytes === 1)) {
          bytes = 0
          messages += 1
        }
        if (byte !== 13 || previous !== 10) previous = byte
      }
      const now = Math.floor(performance.now() / 1000)
      if (now !== second) [second, messages] = [now, 0]
      const problem = bytes > messageBytes ? `it wrote a message of more than ${messageBytes / 2 ** 20} MiB` : messages > messagesPerSecond ? `it wrote more than ${messagesPerSecond} messages in a second` : null
      if (problem === null) return controller.enqueue(chunk)
      controller.error(new Error(problem))
      drop(problem)
    },
  })
  return new Response(response.body.pipeThrough(count), { status: response.status, statusText: response.statusText, headers: response.headers })
}
