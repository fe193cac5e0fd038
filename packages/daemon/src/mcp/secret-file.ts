// Owns reading a secret from the private file that the owner named for an MCP server, anew for every use. It stands in no message.
import { readKey } from '@hearth/engine/remote/key-file'

/** One line; a header's value may have blanks in it. Throws Error with a sentence that names the file. */
export async function readSecret(path: string): Promise<string> {
  const found = await readKey(path, /^[\x20-\x7e]+$/)
  if ('how' in found) throw new Error(found.how)
  return found.key ?? ''
}
