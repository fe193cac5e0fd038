// Owns the proxy of one run: HTTP on a Unix socket, CONNECT for everything encrypted and absolute addresses for plain HTTP. Judges and connects through the
// dialler only, adds nothing of ours to what it passes on, keeps nothing of it.
import { chmodSync, chownSync, closeSync, constants, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { authorityOf, hostOf, type Fault } from '@hearth/protocol'
import { makerIsDead, ownName } from './processes.ts'
import { codeOf, createDialler, mostConnections, textOf, type Dialler, type DiallerOptions, type Target } from './proxy-dial.ts'
import { serverNames } from './proxy-sni.ts'

export type Proxy = {
  /** The socket's file. */
  path: string
  refusals(): string[]
  /** Cuts all connections; resolves when their counts are on disk. */
  close(): Promise<void>
}

const headBytes = 16 * 1024
const headMs = 10_000
/** A client that was let through says its first word within this time. */
const firstWordMs = 60_000

/**
 * Opens a proxy in a folder of its own that only we can enter, below `parent`. `owner`: the run is this other user's, whom bubblewrap must find the socket as:
 * then the folder lies where they can reach it, and the socket is theirs. The folder stays ours: whoever may write in it chooses what root changes and removes there.
 */
export async function openProxy(parent: string, owner: { uid: number; gid: number } | null, options: DiallerOptions): Promise<Proxy> {
  mkdirSync(parent, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(parent)) if (makerIsDead(name)) rmSync(join(parent, name), { recursive: true, force: true })
  const folder = owner === null ? join(parent, ownName()) : mkdtempSync(join(tmpdir(), 'hearth-proxy-'))
  if (owner === null) mkdirSync(folder, { mode: 0o700 })
  const dialler = createDialler(options)
  const server = createServer({ maxHeaderSize: headBytes, headersTimeout: headMs, requestTimeout: 0, connectionsCheckingInterval: 1000, keepAliveTimeout: 5000, requireHostHeader: false, insecureHTTPParser: false })
  server.maxConnections = mostConnections
  server.on('drop', () => void dialler.refuse('some hosts', `it had ${mostConnections} connections open already`, 'Let it open fewer at the same time.'))
  server.on('connect', (request: IncomingMessage, near: Duplex, head: Buffer) => void tunnel(dialler, request.url ?? '', near, head).catch(() => near.destroy()))
  server.on('request', (request: IncomingMessage, answer: ServerResponse) => void pass(dialler, request, answer).catch(() => answer.destroy()))
  const path = join(folder, 'socket')
  await listen(server, folder, owner)
  return {
    path,
    refusals: dialler.refusals,
    async close() {
      server.close()
      server.closeAllConnections()
      await dialler.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** By the folder's descriptor: the address of a socket holds 107 bytes, and the daemon's folder may be deeper. */
async function listen(server: Server, folder: string, owner: { uid: number; gid: number } | null): Promise<void> {
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(`/proc/self/fd/${fd}/socket`, resolve))
    const socket = join(folder, 'socket')
    // Ours: the folder keeps others out. Another user's: the socket's own rights do.
    if (owner === null) return chmodSync(socket, 0o666)
    chownSync(socket, owner.uid, owner.gid)
    chmodSync(socket, 0o600)
    chmodSync(folder, 0o711)
  } finally {
    closeSync(fd)
  }
}

async function tunnel(dialler: Dialler, line: string, near: Duplex, head: Buffer): Promise<void> {
  near.on('error', () => near.destroy())
  const target = authorityOf(line, null)
  if (target === null) return answerRaw(near, 400, malformed(dialler, line))
  const dialled = await dialler.dial(target)
  if (!dialled.ok) return answerRaw(near, dialled.refused ? 403 : 502, dialled.fault)
  const { stream: far } = dialled
  // Who left meanwhile says so no second time.
  if (near.destroyed) return void far.destroy()
  far.on('error', () => near.destroy())
  far.on('close', () => near.destroy())
  near.on('close', () => far.destroy())
  near.write('HTTP/1.1 200 Connection established\r\n\r\n')
  far.pipe(near)
  const first = await firstWords(near, head)
  const wrong = first === null ? null : wrongName(target, first)
  if (wrong !== null) {
    dialler.refuse(textOf(target), wrong, 'Let it ask for the host by its own name.')
    near.destroy()
  }
  if (first === null || wrong !== null) return void far.destroy()
  far.write(first)
  near.pipe(far)
}

/** The client's stream up to the end of its TLS hello, or its first bytes when it speaks no TLS. Null = it said nothing in time. */
async function firstWords(near: Duplex, head: Buffer): Promise<Buffer | null> {
  let words = head
  const late = setTimeout(() => near.destroy(), firstWordMs)
  try {
    while (serverNames(words) === 'more') {
      const piece = await new Promise<Buffer | null>((resolve) => {
        const over = (found: Buffer | null): void => {
          near.off('readable', read).off('end', none).off('close', none)
          resolve(found)
        }
        const none = (): void => over(null)
        const read = (): void => {
          const found = near.read() as Buffer | null
          if (found !== null) over(found)
        }
        near.on('readable', read).on('end', none).on('close', none)
        read()
      })
      if (piece === null) return words.length === 0 ? null : words
      words = Buffer.concat([words, piece])
    }
    return words
  } finally {
    clearTimeout(late)
  }
}

/** How the name in the TLS hello contradicts the host that was asked for; null = it does not, or there is none. */
function wrongName({ host }: Target, words: Buffer): string | null {
  const names = serverNames(words)
  if (names === 'other') return null
  if (names === 'more' || names === 'bad') return 'its TLS hello cannot be read'
  const other = names.find((name) => hostOf(name)?.name !== host.name)
  return other === undefined ? null : `the TLS inside asks for ${hostOf(other)?.name ?? 'something that is no host'}`
}

/** Of one connection only, not of what is passed on (RFC 9110, 7.6.1), and what is told anew. */
const ownHeaders = new Set(['connection', 'proxy-connection', 'keep-alive', 'proxy-authorization', 'proxy-authenticate', 'te', 'trailer', 'upgrade', 'host', 'http2-settings'])

async function pass(dialler: Dialler, request: IncomingMessage, answer: ServerResponse): Promise<void> {
  const [, scheme, authority, path] = /^([a-z][a-z0-9+.-]*):\/\/([^/?#]*)([/?][\x21\x22\x24-\x7e]*)?$/i.exec(request.url ?? '') ?? []
  const target = scheme?.toLowerCase() === 'http' && authority !== undefined ? authorityOf(authority, 80) : null
  if (target === null) return refuseWith(answer, 400, malformed(dialler, request.url ?? ''))
  const dialled = await dialler.dial(target)
  if (!dialled.ok) return refuseWith(answer, dialled.refused ? 403 : 502, dialled.fault)
  const { stream: far } = dialled
  if (answer.destroyed) return void far.destroy()
  answer.on('error', () => far.destroy())
  answer.on('close', () => far.destroy())
  const asked = httpRequest({
    createConnection: () => far, setHost: false, method: request.method ?? 'GET', path: path === undefined ? '/' : path.startsWith('?') ? `/${path}` : path, maxHeaderSize: headBytes * 4,
    headers: ['host', `${target.host.kind === 'ipv6' ? `[${target.host.name}]` : target.host.name}${target.port === 80 ? '' : `:${target.port}`}`, ...passedOn(request), 'connection', 'close'],
  })
  asked.on('response', (found) => {
    found.on('error', () => answer.destroy())
    try {
      answer.writeHead(found.statusCode ?? 502, passedOn(found))
    } catch (error) {
      // The parser lets more through than the library says again, status 000 for one.
      return plain(answer, 502, `${textOf(target)} did not answer as HTTP: ${codeOf(error)}`)
    }
    found.pipe(answer)
  })
  asked.on('error', (error) => {
    if (answer.headersSent) answer.destroy()
    else plain(answer, 502, `${textOf(target)} did not answer as HTTP: ${codeOf(error)}`)
  })
  asked.on('upgrade', (_found, socket) => {
    socket.destroy()
    plain(answer, 502, `${textOf(target)} changed to another protocol`)
  })
  request.on('error', () => far.destroy())
  request.pipe(asked)
}

/** Header lines as they came, in order, without those of this connection. A length is said again by the library where the body has none. */
function passedOn({ rawHeaders, headers }: IncomingMessage): string[] {
  const named = new Set((headers.connection ?? '').toLowerCase().split(',').map((word) => word.trim()))
  const kept: string[] = []
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const [name, value] = [rawHeaders[at] ?? '', rawHeaders[at + 1] ?? '']
    if (!ownHeaders.has(name.toLowerCase()) && !named.has(name.toLowerCase())) kept.push(name, value)
  }
  return kept
}

function malformed(dialler: Dialler, line: string): Fault {
  const shown = line.replace(/^[a-z]+:\/\//i, '').replace(/[/?#].*$/s, '').replace(/^.*@/s, '…@').replace(/[^\x21-\x7e]/g, '?').slice(0, 100)
  return dialler.refuse(shown === '' ? 'a host' : shown, 'it was asked for in a way that can be read in two', 'Write it as http://HOST[:PORT]/PATH, or CONNECT HOST:PORT, without a user.')
}

function answerRaw(near: Duplex, status: 400 | 403 | 502, { message, remedy }: Fault): void {
  const body = `${message} ${remedy}\n`
  near.end(`HTTP/1.1 ${status} ${{ 400: 'Bad Request', 403: 'Forbidden', 502: 'Bad Gateway' }[status]}\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`)
}

function refuseWith(answer: ServerResponse, status: number, { message, remedy }: Fault): void {
  plain(answer, status, `${message} ${remedy}`)
}

function plain(answer: ServerResponse, status: number, text: string): void {
  answer.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' }).end(`${text}\n`)
}
