// Owns which saved sequence memories are kept, and where: what each is worth, what moves from memory to disk, what goes, and the check before anyone reads one.
// Never speaks to a worker and never looks inside a state: a file is its length, its checksum and the key it was saved under.
import { createHash, randomBytes } from 'node:crypto'
import { chmodSync, constants, mkdirSync, rmSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checksum, claimMemory, hasRoom, preparePlace, readPlace, writeIndex, type Kind, type Place, type StateEntry } from './state-place.ts'

// F16 memory of a 70B model has 320 KiB a token; the real figure is known after the first save.
const firstGuessBytesPerToken = 64 * 1024

export type SavedState = StateEntry & { model: string; place: Place }
export type Draft = { place: Place; path: string; file: string }

export type StatesOptions = {
  /** Made if absent, 0700. Null = no such place. */
  memoryDir: string | null
  diskDir: string | null
  memoryBytes: number
  diskBytes: number
  /** The folder that `memoryDir` belongs to: when it is gone, so are its states in memory. Absent = they stay until the next boot. */
  owner?: string
  log: (line: string) => void
  now?: () => number
}

/** Gain by age: milliseconds of prefill it saves, worth half after its first minute unused, a third after the second. */
export function worth(entry: { prefillMs: number; usedAt: number }, now: number): number {
  return entry.prefillMs / (1 + Math.max(0, now - entry.usedAt) / 60_000)
}

export class SavedStates {
  readonly #places: Place[]
  readonly #entries = new Set<SavedState>()
  readonly #log: (line: string) => void
  readonly #now: () => number
  readonly #bytesPerToken = new Map<string, number>()
  /** One change of files at a time; a request that only looks does not wait for it. */
  #work: Promise<void> = Promise.resolve()

  constructor({ memoryDir, diskDir, memoryBytes, diskBytes, owner, log, now = Date.now }: StatesOptions) {
    this.#log = log
    this.#now = now
    const wanted: Place[] = []
    if (memoryDir !== null && memoryBytes > 0) wanted.push({ kind: 'memory', root: memoryDir, limitBytes: memoryBytes })
    if (diskDir !== null && diskBytes > 0) wanted.push({ kind: 'disk', root: diskDir, limitBytes: diskBytes })
    this.#places = wanted.filter((place) => preparePlace(place, log))
    if (memoryDir !== null && owner !== undefined && this.#places.some((place) => place.root === memoryDir)) claimMemory(memoryDir, owner)
    for (const place of this.#places) for (const entry of readPlace(place, now())) this.#entries.add({ ...entry, place })
    for (const place of this.#places) this.#bound(place, 0)
  }

  /** The folders a worker of this model may write to; empty when nothing is saved. */
  folders(model: string): string[] {
    return this.#places.map((place) => {
      const folder = join(place.root, model)
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      return folder
    })
  }

  /** Saved bytes now, by place. */
  get used(): Record<Kind, number> {
    return { memory: this.#used('memory'), disk: this.#used('disk') }
  }

  /** A state of exactly this model, session and settings. */
  find(model: string, session: string, settings: string): SavedState | null {
    const name = sessionName(session)
    return this.#of(model).find((entry) => entry.session === name && entry.settings === settings) ?? null
  }

  /** As measured at the last save; a guess before. */
  bytesPerToken(model: string): number {
    return this.#bytesPerToken.get(model) ?? firstGuessBytesPerToken
  }

  /** States saved with other settings (window, template, library): they would never be read again. */
  forgetOthers(model: string, settings: string): void {
    for (const entry of this.#of(model)) if (entry.settings !== settings) this.drop(entry)
  }

  /** Where to write a state of so many tokens, or null when there is no room for it. */
  draft(model: string, tokens: number): Draft | null {
    const bytes = tokens * this.bytesPerToken(model)
    for (const place of this.#places) {
      if (bytes > place.limitBytes || !hasRoom(place, bytes)) continue
      if (place.kind === 'memory' && this.#used('memory') + bytes > place.limitBytes && this.#places.length > 1) continue
      this.#bound(place, bytes)
      const file = `${randomBytes(12).toString('hex')}.state`
      return { place, file, path: join(place.root, model, file) }
    }
    return null
  }

  /** Takes what a worker wrote. The state counts from here on, or is gone. */
  async keep(model: string, session: string, settings: string, draft: Draft, about: { tokens: number; prefillMs: number }): Promise<void> {
    const seen = await checksum(draft.path)
    if (seen === null || seen.bytes === 0 || seen.bytes > draft.place.limitBytes) return this.discard(draft)
    const { place, file } = draft
    const older = this.find(model, session, settings)
    this.#entries.add({ model, place, session: sessionName(session), settings, file, ...seen, ...about, usedAt: this.#now() })
    this.#bytesPerToken.set(model, seen.bytes / about.tokens)
    if (older !== null) this.#remove(older)
    this.#write(place, model)
    // Room for the next one is made now, when nobody waits for it.
    await this.#exclusively(() => this.#makeRoom(seen.bytes))
  }

  discard(draft: Draft): void {
    rmSync(draft.path, { force: true })
  }

  /** The path of a state whose file is whole; a file that is not is deleted, and null. */
  async checked(entry: SavedState): Promise<string | null> {
    if (!this.#entries.has(entry)) return null
    const path = pathOf(entry)
    const seen = await checksum(path)
    // It may have moved from memory to disk meanwhile.
    if (path !== pathOf(entry)) return await this.checked(entry)
    if (seen !== null && seen.bytes === entry.bytes && seen.crc === entry.crc) {
      entry.usedAt = this.#now()
      return path
    }
    this.#log(`saved state ${entry.file} is ${seen === null ? 'gone' : 'damaged'}: its prompt is evaluated again`)
    this.drop(entry)
    return null
  }

  drop(entry: SavedState): void {
    this.#remove(entry)
    this.#write(entry.place, entry.model)
  }

  /** Puts what lies in memory on disk, the most valuable first, until `deadlineMs`; what does not fit in time stays in memory. */
  async close(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs
    await this.#exclusively(async () => {
      const now = this.#now()
      const inMemory = [...this.#entries].filter((entry) => entry.place.kind === 'memory').toSorted((a, b) => worth(b, now) - worth(a, now))
      for (const entry of inMemory) {
        if (performance.now() >= until) break
        await this.#demote(entry)
      }
    })
    for (const place of this.#places) {
      for (const model of new Set([...this.#entries].filter((entry) => entry.place === place).map((entry) => entry.model))) this.#write(place, model)
      if (place.kind === 'memory' && this.#used('memory') === 0) rmSync(place.root, { recursive: true, force: true })
    }
  }

  #of(model: string): SavedState[] {
    return [...this.#entries].filter((entry) => entry.model === model)
  }

  #used(kind: Kind): number {
    return [...this.#entries].reduce((sum, entry) => sum + (entry.place.kind === kind ? entry.bytes : 0), 0)
  }

  #exclusively(work: () => Promise<void>): Promise<void> {
    const next = this.#work.then(work).catch((error: unknown) => this.#log(`saved states: ${error instanceof Error ? error.message : String(error)}`))
    this.#work = next
    return next
  }

  async #makeRoom(bytes: number): Promise<void> {
    const memory = this.#places.find((place) => place.kind === 'memory')
    while (memory !== undefined && this.#used('memory') + bytes > memory.limitBytes) {
      const least = this.#least('memory')
      if (least === null) break
      if (!await this.#demote(least)) this.drop(least)
    }
    for (const place of this.#places) this.#bound(place, 0)
  }

  /** Memory to disk. False when there is no disk place, no room, or the copy failed. */
  async #demote(entry: SavedState): Promise<boolean> {
    const disk = this.#places.find((place) => place.kind === 'disk')
    if (disk === undefined || entry.bytes > disk.limitBytes || !hasRoom(disk, entry.bytes)) return false
    const from = entry.place
    const source = pathOf(entry)
    mkdirSync(join(disk.root, entry.model), { recursive: true, mode: 0o700 })
    const target = join(disk.root, entry.model, entry.file)
    try {
      await copyFile(source, target, constants.COPYFILE_EXCL)
      chmodSync(target, 0o600)
    } catch {
      rmSync(target, { force: true })
      return false
    }
    if (!this.#entries.has(entry)) {
      rmSync(target, { force: true })
      return true
    }
    this.#bound(disk, entry.bytes)
    entry.place = disk
    this.#write(disk, entry.model)
    this.#write(from, entry.model)
    rmSync(source, { force: true })
    return true
  }

  /** Deletes the least valuable until `bytes` more fit. */
  #bound(place: Place, bytes: number): void {
    while (this.#used(place.kind) > 0 && this.#used(place.kind) + bytes > place.limitBytes) {
      const least = this.#least(place.kind)
      if (least === null) return
      this.drop(least)
    }
  }

  #least(kind: Kind): SavedState | null {
    const now = this.#now()
    const all = [...this.#entries].filter((entry) => entry.place.kind === kind)
    return all.length === 0 ? null : all.reduce((least, entry) => (worth(entry, now) < worth(least, now) ? entry : least))
  }

  #remove(entry: SavedState): void {
    this.#entries.delete(entry)
    rmSync(pathOf(entry), { force: true })
  }

  #write(place: Place, model: string): void {
    writeIndex(place, model, this.#of(model).filter((entry) => entry.place === place).map(({ model: _model, place: _place, ...entry }) => entry), this.#log)
  }
}

function pathOf(entry: SavedState): string {
  return join(entry.place.root, entry.model, entry.file)
}

function sessionName(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 32)
}
