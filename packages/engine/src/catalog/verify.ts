// Owns the sha256 of a whole file, with progress. Does not know what it should be.
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { fault, FaultError, type TransferEvent } from '@hearth/protocol'
import { Progress } from './progress.ts'

const chunkBytes = 2 ** 20

/** Reads the file at `path` once; events name it `file`. Throws FaultError `cancelled` when the signal is aborted. */
export async function* hashFile(path: string, file: string, signal: AbortSignal): AsyncGenerator<TransferEvent, { bytes: number; sha256: string }> {
  const handle = await open(path, 'r')
  try {
    const { size } = await handle.stat()
    yield { type: 'verifying', file }
    const progress = new Progress(file, 0, size)
    const hash = createHash('sha256')
    const chunk = Buffer.allocUnsafe(chunkBytes)
    let bytes = 0
    for (;;) {
      if (signal.aborted) throw new FaultError(cancelledBy(signal))
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, bytes)
      if (bytesRead === 0) break
      hash.update(chunk.subarray(0, bytesRead))
      bytes += bytesRead
      yield* progress.due(bytes)
    }
    return { bytes, sha256: hash.digest('hex') }
  } finally {
    await handle.close()
  }
}

/** The fault of an aborted transfer; the signal's reason may be a name. */
export function cancelledBy(signal: AbortSignal): ReturnType<typeof fault<'cancelled'>> {
  return fault('cancelled', { by: typeof signal.reason === 'string' ? signal.reason : 'request' })
}

/** Runs a generator to its end and gives its result alone. */
export async function drain<T>(steps: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const step = await steps.next()
    if (step.done === true) return step.value
  }
}
