// Runs SQLite's integrity check on a thread of its own, with a connection of its own: it reads the whole file and must not hold up an answer.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { FaultError, faultFrom, type Fault } from '@hearth/protocol/fault'
import { integrity } from './db.ts'

type Answer = { lines: string[] } | { fault: Fault }

/** The lines of integrity_check; ['ok'] when nothing is wrong. Rejects with FaultError `database` when the file cannot be opened. */
export async function checkIntegrity(path: string): Promise<string[]> {
  const worker = new Worker(new URL(import.meta.url), { workerData: { path }, name: 'integrity', execArgv: ['--disable-warning=ExperimentalWarning'] })
  const answer = await new Promise<Answer>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  if ('fault' in answer) throw new FaultError(answer.fault)
  return answer.lines
}

function answerOf(path: string): Answer {
  try {
    return { lines: integrity(path) }
  } catch (error) {
    return { fault: faultFrom(error) }
  }
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(answerOf((workerData as { path: string }).path))
