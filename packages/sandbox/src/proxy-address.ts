// Owns what kind of address an IP address is: one that the whole world reaches, or one of this box, of its network, of nowhere. Resolves nothing.
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { hostOf } from '@hearth/protocol'

/** What IANA's special-purpose registries do not call globally reachable, and the ways to write an IPv4 address as IPv6; the first match names it. */
const ranges: readonly (readonly [says: string, net: string, bits: number])[] = [
  ['the unspecified address', '0.0.0.0', 8], ['a loopback address', '127.0.0.0', 8], ['a link-local address', '169.254.0.0', 16],
  ['an address of a private network', '10.0.0.0', 8], ['an address of a private network', '172.16.0.0', 12], ['an address of a private network', '192.168.0.0', 16],
  ['an address of a carrier\'s own network', '100.64.0.0', 10], ['a multicast address', '224.0.0.0', 4], ['a reserved address', '192.0.0.0', 24],
  ['a reserved address', '192.0.2.0', 24], ['a reserved address', '198.18.0.0', 15], ['a reserved address', '198.51.100.0', 24], ['a reserved address', '203.0.113.0', 24],
  ['a reserved address', '192.88.99.0', 24], ['a reserved address', '240.0.0.0', 4],
  ['a loopback address', '::1', 128], ['the unspecified address', '::', 96], ['an IPv4 address in a translated form', '64:ff9b::', 96],
  ['an IPv4 address in a translated form', '64:ff9b:1::', 48], ['an IPv4 address in a translated form', '2002::', 16], ['a reserved address', '100::', 64],
  ['a reserved address', '2001::', 23], ['a reserved address', '2001:db8::', 32], ['a reserved address', '3fff::', 20], ['a reserved address', '5f00::', 16],
  ['an address of a private network', 'fc00::', 7], ['a link-local address', 'fe80::', 10],
  ['an address of a private network', 'fec0::', 10], ['a multicast address', 'ff00::', 8],
]

const lists = ranges.map(([says, net, bits]) => {
  const list = new BlockList()
  list.addSubnet(net, bits, isIP(net) === 6 ? 'ipv6' : 'ipv4')
  return { says, list, family: isIP(net) }
})

/** Why this is no address out in the world, as the end of "it is ..."; null = it is one. An IPv4 address written as IPv6 counts as itself. */
export function whyNear(address: string, own: readonly string[] = ownAddresses()): string | null {
  const host = hostOf(isIP(address) === 6 ? `[${address}]` : address)
  // A zone (fe80::1%eth0) is no address of the world.
  if (host === null || host.kind === 'name') return 'no plain address'
  const family = host.kind === 'ipv6' ? 6 : 4
  const found = lists.find((one) => one.family === family && one.list.check(host.name, host.kind === 'ipv6' ? 'ipv6' : 'ipv4'))
  return found?.says ?? (own.includes(host.name) ? 'an address of this box' : null)
}

function ownAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
}
