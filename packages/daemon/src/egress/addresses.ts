// Owns looking up a host that somebody else may have named, and refusing one of this box or its network that the owner did not name. Sends nothing but the look-up.
import { lookup as lookUp } from 'node:dns/promises'
import { isIP } from 'node:net'
import { mayServe, whyNear } from '@hearth/sandbox/proxy-address'

type Address = { address: string; family: number }

/**
 * The addresses of a URL's host, looked up now. Rejects with a sentence when one of them is near and the host is not in `nearHosts`,
 * or is one where no server is, but in clouds a machine's own data, and not itself what is written there.
 */
export async function addressesOf(hostname: string, nearHosts: readonly string[], resolve: (host: string) => Promise<Address[]> = (host) => lookUp(host, { all: true })): Promise<Address[]> {
  const host = hostname.replace(/^\[|\]$/g, '')
  const literal = isIP(host)
  const found: Address[] = literal === 0 ? await resolve(host) : [{ address: host, family: literal }]
  const named = nearHosts.includes(hostname)
  for (const { address } of found) {
    const near = whyNear(address)
    if (near === null || (named && (literal !== 0 || mayServe(address)))) continue
    throw new Error(`${hostname} is ${literal === 0 ? `at ${address}, ` : ''}${near}, and the configuration names no server there`)
  }
  return found
}
