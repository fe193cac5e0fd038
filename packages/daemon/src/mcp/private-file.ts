// Owns a small JSON file that only the daemon reads (0600), changed whole and one change after the other. A broken one counts as empty.
import { readFile, rename, writeFile } from 'node:fs/promises'
import type { z } from 'zod'

export class PrivateFile<T> {
  readonly #path: string
  readonly #schema: z.ZodType<T>
  readonly #empty: T
  #writing: Promise<void> = Promise.resolve()

  constructor(path: string, schema: z.ZodType<T>, empty: T) {
    this.#path = path
    this.#schema = schema
    this.#empty = empty
  }

  async read(): Promise<T> {
    let text: string
    try {
      text = await readFile(this.#path, 'utf8')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return this.#empty
      throw error
    }
    try {
      return this.#schema.parse(JSON.parse(text))
    } catch {
      return this.#empty
    }
  }

  /** Resolves when the new content is on disk. */
  change(to: (now: T) => T): Promise<void> {
    const change = this.#writing.then(async () => {
      // One name: what a crash left of it, secrets too, goes with the next change.
      const part = `${this.#path}.part`
      await writeFile(part, JSON.stringify(to(await this.read())), { mode: 0o600, flush: true })
      await rename(part, this.#path)
    })
    this.#writing = change.catch(() => undefined)
    return change
  }
}
