// Owns the wishes about models in memory: load, unload, pin, preload. Finds the model and passes the wish on; the engine decides and waits.
import { fault, faultFrom, type Config, type Fault, type LoadEvent, type WorkerStatus } from '@hearth/protocol'
import type { Engine, InstalledModel, Waits } from '@hearth/engine'
import type { Loaded } from './parts.ts'

export type LoadedOptions = {
  models: Config['engine']['models']
  find(id: string): Promise<{ ok: true; model: InstalledModel } | { ok: false; fault: Fault }>
  engine(): Promise<Engine>
  log(line: string): void
}

export function loadedModels({ models, find, engine, log }: LoadedOptions): Loaded {
  const statusOf = async (id: string): Promise<WorkerStatus | null> => (await engine()).workers().find((worker) => worker.model === id) ?? null
  const about = (id: string, act: (engine: Engine, model: InstalledModel, waits: Waits) => Promise<'loaded' | 'done' | 'aborted' | { fault: Fault }>): AsyncIterable<LoadEvent> =>
    told(async (waits) => {
      const found = await find(id)
      if (!found.ok) return { type: 'failed', fault: found.fault }
      const end = await act(await engine(), found.model, waits)
      if (end === 'aborted') return { type: 'failed', fault: fault('cancelled', { by: 'the client' }) }
      return typeof end === 'object' ? { type: 'failed', fault: end.fault } : { type: 'done', worker: await statusOf(found.model.id) }
    })
  return {
    load: (id, { pin }, signal) => about(id, (from, model, waits) => from.load(model, { pin, signal, waits })),
    unload: (id, { wait }, signal) => about(id, (from, model, waits) => from.unload(model, { wait, signal, waits })),
    async pin(id, pinned) {
      const found = await find(id)
      if (!found.ok) return found
      ;(await engine()).pin(found.model.id, pinned)
      return { ok: true, worker: await statusOf(found.model.id) }
    },
    async preload(signal) {
      for (const id of Object.entries(models).flatMap(([name, { preload }]) => (preload ? [name] : []))) {
        if (signal.aborted) return
        // Behind everybody who asks meanwhile.
        const end = await find(id).then(async (found) => found.ok ? await (await engine()).load(found.model, { class: 'batch', signal }) : { fault: found.fault })
          .catch((error: unknown) => ({ fault: faultFrom(error) }))
        if (typeof end === 'object') log(`'${id}' was not loaded at the start: ${end.fault.message}`)
      }
    },
  }
}

/** What a wish waits for, as it is said, and its one last word. */
async function* told(run: (waits: Waits) => Promise<LoadEvent>): AsyncGenerator<LoadEvent> {
  const waiting: LoadEvent[] = []
  let wake = (): void => undefined
  const tell = (event: LoadEvent): void => {
    waiting.push(event)
    wake()
  }
  run((position, reason) => tell({ type: 'waiting', position, reason })).catch((error: unknown): LoadEvent => ({ type: 'failed', fault: faultFrom(error) })).then(tell, () => undefined)
  for (;;) {
    for (const event of waiting.splice(0)) {
      yield event
      if (event.type !== 'waiting') return
    }
    if (waiting.length === 0) await new Promise<void>((resolve) => { wake = resolve })
  }
}
