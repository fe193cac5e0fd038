// Owns why a connection failed, as the end of a sentence.
import { shown } from '../foreign.ts'

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nobody listens there', ENOTFOUND: 'its name is not known', EAI_AGAIN: 'its name is not known', EHOSTUNREACH: 'it cannot be reached', ENETUNREACH: 'it cannot be reached',
  ECONNRESET: 'it closed the connection', ETIMEDOUT: 'it does not answer',
}

// What TLS says, and what a person can do about it.
const ownAuthority = "Where a machine of your own house looks into connections, add its certificate authority to those of this system, then 'hearth down' and 'hearth up'. Else somebody stands between: do not go on."
const certificates: Readonly<Record<string, readonly [how: string, remedy: string]>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: ['nobody whom this machine trusts vouches for its certificate', ownAuthority], SELF_SIGNED_CERT_IN_CHAIN: ['nobody whom this machine trusts vouches for its certificate', ownAuthority],
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: ['nobody whom this machine trusts vouches for its certificate', ownAuthority], UNABLE_TO_GET_ISSUER_CERT_LOCALLY: ['nobody whom this machine trusts vouches for its certificate', ownAuthority],
  ERR_TLS_CERT_ALTNAME_INVALID: ['its certificate is for another name', 'Check the url of its entry.'],
  CERT_HAS_EXPIRED: ['its certificate is over', 'Look at the clock of this machine; else ask again later.'], CERT_NOT_YET_VALID: ['its certificate does not hold yet', 'Look at the clock of this machine.'],
  EPROTO: ['it does not speak TLS there', 'Check the url of its entry: https, and the port.'],
}
const unreached = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH', 'ETIMEDOUT'])

/** The same with what can be done about it; a remedy is absent where only time helps. */
export function networkFault(error: unknown, host: string): { how: string; remedy?: string } {
  const code = networkCode(error) ?? ''
  const [how, remedy] = certificates[code] ?? []
  if (how !== undefined && remedy !== undefined) return { how: `${how} (${host})`, remedy }
  return { how: networkProblem(error), ...(unreached.has(code) ? { remedy: `Check the url of its entry (${host}), and that this machine reaches the network by itself: a proxy of the environment (HTTPS_PROXY) is not used.` } : {}) }
}

export function networkProblem(error: unknown): string {
  return words[networkCode(error) ?? ''] ?? shown(error instanceof Error ? error.message : String(error))
}

export function networkCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
