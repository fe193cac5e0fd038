// Owns reading models.json: the schema's answer as a fault that names the key. Holds nothing; the file is read again at each use.
import { readFile } from 'node:fs/promises'
import { Catalog, fault, FaultError } from '@hearth/protocol'
import { problemOf } from './durable.ts'

/** The catalogue at `path`. Throws FaultError `bad_catalog` with the first key that does not fit. */
export async function readCatalog(path: string): Promise<Catalog> {
  const refuse = (where: string, problem: string): FaultError => new FaultError(fault('bad_catalog', { path, where, problem }))
  let value: unknown
  try {
    value = JSON.parse(await readFile(path, 'utf8'))
  } catch (error) {
    throw refuse('the top', error instanceof SyntaxError ? `it is not JSON (${error.message})` : problemOf(error))
  }
  const parsed = Catalog.safeParse(value)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    throw refuse(placeOf(issue?.path ?? []), issue?.message ?? 'it does not fit')
  }
  const ids = parsed.data.models.map((model) => model.id)
  const twice = ids.findIndex((id, index) => ids.indexOf(id) !== index)
  if (twice >= 0) throw refuse(`models[${twice}].id`, `'${ids[twice] ?? ''}' occurs twice`)
  for (const [m, model] of parsed.data.models.entries()) {
    const names = model.files.map((file) => file.name)
    const again = names.findIndex((name, index) => names.indexOf(name) !== index)
    if (again >= 0) throw refuse(`models[${m}].files[${again}].name`, `'${names[again] ?? ''}' occurs twice`)
  }
  return parsed.data
}

function placeOf(path: readonly PropertyKey[]): string {
  return path.map((key) => typeof key === 'number' ? `[${key}]` : `.${String(key)}`).join('').replace(/^\./, '') || 'the top'
}
