// Owns one large file fetched over several connections: NAME.ranges with its bytes, NAME.ranges.json with which pieces are whole.
// Ends with a complete NAME.part, which download.ts then hashes like any resumed file; only for files whose size and sha256 are known.
import { open, readFile, rename, rm, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fault, FaultError, type TransferEvent } from '@hearth/protocol'
import { z } from 'zod'
import { SourceProblem, type DownloadRequest, type Fetching } from './download.ts'
import { isFull, requireSpace, writeJson } from './durable.ts'
import { Progress } from './progress.ts'
import { cancelledBy } from './verify.ts'

/** What one connection fetches at a time. A file of one piece comes over one connection. */
export const defaultPieceBytes = 64 * 2 ** 20
const noteEveryMs = 1000

/** Bytes `from` to `to` (exclusive), of which the first `done` are on the disk. */
const Piece = z.strictObject({ from: z.int().min(0), to: z.int().positive(), done: z.int().min(0) })
type Piece = z.infer<typeof Piece>
const Note = z.strictObject({ sha256: z.string(), pieces: z.array(Piece).min(1) })

/** The server does not give ranges. */
class NoRanges extends Error {}

/**
 * Fetches `request` over up to `connections` connections and leaves the whole file at `request.part`; returns the bytes fetched. Null when the server gives no
 * ranges: nothing was kept then. What an abort leaves is resumed, from any address. Throws SourceProblem, or FaultError `cancelled` or `no_space`.
 */
export async function* fetchRanges(request: DownloadRequest, connections: number, pieceBytes: number, fetching: Fetching): AsyncGenerator<TransferEvent, number | null> {
  const { expectedBytes: total, expectedSha256: sha256, part } = request
  if (total === null || sha256 === null) return null
  const path = part.replace(/\.part$/, '.ranges')
  const note = `${path}.json`
  const pieces = await readPieces(path, note, total, sha256, pieceBytes)
  const doneBytes = (): number => pieces.reduce((sum, piece) => sum + piece.done, 0)
  const resumed = doneBytes()
  await requireSpace(dirname(part), total - resumed + request.spareBytes, fetching.freeBytes)
  const file = await open(path, resumed > 0 ? 'r+' : 'w', 0o600)
  const stop = new AbortController()
  const signal = AbortSignal.any([fetching.signal, stop.signal])
  const state: { failed: { error: unknown } | null; working: boolean } = { failed: null, working: true }
  let all: Promise<void> = Promise.resolve()
  try {
    await file.truncate(total)
    yield { type: 'source', file: request.file, source: request.source, totalBytes: total, resumedBytes: resumed }
    const waiting = pieces.filter((piece) => piece.done < piece.to - piece.from)
    const worker = async (): Promise<void> => {
      for (let piece = waiting.shift(); piece !== undefined && !signal.aborted; piece = waiting.shift()) await fetchPiece(piece, total, request, file, { ...fetching, signal })
    }
    all = Promise.all(Array.from({ length: Math.min(connections, waiting.length) }, async () => {
      try {
        await worker()
      } catch (error) {
        // The first cause counts; the others end because of it.
        state.failed ??= { error }
        stop.abort()
      }
    })).then(() => { state.working = false })
    const progress = new Progress(request.file, resumed, total)
    let notedMs = performance.now()
    while (state.working) {
      const tick = new AbortController()
      await Promise.race([all, sleep(250, undefined, { signal: tick.signal }).catch(() => undefined)])
      tick.abort()
      yield* progress.due(doneBytes())
      if (performance.now() - notedMs > noteEveryMs) {
        notedMs = performance.now()
        await writeNote(note, sha256, pieces, file)
      }
    }
    if (state.failed !== null) throw state.failed.error
    if (fetching.signal.aborted) throw new FaultError(cancelledBy(fetching.signal))
    await file.sync()
    yield progress.now(doneBytes())
  } catch (error) {
    if (isFull(error) || error instanceof NoRanges) {
      await forget(path)
      if (error instanceof NoRanges) return null
      throw new FaultError(fault('no_space', { where: dirname(part), neededBytes: total + request.spareBytes, freeBytes: await fetching.freeBytes(dirname(part)) }))
    }
    if (fetching.signal.aborted && !(error instanceof FaultError)) throw new FaultError(cancelledBy(fetching.signal))
    throw error
  } finally {
    // Whoever reads this generator may leave it at any yield: nothing may write after that.
    stop.abort()
    await all
    if (await stat(path).then(() => true, () => false)) await writeNote(note, sha256, pieces, file).catch(() => undefined)
    await file.close()
  }
  await rename(path, part)
  await rm(note, { force: true })
  return total - resumed
}

async function forget(path: string): Promise<void> {
  await rm(path, { force: true })
  await rm(`${path}.json`, { force: true })
}

/** The bytes are synced before the note says that they are there. */
async function writeNote(note: string, sha256: string, pieces: readonly Piece[], file: FileHandle): Promise<void> {
  const now = pieces.map((piece) => ({ ...piece }))
  await file.datasync()
  await writeJson(note, { sha256, pieces: now })
}

async function readPieces(path: string, note: string, total: number, sha256: string, pieceBytes: number): Promise<Piece[]> {
  try {
    const found = Note.parse(JSON.parse(await readFile(note, 'utf8')))
    const whole = found.pieces.every((piece, i) => piece.from === (i === 0 ? 0 : found.pieces[i - 1]?.to) && piece.done <= piece.to - piece.from)
    if (found.sha256 === sha256 && whole && found.pieces.at(-1)?.to === total && (await stat(path)).size === total) return found.pieces
  } catch {
    // No note, or one of something else: begin anew.
  }
  await forget(path)
  const pieces: Piece[] = []
  for (let from = 0; from < total; from += pieceBytes) pieces.push({ from, to: Math.min(total, from + pieceBytes), done: 0 })
  return pieces
}

/** Fetches the rest of a piece, with the retries of a cut connection. */
async function fetchPiece(piece: Piece, total: number, request: DownloadRequest, file: FileHandle, fetching: Fetching): Promise<void> {
  let failures = 0
  while (piece.done < piece.to - piece.from) {
    const before = piece.done
    try {
      await fetchOnce(piece, total, request, file, fetching)
    } catch (error) {
      if (error instanceof FaultError || error instanceof SourceProblem || error instanceof NoRanges || isFull(error) || fetching.signal.aborted) throw error
      if (piece.done > before) failures = 0
      const delayMs = fetching.retryDelaysMs[failures++]
      const problem = error instanceof Error ? error.message : String(error)
      if (delayMs === undefined) throw new SourceProblem(`${request.source}: ${problem} (tried ${failures} times)`)
      await sleep(delayMs, undefined, { signal: fetching.signal }).catch(() => undefined)
    }
  }
}

async function fetchOnce(piece: Piece, total: number, request: DownloadRequest, file: FileHandle, fetching: Fetching): Promise<void> {
  const stall = new AbortController()
  const timer = setTimeout(() => { stall.abort() }, fetching.stallMs)
  const from = piece.from + piece.done
  let body: ReadableStream<Uint8Array> | null = null
  try {
    const response = await fetching.door.fetch(request.url, {
      purpose: 'model-download', jobId: null, signal: AbortSignal.any([fetching.signal, stall.signal]),
      headers: { ...request.headers, range: `bytes=${from}-${piece.to - 1}` },
    })
    body = response.body
    const { status } = response
    if (status === 200) throw new NoRanges()
    if (status === 408 || status === 429 || status >= 500) throw new Error(`the server answers HTTP ${status}`)
    if (status !== 206 || body === null) throw new SourceProblem(`${request.source}: the server answers HTTP ${status}`)
    if (response.headers.get('content-range') !== `bytes ${from}-${piece.to - 1}/${total}`) {
      throw new SourceProblem(`${request.source}: the server sends ${response.headers.get('content-range') ?? 'no range'}, and bytes ${from}-${piece.to - 1}/${total} were asked for`)
    }
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      timer.refresh()
      if (piece.done + chunk.length > piece.to - piece.from) throw new SourceProblem(`${request.source}: the server sends more than was asked for`)
      const { bytesWritten } = await file.write(chunk, 0, chunk.length, piece.from + piece.done)
      if (bytesWritten !== chunk.length) throw Object.assign(new Error('a write was cut short'), { code: 'ENOSPC' })
      piece.done += chunk.length
    }
    if (piece.done < piece.to - piece.from) throw new Error(`the connection was cut after ${piece.done} of ${piece.to - piece.from} bytes of a piece`)
  } catch (error) {
    if (stall.signal.aborted && !fetching.signal.aborted) throw new Error(`no byte came for ${fetching.stallMs / 1000} s`, { cause: error })
    throw error
  } finally {
    clearTimeout(timer)
    await body?.cancel().catch(() => undefined)
  }
}
