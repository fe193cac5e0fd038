// Owns the one way of a job's bytes out: judges the host, resolves its name once, has the row written, connects to what was judged, counts. Speaks no HTTP.
import { lookup } from 'node:dns/promises'
import { connect, type LookupFunction, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { fault, hostOf, matches, namesHost, ruleOf, webPorts, type Fault, type Host, type HostRule, type NetworkGrant } from '@hearth/protocol'
import { whyNear } from './proxy-address.ts'

export type Target = { host: Host; port: number }
type Address = { address: string; family: number }
export type Resolve = (name: string) => Promise<readonly Address[]>

export type Dialled =
  | { ok: true; stream: Duplex }
  /** `refused`: by the rules; the person was told. Otherwise the network failed. */
  | { ok: false; refused: boolean; fault: Fault }

export type Dialler = {
  dial(target: Target): Promise<Dialled>
  /** Tells of something that was refused elsewhere, and counts it among the refusals. */
  refuse(host: string, why: string, remedy: string): Fault
  /** A sentence for each host that was refused; after 20 one for all others. */
  refusals(): string[]
  /** Cuts what is open; resolves when every count is on disk. */
  close(): Promise<void>
}

export type DiallerOptions = {
  grant: NetworkGrant
  /** Addresses of a name; asked once for each connection. */
  resolve?: Resolve
  log(line: string): void
}

const connectMs = 15_000
/** A connection on which nothing moves. */
const idleMs = 120_000
/** Connections at the same time. */
export const mostConnections = 64
const mostRefusals = 20

export function createDialler({ grant, resolve = (name) => lookup(name, { all: true, verbatim: true }), log }: DiallerOptions): Dialler {
  const rules = grant.hosts.map(ruleOf).filter((rule) => rule !== null)
  const open = new Set<Counted>()
  const settling = new Set<Promise<void>>()
  const refusals = new Map<string, string>()
  let closed = false

  const refuse: Dialler['refuse'] = (host, why, remedy) => {
    const refusal = fault('network_refused', { host, why, remedy })
    const [name, said] = refusals.has(host) || refusals.size < mostRefusals ? [host, refusal] : ['', fault('network_refused', { host: 'further hosts', why: `${mostRefusals} were refused already`, remedy: 'They are not told one by one.' })]
    if (!refusals.has(name)) {
      refusals.set(name, `${said.message} ${said.remedy}`)
      grant.refused(said)
    }
    return refusal
  }

  const dial = async (target: Target): Promise<Dialled> => {
    const said = textOf(target)
    const no = (why: string, remedy: string): Dialled => ({ ok: false, refused: true, fault: refuse(said, why, remedy) })
    const failed = (why: string): Dialled => ({ ok: false, refused: false, fault: fault('network_refused', { host: said, why, remedy: 'Look at the name and at the network of this box.' }) })
    const rule = rules.find((one) => matches(one, target.host, target.port))
    if (rule === undefined) return rules.some((one) => namesHost(one, target.host)) ? no(`its list of hosts names no port ${target.port} of it`, allowWith(said)) : no('it is not in its list of hosts', allowWith(said))
    const shut = grant.closed?.(target.host) ?? null
    if (shut !== null) return no(shut.why, shut.remedy)
    if (open.size >= mostConnections) return no(`${mostConnections} connections are open already`, 'Let it open fewer at the same time.')
    if (grant.left.sentBytes <= 0 || grant.left.receivedBytes <= 0) return no(...spent(grant))
    let found: readonly Address[]
    try {
      found = target.host.kind === 'name' ? await inTime(resolve(target.host.name), connectMs) : [{ address: target.host.name, family: target.host.kind === 'ipv6' ? 6 : 4 }]
    } catch (error) {
      return failed(`its name was not found (${codeOf(error)})`)
    }
    const judged = found.map((one) => ({ ...one, near: mayReach(rules, one.address, target.port) ? null : whyNear(one.address) }))
    const usable = judged.filter(({ near }) => near === null)
    const bad = judged.find(({ near }) => near !== null)
    if (usable.length === 0) return bad === undefined ? failed('its name has no address') : no(`it leads to ${bad.address}, ${bad.near}`, `If that is meant, name the address too: --network ${bad.family === 6 ? `[${bad.address}]` : bad.address}${portText(target.port)}.`)

    let settle: (sentBytes: number) => Promise<void>
    let made: Counted | null = null
    try {
      settle = await grant.begin(said, () => made?.sentBytes ?? 0)
    } catch (error) {
      return failed(`what leaves this box could not be recorded (${codeOf(error)})`)
    }
    const mayGoOn = (): boolean => {
      const closing = grant.closed?.(target.host) ?? null
      if (closing !== null) refuse(said, closing.why, closing.remedy)
      return closing === null
    }
    const stream = new Counted(usable, target.port, grant.left, () => void refuse(said, ...spent(grant)), mayGoOn)
    made = stream
    // Whoever uses it may be gone when it fails.
    stream.on('error', () => stream.destroy())
    open.add(stream)
    const done = new Promise<void>((over) => stream.once('close', over)).then(() => {
      open.delete(stream)
      return settle(stream.sentBytes)
    }).catch((error: unknown) => log(`network: the bytes sent to ${said} could not be recorded: ${codeOf(error)}`)).finally(() => settling.delete(done))
    settling.add(done)
    if (closed) stream.destroy()
    const problem = await stream.connected
    return problem === null ? { ok: true, stream } : failed(problem)
  }

  return {
    dial, refuse,
    refusals: () => [...refusals.values()],
    async close() {
      closed = true
      for (const stream of open) stream.destroy()
      await Promise.all(settling)
    },
  }
}

/** An address is reached when it is out in the world, or when the list names this very address. */
function mayReach(rules: readonly HostRule[], address: string, port: number): boolean {
  const host = hostOf(address.includes(':') ? `[${address}]` : address)
  return host !== null && rules.some((rule) => rule.kind !== 'name' && matches(rule, host, port))
}

/** HOST, or HOST:PORT where it is no port of the web. */
export function textOf({ host, port }: Target): string {
  return `${host.kind === 'ipv6' ? `[${host.name}]` : host.name}${portText(port)}`
}

const portText = (port: number): string => (webPorts.includes(port) ? '' : `:${port}`)
const allowWith = (host: string): string => `If it should, start the job with --network ${host}.`

function spent({ left }: NetworkGrant): [string, string] {
  return left.sentBytes <= 0 ? ['the tools of this job have sent all that one job may', 'Raise sandbox.network.sentBytes if that is too little.'] : ['the tools of this job have received all that one job may', 'Raise sandbox.network.receivedBytes if that is too little.']
}

export function codeOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException
  return code ?? message
}

function inTime<T>(work: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  return Promise.race([work, new Promise<never>((_resolve, reject) => { timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms) })]).finally(() => clearTimeout(timer))
}

/** A connection to judged addresses, with its bytes taken off what the job has left. Ends when that is used up or when nothing moves. */
class Counted extends Duplex {
  readonly #socket: Socket
  readonly #left: NetworkGrant['left']
  readonly #onSpent: () => void
  readonly #mayGoOn: () => boolean
  /** Null once it stands, else why not. */
  readonly connected: Promise<string | null>

  constructor(addresses: readonly Address[], port: number, left: NetworkGrant['left'], onSpent: () => void, mayGoOn: () => boolean) {
    super({ allowHalfOpen: true })
    this.#left = left
    this.#onSpent = onSpent
    this.#mayGoOn = mayGoOn
    const given = addresses.map(({ address, family }) => ({ address, family }))
    // Looked up already: the library only chooses among what was judged.
    const judged: LookupFunction = (_host, { all }, callback) => (all === true ? callback(null, given) : callback(null, given[0]?.address ?? '', given[0]?.family))
    this.#socket = connect({ host: 'judged.invalid', port, lookup: judged, autoSelectFamily: true, allowHalfOpen: true, noDelay: true })
    this.connected = this.#watch()
  }

  /** Handed to the kernel so far. */
  get sentBytes(): number {
    return this.#socket.bytesWritten - this.#socket.writableLength
  }

  #watch(): Promise<string | null> {
    const socket = this.#socket
    socket.setTimeout(idleMs, () => this.destroy())
    socket.on('data', (chunk: Buffer) => {
      this.#left.receivedBytes -= chunk.length
      if (this.#left.receivedBytes < 0) return this.#spend()
      if (!this.push(chunk)) socket.pause()
    })
    socket.on('end', () => this.push(null))
    socket.on('close', () => this.destroy())
    return new Promise((resolve) => {
      const late = setTimeout(() => socket.destroy(new Error(`no connection within ${connectMs / 1000} s`)), connectMs)
      const over = (problem: string | null): void => {
        clearTimeout(late)
        resolve(problem)
      }
      socket.once('connect', () => over(null))
      socket.on('error', (error) => over(`the connection failed (${codeOf(error)})`))
      socket.once('close', () => over('the connection was closed'))
    })
  }

  #spend(): void {
    this.#onSpent()
    this.destroy()
  }

  override _read(): void {
    this.#socket.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (!this.#mayGoOn()) {
      this.destroy()
      return done()
    }
    if (chunk.length > this.#left.sentBytes) {
      this.#left.sentBytes = 0
      this.#spend()
      return done()
    }
    this.#left.sentBytes -= chunk.length
    this.#socket.write(chunk, done)
  }

  override _final(done: () => void): void {
    this.#socket.end(done)
  }

  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy()
    // The count is right only when the socket is over.
    if (this.#socket.closed) done()
    else this.#socket.once('close', () => done())
  }
}
