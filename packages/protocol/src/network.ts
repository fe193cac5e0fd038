// Owns the words of a job's network: how a host is written in a list, what a list covers, and the ports by which a run gets its way out.
// Resolves no name and opens no connection.
import { z } from 'zod'
import { fault, type Fault } from './fault.ts'

/** A host in its one spelling: lower case, punycode, no dot at the end; addresses as the URL standard writes them, without brackets. */
export type Host = { name: string; kind: 'name' | 'ipv4' | 'ipv6' }

/** One entry of a list. `under`: what lies below `name`, not itself; below '' lies every name. `port` null = 80 and 443. */
export type HostRule = { name: string; kind: Host['kind']; under: boolean; port: number | null }

const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** The ports of a rule that names none. */
export const webPorts: readonly number[] = [80, 443]

/**
 * The host that a text means, or null. What different programs read in different ways (NUL, spaces, a user part, escapes) means none; 0x7f.1, 017700000001 and
 * 2130706433 mean 127.0.0.1, and so does an IPv4 address that is written as IPv6 (::ffff:127.0.0.1).
 */
export function hostOf(text: string): Host | null {
  if (text.length > 1024 || !/^(?:\[[0-9a-fA-F:.]+\]|[^\x00-\x20\x7f:@/\\?#%[\]<>^|*]+)$/.test(text) || !URL.canParse(`http://${text}/`)) return null
  const found = new URL(`http://${text}/`).hostname
  if (found.startsWith('[')) return plainIpv6(found.slice(1, -1))
  const name = found.endsWith('.') ? found.slice(0, -1) : found
  if (/^\d+\.\d+\.\d+\.\d+$/.test(name)) return { name, kind: 'ipv4' }
  return name.length <= 253 && name.split('.').every((part) => label.test(part)) ? { name, kind: 'name' } : null
}

function plainIpv6(name: string): Host {
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(name) ?? []
  if (high === undefined || low === undefined) return { name, kind: 'ipv6' }
  const bytes = [high, low].map((part) => Number.parseInt(part, 16)).flatMap((part) => [part >> 8, part & 255])
  return { name: bytes.join('.'), kind: 'ipv4' }
}

/** HOST:PORT as in a CONNECT line or an address; without a port the given one. Null = it names no host. */
export function authorityOf(text: string, port: number | null): { host: Host; port: number } | null {
  const [, name, digits] = /^(\[[^\]]*\]|[^:]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = name === undefined ? null : hostOf(name)
  const found = digits === undefined ? port : Number(digits)
  return host === null || found === null || found < 1 || found > 65_535 ? null : { host, port: found }
}

/** The rule that an entry of a list means: HOST, *.HOST or *, each with an optional :PORT. Null = it is none. */
export function ruleOf(text: string): HostRule | null {
  const [, star, name, digits] = /^(\*(?:\.(?=.))?)?([^:*[\]]*|\[[^\]]*\])(?::(\d{1,5}))?$/.exec(text) ?? []
  const port = digits === undefined ? null : Number(digits)
  if (name === undefined || (port !== null && (port < 1 || port > 65_535))) return null
  if (star === '*') return name === '' ? { name: '', kind: 'name', under: true, port } : null
  const host = hostOf(name)
  if (host === null || (star !== undefined && host.kind !== 'name')) return null
  return { ...host, under: star !== undefined, port }
}

const below = (name: string, rule: HostRule): boolean => rule.name === '' || name.endsWith(`.${rule.name}`)
const portFits = (rule: HostRule, port: number): boolean => (rule.port === null ? webPorts.includes(port) : rule.port === port)

export function matches(rule: HostRule, host: Host, port: number): boolean {
  return namesHost(rule, host) && portFits(rule, port)
}

export function namesHost(rule: HostRule, host: Host): boolean {
  return rule.under ? host.kind === 'name' && below(host.name, rule) : rule.name === host.name
}

/** Whether everything that `inner` lets through is let through by `outer`. */
export function covers(outer: HostRule, inner: HostRule): boolean {
  if (inner.port === null ? outer.port !== null : !portFits(outer, inner.port)) return false
  if (!outer.under) return !inner.under && outer.name === inner.name
  return inner.kind === 'name' && (below(inner.name, outer) || (inner.under && inner.name === outer.name))
}

/** What a job may ask for: a host, or all names below one. */
export const HostPattern = z.string().max(300).refine((text) => (ruleOf(text)?.name ?? '') !== '', 'it is no host: write example.org, *.example.org or 192.0.2.1, each with an optional :PORT')
/** What an owner may allow: the same, or * for every name (but for no address). */
export const OwnerPattern = z.string().max(300).refine((text) => ruleOf(text) !== null, 'it is no host: write example.org, *.example.org, 192.0.2.1 or *, each with an optional :PORT')

/** Whether the owner lets a job have this list; null = yes. */
export function networkProblem(allow: readonly string[], asked: readonly string[]): Fault | null {
  const rules = (list: readonly string[]): HostRule[] => list.map(ruleOf).filter((rule) => rule !== null)
  const owner = rules(allow)
  const outside = asked.find((text) => !rules([text]).some((inner) => owner.some((outer) => covers(outer, inner))))
  return outside === undefined ? null : fault('network_not_allowed', { host: outside, allowed: allow })
}

/** What the tools of one job may reach, and who is told. One for all runs of a job. */
export interface NetworkGrant {
  /** HostPatterns. */
  readonly hosts: readonly string[]
  /** Bytes that the job may still send and receive; whoever moves some takes them off. */
  readonly left: { sentBytes: number; receivedBytes: number }
  /**
   * Puts the row of a connection on disk; the function it gives puts the count of its sent bytes there. Rejects when it cannot: then nothing may leave. `sentBytes` says what it
   * sent until now, for whoever wants to know before its end.
   */
  begin(host: string, sentBytes: () => number): Promise<(sentBytes: number) => Promise<void>>
  /** Tells the person. */
  refused(why: Fault): void
  /** Why nothing may leave for this host now, in the words of `network_refused`; null = it may. Asked for each connection and for each piece that is sent. Absent = it always may. */
  closed?(host: Host): { why: string; remedy: string } | null
}

export type Fetched =
  /** `url`: where the answer came from, after redirects. `cut`: there was more than `maxBytes`. */
  | { ok: true; url: string; status: number; contentType: string; body: Uint8Array; cut: boolean }
  | { ok: false; fault: Fault }

/** The grant of a job, and GET under the same rules. */
export interface JobNetwork extends NetworkGrant {
  /** Redirects are followed, each judged anew. Never throws. */
  fetch(url: string, options: { maxBytes: number; signal: AbortSignal }): Promise<Fetched>
}
