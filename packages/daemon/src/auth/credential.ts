// Owns reading who asks: the one place that takes a credential out of a request, and the check of the address it came to. Pure; knows no key.
import { fault, type Fault } from '@hearth/protocol'

/** `value` is what was sent, valid or not; two that differ, or a scheme that is not Bearer, are the empty value, which no key has. */
export type Credential = { type: 'none' } | { type: 'key'; value: string } | { type: 'refused'; fault: Fault }

type Header = (name: string) => string | null | undefined

const inQuery = /^(x-)?(api[-_]?)?(key|token|secret|authorization)$|^(access|auth|bearer)[-_]?token$/i

/** Reads `Authorization: Bearer` and `x-api-key`. A credential in the query is refused, whether it is one or not: it is already in somebody's log. */
export function credentialOf(header: Header, target: string): Credential {
  const query = target.indexOf('?')
  if (query >= 0) {
    for (const name of new URLSearchParams(target.slice(query + 1)).keys()) {
      if (inQuery.test(name)) return { type: 'refused', fault: fault('key_in_query', { name }) }
    }
  }
  const authorization = header('authorization') ?? null
  const apiKey = header('x-api-key') ?? null
  if (authorization === null && apiKey === null) return { type: 'none' }
  const bearer = authorization === null ? null : /^Bearer +(\S+) *$/i.exec(authorization)?.[1] ?? ''
  const values = [bearer, apiKey].filter((value) => value !== null)
  return { type: 'key', value: values.every((value) => value === values[0]) ? values[0] ?? '' : '' }
}

/**
 * Why a request to the loopback listener is not even routed; null when it may be. A page that rebinds its name to 127.0.0.1 still sends
 * its own Host, and a page of another site its own Origin: both are refused whatever key they hold.
 */
export function strangeAddress(header: Header, port: number): Fault | null {
  const host = (header('host') ?? '').toLowerCase()
  if (!loopbackNames(port).includes(host)) return fault('wrong_host', { host: printable(host) })
  const origin = header('origin') ?? null
  if (origin !== null && origin.toLowerCase() !== `http://${host}`) return fault('wrong_origin', { origin: printable(origin) })
  const site = header('sec-fetch-site') ?? null
  if (site !== null && site !== 'same-origin' && site !== 'none') return fault('wrong_origin', { origin: 'another site' })
  return null
}

function loopbackNames(port: number): string[] {
  return ['127.0.0.1', 'localhost', '[::1]'].flatMap((name) => (port === 80 ? [name, `${name}:80`] : [`${name}:${port}`]))
}

function printable(text: string): string {
  return text.slice(0, 100).replace(/[^\x21-\x7e]/g, '?')
}
