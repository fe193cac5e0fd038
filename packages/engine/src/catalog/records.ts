// Owns what is written down about an installed model: one small JSON beside its files, and the marks by which a changed file is noticed.
import { readdir, readFile, realpath, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { AgentProfile, toolFormats } from '@hearth/protocol'
import { z } from 'zod'
import { writeJson } from './durable.ts'

/** Size, time of change (ns) and inode of a file when it was last known to be good. */
const Marks = z.strictObject({ bytes: z.int().min(0), mtimeNs: z.string(), inode: z.string() })
export type Marks = z.infer<typeof Marks>

const RecordFile = z.strictObject({ name: z.string(), sha256: z.string().nullable(), marks: Marks })

export const InstallRecord = z.strictObject({
  version: z.literal(1),
  id: z.string(),
  installedAt: z.int(),
  /** When every file was read whole and had its sha256; null: never. */
  verifiedAt: z.int().nullable(),
  files: z.array(RecordFile).min(1),
  /** What the last verify found wrong; null when nothing. */
  broken: z.string().nullable(),
  /** What the header said of a file that the catalogue does not know; null for a catalogue model. */
  imported: z.strictObject({
    name: z.string(), license: z.string().nullable(), architecture: z.string(), contextTokens: z.int().nullable(),
    toolFormat: z.enum(toolFormats), profile: AgentProfile, kvBytesPerToken: z.int().nullable(), parameters: z.int().nullable(),
    from: z.string(), by: z.enum(['hard link', 'symbolic link', 'copy', 'download']),
  }).nullable(),
})
export type InstallRecord = z.infer<typeof InstallRecord>

const recordName = 'hearth.json'

/** A record, the problem that hides it, or null when nothing is installed under this id. */
export async function readRecord(modelsDir: string, id: string): Promise<InstallRecord | { problem: string } | null> {
  const path = join(modelsDir, id, recordName)
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch {
    return null
  }
  try {
    const record = InstallRecord.parse(JSON.parse(text))
    if (record.id === id) return record
  } catch {
    // Told below.
  }
  return { problem: `its record ${path} is damaged; run 'hearth models rm ${id}' and install it again` }
}

export async function writeRecord(modelsDir: string, record: InstallRecord): Promise<void> {
  await writeJson(join(modelsDir, record.id, recordName), record)
}

/** Ids that have a folder here. */
export async function recordedIds(modelsDir: string): Promise<string[]> {
  const entries = await readdir(modelsDir, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).map((entry) => entry.name).sort()
}

/** The marks of a file now. Follows links. */
export async function marksOf(path: string): Promise<Marks> {
  const found = await stat(path, { bigint: true })
  return { bytes: Number(found.size), mtimeNs: String(found.mtimeNs), inode: String(found.ino) }
}

/** A record's line of one file, as the file is now. */
export async function recordFile(path: string, sha256: string | null): Promise<InstallRecord['files'][number]> {
  return { name: basename(path), sha256, marks: await marksOf(path) }
}

/** Why an installed model cannot be used; null when it can. Looks at marks only, so it is cheap. */
export async function problemOfInstalled(modelsDir: string, record: InstallRecord): Promise<string | null> {
  if (record.broken !== null) return record.broken
  for (const file of record.files) {
    const path = join(modelsDir, record.id, file.name)
    let now: Marks
    try {
      now = await marksOf(path)
    } catch {
      return `the file is gone; run 'hearth models rm ${record.id}' and install it again`
    }
    if (now.bytes !== file.marks.bytes) return `it has ${now.bytes} bytes, and ${file.marks.bytes} when it was installed; run 'hearth models verify ${record.id}'`
    if (now.mtimeNs !== file.marks.mtimeNs || now.inode !== file.marks.inode) {
      return `the file was changed or replaced since it was verified; run 'hearth models verify ${record.id}'`
    }
  }
  return null
}

/** Where the first file really lies: a link to a file elsewhere is followed, because the engine's sandbox shows no links' targets. */
export async function pathOf(modelsDir: string, record: InstallRecord): Promise<string> {
  const path = join(modelsDir, record.id, record.files[0]?.name ?? '')
  return realpath(path).catch(() => path)
}
