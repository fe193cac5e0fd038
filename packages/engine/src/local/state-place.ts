// Owns one place in which saved sequence memories lie, in memory or on disk: its folder, the index of each model, its room, whole files. Decides nothing about what is kept.
import { chmodSync, constants, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { freemem } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { z } from 'zod'

const MiB = 2 ** 20
// What a place keeps free for everyone else: memory and disk that fill up hurt more than a prompt that is evaluated again.
const freeBytes = { memory: 1024 * MiB, disk: 2048 * MiB } as const
const ownerFile = 'owner'
const maxAgeMs = 14 * 86_400_000
const pieceBytes = 4 * MiB

const Entry = z.strictObject({
  /** Hash of the session's key; the key itself may be a client's own text. */
  session: z.string(),
  /** Hash of everything a state depends on besides the model file. */
  settings: z.string(),
  file: z.string().regex(/^[0-9a-f]{24}\.state$/),
  bytes: z.int().min(1),
  crc: z.int().min(0),
  tokens: z.int().min(1),
  /** What evaluating them again would cost. */
  prefillMs: z.number().min(0),
  /** Milliseconds since 1970. */
  usedAt: z.number(),
})
export type StateEntry = z.infer<typeof Entry>
const Index = z.strictObject({ version: z.literal(1), entries: z.array(Entry) })

export type Kind = 'memory' | 'disk'
export type Place = { kind: Kind; root: string; limitBytes: number }

/** A folder of ours that nobody else can enter, or nothing at all: /dev/shm is everybody's. */
export function preparePlace({ root }: Place, log: (line: string) => void): boolean {
  try {
    mkdirSync(root, { recursive: true, mode: 0o700 })
    const found = lstatSync(root)
    if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new Error('it belongs to somebody else')
    chmodSync(root, 0o700)
    return true
  } catch (error) {
    log(`saved states: ${root} cannot be used: ${error instanceof Error ? error.message : String(error)}`)
    return false
  }
}

/** Says whose folder this is, and removes those beside it whose owner is gone: a killed daemon whose home was deleted would hold memory until the next boot. */
export function claimMemory(memoryDir: string, owner: string): void {
  mkdirSync(owner, { recursive: true })
  writeFileSync(join(memoryDir, ownerFile), owner, { mode: 0o600 })
  for (const name of readdirSync(dirname(memoryDir))) {
    const folder = join(dirname(memoryDir), name)
    if (!/^hearth-\d+-[0-9a-f]{16}$/.test(name) || lstatSync(folder, { throwIfNoEntry: false })?.uid !== process.getuid?.()) continue
    try {
      if (!existsSync(readFileSync(join(folder, ownerFile), 'utf8'))) rmSync(folder, { recursive: true, force: true })
    } catch {
      // It is being made or removed by another daemon.
    }
  }
}

/** What the indexes name. Every file that none names, that is not as long as its index says, or that is too old is deleted. */
export function readPlace({ root }: Place, now: number): (StateEntry & { model: string })[] {
  const whole: (StateEntry & { model: string })[] = []
  for (const found of readdirSync(root, { withFileTypes: true })) {
    const model = found.name
    if (!found.isDirectory()) {
      if (model !== ownerFile && (!/^[0-9a-f]+\.json$/.test(model) || !existsSync(join(root, basename(model, '.json'))))) rmSync(join(root, model), { force: true })
      continue
    }
    const known = entriesOf(join(root, `${model}.json`))
    const folder = join(root, model)
    for (const file of readdirSync(folder)) {
      const entry = known.find((one) => one.file === file)
      const stat = lstatSync(join(folder, file), { throwIfNoEntry: false })
      if (entry !== undefined && stat?.isFile() === true && stat.size === entry.bytes && now - entry.usedAt < maxAgeMs) whole.push({ ...entry, model })
      else rmSync(join(folder, file), { force: true, recursive: true })
    }
  }
  return whole
}

function entriesOf(path: string): z.infer<typeof Entry>[] {
  try {
    const parsed = Index.safeParse(JSON.parse(readFileSync(path, 'utf8')))
    return parsed.success ? parsed.data.entries : []
  } catch {
    return []
  }
}

/** Written beside the folder and renamed: a worker cannot reach it, and a crash leaves the old one. */
export function writeIndex({ root }: Place, model: string, entries: readonly StateEntry[], log: (line: string) => void): void {
  const path = join(root, `${model}.json`)
  try {
    writeFileSync(`${path}.new`, JSON.stringify({ version: 1, entries }), { mode: 0o600 })
    renameSync(`${path}.new`, path)
  } catch (error) {
    log(`saved states: ${path} cannot be written: ${error instanceof Error ? error.message : String(error)}`)
  }
}

/** Whether so many bytes can be written and enough is left for everyone else. */
export function hasRoom(place: Place, bytes: number): boolean {
  try {
    const { bavail, bsize } = statfsSync(place.root)
    return bavail * bsize >= bytes + freeBytes[place.kind] && (place.kind === 'disk' || freemem() >= bytes + freeBytes.memory)
  } catch {
    return false
  }
}

/** Length and CRC-32 of a file of ours; a link, or anything but a plain file, is none. */
export async function checksum(path: string): Promise<{ bytes: number; crc: number } | null> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      if (!(await file.stat()).isFile()) return null
      const piece = Buffer.allocUnsafe(pieceBytes)
      let bytes = 0
      let crc = 0
      for (;;) {
        const { bytesRead } = await file.read(piece, 0, pieceBytes, bytes)
        if (bytesRead === 0) return { bytes, crc }
        crc = crc32(piece.subarray(0, bytesRead), crc)
        bytes += bytesRead
      }
    } finally {
      await file.close()
    }
  } catch {
    return null
  }
}
