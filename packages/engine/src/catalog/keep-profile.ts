// Owns where a probed profile is written: a file of the owner's own entries, or the record of an imported model. Decides nothing about it.
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, type AgentProfile } from '@hearth/protocol'
import { isDeepStrictEqual } from 'node:util'
import { makePrivate, writeJson } from './durable.ts'
import { writeRecord } from './records.ts'
import type { Shelf } from './shelf.ts'

/**
 * Writes `profile` as the one of this model and returns the file. `name`: id or alias. Throws FaultError: `unknown_model`, or `conflict` when a file of the owner's that is read
 * later says otherwise (nothing is left then).
 */
export async function keepProfile(shelf: Shelf, name: string, profile: AgentProfile): Promise<string> {
  const id = await shelf.idOf(name)
  if (await shelf.entry(id) === null) {
    const record = (await shelf.installed(id))?.record
    if (record?.imported == null) throw await shelf.unknown(id)
    await writeRecord(shelf.options.modelsDir, { ...record, imported: { ...record.imported, profile } })
    return join(shelf.folder(id), 'hearth.json')
  }
  const folder = shelf.options.overlayDir
  if (folder === null) throw new FaultError(fault('conflict', { problem: 'There is no folder for entries of your own.' }))
  await makePrivate(folder)
  const path = join(folder, `probe-${id}.json`)
  await writeJson(path, { version: 1, models: [{ id, profile }] })
  if (isDeepStrictEqual((await shelf.entry(id))?.profile, profile)) return path
  await rm(path)
  throw new FaultError(fault('conflict', { problem: `Another file in ${folder} names a profile of '${id}' and is read later; change it there.` }))
}
