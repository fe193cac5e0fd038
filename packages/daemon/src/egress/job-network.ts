// Owns the network of one job's tools: its rows in the egress table, what it may still send, whom a refusal is told, and the GET of the tool fetch.
// Judges no host itself: that is the sandbox's dialler, for programs and for fetch alike.
import { randomBytes } from 'node:crypto'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { connect as tlsConnect } from 'node:tls'
import { authorityOf, fault, faultFrom, type Config, type Denial, type Fault, type Fetched, type Host, type Job, type JobEvent, type JobNetwork } from '@hearth/protocol'
import { version } from '@hearth/protocol/version'
import type { Dialler, Resolve } from '@hearth/sandbox'
import type { Log } from '../log.ts'
import type { Query } from '../store/db.ts'
import { number } from '../store/rows.ts'
import type { Store } from '../store/store.ts'

export type JobNetworkOptions = {
  jobId: string
  hosts: readonly string[]
  limits: Config['sandbox']['network']
  store: Pick<Store, 'openEgress' | 'noteEgress' | 'settleEgress'>
  /** Bytes that its tools sent before. */
  sentBytes: number
  past: readonly JobEvent[]
  tell(why: Fault): void
  /** Why nothing may leave now; null = it may. Absent = it always may. */
  closed?(): Denial | null
  now(): number
  log(line: string): void
  /** For tests. */
  resolve?: Resolve
}

/** So much of what an open connection sends is not on disk when the daemon is killed. */
const noteEveryMs = 1000
const mostRedirects = 5
const redirects = new Set([301, 302, 303, 307, 308])
const fetchMs = 60_000
/** Refusals of one job that are events; the model reads all of them. */
const mostTold = 50

/** The network port of a job whose request names hosts; nothing for any other. */
export function networkOf(job: Job, past: readonly JobEvent[], from: Pick<JobNetworkOptions, 'now' | 'tell' | 'closed'> & { store: Store; config: Config; log: Log }): { network?: JobNetwork } {
  const { id, request: { network: hosts = [] } } = job
  if (hosts.length === 0) return {}
  const { store, config, log, ...rest } = from
  return { network: jobNetwork({ ...rest, jobId: id, hosts, limits: config.sandbox.network, store, sentBytes: sentByTools(store.read.query, id), past, log: (line) => log('warn', line, { job: id }) }) }
}

/** Of all that left the box for a job: what its MCP servers and its experts were sent has limits of its own. */
function sentByTools(query: Query, jobId: string): number {
  return number(query("SELECT coalesce(sum(bytes), 0) AS n FROM egress WHERE job_id = ? AND purpose = 'tool'", jobId)[0] ?? {}, 'n')
}

export function jobNetwork(options: JobNetworkOptions): JobNetwork {
  const { jobId, hosts, limits, store, past, closed } = options
  const told = new Set(past.flatMap((event) => (event.type === 'network_refused' ? [event.fault.message] : [])))
  const network: JobNetwork = {
    hosts,
    left: { sentBytes: limits.sentBytes - options.sentBytes, receivedBytes: limits.receivedBytes },
    async begin(host, sentBytes) {
      const connection = randomBytes(12).toString('hex')
      await store.openEgress({ at: options.now(), jobId, purpose: 'tool', host }, connection)
      let noted = 0
      const noting = setInterval(() => {
        if (sentBytes() <= noted) return
        noted = sentBytes()
        store.noteEgress(connection, noted).catch((error: unknown) => options.log(`what ${host} was sent so far was not recorded: ${faultFrom(error).message}`))
      }, noteEveryMs).unref()
      return (bytes) => {
        clearInterval(noting)
        return store.settleEgress(connection, Math.max(bytes, noted))
      }
    },
    refused(why) {
      if (told.has(why.message) || told.size >= mostTold) return
      told.add(why.message)
      options.tell(why)
    },
    // What goes to this very box does not leave it.
    ...(closed === undefined ? {} : { closed: (host) => {
      const denial = isBox(host) ? null : closed()
      return denial === null ? null : { why: said(denial.why), remedy: denial.remedy }
    } }),
    async fetch(url, { maxBytes, signal }) {
      const { createDialler } = await import('@hearth/sandbox')
      const dialler = createDialler({ grant: network, log: options.log, ...(options.resolve === undefined ? {} : { resolve: options.resolve }) })
      try {
        return await follow(url, dialler, maxBytes, AbortSignal.any([signal, AbortSignal.timeout(fetchMs)]))
      } catch (error) {
        return { ok: false, fault: failed(shownHost(url), sentence(error)) }
      } finally {
        // What it sent is on disk before the answer is.
        await dialler.close()
      }
    },
  }
  return network
}

function isBox({ name, kind }: Host): boolean {
  return kind === 'ipv4' ? name.startsWith('127.') : name === (kind === 'ipv6' ? '::1' : 'localhost')
}

/** A sentence as the end of another one. */
function said(sentence: string): string {
  return `${sentence.charAt(0).toLowerCase()}${sentence.slice(1).replace(/\.$/, '')}`
}

async function follow(address: string, dialler: Dialler, maxBytes: number, signal: AbortSignal): Promise<Fetched> {
  let url = URL.canParse(address) ? new URL(address) : null
  for (let hop = 0; hop <= mostRedirects; hop += 1) {
    const refused = (why: string, remedy: string): Fetched => ({ ok: false, fault: dialler.refuse(url === null ? address.slice(0, 100) : url.host === '' ? url.href.slice(0, 100) : url.host, why, remedy) })
    if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:')) return refused('it is no http or https address', 'Give a whole address, like https://example.org/page.')
    if (url.username !== '' || url.password !== '') return refused('there is a user in the address', 'Leave it out.')
    const secure = url.protocol === 'https:'
    const target = authorityOf(url.host, secure ? 443 : 80)
    if (target === null) return refused('it is no host', 'Give a whole address, like https://example.org/page.')
    const dialled = await dialler.dial(target)
    if (!dialled.ok) return dialled
    const answer = await ask(url, secure ? encrypted(dialled.stream, target.host) : dialled.stream, signal)
    const status = answer.statusCode ?? 502
    const to = answer.headers.location
    if (!redirects.has(status) || to === undefined) {
      const { body, cut } = await bodyOf(answer, maxBytes, signal)
      return { ok: true, url: url.href, status, contentType: answer.headers['content-type'] ?? '', body, cut }
    }
    answer.destroy()
    const next: URL | null = URL.canParse(to, url.href) ? new URL(to, url.href) : null
    if (secure && next?.protocol === 'http:') return refused(`it redirects from https to http (${next.host})`, 'Ask for the other address by itself, if that is meant.')
    url = next
  }
  return { ok: false, fault: failed(url?.host ?? '', `it redirects more than ${mostRedirects} times`) }
}

function encrypted(stream: Duplex, host: { name: string; kind: string }): Duplex {
  const secured = tlsConnect({ socket: stream, host: host.name, ...(host.kind === 'name' ? { servername: host.name } : {}), ALPNProtocols: ['http/1.1'] })
  // It may fail once more when nobody listens any longer.
  secured.on('error', () => secured.destroy())
  return secured
}

function ask(url: URL, stream: Duplex, signal: AbortSignal): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({
      createConnection: () => stream, setHost: false, method: 'GET', path: `${url.pathname}${url.search}`, signal,
      headers: { host: url.host, 'user-agent': `hearth/${version}`, accept: 'text/html, text/plain, application/json, */*;q=0.5', 'accept-encoding': 'identity', connection: 'close' },
    }, resolve)
    request.once('error', reject)
    request.end()
  })
}

async function bodyOf(answer: IncomingMessage, maxBytes: number, signal: AbortSignal): Promise<{ body: Uint8Array; cut: boolean }> {
  const pieces: Buffer[] = []
  let size = 0
  const stop = (): void => void answer.destroy(signal.reason as Error)
  signal.addEventListener('abort', stop, { once: true })
  try {
    for await (const piece of answer as AsyncIterable<Buffer>) {
      pieces.push(piece.subarray(0, maxBytes - size))
      size += piece.length
      if (size > maxBytes) return { body: Buffer.concat(pieces), cut: true }
    }
    return { body: Buffer.concat(pieces), cut: false }
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

function failed(host: string, why: string): Fault {
  return fault('network_refused', { host, why, remedy: 'Look at the address and at the network of this box.' })
}

function shownHost(address: string): string {
  return URL.canParse(address) ? new URL(address).host : address.slice(0, 100)
}

function sentence(error: unknown): string {
  if (error instanceof Error && error.name === 'TimeoutError') return `there was no whole answer within ${fetchMs / 1000} s`
  const { code } = error as NodeJS.ErrnoException
  return code ?? faultFrom(error).message
}
