// Owns how the worker of a model is started, our own or a llama-server: which library or program, what it may read, what it is told of the environment.
// Starts none itself; which of the two is taken is decided elsewhere.
import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fault, type Config, type Confine } from '@hearth/protocol'
import type { Builds } from './build/builds.ts'
import { libraryFor, ownLibrary, serverFor } from './build/serving.ts'
import type { Choice } from './golden/trust.ts'
import type { InstalledModel } from './installed.ts'
import { launcher, type Launch } from './local/process.ts'
import type { Load, Ready } from './local/wire.ts'
import { filesOf, identityOf } from './model-files.ts'
import { Probes } from './server/child.ts'
import { llamaServerLauncher } from './server/llama-server.ts'

export type LaunchesOptions = {
  config: Config['engine']
  confine: Confine | null
  node: string
  root: string
  env?: Readonly<Record<string, string | undefined>>
  /** What was built on this box; null = nothing is. */
  builds: Builds | null
}

const passedOn = /^(GGML_|VK_|HSA_)|^(AMD_VULKAN_ICD|MESA_SHADER_CACHE_DIR|LP_NUM_THREADS)$/
const mounted = ['engine/package.json', 'engine/src', 'protocol/package.json', 'protocol/src']

export class Launches {
  readonly #options: LaunchesOptions
  readonly #probes = new Probes()

  constructor(options: LaunchesOptions) {
    this.#options = options
  }

  /** Whether there is a llama-server: the owner's, or one that was built here. */
  hasServer(backend: Load['backend']): boolean {
    return !('fault' in serverFor(this.#options.config.adapters.llamaServer.path, this.#options.builds, backend, ''))
  }

  /** The library of this box that our own worker would load, as one word that no later build has; null = what came with Hearth. */
  ownLibrary(backend: Load['backend']): string | null {
    return ownLibrary(this.#options.builds, backend)
  }

  /** The build of this box that a choice of the built-in engine would load; null = what came with Hearth. */
  buildOf({ backend, shipped }: Choice): string | null {
    const own = shipped === true ? null : libraryFor(this.#options.builds, backend)
    return own === null || 'fault' in own ? null : own.build.name
  }

  /** What would compute other tokens when it changes: the library or the program, its arguments, and what it is told by the environment. */
  identity({ engine, backend: wanted }: Choice, { backend, library }: Ready): { engine: string; settings: readonly unknown[] } {
    const { config, env } = this.#options
    const { path, args, speculation, draftModel } = config.adapters.llamaServer
    const found = serverFor(path, this.#options.builds, wanted, '')
    const program = 'fault' in found ? '' : found.program
    const set = Object.entries(allowed(env ?? {})).toSorted(([a], [b]) => a.localeCompare(b))
    if (engine === 'built-in') return { engine: `${library ?? 'the built-in library'}, ${backend}`, settings: set }
    return { engine: `${program}, ${backend}`, settings: [identityOf(program), args, speculation, draftModel, set] }
  }

  /** The way to start our own worker for this model. `shipped`: with the library that came with Hearth, also where one was built here. */
  builtIn(installed: InstalledModel, load: Load, { shipped, readWrite }: { shipped: boolean; readWrite: readonly string[] }): Launch {
    const { config, confine, node, root, env } = this.#options
    const binary = realpathSync(node)
    const worker = join(root, 'packages/engine/src/local/worker.ts')
    const own = libraryFor(shipped ? null : this.#options.builds, load.backend)
    if (own !== null && 'fault' in own) return () => own
    load.build = own?.build ?? null
    const spec = {
      argv: [binary, '--disable-warning=ExperimentalWarning', worker],
      // node_modules/@hearth/* are links into packages/, so both ends must be there.
      readOnly: [binary, join(root, 'package.json'), join(root, 'node_modules'), ...mounted.map((folder) => join(root, 'packages', folder)), ...filesOf(installed.path), ...(load.draft == null ? [] : filesOf(load.draft.path)), ...(own?.readOnly ?? [])],
      readWrite,
      gpu: load.backend !== 'cpu',
      env: { HOME: '/tmp', PATH: '/usr/bin:/bin', ...allowed(env ?? {}) },
    }
    if (config.sandbox === 'off') return launcher(null, spec)
    return confine === null ? noConfine : launcher(confine, spec)
  }

  /** The way to start a llama-server for this model. */
  llamaServer(installed: InstalledModel, load: Load): Launch {
    const { config, confine, env } = this.#options
    const adapter = config.adapters.llamaServer
    const found = serverFor(adapter.path, this.#options.builds, load.backend, installed.id)
    if ('fault' in found) return () => found
    if (config.sandbox !== 'off' && confine === null) return noConfine
    load.build = found.build
    return llamaServerLauncher({
      model: installed.id, program: found.program, load, config: adapter, probes: this.#probes,
      confined: {
        confine: config.sandbox === 'off' ? null : confine, gpu: load.backend !== 'cpu', env: allowed(env ?? {}),
        readOnly: [...filesOf(installed.path), ...(adapter.draftModel === null ? [] : filesOf(adapter.draftModel)), ...found.readOnly, ...adapter.readOnlyPaths],
      },
    })
  }
}

function noConfine() {
  return { fault: fault('sandbox_unavailable', { why: 'the daemon has no way to confine the engine worker', remedy: 'Install bubblewrap, or set "engine": {"sandbox": "off"}.' }) }
}

function allowed(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined && passedOn.test(entry[0])))
}
