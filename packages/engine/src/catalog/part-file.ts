// Owns an unfinished download on disk: NAME.part with its bytes and NAME.part.json with what the server called them. Knows no network.
import { readFile, rm, stat } from 'node:fs/promises'
import { z } from 'zod'
import { writeJson } from './durable.ts'

/** What the bytes of a part belong to; written before the first of them. */
export const PartNote = z.strictObject({
  url: z.string(),
  etag: z.string().nullable(),
  lastModified: z.string().nullable(),
  totalBytes: z.int().positive().nullable(),
})
export type PartNote = z.infer<typeof PartNote>

const noteOf = (part: string): string => `${part}.json`

export async function readPart(part: string): Promise<{ bytes: number; note: PartNote | null }> {
  const bytes = await stat(part).then((found) => found.size, () => 0)
  if (bytes === 0) return { bytes: 0, note: null }
  try {
    return { bytes, note: PartNote.parse(JSON.parse(await readFile(noteOf(part), 'utf8'))) }
  } catch {
    // A torn or missing note only means that the server is not asked whether its file changed.
    return { bytes, note: null }
  }
}

/** The address is kept without its query: a signature is a secret, and only sameness of the file matters. */
export async function notePart(part: string, note: PartNote): Promise<void> {
  const url = new URL(note.url)
  await writeJson(noteOf(part), { ...note, url: `${url.origin}${url.pathname}` })
}

export function sameAddress(note: PartNote, url: string): boolean {
  const asked = new URL(url)
  return note.url === `${asked.origin}${asked.pathname}`
}

export async function forgetPart(part: string): Promise<void> {
  await rm(part, { force: true })
  await rm(noteOf(part), { force: true })
}

export async function forgetNote(part: string): Promise<void> {
  await rm(noteOf(part), { force: true })
}
