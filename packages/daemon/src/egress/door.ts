// Owns the way out: every outbound connection of the daemon and its helpers is one row of the egress table, on disk before the first byte.
// Speaks HTTP/1.1 itself through node:http(s), so that the head it counted is the head that is sent, byte for byte.
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { LookupFunction } from 'node:net'
import { Readable } from 'node:stream'
import type { Door, EgressEntry, EgressPurpose, PinnedDoor } from '@hearth/protocol'
import { version } from '@hearth/protocol/version'
import { addressesOf } from './addresses.ts'

const redirectLimit = 10
const redirects = new Set([301, 302, 303, 307, 308])

export type WriteEgress = (entry: Omit<EgressEntry, 'id'>) => Promise<void>

/**
 * Bytes of a row: the request line, all header lines and the blank line, as handed to the connection, and the body of a POST. Name
 * resolution, TCP and TLS framing are not counted. A redirect is a request of its own and a row of its own.
 */
export function createDoor(write: WriteEgress, now: () => number = Date.now): Door & PinnedDoor {
  const ask = async (method: 'GET' | 'POST' | 'DELETE', url: URL, purpose: EgressPurpose, jobId: string | null, extra: Readonly<Record<string, string>>, body: Buffer | null, signal: AbortSignal | undefined, lookup?: LookupFunction): Promise<IncomingMessage> => {
    if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new Error(`${url.protocol} addresses are not fetched`)
    signal?.throwIfAborted()
    const headers = headOf(url, { ...extra, ...(body === null ? {} : { 'content-length': String(body.length) }) })
    await write({ at: now(), jobId, purpose, host: url.host, bytes: headBytes(method, url, headers) + (body?.length ?? 0) })
    return new Promise((resolve, reject) => {
      const send = url.protocol === 'https:' ? httpsRequest : httpRequest
      const request = send(url, { method, headers, agent: false, ...(signal === undefined ? {} : { signal }), ...(lookup === undefined ? {} : { lookup }) }, resolve)
      request.once('error', reject)
      request.end(body ?? undefined)
    })
  }
  return {
    async fetch(address, { purpose, jobId, headers = {}, signal }) {
      let url = new URL(address)
      let sent = headers
      for (let hop = 0; hop <= redirectLimit; hop += 1) {
        const answer = await ask('GET', url, purpose, jobId, sent, null, signal)
        const target = answer.headers.location
        if (!redirects.has(answer.statusCode ?? 0) || target === undefined) return responseOf(answer)
        answer.destroy()
        const next = new URL(target, url)
        if (url.protocol === 'https:' && next.protocol === 'http:') throw new Error(`${url.host} redirects from https to http`)
        if (next.host !== url.host) sent = withoutSecrets(sent)
        url = next
      }
      throw new Error(`more than ${redirectLimit} redirects from ${address}`)
    },
    async post(address, { purpose, jobId, headers = {}, body, signal }) {
      return responseOf(await ask('POST', new URL(address), purpose, jobId, headers, Buffer.from(body), signal))
    },
    async request(address, { method, purpose, jobId, headers = {}, body, nearHosts, signal }) {
      const url = new URL(address)
      // The library would make a header of it that was not counted.
      if (url.username !== '' || url.password !== '') throw new Error('an address with a user in it is not asked')
      const found = await addressesOf(url.hostname, nearHosts)
      const lookup: LookupFunction = (_host, { all }, callback) => (all === true ? callback(null, found) : callback(null, found[0]?.address ?? '', found[0]?.family))
      return responseOf(await ask(method, url, purpose, jobId, headers, method === 'POST' ? Buffer.from(body ?? '') : null, signal, lookup))
    },
    helper: (purpose, host, jobId) => write({ at: now(), jobId, purpose, host, bytes: null }),
  }
}

/** All headers, in order: nothing is added by the library when `host` and `connection` are given. */
function headOf(url: URL, extra: Readonly<Record<string, string>>): Record<string, string> {
  const own = { host: url.host, connection: 'close', accept: '*/*', 'accept-encoding': 'identity', 'user-agent': `hearth/${version}` }
  return { ...own, ...Object.fromEntries(Object.entries(extra).map(([name, value]) => [name.toLowerCase(), value])) }
}

/** What was meant for one host is not told to the next. */
function withoutSecrets(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !/^(authorization|cookie|proxy-authorization)$/i.test(name)))
}

function headBytes(method: string, url: URL, headers: Record<string, string>): number {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`), '', '']
  return Buffer.byteLength(lines.join('\r\n'), 'latin1')
}

function responseOf(answer: IncomingMessage): Response {
  const status = answer.statusCode ?? 502
  const headers = new Headers()
  for (const [name, value] of Object.entries(answer.headers)) {
    for (const one of Array.isArray(value) ? value : [value]) if (one !== undefined) headers.append(name, one)
  }
  const empty = status === 204 || status === 205 || status === 304
  if (empty) answer.resume()
  return new Response(empty ? null : Readable.toWeb(answer) as ReadableStream<Uint8Array>, { status, headers })
}
