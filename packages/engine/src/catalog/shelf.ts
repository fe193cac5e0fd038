// Owns looking: the catalogue's entries beside what lies in the models folder. Changes nothing.
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type Catalog, type CatalogModel, type Door, type ModelRow } from '@hearth/protocol'
import type { Budget } from '../hardware/budget.ts'
import { fitOf } from './fit.ts'
import type { Hub } from './hub.ts'
import { readCatalog } from './models-json.ts'
import { marksOf, pathOf, problemOfInstalled, readRecord, recordedIds } from './records.ts'
import { catalogRow, importedRow, type Installed } from './rows.ts'

export type ShelfOptions = {
  catalogPath: string
  modelsDir: string
  door: Door
  freeBytes: (dir: string) => Promise<number>
  python: string
  retryDelaysMs: readonly number[]
  stallMs: number
  hub: Hub
  connections: number
  pieceBytes: number
  /** Folder of the owner's own entries; null = there is none. */
  overlayDir: string | null
  draftModels: Readonly<Record<string, string>>
  /** What this box can give to models. */
  budget: () => Promise<Budget | null>
}

const idShape = /^[a-z0-9][a-z0-9._-]{0,80}$/

export class Shelf {
  readonly options: ShelfOptions

  constructor(options: ShelfOptions) {
    this.options = options
  }

  catalog(): Promise<Catalog> {
    return readCatalog(this.options.catalogPath, this.options.overlayDir)
  }

  async entry(id: string): Promise<CatalogModel | null> {
    return (await this.catalog()).models.find((model) => model.id === id) ?? null
  }

  /** The id behind an alias of the catalogue; anything else is its own id. */
  async idOf(name: string): Promise<string> {
    const { models } = await this.catalog()
    return models.some((model) => model.id === name) ? name : models.find((model) => model.aliases.includes(name))?.id ?? name
  }

  /** Ids with a folder here, whether or not the catalogue knows them. */
  async ids(): Promise<string[]> {
    return (await recordedIds(this.options.modelsDir)).filter((id) => idShape.test(id))
  }

  async installed(id: string): Promise<Installed | null> {
    const record = idShape.test(id) ? await readRecord(this.options.modelsDir, id) : null
    if (record === null) return null
    if ('problem' in record) return { record: null, path: null, problem: record.problem }
    return { record, path: await pathOf(this.options.modelsDir, record), problem: await problemOfInstalled(this.options.modelsDir, record) }
  }

  /** All models: the catalogue's in its order, then the imported ones by id. With a budget each row of the catalogue says whether it fits. */
  async rows(budget: Budget | null = null): Promise<ModelRow[]> {
    const { models } = await this.catalog()
    const listed = await Promise.all(models.map(async (model) => catalogRow(model, await this.installed(model.id), fitOf(model, budget))))
    const others = (await this.ids()).filter((id) => !models.some((model) => model.id === id))
    const imported = await Promise.all(others.map(async (id) => {
      const installed = await this.installed(id)
      return installed === null ? [] : [importedRow(id, installed)]
    }))
    return [...listed, ...imported.flat()]
  }

  async row(id: string): Promise<ModelRow> {
    const row = (await this.rows()).find((each) => each.id === id)
    if (row === undefined) throw await this.unknown(id)
    return row
  }

  async unknown(id: string, elsewhere: readonly string[] = []): Promise<FaultError> {
    return new FaultError(fault('unknown_model', { id, known: [...(await this.rows()).map((row) => row.id), ...elsewhere] }))
  }

  /** Why `id` has nothing to work with: it is unknown, or only not installed. */
  async absent(id: string): Promise<FaultError> {
    return await this.entry(id) === null ? await this.unknown(id) : new FaultError(fault('model_not_installed', { id }))
  }

  /** A usable file here with the same bytes: by sha256, or because it is the same file as `path`. */
  async twin(sha256: string | null, path: string | null): Promise<{ id: string; path: string; whole: boolean } | null> {
    const same = path === null ? null : await marksOf(path)
    for (const id of await this.ids()) {
      const installed = await this.installed(id)
      if (installed?.record == null || installed.problem !== null) continue
      for (const file of installed.record.files) {
        const equal = (sha256 !== null && file.sha256 === sha256)
          || (same !== null && file.marks.inode === same.inode && file.marks.mtimeNs === same.mtimeNs && file.marks.bytes === same.bytes)
        if (equal) return { id, path: join(this.options.modelsDir, id, file.name), whole: installed.record.files.length === 1 }
      }
    }
    return null
  }

  folder(id: string): string {
    return join(this.options.modelsDir, id)
  }

  /** Folder of the unfinished files of a model. */
  work(id: string): string {
    return join(this.options.modelsDir, '.downloads', id)
  }
}

export async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then((found) => found.size, () => null)
}
