// Owns what may be thrown away in the models folder, and throwing it away. Touches only what a record or an unfinished download of ours explains:
// the folder may be one that the owner shares with other programs.
import { link, lstat, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { PruneReply } from '@hearth/protocol'
import { recordFile, writeRecord } from './records.ts'
import type { Shelf } from './shelf.ts'

type Item = PruneReply['items'][number] & { clear: () => Promise<void> }

/** Lists what can be freed; frees it with `apply`. `locked` skips (returns null) what another process works on. */
export async function prune(shelf: Shelf, apply: boolean, locked: (id: string, work: () => Promise<void>) => Promise<boolean>): Promise<PruneReply> {
  const items = [...await unfinished(shelf), ...await leftovers(shelf), ...await duplicates(shelf)]
  const kept: Item[] = []
  for (const item of items) if (await locked(item.model, apply ? item.clear : () => Promise.resolve())) kept.push(item)
  return { items: kept.map(({ kind, model, path, bytes, why }) => ({ kind, model, path, bytes, why })), bytes: kept.reduce((sum, item) => sum + item.bytes, 0), done: apply }
}

/** Pulls that were never finished, with those parts of them that had their place already. */
async function unfinished(shelf: Shelf): Promise<Item[]> {
  const out: Item[] = []
  for (const id of await foldersOf(join(shelf.options.modelsDir, '.downloads'))) {
    const folders = [shelf.work(id)]
    if (await shelf.installed(id) === null) folders.push(shelf.folder(id))
    const sizes = await Promise.all(folders.map(freed))
    out.push({
      kind: 'unfinished', model: id, path: shelf.work(id), bytes: sizes.reduce((sum, size) => sum + size, 0), why: 'a pull that was not finished; without it the next one begins anew',
      clear: async () => { for (const folder of folders) await rm(folder, { recursive: true, force: true }) },
    })
  }
  return out
}

/** Models that were of the catalogue and are in it no more: nothing can load them. */
async function leftovers(shelf: Shelf): Promise<Item[]> {
  const out: Item[] = []
  for (const id of await shelf.ids()) {
    const installed = await shelf.installed(id)
    if (installed === null || await shelf.entry(id) !== null || (installed.record !== null && installed.record.imported !== null)) continue
    const why = installed.record === null ? 'its record is damaged, so nothing can load it' : 'the catalogue does not know it any more, so nothing can load it'
    out.push({ kind: 'leftover', model: id, path: shelf.folder(id), bytes: await freed(shelf.folder(id)), why, clear: () => rm(shelf.folder(id), { recursive: true, force: true }) })
  }
  return out
}

/** The same bytes in two models, both verified: one becomes a link to the other. */
async function duplicates(shelf: Shelf): Promise<Item[]> {
  const first = new Map<string, { id: string; path: string; inode: string }>()
  const out: Item[] = []
  for (const id of await shelf.ids()) {
    const record = (await shelf.installed(id))?.record ?? null
    if (record === null || (await shelf.installed(id))?.problem !== null) continue
    for (const file of record.files) {
      const path = join(shelf.folder(id), file.name)
      if (file.sha256 === null || !(await lstat(path)).isFile()) continue
      const twin = first.get(file.sha256)
      if (twin === undefined) {
        first.set(file.sha256, { id, path, inode: file.marks.inode })
        continue
      }
      if (twin.inode === file.marks.inode || (await stat(path)).dev !== (await stat(twin.path)).dev) continue
      out.push({
        kind: 'duplicate', model: id, path, bytes: await freed(path), why: `the same file lies in '${twin.id}'; it becomes a link to that one`,
        clear: async () => {
          await rm(`${path}.twin`, { force: true })
          await link(twin.path, `${path}.twin`)
          await rename(`${path}.twin`, path)
          const linked = await recordFile(path, file.sha256)
          const files = record.files.map((each) => (each.name === file.name ? linked : each))
          await writeRecord(shelf.options.modelsDir, { ...record, files })
        },
      })
    }
  }
  return out
}

async function foldersOf(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { withFileTypes: true }).catch(() => [])
  return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name).sort()
}

/** Bytes that come free with a file or folder: a file with another name elsewhere, or a link, frees nothing. */
async function freed(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null)
  if (found === null) return 0
  if (!found.isDirectory()) return found.isFile() && found.nlink === 1 ? found.blocks * 512 : 0
  let bytes = 0
  for (const name of await readdir(path)) bytes += await freed(join(path, name))
  return bytes
}
