// Owns reading an endpoint's key from its private file, anew for every call. The key stands in no message.
import { readFile, stat } from 'node:fs/promises'
import { fault, type EndpointConfig, type Fault } from '@hearth/protocol'

/** The key, null when the endpoint has none, or `endpoint_auth` when its file may not be used. */
export async function readKey({ keyFile, id }: EndpointConfig): Promise<string | null | { fault: Fault }> {
  if (keyFile === null) return null
  const bad = (how: string): { fault: Fault } => ({ fault: fault('endpoint_auth', { endpoint: id, how }) })
  try {
    const { mode, size } = await stat(keyFile)
    if ((mode & 0o077) !== 0) return bad(`others may read its key file ${keyFile} (mode ${(mode & 0o777).toString(8)})`)
    if (size > 10_000) return bad(`its key file ${keyFile} holds ${size} bytes`)
    const key = (await readFile(keyFile, 'utf8')).trim()
    return /^[\x21-\x7e]+$/.test(key) ? key : bad(`its key file ${keyFile} does not hold one line of plain characters`)
  } catch (error) {
    return bad(`its key file ${keyFile} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`)
  }
}
