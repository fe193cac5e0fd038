// Owns the models of this box as the daemon sees them: list, resolve, pull, import, remove, verify. The only way to change the models folder.
// One folder per model (its files and hearth.json); unfinished downloads in .downloads/ID. Loads no model.
import { realpath, rm } from 'node:fs/promises'
import { Config, fault, faultFrom, FaultError, type AgentProfile, type Door, type Fault, type FolderImportReply, type ImportRequest, type ModelDetail, type ModelRow, type PruneReply, type TransferEvent } from '@hearth/protocol'
import { budgetOf, type Budget } from '../hardware/budget.ts'
import { readHardware } from '../hardware/snapshot.ts'
import type { InstalledModel } from '../installed.ts'
import { codeOf, freeBytesOf, problemOf } from './durable.ts'
import { recommend } from './fit.ts'
import { findModels, type Found } from './folders.ts'
import { readGguf } from './gguf.ts'
import type { Hub } from './hub.ts'
import { importModel } from './import.ts'
import { keepProfile } from './keep-profile.ts'
import { lockModel } from './lock.ts'
import { prune } from './prune.ts'
import { defaultPieceBytes } from './ranges.ts'
import { chooseDefault, recordDetail } from './rows.ts'
import { Shelf, sizeOf } from './shelf.ts'
import { pullModel, pullReference, resolveReference, verifyModel } from './transfers.ts'

export type ModelStoreOptions = {
  catalogPath: string
  modelsDir: string
  door: Door
  /** Bytes that may still be written in a folder; default: what the file system says. */
  freeBytes?: (dir: string) => Promise<number>
  /** The program whose pip is asked; default python3. */
  python?: string
  /** Waits before the tries of a cut connection after the first. */
  retryDelaysMs?: readonly number[]
  /** A connection without a byte for so long counts as cut. */
  stallMs?: number
  /** The model hub; default: the public one, without a token. */
  hub?: Hub
  /** Connections for one file of more than `pieceBytes`. */
  connections?: number
  pieceBytes?: number
  /** Folder with the owner's own entries (`*.json`); default: none. */
  overlayDir?: string | null
  /** By id: the model that guesses ahead for it, instead of the catalogue's. */
  draftModels?: Readonly<Record<string, string>>
  /** What this box can give to models; default: read from the kernel, the GPU's when there is one. */
  budget?: () => Promise<Budget | null>
}

type Ok<T> = ({ ok: true } & T) | { ok: false; fault: Fault }

export class ModelStore {
  readonly #shelf: Shelf

  constructor(options: ModelStoreOptions) {
    this.#shelf = new Shelf({
      freeBytes: freeBytesOf, python: 'python3', retryDelaysMs: [500, 2000, 5000], stallMs: 60_000,
      hub: { url: Config.parse({}).models.hubUrl, tokenFile: null }, connections: 4, pieceBytes: defaultPieceBytes, overlayDir: null, draftModels: {}, budget: boxBudget, ...options,
    })
  }

  /** All models: the catalogue's in its order, then the imported ones by id. Throws FaultError `bad_catalog`. */
  async list(): Promise<ModelRow[]> {
    return await this.#shelf.rows()
  }

  /** The same, each with its fit to this box, and the model of the catalogue that is worth fetching here. Throws FaultError `bad_catalog`. */
  async overview(fallback: string): Promise<{ models: ModelRow[]; recommended: string | null }> {
    const budget = await this.#shelf.options.budget()
    return { models: await this.#shelf.rows(budget), recommended: recommend((await this.#shelf.catalog()).models, budget, fallback) }
  }

  /** All that is known of one model, by id or alias; `elsewhere`: ids that are no files, to be named when this one is unknown. Throws FaultError `unknown_model`, `bad_catalog`. */
  async detail(name: string, elsewhere: readonly string[] = []): Promise<ModelDetail> {
    const id = await this.#shelf.idOf(name)
    const row = (await this.#shelf.rows(await this.#shelf.options.budget())).find((each) => each.id === id)
    if (row === undefined) throw await this.#shelf.unknown(id, elsewhere)
    return { row, entry: await this.#shelf.entry(id), record: recordDetail(await this.#shelf.installed(id)), endpoint: null }
  }

  /** The model with its file, ready to be loaded. Cheap: looks at the file's size, time and inode, not at its bytes. */
  async resolve(name: string): Promise<Ok<{ model: InstalledModel }>> {
    return await this.#answered(name, async () => {
      const id = await this.#shelf.idOf(name)
      const entry = await this.#shelf.entry(id)
      const installed = await this.#shelf.installed(id)
      if (installed === null) throw await this.#shelf.absent(id)
      const { record, path, problem } = installed
      const described = entry ?? record?.imported ?? null
      if (path === null || problem !== null || described === null) {
        throw new FaultError(fault('bad_file', { path: path ?? this.#shelf.folder(id), problem: problem ?? `the catalogue does not know it any more; run 'hearth models rm ${id}'` }))
      }
      const draft = await this.#draft(id, entry?.draft ?? null)
      return { model: { id, path, contextTokens: described.contextTokens, toolFormat: described.toolFormat, profile: described.profile, ...(draft === null ? {} : { draft }) } }
    })
  }

  async #draft(id: string, known: string | null): Promise<NonNullable<InstalledModel['draft']> | null> {
    const named = this.#shelf.options.draftModels[id] ?? known
    if (named === null) return null
    const draft = await this.#shelf.idOf(named)
    const installed = await this.#shelf.installed(draft)
    return { id: draft, path: installed === null || installed.problem !== null ? null : installed.path }
  }

  /** The preferred model whatever its state (the job then says what is wrong with it), else see `chooseDefault`. Throws FaultError `bad_catalog`. */
  async default(preferred: string | null, fallback: string): Promise<string | null> {
    return preferred ?? chooseDefault(await this.#shelf.rows(), fallback)
  }

  /**
   * Fetches a model of the catalogue (by id or alias) or `hf:ORG/REPO:QUANT` from the hub; ends with exactly one `done` or `failed`. An abort keeps what was
   * fetched for the next pull. A file whose sha256 neither the catalogue nor the hub states is refused unless `trustFirstUse`. Of two pulls of one model at once the
   * second is refused with `conflict`.
   */
  async *pull(name: string, signal: AbortSignal, options: { trustFirstUse?: boolean } = {}): AsyncGenerator<TransferEvent> {
    const trust = options.trustFirstUse ?? false
    try {
      if (name.startsWith('hf:')) {
        const found = await resolveReference(this.#shelf, name, signal)
        yield* this.#transfer(found.id, pullReference(this.#shelf, found, signal, trust))
      } else {
        const id = await this.#shelf.idOf(name)
        yield* this.#transfer(id, pullModel(this.#shelf, id, signal, trust))
      }
    } catch (error) {
      yield { type: 'failed', fault: this.#faultOf(name, error) }
    }
  }

  /** Reads every file whole, compares its sha256 (or pins it when none is known) and checks its header. Ends like `pull`. */
  async *verify(id: string, signal: AbortSignal): AsyncGenerator<TransferEvent> {
    yield* this.#transfer(id, verifyModel(this.#shelf, id, signal))
  }

  /** Takes a GGUF file of this box into the models, by a link unless `copy`. See `importModel`. */
  async importFile(request: ImportRequest): Promise<Ok<{ model: ModelRow }>> {
    return await this.#answered(request.id ?? '', async () =>
      ({ model: await this.#shelf.row(await importModel(this.#shelf, request, (id, work) => this.#locked(id, work))) }))
  }

  /** Looks for the models of other programs in a folder and imports each by a link, or only lists them. One that is refused says why; the others are taken. */
  async importFolder(request: { path: string; dryRun?: boolean | undefined }): Promise<Ok<{ reply: FolderImportReply }>> {
    return await this.#answered('', async () => {
      const { kind, found } = await findModels(request.path)
      const rows: FolderImportReply['found'] = []
      for (const each of found) rows.push(await this.#takeIn(each, request.dryRun ?? false))
      return { reply: { kind, found: rows } }
    })
  }

  async #takeIn({ name, slug, path }: Found, dryRun: boolean): Promise<FolderImportReply['found'][number]> {
    const row = { name, path, bytes: await sizeOf(path) ?? 0, id: null, problem: null }
    const twin = row.bytes === 0 ? null : await this.#shelf.twin(null, await realpath(path))
    if (twin !== null) return { ...row, state: 'known', id: twin.id }
    const read = await readGguf(path)
    if (!read.ok) return { ...row, state: 'refused', problem: read.fault.message }
    if (dryRun) return { ...row, state: 'new' }
    const blob = path.endsWith('.gguf') ? {} : { fileName: `${slug}.gguf` }
    const result = await this.#answered(slug, async () => await importModel(this.#shelf, { path, ...blob }, (id, work) => this.#locked(id, work)).then((id) => ({ id })))
    return result.ok ? { ...row, state: 'imported', id: result.id } : { ...row, state: 'refused', problem: result.fault.message }
  }

  /** What lies in the models folder for nothing; frees it with `apply`. What another process works on is left out. Throws FaultError `bad_catalog`. */
  async prune(options: { apply: boolean }): Promise<PruneReply> {
    return await prune(this.#shelf, options.apply, async (id, work) => {
      try {
        await this.#locked(id, work)
        return true
      } catch (error) {
        if (error instanceof FaultError && error.fault.code === 'conflict') return false
        throw new FaultError(this.#faultOf(id, error))
      }
    })
  }

  /** Writes a profile as the one of this model: into the owner's entries, or into the record of an imported model. The answer names the file. */
  async keepProfile(name: string, profile: AgentProfile): Promise<Ok<{ path: string }>> {
    return await this.#answered(name, async () => ({ path: await keepProfile(this.#shelf, name, profile) }))
  }

  /** Removes a model's files, record and unfinished downloads. A file that was only linked stays where it came from. */
  async remove(id: string): Promise<Ok<unknown>> {
    return await this.#answered(id, () => this.#locked(id, async () => {
      if (await this.#shelf.entry(id) === null && !(await this.#shelf.ids()).includes(id)) throw await this.#shelf.unknown(id)
      const folders = [this.#shelf.folder(id), this.#shelf.work(id)]
      if (!(await Promise.all(folders.map(sizeOf))).some((size) => size !== null)) throw await this.#shelf.absent(id)
      for (const folder of folders) await rm(folder, { recursive: true, force: true })
      return {}
    }))
  }

  async *#transfer(id: string, work: AsyncGenerator<TransferEvent, number>): AsyncGenerator<TransferEvent> {
    let unlock: (() => Promise<void>) | null = null
    try {
      unlock = await lockModel(this.#shelf.options.modelsDir, id)
      const downloadedBytes = yield* work
      yield { type: 'done', model: await this.#shelf.row(id), downloadedBytes }
    } catch (error) {
      yield { type: 'failed', fault: this.#faultOf(id, error) }
    } finally {
      await unlock?.()
    }
  }

  async #locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    const unlock = await lockModel(this.#shelf.options.modelsDir, id)
    try {
      return await work()
    } finally {
      await unlock()
    }
  }

  async #answered<T>(id: string, work: () => Promise<T>): Promise<Ok<T>> {
    try {
      return { ok: true, ...await work() }
    } catch (error) {
      return { ok: false, fault: this.#faultOf(id, error) }
    }
  }

  /** The disk's own errors (rights, a read-only disk) concern the model's folder; whatever else was not expected is ours. */
  #faultOf(id: string, error: unknown): Fault {
    return error instanceof FaultError || codeOf(error) === null ? faultFrom(error) : fault('cannot_create', { path: this.#shelf.folder(id), problem: problemOf(error) })
  }
}

async function boxBudget(): Promise<Budget | null> {
  const snapshot = await readHardware()
  return budgetOf(snapshot, 'gpu') ?? budgetOf(snapshot, 'cpu')
}
