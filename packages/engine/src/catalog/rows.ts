// Owns a model's row as people and the wire see it, and which model is the default. Pure.
import type { CatalogModel, ModelDetail, ModelFit, ModelRow } from '@hearth/protocol'
import type { InstallRecord } from './records.ts'

/** What lies on this disk under an id. */
export type Installed = { record: InstallRecord | null; path: string | null; problem: string | null }

export function catalogRow(model: CatalogModel, installed: Installed | null, fit: ModelFit | null = null): ModelRow {
  const sizes = model.files.map((file) => file.bytes)
  const bytes = sizes.includes(null) ? null : sizes.reduce<number>((sum, size) => sum + (size ?? 0), 0)
  return {
    id: model.id, name: model.name, summary: model.summary, license: model.license, roles: [...model.roles],
    bytes: bytes ?? bytesOf(installed?.record ?? null), contextTokens: model.contextTokens, toolMode: model.profile.toolMode, installed: installed !== null, origin: 'catalog',
    path: installed?.path ?? null, sha256: model.files[0]?.sha256 ?? installed?.record?.files[0]?.sha256 ?? null, problem: installed?.problem ?? null,
    ...(model.aliases.length === 0 ? {} : { aliases: [...model.aliases] }),
    ...(fit === null ? {} : { fit }),
  }
}

export function importedRow(id: string, installed: Installed): ModelRow {
  const imported = installed.record?.imported ?? null
  return {
    id, name: imported?.name ?? id, summary: imported === null ? 'Its record cannot be read.' : summaryOf(imported), license: imported?.license ?? null, roles: ['agent'],
    bytes: bytesOf(installed.record), contextTokens: imported?.contextTokens ?? null, toolMode: imported?.profile.toolMode ?? 'json', installed: true, origin: 'imported',
    path: installed.path, sha256: installed.record?.files[0]?.sha256 ?? null, problem: installed.problem,
  }
}

/** What the record says, as the wire has it. */
export function recordDetail(installed: Installed | null): ModelDetail['record'] {
  const record = installed?.record ?? null
  if (record === null) return null
  const { installedAt, verifiedAt, imported } = record
  return {
    installedAt, verifiedAt, files: record.files.map(({ name, sha256, marks }) => ({ name, bytes: marks.bytes, sha256 })),
    architecture: imported?.architecture ?? null, toolFormat: imported?.toolFormat ?? null, kvBytesPerToken: imported?.kvBytesPerToken ?? null, from: imported?.from ?? null,
  }
}

function bytesOf(record: InstallRecord | null): number | null {
  return record === null ? null : record.files.reduce((sum, file) => sum + file.marks.bytes, 0)
}

function summaryOf(imported: NonNullable<InstallRecord['imported']>): string {
  const size = imported.parameters === null ? '' : ` with ${(imported.parameters / 1e9).toFixed(imported.parameters < 1e10 ? 2 : 0)} billion parameters`
  const tools = imported.toolFormat === 'none' ? 'its template has no tools that Hearth reads' : `tools in the ${imported.toolFormat} format`
  return `${imported.by === 'download' ? 'Fetched' : 'Imported'} from ${imported.from}: ${imported.architecture}${size}; ${tools}.`
}

/** The model a job without a wish gets: the largest usable agent model on this disk, the fallback last; null when there is none. */
export function chooseDefault(rows: readonly ModelRow[], fallback: string): string | null {
  const usable = rows.filter((row) => row.installed && row.problem === null && row.roles.includes('agent'))
  usable.sort((a, b) => Number(a.id === fallback) - Number(b.id === fallback) || (b.bytes ?? 0) - (a.bytes ?? 0) || (a.id < b.id ? -1 : 1))
  return usable[0]?.id ?? null
}
