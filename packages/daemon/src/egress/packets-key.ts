// Owns the key that bodies of packets are sealed with: from systemd's credentials where there are any, else a file of our own. Never logs it.
import { createHash, hkdfSync, randomBytes } from 'node:crypto'
import { link, open, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError } from '@hearth/protocol'

const keyBytes = 32
export const credentialName = 'hearth-packet-key'
const fileName = 'packet.key'

/** `id` names it in the rows and tells nothing of it. `hold`: the texts that must never leave. */
export type PacketKey = { id: string; seal: Buffer; placeholders: Buffer; hold: readonly string[] }

/**
 * The key. `credentials`: systemd's folder ($CREDENTIALS_DIRECTORY), null = there is none. Without a credential of that name it is `packet.key` (0600) in
 * the state folder, made when it is not there. Throws FaultError `bad_file` or `cannot_create`.
 */
export async function packetKey(stateDir: string, credentials: string | null): Promise<PacketKey> {
  const given = credentials === null ? null : await read(join(credentials, credentialName), false)
  if (given !== null) return keyOf(given)
  const path = join(stateDir, fileName)
  return keyOf(await read(path, true) ?? await make(path))
}

/** The key, read when it is first needed; a failure is not kept. */
export function keptKey(stateDir: string, credentials: string | null): () => Promise<PacketKey> {
  let kept: Promise<PacketKey> | null = null
  return () => {
    kept ??= packetKey(stateDir, credentials).catch((error: unknown) => {
      kept = null
      throw error
    })
    return kept
  }
}

/** A credential may be any text of 16 bytes or more: what seals is derived from it. */
function keyOf(secret: Buffer): PacketKey {
  const derive = (use: string): Buffer => Buffer.from(hkdfSync('sha256', secret, Buffer.alloc(0), `hearth ${use}`, keyBytes))
  const text = secret.toString('utf8').trim()
  return {
    id: createHash('sha256').update(derive('name')).digest('hex').slice(0, 12), seal: derive('packet bodies'), placeholders: derive('placeholders'),
    hold: [secret.toString('hex'), secret.toString('base64'), ...(/^[\x20-\x7e]+$/.test(text) ? [text] : [])],
  }
}

/** Null = it is not there. `own`: others must not be able to read it; systemd sees to that for its own. */
async function read(path: string, own: boolean): Promise<Buffer | null> {
  const bad = (problem: string): FaultError => new FaultError(fault('bad_file', { path, problem }))
  try {
    const { mode } = await stat(path)
    if (own && (mode & 0o077) !== 0) throw bad(`others may read this key (mode ${(mode & 0o777).toString(8)}); chmod 600 it, or remove it, and with it what was sealed`)
    const bytes = await readFile(path)
    if (bytes.length < 16) throw bad(`a key has 16 bytes at least, and it holds ${bytes.length}`)
    return bytes
  } catch (error) {
    if (error instanceof FaultError) throw error
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
    throw bad((error as Error).message)
  }
}

/** Whole or not at all, and the first of two that make it at once holds: a key that is half on disk after a crash would seal what nobody can open. */
async function make(path: string): Promise<Buffer> {
  const secret = randomBytes(keyBytes)
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  try {
    const file = await open(draft, 'wx', 0o600)
    try {
      await file.writeFile(secret)
      await file.sync()
    } finally {
      await file.close()
    }
    await link(draft, path).catch((error: unknown) => {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    })
    const folder = await open(join(path, '..'), 'r')
    await folder.sync().finally(() => folder.close())
  } catch (error) {
    throw new FaultError(fault('cannot_create', { path, problem: (error as Error).message }))
  } finally {
    await rm(draft, { force: true })
  }
  return await read(path, true) ?? secret
}
