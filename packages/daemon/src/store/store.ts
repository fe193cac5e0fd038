// Owns the main thread's side of the database: writes are sent to the writing thread and resolve when they are on disk; reads are direct.
// Never runs SQL that writes, never invents a number.
import { setFlagsFromString } from 'node:v8'
import { Worker } from 'node:worker_threads'
import type { ApiKey, EgressEntry, JobEvent, LedgerEntry, PacketEntry, ProjectEntry } from '@hearth/protocol'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Cost } from '../meter/amounts.ts'
import type { Ask } from '../meter/ask.ts'
import { keyWrite } from './key-rows.ts'
import { packetWrites, type SealedBody } from './packet-rows.ts'
import { projectWrite } from './project-rows.ts'
import { settlementWrites, type Reserved, type Settled } from './money-rows.ts'
import { Reads } from './reads.ts'
import { diskFull } from './reserve-file.ts'
import { egressWrite, eventWrites, jobWrite, ledgerWrite, type NewJob } from './rows.ts'
import type { Write } from './statements.ts'
import type { WriterIn, WriterOut } from './wire.ts'

type Waiting = { resolve(answer?: Reserved): void; reject(error: FaultError): void }

export class Store {
  readonly path: string
  readonly read: Reads
  /** Called once when the file system failed under the database: nothing can be stored any more. */
  onBroken: ((problem: string) => void) | null = null
  /** Called whenever the disk was found full: the reserve was given up, or something could not be written, which rejects with FaultError `disk_full`. */
  onFull: (() => void) | null = null

  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #stats = new Map<number, (stats: { commits: number; batches: number }) => void>()
  readonly #exited: Promise<void>
  #nextId = 1
  #closed = false

  /** Starts the writing thread, which migrates the schema. Rejects with FaultError `database`. */
  static async open(path: string): Promise<Store> {
    // V8's flags hold for every isolate of the process and go before a thread's own limits: with the daemon's young generation this thread grew by 10 MiB that it
    // never needed. The main isolate has read them already.
    for (const flag of ['--min-semi-space-size=0', '--max-semi-space-size=0']) setFlagsFromString(flag)
    const worker = new Worker(new URL('./writer.ts', import.meta.url), {
      workerData: { path }, name: 'store', execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 4 },
    })
    await new Promise<void>((resolve, reject) => {
      worker.once('message', (message: WriterOut) => {
        if (message.type === 'refused') reject(new FaultError(message.fault))
        else resolve()
      })
      worker.once('error', reject)
    })
    worker.removeAllListeners('error')
    return new Store(path, worker)
  }

  private constructor(path: string, worker: Worker) {
    this.path = path
    this.#worker = worker
    this.#exited = new Promise((resolve) => worker.once('exit', () => resolve()))
    worker.on('message', (message: WriterOut) => this.#receive(message))
    worker.on('error', (error) => this.#break(error instanceof Error ? error.message : String(error)))
    worker.once('exit', (code) => {
      if (!this.#closed) this.#break(`the writing thread ended with ${code}`)
    })
    this.read = new Reads(path)
  }

  /** The job's row and its first events, together. Resolves when all are on disk. */
  accept(job: NewJob, ...first: readonly JobEvent[]): Promise<void> {
    return this.#write([jobWrite(job), ...first.flatMap(eventWrites)])
  }

  /** Events of one job in order, with what they change in the job's row. All or nothing. */
  append(events: readonly JobEvent[]): Promise<void> {
    return this.#write(events.flatMap(eventWrites))
  }

  /** The wish to cancel, so that a crash before the job's end does not bring it back to life. */
  cancelled(jobId: string, by: string): Promise<void> {
    return this.#write([['setCancelled', [by, jobId]]])
  }

  ledger(entry: Omit<LedgerEntry, 'id'>): Promise<void> {
    return this.#write([ledgerWrite(entry)])
  }

  /** Decides about money and holds it: when this resolves with `ok`, the reservation is on disk, and it counts at its worst price until it is settled. */
  reserve(ask: Ask): Promise<Reserved> {
    return this.#sent((id) => ({ type: 'reserve', id, ask })).then((answer) => {
      if (answer === undefined) throw this.#fault('a reservation got no answer')
      return answer
    })
  }

  /** Settles a reservation and writes the entry of its call, together. Rejects for one that is settled already; then nothing is written. */
  settle(reservation: number, how: Settled, cost: Cost, entry: Omit<LedgerEntry, 'id'>): Promise<void> {
    return this.#write(settlementWrites(reservation, how, cost, entry))
  }

  egress(entry: Omit<EgressEntry, 'id'>): Promise<void> {
    return this.#write([egressWrite(entry)])
  }

  /** The row of a connection whose bytes are counted while it is open; null until `settleEgress` tells them. `connection` names it. */
  openEgress(entry: Omit<EgressEntry, 'id' | 'bytes'>, connection: string): Promise<void> {
    return this.#write([['openEgress', [entry.at, entry.jobId, entry.purpose, entry.host, connection]]])
  }

  settleEgress(connection: string, bytes: number): Promise<void> {
    return this.#write([['settleEgress', [bytes, connection]]])
  }

  /** What an open connection sent until now: all that is known of it when the daemon is killed. */
  noteEgress(connection: string, bytes: number): Promise<void> {
    return this.#write([['noteEgress', [bytes, connection]]])
  }

  /** The row of a body that is about to leave, and the body, sealed. Both or neither. */
  packet(entry: PacketEntry, body: SealedBody): Promise<void> {
    return this.#write(packetWrites(entry, body))
  }

  /** Removes bodies of before this moment (milliseconds since 1970); their rows stay. */
  dropPacketBodies(before: number): Promise<void> {
    return this.#write([['dropPacketBodies', [before]]])
  }

  /** A version of a project's rules; `removed`: it holds no more. */
  project(entry: ProjectEntry, by: string, removed: boolean): Promise<void> {
    return this.#write([projectWrite(entry, by, removed)])
  }

  /** `hash` is the hex SHA-256 of the whole key. */
  addKey(key: ApiKey, hash: string): Promise<void> {
    return this.#write([keyWrite(key, hash)])
  }

  revokeKey(id: string, at: number): Promise<void> {
    return this.#write([['revokeKey', [at, id]]])
  }

  usedKey(id: string, at: number): Promise<void> {
    return this.#write([['useKey', [at, id]]])
  }

  /** How many transactions were committed for how many batches. */
  stats(): Promise<{ commits: number; batches: number }> {
    const id = this.#nextId++
    return new Promise((resolve) => {
      this.#stats.set(id, resolve)
      this.#send({ type: 'stats', id })
    })
  }

  /** Writes what was handed over, checkpoints and ends the thread. */
  async close(): Promise<void> {
    if (this.#closed) return this.#exited
    this.#closed = true
    this.read.close()
    this.#send({ type: 'close' })
    await this.#exited
  }

  async #write(writes: readonly Write[]): Promise<void> {
    await this.#sent((id) => ({ type: 'write', id, writes }))
  }

  #sent(message: (id: number) => WriterIn): Promise<Reserved | undefined> {
    if (this.#closed) return Promise.reject(this.#fault('it is closed'))
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject })
      this.#send(message(id))
    })
  }

  #send(message: WriterIn): void {
    this.#worker.postMessage(message)
  }

  #receive(message: WriterOut): void {
    switch (message.type) {
      case 'done':
        for (const id of message.ids) this.#take(id)?.resolve()
        for (const [id, answer] of message.reserved) this.#take(id)?.resolve(answer)
        return
      case 'failed':
        this.#take(message.id)?.reject(message.full ? new FaultError(diskFull(this.path)) : this.#fault(message.problem))
        if (message.full) this.onFull?.()
        if (message.broken) this.#announce(message.problem)
        return
      case 'full': return this.onFull?.()
      case 'stats':
        this.#stats.get(message.id)?.({ commits: message.commits, batches: message.batches })
        this.#stats.delete(message.id)
        return
      case 'ready': case 'refused': case 'closed': return
      default: message satisfies never
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    this.#waiting.delete(id)
    return waiting
  }

  #break(problem: string): void {
    for (const waiting of this.#waiting.values()) waiting.reject(this.#fault(problem))
    this.#waiting.clear()
    this.#announce(problem)
  }

  #announce(problem: string): void {
    const tell = this.onBroken
    this.onBroken = null
    tell?.(problem)
  }

  #fault(problem: string): FaultError {
    return new FaultError(fault('database', { path: this.path, problem }))
  }
}
