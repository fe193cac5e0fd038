// The thread with the one writing connection. Takes all batches that wait, writes them in one transaction, then answers each (group commit).
// Reads only what decides a reservation, in the transaction that writes it; acknowledges nothing that is not on disk. Writes again only what a full disk refused whole,
// when there was a reserve to give up.
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import { FaultError } from '@hearth/protocol/fault'
import { databaseFault, isFull, isIoError, openDb, queryOn, type Db } from './db.ts'
import { migrate } from './migrations.ts'
import { chargeOpen, reserveIn, type Reserved } from './money-rows.ts'
import { closeCut } from './packet-rows.ts'
import { spendReserve } from './reserve-file.ts'
import { statements, type StatementName, type Value } from './statements.ts'
import type { WriterIn, WriterOut } from './wire.ts'

type Batch = Extract<WriterIn, { type: 'write' | 'reserve' }>

// More than this in one transaction would make the first of them wait for the last.
const groupLimit = 512

function run(port: MessagePort, path: string): void {
  let commits = 0
  let batches = 0
  let broken: string | null = null
  const send = (message: WriterOut): void => port.postMessage(message)

  let db: Db
  try {
    db = opened(path)
  } catch (error) {
    send({ type: 'refused', fault: error instanceof FaultError ? error.fault : databaseFault(path, error) })
    port.close()
    return
  }
  const prepared = new Map(Object.entries(statements).map(([name, sql]) => [name as StatementName, db.prepare(sql)]))

  const query = queryOn(db)
  const insertReservation = (values: readonly Value[]): number => Number(prepared.get('insertReservation')?.run(...values).lastInsertRowid)

  const runBatch = (batch: Batch): Reserved | null => {
    db.exec('SAVEPOINT batch')
    let answer: Reserved | null = null
    if (batch.type === 'reserve') answer = reserveIn(query, insertReservation, batch.ask)
    else for (const [name, values] of batch.writes) prepared.get(name)?.run(...values)
    db.exec('RELEASE batch')
    return answer
  }

  /** Null = the disk is full and nothing of the group is written; else what became of each. */
  const attempt = (group: readonly Batch[], last: boolean): WriterOut[] | null => {
    const done: number[] = []
    const reserved: [number, Reserved][] = []
    const failures: WriterOut[] = []
    const fail = (ids: readonly number[], error: unknown): void => {
      if (isIoError(error)) broken = messageOf(error)
      for (const id of ids) failures.push({ type: 'failed', id, problem: messageOf(error), broken: broken !== null, full: isFull(error) })
    }
    /** A full disk or an I/O error takes the whole transaction back. */
    const allFailed = (error: unknown): WriterOut[] | null => {
      if (db.isTransaction) db.exec('ROLLBACK')
      if (isFull(error) && !last) return null
      const told = new Set(failures.map((one) => (one.type === 'failed' ? one.id : 0)))
      fail(group.map(({ id }) => id).filter((id) => !told.has(id)), error)
      return failures
    }
    try {
      db.exec('BEGIN IMMEDIATE')
    } catch (error) {
      return allFailed(error)
    }
    for (const batch of group) {
      try {
        const answer = runBatch(batch)
        if (answer === null) done.push(batch.id)
        else reserved.push([batch.id, answer])
      } catch (error) {
        if (!db.isTransaction || isFull(error)) return allFailed(error)
        fail([batch.id], error)
        db.exec('ROLLBACK TO batch; RELEASE batch')
      }
    }
    try {
      db.exec('COMMIT')
    } catch (error) {
      return allFailed(error)
    }
    commits += 1
    batches += done.length + reserved.length
    return [{ type: 'done', ids: done, reserved }, ...failures]
  }

  const commitGroup = (group: readonly Batch[]): void => {
    let results = attempt(group, false)
    if (results === null) {
      if (spendReserve(path)) send({ type: 'full' })
      results = attempt(group, true) ?? []
    }
    for (const result of results) send(result)
  }

  const handle = (first: WriterIn): void => {
    const group: Batch[] = []
    let next: WriterIn | null = first
    while (next !== null) {
      if (next.type === 'write' || next.type === 'reserve') {
        if (broken === null) group.push(next)
        else send({ type: 'failed', id: next.id, problem: broken, broken: true, full: false })
        if (group.length >= groupLimit) break
      } else {
        if (group.length > 0) commitGroup(group.splice(0))
        if (next.type === 'stats') send({ type: 'stats', id: next.id, commits, batches })
        else return close()
      }
      next = (receiveMessageOnPort(port)?.message as WriterIn | undefined) ?? null
    }
    if (group.length > 0) commitGroup(group)
  }

  const close = (): void => {
    try {
      if (broken === null) db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      db.close()
    } catch {
      // Everything acknowledged is in the WAL; the next start reads it from there.
    }
    send({ type: 'closed' })
    port.close()
  }

  port.on('message', handle)
  send({ type: 'ready' })
}

/** The database, up to date. What a full disk refuses is begun again without the reserve. */
function opened(path: string, again = true): Db {
  let db: Db | null = null
  try {
    db = openDb(path, 'write')
    migrate(db, path)
    chargeOpen(db, Date.now())
    closeCut(db)
    return db
  } catch (error) {
    db?.close()
    const full = error instanceof FaultError ? error.fault.code === 'disk_full' : isFull(error)
    if (full && again && spendReserve(path)) return opened(path, false)
    throw error
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

if (parentPort !== null) run(parentPort, (workerData as { path: string }).path)
