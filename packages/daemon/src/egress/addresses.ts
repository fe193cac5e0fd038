// Owns where an address of the network is: out in the world, near (this box, its network, nowhere at all), or a cloud's own data of the machine. Sends nothing but the look-up.
import { lookup as lookUp } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'

type Address = { address: string; family: number }

// The ranges that IANA's special-purpose registries do not call globally reachable, and the three ways to write an IPv4 address as IPv6.
const near = new BlockList()
for (const [net, bits] of [['0.0.0.0', 8], ['10.0.0.0', 8], ['100.64.0.0', 10], ['127.0.0.0', 8], ['169.254.0.0', 16], ['172.16.0.0', 12], ['192.0.0.0', 24], ['192.0.2.0', 24], ['192.168.0.0', 16], ['198.18.0.0', 15], ['198.51.100.0', 24], ['203.0.113.0', 24], ['224.0.0.0', 4], ['240.0.0.0', 4]] as const) near.addSubnet(net, bits, 'ipv4')
for (const [net, bits] of [['::', 96], ['64:ff9b::', 96], ['64:ff9b:1::', 48], ['100::', 64], ['2001::', 23], ['2001:db8::', 32], ['2002::', 16], ['fc00::', 7], ['fe80::', 10], ['fec0::', 10], ['ff00::', 8]] as const) near.addSubnet(net, bits, 'ipv6')

// A machine's own keys lie there in clouds; no name leads there honestly.
const linkLocal = new BlockList()
linkLocal.addSubnet('169.254.0.0', 16, 'ipv4')
linkLocal.addSubnet('fe80::', 10, 'ipv6')
linkLocal.addAddress('fd00:ec2::254', 'ipv6')

const typeOf = (address: string): 'ipv4' | 'ipv6' => (isIP(address) === 6 ? 'ipv6' : 'ipv4')

/** Whether the address is one that the whole world reaches. `address`: an IP address without brackets. */
export function isFar(address: string): boolean {
  return isIP(address) !== 0 && !near.check(address, typeOf(address))
}

/**
 * The addresses of a URL's host, looked up now. Rejects with a sentence when one of them is near and the host is not in `nearHosts`,
 * or is link-local and not itself what is written there.
 */
export async function addressesOf(hostname: string, nearHosts: readonly string[]): Promise<Address[]> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const literal = isIP(host)
  const found: Address[] = literal === 0 ? await lookUp(host, { all: true }) : [{ address: host, family: literal }]
  const named = nearHosts.includes(hostname)
  const bad = found.find(({ address }) => !isFar(address) && !(named && (literal !== 0 || !linkLocal.check(address, typeOf(address)))))
  if (bad !== undefined) throw new Error(`${hostname} is ${literal === 0 ? `at ${bad.address}, ` : ''}on this box or in its network, and the configuration does not name it as a server there`)
  return found
}
