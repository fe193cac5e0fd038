// Owns what the daemon does with measured speeds: has the engine measure models by their ids, tells what is stored, and adds speeds to a list of models.
import type { Engine, InstalledModel } from '@hearth/engine'
import type { Found, Tuning } from './parts.ts'

export type TuningOptions = {
  find(id: string): Promise<Found<{ model: InstalledModel }>>
  engine(): Promise<Engine>
}

export function tuning({ find, engine }: TuningOptions): Tuning {
  const installed = async (id: string): Promise<InstalledModel | null> => {
    const found = await find(id)
    return found.ok ? found.model : null
  }
  return {
    async *tune(ids, wish, signal) {
      const models: InstalledModel[] = []
      for (const id of ids) {
        const found = await find(id)
        if (!found.ok) {
          yield { type: 'failed', fault: found.fault }
          return
        }
        models.push(found.model)
      }
      yield* (await engine()).tune(models, wish, signal)
    },
    async speedAt(id) {
      const model = await installed(id)
      return model === null ? null : (await engine()).speedAt(model)
    },
    async swap(id, { asker, ...wish }) {
      const found = await find(id)
      return found.ok ? (await engine()).swap(found.model, { ...wish, asker: await installed(asker) }) : { ok: false, why: found.fault.message.replace(/\.$/, ''), remedy: found.fault.remedy }
    },
    profiles: async () => ({ models: await (await engine()).profiles(installed) }),
    async withSpeeds(rows) {
      const known = await engine()
      return await Promise.all(rows.map(async (row) => {
        const model = row.installed && row.problem === null ? await installed(row.id) : null
        const speed = model === null ? null : await known.speed(model)
        return speed === null ? row : { ...row, speed }
      }))
    },
  }
}
