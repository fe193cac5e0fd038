// Gives a benchmark the Model that the daemon hands to a job: the real parts over one model file, in a home of their own.
import { linkSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { composeParts } from '@hearth/daemon/compose'
import { Config, ModelRequest, resolvePaths, type Model, type ModelRequestInput, type Usage } from '@hearth/protocol'
import type { Context } from './frame.ts'

export type EngineParts = { model: Model; other: Model; close(): Promise<void> }

/** A folder that outlives one start, so that a restart can be measured. */
export function benchHome(): { home: string; remove(): void } {
  const home = mkdtempSync(join(tmpdir(), 'hearth-bench-'))
  return { home, remove: () => rmSync(home, { recursive: true, force: true }) }
}

/** `model` and `other` are two files to the daemon; with `maxModels: 1` loading one unloads the other. */
export async function openEngine({ root, model: path }: Context, home: string, engine: Partial<Config['engine']>): Promise<EngineParts> {
  const parts = composeParts({
    config: Config.parse({ engine: { backend: 'cpu', ...engine } }), paths: resolvePaths({ HEARTH_HOME: home }, process.getuid?.() ?? 0),
    store: { egress: () => Promise.reject(new Error('a benchmark sends nothing')) }, log: () => undefined, node: process.execPath, root,
  })
  const named = async (id: string, file: string): Promise<Model> => {
    const known = await parts.model(id)
    if (known.ok) return known.model
    const imported = await (await parts.shelf()).importFile({ path: file, id, copy: false })
    if (!imported.ok) throw new Error(imported.fault.message)
    const found = await parts.model(id)
    if (!found.ok) throw new Error(found.fault.message)
    return found.model
  }
  try {
    const second = join(home, 'other.gguf')
    try {
      linkSync(path, second)
    } catch {
      // The link of the first start is still there.
    }
    return { model: await named('bench', path), other: await named('other', second), close: () => parts.close() }
  } catch (error) {
    await parts.close()
    throw error
  }
}

/** Asks once; milliseconds of the whole call, which for one token is the time to it, and what was reused. */
export async function timed(model: Model, input: ModelRequestInput): Promise<{ ms: number; usage: Usage }> {
  const start = performance.now()
  for await (const event of model.generate(ModelRequest.parse(input), new AbortController().signal)) {
    if (event.type === 'failed') throw new Error(event.fault.message)
    if (event.type === 'done') return { ms: performance.now() - start, usage: event.usage }
  }
  throw new Error('the stream ended without done or failed')
}
