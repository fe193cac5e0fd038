// Puts the real parts together: agent, engine, sandbox, catalogue, door. Each is imported when it is first needed.
import { dirname, join } from 'node:path'
import { fault, type Config, type Paths } from '@hearth/protocol'
import { createDoor } from './egress/door.ts'
import { loadedModels } from './loaded.ts'
import type { Log } from './log.ts'
import type { Parts } from './parts.ts'
import type { Store } from './store/store.ts'
import { tuning } from './tuning.ts'

export type ComposeOptions = {
  config: Config
  paths: Paths
  store: Pick<Store, 'egress'>
  log: Log
  /** The Node that runs worker programs. */
  node: string
  /** The folder of this installation: models.json, packages, node_modules. */
  root: string
  /** The engine passes some of it on to its workers (GGML_*, VK_*); default: nothing. */
  env?: Readonly<Record<string, string | undefined>>
}

const scripted = 'scripted:'

export function composeParts({ config, paths, store, log, node, root, env = {} }: ComposeOptions): Parts {
  const line = (from: string) => (text: string): void => log('info', text, { from })
  const door = once(() => Promise.resolve(createDoor((entry) => store.egress(entry))))
  const sandboxes = once(async () => (await import('@hearth/sandbox')).createSandbox({ config: config.sandbox, stateDir: paths.state, log: line('sandbox') }))
  const models = once(async () => {
    const { ModelStore } = await import('@hearth/engine')
    return new ModelStore({
      catalogPath: join(root, 'models.json'), overlayDir: join(dirname(paths.config), 'models.d'), modelsDir: paths.models, door: await door(),
      hub: { url: config.models.hubUrl, tokenFile: config.models.hubTokenFile }, connections: config.models.connections, draftModels: config.engine.draftModels,
    })
  })
  let engineNow: import('@hearth/engine').Engine | null = null
  const engines = once(async () => {
    const { Engine } = await import('@hearth/engine')
    const confine = config.engine.sandbox === 'off' ? null : (await import('@hearth/sandbox')).createConfine({})
    engineNow = new Engine({ config: config.engine, confine, node, root, env, cacheDir: paths.cache, log: line('engine'), profilePath: join(paths.state, 'profile.json') })
    return engineNow
  })

  const builds = once(async () => {
    const { BuildStore } = await import('@hearth/engine')
    const confine = config.engine.sandbox === 'off' ? null : (await import('@hearth/sandbox')).createConfine({})
    return new BuildStore({ cacheDir: paths.cache, root, confine, node, env, workers: () => engineNow?.workers() ?? [] })
  })

  return {
    agent: async () => (await import('@hearth/agent')).runAgent,
    prober: async () => (await import('@hearth/agent')).probeModel,
    sandbox: sandboxes,
    shelf: models,
    builds,
    defaultModel: async () => (await models()).default(config.jobs.model, config.models.default),
    endpoints: async (check) => (config.engine.endpoints.length === 0 ? [] : (await import('@hearth/engine')).endpointRows(config.engine.endpoints, await door(), check)),
    async model(id) {
      if (id.startsWith(scripted)) return (await import('@hearth/engine')).loadScript(id.slice(scripted.length))
      const endpoint = config.engine.endpoints.find((one) => one.id === id)
      if (endpoint !== undefined) {
        const { CompatibleModel } = await import('@hearth/engine')
        return { ok: true, model: new CompatibleModel({ endpoint, door: await door(), log: line('engine') }) }
      }
      const found = await (await models()).resolve(id)
      return found.ok ? { ok: true, model: (await engines()).model(found.model) } : found
    },
    async plan(id) {
      const found = await (await models()).resolve(id)
      if (!found.ok) return found
      const plan = await (await engines()).plan(found.model)
      return plan === null ? { ok: false, fault: fault('bad_file', { path: found.model.path, problem: 'it or one of its parts cannot be read' }) } : { ok: true, plan }
    },
    loaded: loadedModels({ models: config.engine.models, find: async (id) => (await models()).resolve(id), engine: engines, log: line('engine') }),
    tuning: tuning({ find: async (id) => (await models()).resolve(id), engine: engines }),
    workers: () => engineNow?.workers() ?? [],
    reset: async (id) => {
      if (engineNow === null) return false
      engineNow.reset(id)
      return true
    },
    async close() {
      await engineNow?.close()
      if (sandboxes.made) await (await sandboxes()).close()
    },
  }
}

/** The first call makes it; a failure is not kept. */
function once<T>(make: () => Promise<T>): (() => Promise<T>) & { readonly made: boolean } {
  let made: Promise<T> | null = null
  const get = (): Promise<T> => {
    made ??= make().catch((error: unknown) => {
      made = null
      throw error
    })
    return made
  }
  return Object.defineProperty(get, 'made', { get: () => made !== null }) as (() => Promise<T>) & { readonly made: boolean }
}
