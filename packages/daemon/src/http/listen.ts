// Owns the Unix socket: a 0600 socket in a folder of ours. Whoever can open it is its owner.
import { chmod, lstat, mkdir, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { dirname } from 'node:path'
import { getRequestListener } from '@hono/node-server'
import { fault, FaultError } from '@hearth/protocol/fault'

/** The app; it may also write to `outgoing` itself and answer with `alreadySent`. */
export type Fetch = (request: Request, on: { incoming: IncomingMessage; outgoing: ServerResponse }) => Response | Promise<Response>

export type Listening = { close(): Promise<void>; connections(): number }

/**
 * Serves the app on the socket. A socket file that nobody answers is replaced; one that answers is a daemon with another state folder,
 * and then this rejects with FaultError `cannot_create`.
 */
export async function listen(path: string, fetch: Fetch): Promise<Listening> {
  await ownFolder(dirname(path))
  if (await answers(path)) throw new FaultError(fault('cannot_create', { path, problem: 'another daemon with another state folder listens there' }))
  await rm(path, { force: true })
  const answer = getRequestListener(fetch as Parameters<typeof getRequestListener>[0], { overrideGlobalObjects: false })
  const server = createServer({ keepAliveTimeout: 5000 }, (incoming, outgoing) => void answer(incoming, outgoing))
  // Streams live as long as a job; the request itself must still come in a minute.
  server.requestTimeout = 60_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new FaultError(fault('cannot_create', { path, problem: error.message }))))
    server.listen(path, resolve)
  })
  await chmod(path, 0o600)
  let open = 0
  server.on('connection', (socket) => {
    open += 1
    socket.once('close', () => { open -= 1 })
  })
  return { connections: () => open, close: () => closeServer(server) }
}

/** Stops accepting, lets answers that are being sent end for a moment, then cuts. The socket file goes with the server. */
export async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeIdleConnections()
  const cut = setTimeout(() => server.closeAllConnections(), 1000)
  await closed
  clearTimeout(cut)
}

/** Makes the folder 0700. One that exists must belong to this user or to root, and must not be open to all; doctor warns of an open group. */
async function ownFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw new FaultError(fault('cannot_create', { path, problem: (error as Error).message }))
  })
  const info = await lstat(path)
  const uid = process.getuid?.() ?? 0
  if (!info.isDirectory() || (info.uid !== uid && info.uid !== 0) || (info.mode & 0o002) !== 0) {
    throw new FaultError(fault('cannot_create', { path, problem: 'the folder of the socket must be yours and closed to others (chmod 700)' }))
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
