// Owns reading a secret from the private file that the owner named, anew for every use. It stands in no message.
import { readFile, stat } from 'node:fs/promises'

/** One line of plain characters. Throws Error with a sentence that names the file. */
export async function readSecret(path: string): Promise<string> {
  const bad = (how: string): never => { throw new Error(`its file ${path} ${how}`) }
  const { mode, size } = await stat(path).catch((error: NodeJS.ErrnoException) => bad(`cannot be read (${error.code ?? 'unknown'})`))
  if ((mode & 0o077) !== 0) return bad('holds a secret and others may read it; run chmod 600 on it')
  if (size > 10_000) return bad(`holds ${size} bytes`)
  const text = (await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => bad(`cannot be read (${error.code ?? 'unknown'})`))).trim()
  return /^[\x20-\x7e]+$/.test(text) ? text : bad('does not hold one line of plain characters')
}
