// Owns the client side of the wire: requests and NDJSON streams over the Unix socket. No schemas are loaded here, so that a command starts fast.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { fault, FaultError, type Fault } from './fault.ts'

export class Client {
  readonly socket: string

  constructor(socket: string) {
    this.socket = socket
  }

  /** One request with a JSON answer. Throws FaultError with the daemon's own fault, or `daemon_unreachable` (also when the signal aborts first). */
  async call<T>(method: 'GET' | 'POST' | 'DELETE', path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    const response = await this.#send(method, path, body, signal)
    const text = await readAll(response).catch((error: unknown) => { throw new FaultError(this.#unreachable(error)) })
    const parsed = parseJson(text)
    if ((response.statusCode ?? 500) >= 300) throw new FaultError(faultOf(parsed, response.statusCode ?? 500))
    return parsed as T
  }

  /** One request answered by newline-separated JSON values, yielded as they come. Leaving the loop closes the connection. */
  async *stream<T>(method: 'GET' | 'POST', path: string, body?: unknown, signal?: AbortSignal): AsyncGenerator<T> {
    const response = await this.#send(method, path, body, signal)
    if ((response.statusCode ?? 500) >= 300) throw new FaultError(faultOf(parseJson(await readAll(response)), response.statusCode ?? 500))
    response.setEncoding('utf8')
    let rest = ''
    try {
      for await (const chunk of response as AsyncIterable<string>) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop() ?? ''
        for (const line of lines) if (line !== '') yield JSON.parse(line) as T
      }
    } catch (error) {
      if (signal?.aborted === true) return
      throw new FaultError(this.#unreachable(error))
    } finally {
      response.destroy()
    }
  }

  /** One request answered by bytes, as they come. Leaving the loop closes the connection. */
  async *bytes(method: 'GET' | 'POST', path: string, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    const response = await this.#send(method, path, undefined, signal)
    if ((response.statusCode ?? 500) >= 300) throw new FaultError(faultOf(parseJson(await readAll(response)), response.statusCode ?? 500))
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) yield chunk
    } catch (error) {
      if (signal?.aborted === true) return
      throw new FaultError(this.#unreachable(error))
    } finally {
      response.destroy()
    }
  }

  #send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const payload = body === undefined ? null : JSON.stringify(body)
      const request = httpRequest({
        socketPath: this.socket, method, path, ...(signal === undefined ? {} : { signal }),
        headers: payload === null ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) },
      }, resolve)
      request.on('error', (error) => reject(new FaultError(this.#unreachable(error))))
      request.end(payload ?? undefined)
    })
  }

  #unreachable(error: unknown): Fault {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? 'there is no socket' : code === 'ECONNREFUSED' ? 'nobody listens there'
      : code === 'EACCES' ? 'it belongs to somebody else' : code === 'ABORT_ERR' ? 'it does not answer in time' : error instanceof Error ? error.message : String(error)
    return fault('daemon_unreachable', { socket: this.socket, why })
  }
}

function faultOf(parsed: unknown, status: number): Fault {
  const error = typeof parsed === 'object' && parsed !== null && 'error' in parsed ? parsed.error : null
  if (typeof error === 'object' && error !== null && 'code' in error && 'message' in error) return error as Fault
  return fault('internal', { problem: `the daemon answered HTTP ${status} without a cause` })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  for await (const part of response as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}
