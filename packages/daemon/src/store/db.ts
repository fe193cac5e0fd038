// Owns the SQLite driver: opening with the right pragmas, the version gate, integrity and the kernel lock. The only file that names node:sqlite.
import { DatabaseSync } from 'node:sqlite'
import { fault, FaultError, type Fault } from '@hearth/protocol/fault'
import { diskFull } from './reserve-file.ts'

export type Db = DatabaseSync

/** Runs one query: its rows. */
export type Query = (sql: string, ...values: (string | number | null)[]) => Record<string, unknown>[]

/** Queries of one connection; each is prepared once. */
export function queryOn(db: Db): Query {
  const prepared = new Map<string, ReturnType<Db['prepare']>>()
  return (sql, ...values) => {
    const statement = prepared.get(sql) ?? db.prepare(sql)
    prepared.set(sql, statement)
    return statement.all(...values)
  }
}

/** Older WAL code can lose commits when two connections write and checkpoint at once; fixed in 3.51.3. */
const oldestSqlite = [3, 51, 3] as const

/** The fault when the linked SQLite is too old, else null. `version` is `process.versions.sqlite`. */
export function versionFault(version: string, path: string): Fault | null {
  const found = version.split('.').map(Number)
  for (const [index, least] of oldestSqlite.entries()) {
    const part = found[index] ?? 0
    if (part > least) return null
    if (part < least) return fault('database', { path, problem: `SQLite is ${version}, and before ${oldestSqlite.join('.')} it can lose commits; start it with the Node of the lockfile` })
  }
  return null
}

/**
 * Opens the database. Throws FaultError `database` when it cannot.
 * `write` creates it when absent; a read connection needs the file to exist.
 */
export function openDb(path: string, mode: 'write' | 'read'): Db {
  const old = versionFault(process.versions['sqlite'] ?? '0', path)
  if (old !== null) throw new FaultError(old)
  return guard(path, () => {
    const db = new DatabaseSync(path, { readOnly: mode === 'read', enableForeignKeyConstraints: true, timeout: 5000 })
    db.exec('PRAGMA trusted_schema=OFF; PRAGMA cell_size_check=ON; PRAGMA mmap_size=0; PRAGMA cache_size=-2000;')
    // What is removed is overwritten: the key of a body that was too old is still there.
    if (mode === 'write') db.exec('PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA journal_size_limit=67108864; PRAGMA secure_delete=ON;')
    return db
  })
}

/** The lines of SQLite's own check; ['ok'] when nothing is wrong. Reads the whole file: never on a thread that has to answer. */
export function integrity(path: string): string[] {
  const db = openDb(path, 'read')
  try {
    return guard(path, () => checkLines(db))
  } finally {
    db.close()
  }
}

function checkLines(db: Db): string[] {
  return db.prepare('PRAGMA integrity_check(20)').all().map((row) => String(Object.values(row)[0]))
}

/** Runs `work`; what the driver throws becomes FaultError `database` with the driver's words. */
export function guard<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof FaultError) throw error
    throw new FaultError(databaseFault(path, error))
  }
}

export function databaseFault(path: string, error: unknown): Fault {
  return isFull(error) ? diskFull(path) : fault('database', { path, problem: error instanceof Error ? error.message : String(error) })
}

/** The index of the log could not grow. SQLite says it before it writes anything, and calls it an I/O error. */
const noRoomForIndex = 10 | (19 << 8)

/** True when the disk was full. The transaction is rolled back whole: it may be tried again. */
export function isFull(error: unknown): boolean {
  return primary(error) === 13 || codeOf(error) === noRoomForIndex
}

/** True when the file system failed under SQLite (extended codes of SQLITE_IOERR): what was written is unknown, so nothing may be retried. */
export function isIoError(error: unknown): boolean {
  return primary(error) === 10 && !isFull(error)
}

export function isBusy(error: unknown): boolean {
  return primary(error) === 5
}

function codeOf(error: unknown): number | null {
  const code = (error as { errcode?: unknown }).errcode
  return typeof code === 'number' ? code : null
}

function primary(error: unknown): number | null {
  const code = codeOf(error)
  return code === null ? null : code & 0xff
}

/**
 * Takes an exclusive lock on the file and holds it until `release` or the end of the process; null when another process holds it.
 * It is SQLite's own lock (fcntl): the kernel drops it with the process, however that ends, a child never inherits it, and a reused pid means nothing.
 */
export function holdLock(path: string): { release(): void } | null {
  const db = guard(path, () => new DatabaseSync(path, { timeout: 0 }))
  try {
    db.exec('PRAGMA journal_mode=OFF; BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    if (isBusy(error)) return null
    throw new FaultError(databaseFault(path, error))
  }
  return { release: () => db.close() }
}
