// Owns reading a key from its private file, anew for every call. The key stands in no message.
import { readFile, stat } from 'node:fs/promises'

/** The key, null when there is no file, or why the file may not be used, as the end of a sentence. `plain`: what a key may look like. */
export async function readKey(keyFile: string | null, plain = /^[\x21-\x7e]+$/): Promise<{ key: string | null } | { how: string }> {
  if (keyFile === null) return { key: null }
  try {
    const { mode, size } = await stat(keyFile)
    if ((mode & 0o077) !== 0) return { how: `others may read its key file ${keyFile} (mode ${(mode & 0o777).toString(8)})` }
    if (size > 10_000) return { how: `its key file ${keyFile} holds ${size} bytes` }
    const key = (await readFile(keyFile, 'utf8')).trim()
    return plain.test(key) ? { key } : { how: `its key file ${keyFile} does not hold one line of plain characters` }
  } catch (error) {
    return { how: `its key file ${keyFile} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})` }
  }
}

/** Why the key of this file cannot be used, as the end of a sentence; null = it can, or there is no file. */
export async function keyProblem(keyFile: string | null): Promise<string | null> {
  const read = await readKey(keyFile)
  return 'how' in read ? read.how : null
}
