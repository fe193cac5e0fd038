// Owns the stored passes of the golden-prompt check: one small file in the cache folder, replaced whole. A file that cannot be read means: nothing passed yet.
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { makePrivate, problemOf, writeJson } from '../catalog/durable.ts'

const Pass = z.strictObject({
  model: z.string(),
  engine: z.string().describe('library or program, and the backend'),
  driver: z.string(),
  date: z.iso.datetime(),
  tookMs: z.int().min(0),
  leftOut: z.array(z.string()).describe('what was not tried, and why'),
})
export type Pass = z.infer<typeof Pass>
const File = z.strictObject({ version: z.literal(1), passes: z.record(z.string(), Pass) })

const keptPasses = 256

/** The name of everything a pass depends on. */
export function keyOf(facts: readonly unknown[]): string {
  return createHash('sha256').update(JSON.stringify(facts)).digest('hex').slice(0, 32)
}

export class Passes {
  readonly #path: string | null
  readonly #log: (line: string) => void
  #known: Promise<Map<string, Pass>> | null = null
  #writing: Promise<void> = Promise.resolve()

  /** Without a folder passes are kept as long as this object. */
  constructor(cacheDir: string | null, log: (line: string) => void) {
    this.#path = cacheDir === null ? null : join(cacheDir, 'golden.json')
    this.#log = log
  }

  async find(key: string): Promise<Pass | null> {
    return (await this.#all()).get(key) ?? null
  }

  /** Resolves when it is on disk; a disk that does not take it costs another check at the next load, nothing else. */
  async keep(key: string, pass: Pass): Promise<void> {
    const all = await this.#all()
    all.delete(key)
    all.set(key, pass)
    for (const oldest of all.keys()) {
      if (all.size <= keptPasses) break
      all.delete(oldest)
    }
    const path = this.#path
    if (path === null) return
    this.#writing = this.#writing.then(() => makePrivate(dirname(path))).then(() => writeJson(path, { version: 1, passes: Object.fromEntries(all) } satisfies z.infer<typeof File>))
      .catch((error: unknown) => this.#log(`${path} was not written: ${problemOf(error)}`))
    await this.#writing
  }

  #all(): Promise<Map<string, Pass>> {
    this.#known ??= this.#read()
    return this.#known
  }

  async #read(): Promise<Map<string, Pass>> {
    if (this.#path === null) return new Map()
    try {
      return new Map(Object.entries(File.parse(JSON.parse(await readFile(this.#path, 'utf8'))).passes))
    } catch {
      return new Map()
    }
  }
}
