// Owns the two long works on a model, as streams of events: fetching it and reading it whole. The lock and the last event are catalog.ts's.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type CatalogModel, type ModelFile, type TransferEvent } from '@hearth/protocol'
import { SourceProblem } from './download.ts'
import { makePrivate, publish } from './durable.ts'
import { readGguf } from './gguf.ts'
import { asModelFile, chooseFiles, idFor, listRepository, parseReference, type Asking } from './hub.ts'
import { importedAs, place } from './import.ts'
import { marksOf, readRecord, recordFile, writeRecord, type InstallRecord } from './records.ts'
import { sizeOf, type Shelf } from './shelf.ts'
import { fetchFile } from './sources.ts'
import { cancelledBy, hashFile } from './verify.ts'

/** Brings a model of the catalogue here; returns the bytes that were fetched. Throws FaultError. */
export async function* pullModel(shelf: Shelf, id: string, signal: AbortSignal, trustFirstUse: boolean): AsyncGenerator<TransferEvent, number> {
  const entry = await shelf.entry(id)
  const before = await shelf.installed(id)
  if (entry === null) {
    throw before === null ? await shelf.unknown(id) : new FaultError(fault('conflict', { problem: `The model '${id}' was imported from this box; there is nothing to fetch.` }))
  }
  if (before !== null && before.problem === null) return 0
  const stated = await filesOf(shelf, id, entry, signal)
  for (const file of stated) {
    if (file.sha256 === null && !trustFirstUse) throw unpinned(id, file)
  }
  return yield* fetchAll(shelf, id, stated, signal, null)
}

/** A pull of something that the catalogue does not know by name: what was found on the hub, under the id it will have here. */
export type HubPull = { id: string; from: string; files: ModelFile[] }

/**
 * What a reference to the hub means today. Bytes that are a catalogue model's are that model. Throws FaultError.
 */
export async function resolveReference(shelf: Shelf, text: string, signal: AbortSignal): Promise<HubPull> {
  const reference = parseReference(text)
  const { revision, files } = await asked(text, signal, () => listRepository(reference, asking(shelf, signal)))
  const chosen = chooseFiles(reference.repo, reference.quant, files)
  const wanted = chosen.map((file) => asModelFile(reference.repo, revision, file))
  const pins = wanted.map((file) => file.sha256)
  const { models } = await shelf.catalog()
  const known = models.find((model) => pins.every((pin) => pin !== null) && model.files.map((file) => file.sha256).join() === pins.join())
  const own = idFor(reference.repo, chosen)
  return { id: known?.id ?? (models.some((model) => model.id === own) ? `${own.slice(0, 76)}-hub` : own), from: `hf:${reference.repo}@${revision}`, files: wanted }
}

/** Brings what `resolveReference` found; returns the bytes that were fetched. Throws FaultError. */
export async function* pullReference(shelf: Shelf, pull: HubPull, signal: AbortSignal, trustFirstUse: boolean): AsyncGenerator<TransferEvent, number> {
  const { id, files } = pull
  if (await shelf.entry(id) !== null && (await shelf.entry(id))?.files.map((file) => file.sha256).join() === files.map((file) => file.sha256).join()) {
    return yield* pullModel(shelf, id, signal, trustFirstUse)
  }
  const before = await shelf.installed(id)
  if (before !== null && before.problem === null) {
    const same = before.record?.files.map((file) => file.sha256).join() === files.map((file) => file.sha256).join()
    if (same) return 0
    throw new FaultError(fault('conflict', { problem: `There is a model '${id}' already, with other bytes; remove it with 'hearth models rm ${id}' first.` }))
  }
  for (const file of files) if (file.sha256 === null && !trustFirstUse) throw unpinned(id, file)
  yield { type: 'note', text: `${pull.from}: ${files.length === 1 ? files[0]?.name ?? '' : `${files.length} parts`}, as '${id}'.` }
  return yield* fetchAll(shelf, id, files, signal, pull.from)
}

function unpinned(id: string, file: ModelFile): FaultError {
  return new FaultError(fault('no_sha256', { model: id, file: file.name }))
}

function asking(shelf: Shelf, signal: AbortSignal): Asking {
  const { hub, door, stallMs } = shelf.options
  return { hub, door, signal, stallMs }
}

/** Runs a question to the hub; what it cannot answer becomes the fault of the transfer. */
async function asked<T>(what: string, signal: AbortSignal, question: () => Promise<T>): Promise<T> {
  try {
    return await question()
  } catch (error) {
    if (signal.aborted) throw new FaultError(cancelledBy(signal))
    if (error instanceof SourceProblem) throw new FaultError(fault('source_failed', { what, tried: [error.message] }))
    throw error
  }
}

/** The files of an entry; what it does not say of a file on the hub (sha256, size, commit) is taken from there and holds for this pull. */
async function filesOf(shelf: Shelf, id: string, entry: CatalogModel, signal: AbortSignal): Promise<ModelFile[]> {
  const lists = new Map<string, Awaited<ReturnType<typeof listRepository>>>()
  const out: ModelFile[] = []
  for (const file of entry.files) {
    const [source] = file.sources
    if (file.sha256 !== null || source?.type !== 'hf') {
      out.push(file)
      continue
    }
    const key = `${source.repo}@${source.revision ?? 'main'}`
    const list = lists.get(key) ?? await asked(id, signal, () => listRepository({ repo: source.repo, quant: null, revision: source.revision }, asking(shelf, signal)))
    lists.set(key, list)
    const found = list.files.find((each) => each.path === source.path)
    if (found === undefined) throw new FaultError(fault('source_failed', { what: file.name, tried: [`${source.repo} has no ${source.path} any more`] }))
    out.push({ ...file, bytes: file.bytes ?? found.bytes, sha256: found.sha256, sources: [{ ...source, revision: list.revision }, ...file.sources.slice(1)] })
  }
  return out
}

/** Fetches the files and writes the record last. `from`: where a model that the catalogue does not know came from. */
async function* fetchAll(shelf: Shelf, id: string, wanted: readonly ModelFile[], signal: AbortSignal, from: string | null): AsyncGenerator<TransferEvent, number> {
  const { modelsDir } = shelf.options
  await makePrivate(modelsDir)
  await makePrivate(shelf.work(id))
  const files: InstallRecord['files'] = []
  let fetchedBytes = 0
  for (const file of wanted) {
    fetchedBytes += yield* bring(shelf, id, file, signal)
    const path = join(shelf.folder(id), file.name)
    files.push(await recordFile(path, file.sha256 ?? (yield* hashFile(path, file.name, signal)).sha256))
  }
  const first = join(shelf.folder(id), wanted[0]?.name ?? '')
  const read = from === null ? null : await readGguf(first)
  if (read?.ok === false) throw new FaultError(read.fault)
  const now = Date.now()
  await writeRecord(modelsDir, {
    version: 1, id, installedAt: now, verifiedAt: now, files, broken: null,
    imported: from === null || read === null ? null : importedAs(read.header, from, 'download'),
  })
  await rm(shelf.work(id), { recursive: true, force: true })
  return fetchedBytes
}

/** Puts one file in its place: it lies there already, or another model has it, or it is fetched. Returns the bytes fetched. */
async function* bring(shelf: Shelf, id: string, file: ModelFile, signal: AbortSignal): AsyncGenerator<TransferEvent, number> {
  const path = join(shelf.folder(id), file.name)
  if (file.sha256 !== null) {
    const size = await sizeOf(path)
    if (size !== null && size === (file.bytes ?? size) && (yield* hashFile(path, file.name, signal)).sha256 === file.sha256) return 0
    const twin = await shelf.twin(file.sha256, null)
    if (twin !== null && twin.path !== path) {
      await place(twin.path, path, false, shelf.options.freeBytes)
      yield { type: 'note', text: `The same file is here as '${twin.id}'; it is linked.` }
      return 0
    }
  }
  const got = yield* fetchFile(file, { ...shelf.options, signal, work: shelf.work(id) })
  const read = await readGguf(got.part)
  if (!read.ok) {
    await rm(got.part, { force: true })
    throw new FaultError(read.fault)
  }
  await publish(got.part, path)
  return got.fetchedBytes
}

/** Reads every file of an installed model whole. What it finds wrong is written down, so that the model is not used until it is mended. */
export async function* verifyModel(shelf: Shelf, id: string, signal: AbortSignal): AsyncGenerator<TransferEvent, number> {
  const { modelsDir } = shelf.options
  const entry = await shelf.entry(id)
  const record = await shelf.installed(id) === null ? null : await readRecord(modelsDir, id)
  if (record === null) throw await shelf.absent(id)
  if ('problem' in record) throw new FaultError(fault('bad_file', { path: shelf.folder(id), problem: record.problem }))
  const files: InstallRecord['files'] = []
  for (const file of record.files) {
    const path = join(shelf.folder(id), file.name)
    if (await sizeOf(path) === null) throw new FaultError(fault('bad_file', { path, problem: `the file is gone; run 'hearth models rm ${id}' and install it again` }))
    const expected = entry?.files.find((each) => each.name === file.name)?.sha256 ?? file.sha256
    const marks = await marksOf(path)
    const { sha256 } = yield* hashFile(path, file.name, signal)
    const read = await readGguf(path)
    const again = entry === null ? 'import it again from a good copy' : `run 'hearth models pull ${id}' to fetch it again`
    const problem = expected !== null && sha256 !== expected ? `its sha256 is ${sha256.slice(0, 16)}…, and ${expected.slice(0, 16)}… was expected; ${again}`
      : read.ok ? null : `its header is damaged; ${again}`
    if (problem !== null) {
      await writeRecord(modelsDir, { ...record, broken: problem })
      throw new FaultError(fault('bad_file', { path, problem }))
    }
    files.push({ name: file.name, sha256, marks })
  }
  await writeRecord(modelsDir, { ...record, files, verifiedAt: Date.now(), broken: null })
  return 0
}
