// Owns the two long works on a model, as streams of events: fetching it and reading it whole. The lock and the last event are catalog.ts's.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type ModelFile, type TransferEvent } from '@hearth/protocol'
import { makePrivate, publish } from './durable.ts'
import { readGguf } from './gguf.ts'
import { place } from './import.ts'
import { marksOf, readRecord, recordFile, writeRecord, type InstallRecord } from './records.ts'
import { sizeOf, type Shelf } from './shelf.ts'
import { fetchFile } from './sources.ts'
import { hashFile } from './verify.ts'

/** Brings a model of the catalogue here; returns the bytes that were fetched. Throws FaultError. */
export async function* pullModel(shelf: Shelf, id: string, signal: AbortSignal, trustFirstUse: boolean): AsyncGenerator<TransferEvent, number> {
  const { modelsDir, catalogPath } = shelf.options
  const entry = await shelf.entry(id)
  const before = await shelf.installed(id)
  if (entry === null) {
    throw before === null ? await shelf.unknown(id) : new FaultError(fault('conflict', { problem: `The model '${id}' was imported from this box; there is nothing to fetch.` }))
  }
  if (before !== null && before.problem === null) return 0
  for (const file of entry.files) {
    if (file.sha256 !== null || trustFirstUse) continue
    throw new FaultError(fault('bad_catalog', { path: catalogPath, where: `${id}, ${file.name}, sha256`, problem: 'it is null, so nothing says which bytes are right' }))
  }
  await makePrivate(modelsDir)
  await makePrivate(shelf.work(id))
  const files: InstallRecord['files'] = []
  let fetchedBytes = 0
  for (const file of entry.files) {
    fetchedBytes += yield* bring(shelf, id, file, signal)
    const path = join(shelf.folder(id), file.name)
    files.push(await recordFile(path, file.sha256 ?? (yield* hashFile(path, file.name, signal)).sha256))
  }
  const now = Date.now()
  await writeRecord(modelsDir, { version: 1, id, installedAt: now, verifiedAt: now, files, broken: null, imported: null })
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
  const { door, freeBytes, python, retryDelaysMs, stallMs } = shelf.options
  const got = yield* fetchFile(file, { door, freeBytes, python, retryDelaysMs, stallMs, signal, work: shelf.work(id) })
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
