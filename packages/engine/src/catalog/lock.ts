// Owns the promise that one process changes a model at a time: an abstract Unix socket, which the kernel frees when its owner dies, however it dies.
import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { resolve } from 'node:path'
import { fault, FaultError } from '@hearth/protocol/fault'

/** Holds the model (or whatever `id` names in that folder) until the returned function is called. Throws FaultError `conflict` when somebody else has it. */
export async function lockModel(
  modelsDir: string, id: string, problem = `The model '${id}' is being fetched or changed at this moment.`,
): Promise<() => Promise<void>> {
  const name = createHash('sha256').update(`${resolve(modelsDir)}\n${id}`).digest('hex').slice(0, 32)
  const server = createServer((socket) => { socket.destroy() })
  await new Promise<void>((done, refuse) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      refuse(error.code === 'EADDRINUSE'
        ? new FaultError(fault('conflict', { problem }))
        : error)
    })
    server.listen(`\0hearth-model-${name}`, done)
  })
  server.unref()
  return () => new Promise((done) => { server.close(() => { done() }) })
}
