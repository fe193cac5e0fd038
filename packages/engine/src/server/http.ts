// Owns speaking HTTP with a llama-server over its Unix socket: one JSON answer, or a stream of server-sent events. Judges nothing it hears.
import { request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http'
import { eventData } from './sse.ts'

// An answer of one piece is at most this long; a stream is read as it comes.
const answerBytesAtMost = 64 * 2 ** 20

export type Answer = { status: number; text: string }

/** Rejects with the connection's own error. `timeoutMs` counts silence. */
export async function ask(socket: string, method: 'GET' | 'POST', path: string, options: { body?: unknown; timeoutMs?: number; signal?: AbortSignal } = {}): Promise<Answer> {
  const { request, answered } = open(socket, method, path, options.body, options.signal)
  if (options.timeoutMs !== undefined) request.setTimeout(options.timeoutMs, () => request.destroy(new Error(`no answer in ${options.timeoutMs} ms`)))
  const answer = await answered
  const parts: Buffer[] = []
  let bytes = 0
  for await (const part of answer as AsyncIterable<Buffer>) {
    bytes += part.length
    if (bytes > answerBytesAtMost) {
      answer.destroy()
      throw new Error(`its answer is longer than ${answerBytesAtMost / 2 ** 20} MiB`)
    }
    parts.push(part)
  }
  return { status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString('utf8') }
}

export type Streamed = { status: number; /** The whole body when the status is not 200. */ text: string; events: AsyncIterable<string> | null }

/** POST answered by server-sent events: their data, one by one. Aborting closes the connection, which is how a llama-server is told to stop. */
export async function stream(socket: string, path: string, body: unknown, signal: AbortSignal): Promise<Streamed> {
  const { answered } = open(socket, 'POST', path, body, signal)
  const answer = await answered
  const status = answer.statusCode ?? 0
  if (status === 200) return { status, text: '', events: eventData(arrived(answer)) }
  const parts: Buffer[] = []
  for await (const part of answer as AsyncIterable<Buffer>) parts.push(part)
  return { status, text: Buffer.concat(parts).toString('utf8'), events: null }
}

/**
 * All bytes that arrived, then the connection's error when it broke. Node's own iterator drops what it holds when a connection breaks: of
 * seventeen tokens before a server's death one was heard.
 */
async function* arrived(answer: IncomingMessage): AsyncGenerator<Buffer, void, void> {
  const parts: Buffer[] = []
  let over = false
  const broken: Error[] = []
  let wake = (): void => undefined
  const end = (error: Error | null): void => {
    over = true
    if (error !== null) broken.push(error)
    wake()
  }
  answer.on('data', (part: Buffer) => {
    parts.push(part)
    wake()
  })
  answer.once('end', () => end(null))
  answer.on('error', end)
  answer.once('close', () => end(answer.complete ? null : new Error('aborted')))
  try {
    for (;;) {
      const part = parts.shift()
      if (part !== undefined) yield part
      else if (over) break
      else await new Promise<void>((resolve) => { wake = resolve })
    }
    const [first] = broken
    if (first !== undefined) throw first
  } finally {
    answer.destroy()
  }
}

function open(socket: string, method: string, path: string, body: unknown, signal: AbortSignal | undefined): { request: ClientRequest; answered: Promise<IncomingMessage> } {
  const payload = body === undefined ? null : Buffer.from(JSON.stringify(body))
  const request = httpRequest({
    // Its idle connections are closed after seconds, in the middle of the next request: each has its own.
    socketPath: socket, method, path, agent: false, ...(signal === undefined ? {} : { signal }),
    headers: { host: 'localhost', ...(payload === null ? {} : { 'content-type': 'application/json', 'content-length': payload.length }) },
  })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    // It stays: a late error of an aborted request must not be unhandled.
    request.on('error', reject)
  })
  request.end(payload ?? undefined)
  return { request, answered }
}
