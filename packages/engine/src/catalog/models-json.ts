// Owns reading models.json and the owner's own entries over it: the schema's answer as a fault that names file and key. Holds nothing; read again at each use.
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Catalog, CatalogModel, fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import { problemOf } from './durable.ts'

/**
 * The catalogue at `path`, with each `*.json` of `overlayDir` over it in the order of their names: an entry with a known id changes the keys it names, any other is
 * added. Throws FaultError `bad_catalog` with the file and its first key that does not fit.
 */
export async function readCatalog(path: string, overlayDir: string | null = null): Promise<Catalog> {
  const catalog = check(path, await readJson(path))
  for (const name of overlayDir === null ? [] : (await readdir(overlayDir).catch(() => [])).filter((each) => each.endsWith('.json')).sort()) {
    overlay(catalog, join(overlayDir ?? '', name), await readJson(join(overlayDir ?? '', name)))
  }
  const names = new Map<string, string>()
  for (const model of catalog.models) {
    for (const each of [model.id, ...model.aliases]) {
      const other = names.get(each)
      if (other !== undefined) throw refuse(path, `'${model.id}'`, `the name '${each}' belongs to '${other}' already`)
      names.set(each, model.id)
    }
  }
  return catalog
}

function refuse(path: string, where: string, problem: string): FaultError {
  return new FaultError(fault('bad_catalog', { path, where, problem }))
}

async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw refuse(path, 'the top', error instanceof SyntaxError ? `it is not JSON (${error.message})` : problemOf(error))
  }
}

const Overlay = z.strictObject({ version: z.literal(1), models: z.array(z.looseObject({ id: CatalogModel.shape.id })) })

function overlay(catalog: Catalog, path: string, value: unknown): void {
  const parsed = Overlay.safeParse(value)
  if (!parsed.success) throw refuse(path, placeOf(parsed.error.issues[0]?.path ?? []), parsed.error.issues[0]?.message ?? 'it does not fit')
  for (const [m, change] of parsed.data.models.entries()) {
    const at = catalog.models.findIndex((model) => model.id === change.id)
    const merged = CatalogModel.safeParse({ ...catalog.models[at], ...change })
    if (!merged.success) {
      const issue = merged.error.issues[0]
      throw refuse(path, placeOf(['models', m, ...issue?.path ?? []]), issue?.message ?? 'it does not fit')
    }
    if (at < 0) catalog.models.push(merged.data)
    else catalog.models[at] = merged.data
  }
}

function check(path: string, value: unknown): Catalog {
  const parsed = Catalog.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw refuse(path, placeOf(issue?.path ?? []), issue?.message ?? 'it does not fit')
  }
  const ids = parsed.data.models.map((model) => model.id)
  const twice = ids.findIndex((id, index) => ids.indexOf(id) !== index)
  if (twice >= 0) throw refuse(path, `models[${twice}].id`, `'${ids[twice] ?? ''}' occurs twice`)
  for (const [m, model] of parsed.data.models.entries()) {
    const names = model.files.map((file) => file.name)
    const again = names.findIndex((name, index) => names.indexOf(name) !== index)
    if (again >= 0) throw refuse(path, `models[${m}].files[${again}].name`, `'${names[again] ?? ''}' occurs twice`)
  }
  return parsed.data
}

function placeOf(path: readonly PropertyKey[]): string {
  return path.map((key) => typeof key === 'number' ? `[${key}]` : `.${String(key)}`).join('').replace(/^\./, '') || 'the top'
}
