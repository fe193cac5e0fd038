// The thread with the one writing connection. Takes all batches that wait, writes them in one transaction, then answers each (group commit).
// Reads only what decides a reservation, in the transaction that writes it; never retries, and acknowledges nothing that is not on disk.
import { parentPort, receiveMessageOnPort, workerData, type MessagePort } from 'node:worker_threads'
import { FaultError } from '@hearth/protocol/fault'
import { databaseFault, isIoError, openDb, queryOn, type Db } from './db.ts'
import { migrate } from './migrations.ts'
import { chargeOpen, reserveIn, type Reserved } from './money-rows.ts'
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
    db = openDb(path, 'write')
    migrate(db, path)
    chargeOpen(db, Date.now())
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

  const commitGroup = (group: readonly Batch[]): void => {
    const done: number[] = []
    const reserved: [number, Reserved][] = []
    const fail = (id: number, error: unknown): void => {
      if (isIoError(error)) broken = messageOf(error)
      send({ type: 'failed', id, problem: messageOf(error), broken: broken !== null })
    }
    try {
      db.exec('BEGIN IMMEDIATE')
    } catch (error) {
      for (const batch of group) fail(batch.id, error)
      return
    }
    for (const [index, batch] of group.entries()) {
      try {
        const answer = runBatch(batch)
        if (answer === null) done.push(batch.id)
        else reserved.push([batch.id, answer])
      } catch (error) {
        fail(batch.id, error)
        if (!db.isTransaction) {
          // A full disk or an I/O error rolls the whole transaction back, with the batches before this one; the rest was not begun.
          for (const id of [...done, ...reserved.map(([asked]) => asked)]) fail(id, error)
          for (const later of group.slice(index + 1)) fail(later.id, error)
          return
        }
        db.exec('ROLLBACK TO batch; RELEASE batch')
      }
    }
    try {
      db.exec('COMMIT')
      commits += 1
      batches += done.length + reserved.length
      send({ type: 'done', ids: done, reserved })
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK')
      for (const id of [...done, ...reserved.map(([asked]) => asked)]) fail(id, error)
    }
  }

  const handle = (first: WriterIn): void => {
    const group: Batch[] = []
    let next: WriterIn | null = first
    while (next !== null) {
      if (next.type === 'write' || next.type === 'reserve') {
        if (broken === null) group.push(next)
        else send({ type: 'failed', id: next.id, problem: broken, broken: true })
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

if (parentPort !== null) run(parentPort, (workerData as { path: string }).path)
