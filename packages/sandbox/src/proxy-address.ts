// Owns what kind of address an IP address is: one that the whole world reaches, or one of this box, of its network, of nowhere. Resolves nothing.
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { hostOf } from '@hearth/protocol'

const [loopback, home, carrier] = ['a loopback address', 'an address of a private network', 'an address of a carrier\'s own network'] as const
const [own, neighbour] = ['an address of this box', 'an address of the network that this box is in'] as const
/** Of the near ones those where somebody has a server. */
const served: ReadonlySet<string> = new Set([loopback, home, carrier, own, neighbour])
/** Where clouds keep a machine's own data and keys, as far as it is no link-local address. */
const machineData: ReadonlySet<string> = new Set(['fd00:ec2::254', '100.100.100.200'])

/** What IANA's special-purpose registries do not call globally reachable, and the ways to write an IPv4 address as IPv6; the first match names it. */
const ranges: readonly (readonly [says: string, net: string, bits: number])[] = [
  ['the unspecified address', '0.0.0.0', 8], [loopback, '127.0.0.0', 8], ['a link-local address', '169.254.0.0', 16],
  [home, '10.0.0.0', 8], [home, '172.16.0.0', 12], [home, '192.168.0.0', 16],
  [carrier, '100.64.0.0', 10], ['a multicast address', '224.0.0.0', 4], ['a reserved address', '192.0.0.0', 24],
  ['a reserved address', '192.0.2.0', 24], ['a reserved address', '198.18.0.0', 15], ['a reserved address', '198.51.100.0', 24], ['a reserved address', '203.0.113.0', 24],
  ['a reserved address', '192.88.99.0', 24], ['a reserved address', '240.0.0.0', 4],
  [loopback, '::1', 128], ['the unspecified address', '::', 96], ['an IPv4 address in a translated form', '64:ff9b::', 96],
  ['an IPv4 address in a translated form', '64:ff9b:1::', 48], ['an IPv4 address in a translated form', '2002::', 16], ['a reserved address', '100::', 64],
  ['a reserved address', '2001::', 23], ['a reserved address', '2001:db8::', 32], ['a reserved address', '3fff::', 20], ['a reserved address', '5f00::', 16],
  [home, 'fc00::', 7], ['a link-local address', 'fe80::', 10],
  [home, 'fec0::', 10], ['a multicast address', 'ff00::', 8],
  // Of IPv6 only 2000::/3 is given out; what else there is may be a private way to write an IPv4 address (::ffff:0:127.0.0.1).
  ['a reserved address', '::', 3], ['a reserved address', '4000::', 2], ['a reserved address', '8000::', 1],
]

const lists = ranges.map(([says, net, bits]) => {
  const list = new BlockList()
  list.addSubnet(net, bits, isIP(net) === 6 ? 'ipv6' : 'ipv4')
  return { says, list, family: isIP(net) }
})

/**
 * Why this is no address out in the world, as the end of "it is ..."; null = it is one. An IPv4 address written as IPv6 counts as itself.
 * `networks`: this box's addresses with the length of their networks, as 192.0.2.7/24: who lies in these is a neighbour, though the whole world may have the number (IPv6 at home).
 */
export function whyNear(address: string, networks: readonly string[] = ownNetworks()): string | null {
  const host = hostOf(isIP(address) === 6 ? `[${address}]` : address)
  // A zone (fe80::1%eth0) is no address of the world.
  if (host === null || host.kind === 'name') return 'no plain address'
  const kind = host.kind === 'ipv6' ? 'ipv6' : 'ipv4'
  const found = lists.find((one) => one.family === (kind === 'ipv6' ? 6 : 4) && one.list.check(host.name, kind))
  if (found !== undefined) return found.says
  const near = networks.map((text) => text.split('/')).filter(([net = '', bits]) => isIP(net) === (kind === 'ipv6' ? 6 : 4) && Number(bits) > 0)
  if (near.some(([net]) => net === host.name)) return own
  const list = new BlockList()
  for (const [net = '', bits] of near) list.addSubnet(net, Number(bits), kind)
  return list.check(host.name, kind) ? neighbour : null
}

/** Whether a name may honestly lead to a server at this address: out in the world, or near where servers are. Not to link-local addresses and to ways of writing others. */
export function mayServe(address: string): boolean {
  const near = whyNear(address)
  if (near === null) return true
  const name = hostOf(isIP(address) === 6 ? `[${address}]` : address)?.name ?? ''
  // In a network without IPv4 every name is at such an address (RFC 6052); what counts is the one in it.
  const inside = /^64:ff9b::([0-9a-f]{1,4}:[0-9a-f]{1,4})$/.exec(name)?.[1]
  return inside === undefined ? served.has(near) && !machineData.has(name) : mayServe(`::ffff:${inside}`)
}

function ownNetworks(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address, cidr, family }) => cidr ?? `${address}/${family === 'IPv6' ? 128 : 32}`))
}
