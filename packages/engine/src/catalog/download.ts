// Owns one download over HTTP(S) through the Door: resume by Range, retries, speed, sha256, disk space. Leaves a complete synced .part or none worth trusting.
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fault, FaultError, type Door, type TransferEvent } from '@hearth/protocol'
import { isFull, requireSpace, syncFile, writeAll } from './durable.ts'
import { forgetNote, forgetPart, notePart, readPart, sameAddress, type PartNote } from './part-file.ts'
import { Progress } from './progress.ts'
import { cancelledBy, hashFile } from './verify.ts'

/** What a transfer needs from its surroundings. */
export type Fetching = {
  door: Door
  signal: AbortSignal
  freeBytes: (dir: string) => Promise<number>
  /** Waits before the second, third ... try; their number is the number of retries. */
  retryDelaysMs: readonly number[]
  /** A connection without a byte for so long counts as cut. */
  stallMs: number
}

export type DownloadRequest = {
  url: string
  /** How events and sentences name the source. */
  source: string
  /** How events name the file. */
  file: string
  part: string
  expectedBytes: number | null
  expectedSha256: string | null
  /** Sent with each request to this address (a token). */
  headers?: Record<string, string>
  /** Bytes that will be needed beside it when it is here. */
  spareBytes: number
}

export type Downloaded = { bytes: number; sha256: string; fetchedBytes: number }

/** This source cannot give the file; the sentence goes into `source_failed`. */
export class SourceProblem extends Error {}
/** Worth another try: the connection was cut, or the server is busy. */
class Passing extends Error {}
/** What lies here does not belong to what the server has. */
class Stale extends Error {}

// Progress of this size means that the network works again, and the retries begin anew.
const progressThatCountsBytes = 2 ** 20
// A server whose answers never fit together must not be asked for ever.
const restartsAtMost = 3

/**
 * Fetches to `part`. Throws SourceProblem when this source cannot give it; FaultError `wrong_hash` (nothing kept), `no_space` (nothing kept)
 * or `cancelled` (the part is kept for resume). A part whose content is pinned by a sha256 is resumed from any address; else only from
 * its own, asked with If-Range. A wrong hash of a resumed file is followed by one fetch from the beginning.
 */
export async function* download(request: DownloadRequest, fetching: Fetching): AsyncGenerator<TransferEvent, Downloaded> {
  let fetchedBytes = 0
  let failures = 0
  let restarts = 0
  for (;;) {
    const before = fetchedBytes
    try {
      const { bytes, sha256, resumed } = yield* attempt(request, fetching, (count) => { fetchedBytes += count })
      if (request.expectedSha256 === null || request.expectedSha256 === sha256) {
        await forgetNote(request.part)
        return { bytes, sha256, fetchedBytes }
      }
      await forgetPart(request.part)
      if (!resumed) throw new FaultError(fault('wrong_hash', { what: request.file, expected: request.expectedSha256, found: sha256 }))
      yield { type: 'note', text: 'The resumed file has a wrong sha256; it is fetched again from the beginning.' }
    } catch (error) {
      if (error instanceof FaultError || error instanceof SourceProblem) throw error
      if (fetching.signal.aborted) throw new FaultError(cancelledBy(fetching.signal))
      if (error instanceof Stale) {
        await forgetPart(request.part)
        if (++restarts > restartsAtMost) throw new SourceProblem(`${request.source}: ${error.message}`)
        yield { type: 'note', text: `${error.message}; it is fetched from the beginning.` }
        continue
      }
      if (!(error instanceof Passing)) throw error
      if (fetchedBytes - before >= progressThatCountsBytes) failures = 0
      const delayMs = fetching.retryDelaysMs[failures++]
      if (delayMs === undefined) throw new SourceProblem(`${request.source}: ${error.message} (tried ${failures} times)`)
      yield { type: 'note', text: `${error.message}; trying again in ${delayMs / 1000} s.` }
      await sleep(delayMs, undefined, { signal: fetching.signal }).catch(() => undefined)
    }
  }
}

type Attempted = { bytes: number; sha256: string; resumed: boolean }

async function* attempt(request: DownloadRequest, fetching: Fetching, count: (bytes: number) => void): AsyncGenerator<TransferEvent, Attempted> {
  const { part, expectedBytes, file } = request
  const { bytes: held, note } = await readPart(part)
  let from = held
  if (expectedBytes !== null && from > expectedBytes) from = 0
  if (request.expectedSha256 === null && (note === null || !sameAddress(note, request.url) || validatorOf(note) === null)) from = 0
  if (from > 0 && from === (expectedBytes ?? note?.totalBytes)) return { ...(yield* hashFile(part, file, fetching.signal)), resumed: true }
  const dir = dirname(part)
  if (expectedBytes !== null) await requireSpace(dir, expectedBytes - from + request.spareBytes, fetching.freeBytes)

  const stall = new AbortController()
  const timer = setTimeout(() => { stall.abort() }, fetching.stallMs)
  const signal = AbortSignal.any([fetching.signal, stall.signal])
  const network = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work
    } catch (error) {
      if (error instanceof FaultError) throw error
      throw stall.signal.aborted ? new Passing(`no byte came for ${fetching.stallMs / 1000} s`) : connectionProblem(error, request.source)
    }
  }
  try {
    const validator = note !== null && sameAddress(note, request.url) ? validatorOf(note) : null
    const response = await network(fetching.door.fetch(request.url, {
      purpose: 'model-download', jobId: null, signal,
      headers: { ...request.headers, ...(from === 0 ? {} : { range: `bytes=${from}-`, ...(validator === null ? {} : { 'if-range': validator }) }) },
    }))
    const body: ReadableStream<Uint8Array> | null = response.body
    try {
      const answer = read(response, from, request, note)
      if (answer.from !== from) {
        yield { type: 'note', text: 'The server does not resume; the file is fetched from the beginning.' }
        from = 0
      }
      const { totalBytes } = answer
      if (totalBytes !== null) await requireSpace(dir, totalBytes - from + request.spareBytes, fetching.freeBytes)
      yield { type: 'source', file, source: request.source, totalBytes, resumedBytes: from }
      if (from === 0) await forgetPart(part)
      await notePart(part, { url: request.url, etag: response.headers.get('etag'), lastModified: response.headers.get('last-modified'), totalBytes })
      const hash = from === 0 ? createHash('sha256') : null
      let done = from
      if (body !== null) {
        const progress = new Progress(file, from, totalBytes)
        const handle = await open(part, from === 0 ? 'w' : 'a', 0o600)
        const reader = body.getReader()
        try {
          for (;;) {
            const { done: ended, value } = await network(reader.read())
            if (ended) break
            timer.refresh()
            done += value.length
            if (totalBytes !== null && done > totalBytes) throw new Stale(`The server sends more than the ${totalBytes} bytes it announced`)
            await writeAll(handle, value)
            count(value.length)
            hash?.update(value)
            yield* progress.due(done)
          }
        } finally {
          await handle.close()
        }
        yield progress.now(done)
      }
      if (totalBytes !== null && done < totalBytes) throw new Passing(`the connection was cut after ${done} of ${totalBytes} bytes`)
      await syncFile(part)
      return hash === null ? { ...(yield* hashFile(part, file, fetching.signal)), resumed: true } : { bytes: done, sha256: hash.digest('hex'), resumed: false }
    } finally {
      await body?.cancel().catch(() => undefined)
    }
  } catch (error) {
    if (!isFull(error)) throw error
    await forgetPart(part)
    throw new FaultError(fault('no_space', { where: dir, neededBytes: (expectedBytes ?? note?.totalBytes ?? 0) + request.spareBytes, freeBytes: await fetching.freeBytes(dir) }))
  } finally {
    clearTimeout(timer)
  }
}

/** What the answer says about itself: where its bytes begin and how long the whole file is. */
function read(response: Response, from: number, request: DownloadRequest, note: PartNote | null): { from: number; totalBytes: number | null } {
  const { status, headers } = response
  if (status === 416) throw new Stale('The server has no such range')
  if (status === 408 || status === 429 || status >= 500) throw new Passing(`the server answers HTTP ${status}`)
  if (status !== 200 && status !== 206) throw new SourceProblem(`${request.source}: the server answers HTTP ${status}`)
  if ((headers.get('content-encoding') ?? 'identity') !== 'identity') throw new SourceProblem(`${request.source}: the server sends it compressed`)
  const wanted = request.expectedBytes
  if (status === 206) {
    const range = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers.get('content-range') ?? '')
    if (range === null || Number(range[1]) !== from) throw new Stale('The server sends another range than was asked for')
    const totalBytes = range[3] === '*' ? note?.totalBytes ?? wanted : Number(range[3])
    if (totalBytes !== (wanted ?? note?.totalBytes ?? totalBytes)) throw new Stale('The file on the server has another size now')
    return { from, totalBytes }
  }
  const length = headers.get('content-length')
  const totalBytes = length === null ? wanted : Number(length)
  if (wanted !== null && totalBytes !== wanted) throw new SourceProblem(`${request.source}: the server offers ${totalBytes ?? 0} bytes, and ${wanted} were expected`)
  return { from: 0, totalBytes }
}

/** What If-Range may carry: a strong ETag, else the date. */
function validatorOf(note: PartNote): string | null {
  return note.etag !== null && !note.etag.startsWith('W/') ? note.etag : note.lastModified
}

/** Certificates and addresses do not mend themselves in seconds; the rest may. */
function connectionProblem(error: unknown, source: string): Error {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? String(cause.code) : ''
  const text = cause instanceof Error ? cause.message : String(cause)
  if (/CERT|SELF_SIGNED|UNABLE_TO|ERR_TLS/.test(code)) return new SourceProblem(`${source}: its certificate is not accepted (${code})`)
  if (code === 'ERR_INVALID_URL' || text.includes('redirects from')) return new SourceProblem(`${source}: ${text}`)
  return new Passing(`the connection failed (${code === '' ? text : code})`)
}
