// Owns bringing a GGUF file of the user into the models folder: header check, linking instead of copying, an id, a profile from its template.
import { constants, copyFile, link, realpath, rename, rm, stat, symlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fault, FaultError, type Catalog, type ImportRequest } from '@hearth/protocol'
import { codeOf, isFull, makePrivate, problemOf, requireSpace, syncFile } from './durable.ts'
import { readGguf, type GgufHeader } from './gguf.ts'
import { profileFor, toolFormatOf } from './profile.ts'
import { recordFile, writeRecord, type InstallRecord } from './records.ts'
import type { Shelf } from './shelf.ts'
import { drain, hashFile } from './verify.ts'

/** A file that passed the header check, with the further parts of a split model. */
type Candidate = { header: GgufHeader; paths: string[]; names: string[]; bytes: number }

// A larger file is not hashed when it is imported (minutes); `verify` pins what it finds later.
const hashUpToBytes = 2 * 2 ** 30

/**
 * Takes a GGUF file of this box into the models; returns its id. Bytes that are here already are not taken twice: without a wished id the model that has
 * them is the answer, with one its file is linked. A file of the catalogue becomes the catalogue's model. `fileName`: what to call a single file whose own name
 * says nothing (a blob). Throws FaultError.
 */
export async function importModel(shelf: Shelf, request: ImportRequest & { fileName?: string }, locked: <T>(id: string, work: () => Promise<T>) => Promise<T>): Promise<string> {
  const catalog = await shelf.catalog()
  const candidate = await inspect(request.path)
  const [path = request.path] = candidate.paths
  const wished = request.id ?? null
  const known = await recognise(candidate, catalog)
  const found = await shelf.twin(known.sha256, path)
  const twin = found?.whole === true && candidate.paths.length === 1 ? found : null
  if (twin !== null && (wished === null || wished === twin.id)) return twin.id
  const taken = new Set([...catalog.models.map((model) => model.id), ...await shelf.ids()])
  const asCatalog = known.id !== null && (wished === null || wished === known.id)
  if (!asCatalog && wished !== null && taken.has(wished)) throw new FaultError(fault('conflict', { problem: `There is a model '${wished}' already, with other bytes.` }))
  const id = asCatalog && known.id !== null ? known.id : wished ?? freeId(candidate.header, request.fileName ?? candidate.names[0] ?? path, taken)
  const folder = shelf.folder(id)
  return await locked(id, async () => {
    await makePrivate(shelf.options.modelsDir)
    const files: InstallRecord['files'] = []
    let by: NonNullable<InstallRecord['imported']>['by'] = 'hard link'
    try {
      for (const [part, from] of candidate.paths.entries()) {
        const to = join(folder, asCatalog ? catalog.models.find((model) => model.id === id)?.files[0]?.name ?? basename(from) : request.fileName ?? candidate.names[part] ?? basename(from))
        if (to !== from) by = await place(twin?.path ?? from, to, (request.copy ?? false) && twin === null, shelf.options.freeBytes)
        files.push(await recordFile(to, known.sha256 ?? (candidate.bytes <= hashUpToBytes ? await sha256Of(to) : null)))
      }
      const now = Date.now()
      await writeRecord(shelf.options.modelsDir, {
        version: 1, id, installedAt: now, verifiedAt: files.every((file) => file.sha256 !== null) ? now : null, files, broken: null,
        imported: asCatalog ? null : importedAs(candidate.header, path, by),
      })
    } catch (error) {
      if (dirname(path) !== folder) await rm(folder, { recursive: true, force: true })
      throw error
    }
    return id
  })
}

/** Checks the file and finds its parts. Throws FaultError `bad_file` or `bad_gguf`. */
async function inspect(given: string): Promise<Candidate> {
  let path: string
  try {
    path = await realpath(given)
  } catch (error) {
    throw new FaultError(fault('bad_file', { path: given, problem: problemOf(error) }))
  }
  const read = await readGguf(path)
  if (!read.ok) throw new FaultError(read.fault)
  // A hub cache keeps its bytes in blobs named by their hash: the link's own name and place say what they are.
  const named = /\.gguf$/i.test(path) || !/\.gguf$/i.test(given) ? path : given
  const parts = [named, ...await laterParts(named, read.header)]
  const paths = await Promise.all(parts.map((part) => realpath(part)))
  let bytes = 0
  for (const each of paths) bytes += (await stat(each)).size
  return { header: read.header, paths, names: parts.map((part) => basename(part)), bytes }
}

/** llama.cpp names the parts of a split model NAME-00001-of-00003.gguf and finds them by those names. */
async function laterParts(path: string, header: GgufHeader): Promise<string[]> {
  if (header.splitCount <= 1) return []
  const found = /^(.*-)(\d{5})-of-(\d{5})\.gguf$/.exec(basename(path))
  if (found === null || Number(found[3]) !== header.splitCount) {
    throw new FaultError(fault('bad_gguf', { path, problem: `it is split into ${header.splitCount} files, and its name is not like NAME-00001-of-${String(header.splitCount).padStart(5, '0')}.gguf` }))
  }
  if (found[2] !== '00001') throw new FaultError(fault('bad_file', { path, problem: 'it is a later part of a split model; name the first one' }))
  const others: string[] = []
  for (let n = 2; n <= header.splitCount; n++) {
    const part = join(dirname(path), `${found[1] ?? ''}${String(n).padStart(5, '0')}-of-${found[3] ?? ''}.gguf`)
    const read = await readGguf(part)
    if (!read.ok) throw new FaultError(read.fault)
    others.push(part)
  }
  return others
}

/** The catalogue's id for these bytes, when they are one of its files; with the sha256 when it had to be read for that. */
async function recognise(candidate: Candidate, catalog: Catalog): Promise<{ id: string | null; sha256: string | null }> {
  if (candidate.paths.length !== 1) return { id: null, sha256: null }
  const alike = catalog.models.filter(({ files }) => files.length === 1 && files[0]?.bytes === candidate.bytes && files[0].sha256 !== null)
  if (alike.length === 0 && candidate.bytes > hashUpToBytes) return { id: null, sha256: null }
  const sha256 = await sha256Of(candidate.paths[0] ?? '')
  return { id: alike.find((model) => model.files[0]?.sha256 === sha256)?.id ?? null, sha256 }
}

async function sha256Of(path: string): Promise<string> {
  return (await drain(hashFile(path, basename(path), new AbortController().signal))).sha256
}

/** An id from the model's or the file's name, not one of those taken. */
function freeId(header: GgufHeader, path: string, taken: ReadonlySet<string>): string {
  const slug = (text: string): string => text.toLowerCase().replace(/[^a-z0-9._]+/g, '-').replace(/^[^a-z0-9]+|[^a-z0-9]+$/g, '').slice(0, 70)
  const base = slug(basename(path).replace(/\.gguf$/i, '').replace(/-00001-of-\d{5}$/, '')) || slug(header.name ?? '') || 'model'
  for (let n = 1; ; n++) {
    const id = n === 1 ? base : `${base}-${n}`
    if (!taken.has(id)) return id
  }
}

/** Puts `from` under `to`: a copy when asked for, else a hard link, else (another disk, another owner) a symbolic one. */
export async function place(from: string, to: string, copy: boolean, freeBytes: (dir: string) => Promise<number>): Promise<'hard link' | 'symbolic link' | 'copy'> {
  const dir = dirname(to)
  await makePrivate(dir)
  await rm(to, { force: true })
  if (copy) {
    const part = `${to}.part`
    const { size } = await stat(from)
    await requireSpace(dir, size, freeBytes)
    try {
      await copyFile(from, part, constants.COPYFILE_FICLONE)
      await syncFile(part)
      await rename(part, to)
    } catch (error) {
      await rm(part, { force: true })
      if (isFull(error)) throw new FaultError(fault('no_space', { where: dir, neededBytes: size, freeBytes: await freeBytes(dir) }))
      throw new FaultError(fault('cannot_create', { path: to, problem: problemOf(error) }))
    }
    await syncFile(dir)
    return 'copy'
  }
  try {
    try {
      await link(from, to)
      return 'hard link'
    } catch (error) {
      if (!['EXDEV', 'EPERM', 'EACCES', 'EMLINK', 'ENOTSUP'].includes(codeOf(error) ?? '')) throw error
      await symlink(from, to)
      return 'symbolic link'
    }
  } catch (error) {
    throw new FaultError(fault('cannot_create', { path: to, problem: problemOf(error) }))
  } finally {
    await syncFile(dir)
  }
}

/** What is written down about a file that the catalogue does not know. */
export function importedAs(header: GgufHeader, path: string, by: NonNullable<InstallRecord['imported']>['by']): NonNullable<InstallRecord['imported']> {
  const toolFormat = toolFormatOf(header.chatTemplate)
  return {
    name: header.name ?? basename(path), license: header.license, architecture: header.architecture, contextTokens: header.contextTokens,
    toolFormat, profile: profileFor(toolFormat), kvBytesPerToken: header.kvBytesPerToken, parameters: header.parameters, from: path, by,
  }
}

