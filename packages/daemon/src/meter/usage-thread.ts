// Reads the ledger on a thread of its own, with a connection of its own: a million rows take seconds, and the daemon must go on answering.
// The thread is made for one question and ends with its answer, so that an idle box pays nothing for it.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import type { UsageReply } from '@hearth/protocol'
import { FaultError, faultFrom, type Fault } from '@hearth/protocol/fault'
import { guard, openDb, queryOn } from '../store/db.ts'
import { Reads } from '../store/reads.ts'
import type { UsageAsk } from '../store/usage-jobs.ts'
import { usageRows, type UsageRows } from '../store/usage-rows.ts'

type Question = { path: string; ask: UsageAsk } | { path: string; reply: { since: number | null; limit: number } }
type Answer = { value: unknown } | { fault: Fault }

/** One after the other: ten who ask at once would read the same rows with ten caches. */
let line: Promise<unknown> = Promise.resolve()

/** What a report is made of. Rejects with FaultError `database` when the file cannot be read. */
export async function readUsage(path: string, ask: UsageAsk): Promise<UsageRows> {
  return await inLine({ path, ask }) as UsageRows
}

/** The sums of the whole ledger by model. Rejects as above. */
export async function readReply(path: string, since: number | null, limit: number): Promise<UsageReply> {
  return await inLine({ path, reply: { since, limit } }) as UsageReply
}

function inLine(question: Question): Promise<unknown> {
  const read = line.then(() => onThread(question))
  line = read.catch(() => undefined)
  return read
}

async function onThread(question: Question): Promise<unknown> {
  const worker = new Worker(new URL(import.meta.url), {
    workerData: question, name: 'usage', execArgv: ['--disable-warning=ExperimentalWarning'], resourceLimits: { maxYoungGenerationSizeMb: 8 },
  })
  const answer = await new Promise<Answer>((resolve, reject) => {
    worker.once('message', resolve)
    worker.once('error', reject)
  })
  if ('fault' in answer) throw new FaultError(answer.fault)
  return answer.value
}

function answerOf(question: Question): Answer {
  const { path } = question
  try {
    return { value: guard(path, () => ('ask' in question ? rowsOf(path, question.ask) : replyOf(path, question.reply))) }
  } catch (error) {
    return { fault: faultFrom(error) }
  }
}

function rowsOf(path: string, ask: UsageAsk): UsageRows {
  const db = openDb(path, 'read')
  try {
    return usageRows(queryOn(db), (sql) => db.exec(sql), ask)
  } finally {
    db.close()
  }
}

function replyOf(path: string, { since, limit }: { since: number | null; limit: number }): UsageReply {
  const reads = new Reads(path)
  try {
    return reads.usage(since, null, limit)
  } finally {
    reads.close()
  }
}

if (!isMainThread && parentPort !== null) parentPort.postMessage(answerOf(workerData as Question))
