// Owns writing the file that a flag named. Knows nothing of what is in it.
import { writeFileSync } from 'node:fs'
import { fault, FaultError } from '@hearth/protocol/fault'

/** Throws FaultError `cannot_create`. */
export function save(path: string, text: string): void {
  try {
    writeFileSync(path, text)
  } catch (error) {
    throw new FaultError(fault('cannot_create', { path, problem: error instanceof Error ? error.message : String(error) }))
  }
}
