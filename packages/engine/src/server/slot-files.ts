// Owns what a slot of a llama-server remembers, as a file: the server writes and reads it in its private folder, and it is moved to or from where the
// daemon keeps states. The server knows no other folder. Decides nothing about when.
import { copyFile, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isObject, shown } from '../foreign.ts'
import { ask } from './http.ts'

const slotMs = 60_000

/** Writes the memory of an idle slot to `path`; resolves to its tokens, throws what the server said. */
export async function saveSlot(socket: string, slot: number, path: string, signal: AbortSignal): Promise<number> {
  const name = `slot-${slot}.state`
  const file = join(dirname(socket), name)
  try {
    const tokens = await act(socket, slot, 'save', name, signal)
    await move(file, path)
    return tokens
  } finally {
    await rm(file, { force: true })
  }
}

/** Puts what `path` holds into an idle slot; resolves to its tokens. What the slot held is gone, also when it throws. */
export async function restoreSlot(socket: string, slot: number, path: string, signal: AbortSignal): Promise<number> {
  const name = `slot-${slot}.state`
  const file = join(dirname(socket), name)
  try {
    await copyFile(path, file)
    return await act(socket, slot, 'restore', name, signal)
  } finally {
    await rm(file, { force: true })
  }
}

async function act(socket: string, slot: number, action: 'save' | 'restore', filename: string, signal: AbortSignal): Promise<number> {
  const { status, text } = await ask(socket, 'POST', `/slots/${slot}?action=${action}`, { body: { filename }, timeoutMs: slotMs, signal })
  if (status !== 200) throw new Error(`it answers with status ${status} and '${shown(text)}'`)
  const answer: unknown = JSON.parse(text)
  const tokens = isObject(answer) ? answer[action === 'save' ? 'n_saved' : 'n_restored'] : null
  if (typeof tokens !== 'number' || !Number.isInteger(tokens) || tokens < 0) throw new Error(`it does not say how many tokens it ${action}d`)
  return tokens
}

/** Another file system takes a copy. */
async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    await copyFile(from, to)
  }
}
