// Owns which build serves a load: the owner's program first, else the newest build that fits, else what came with the library. Starts nothing.
import { join } from 'node:path'
import { fault, type Fault } from '@hearth/protocol'
import type { OwnBuild } from '../local/own-build.ts'
import type { Load } from '../local/wire.ts'
import { serverProgram, type Build, type Builds } from './builds.ts'

/** `readOnly`: what a worker must see of the disk for it. `build` null: not one of ours. */
export type Serving = { program: string; build: OwnBuild | null; readOnly: readonly string[] }

/** The llama-server for a model. `path`: the owner's own program, or null. `builds` null: this engine keeps none. */
export function serverFor(path: string | null, builds: Builds | null, backend: Load['backend'], model: string): Serving | { fault: Fault } {
  if (path !== null) return { program: path, build: null, readOnly: [] }
  const build = builds?.newest(backend, 'server') ?? null
  if (build !== null) return { program: join(build.folder, serverProgram), build: shown(build), readOnly: [build.folder, ...build.readOnlyPaths] }
  const kind = backend === 'auto' ? 'vulkan' : backend
  return {
    fault: fault('engine_unavailable', {
      why: `engine.adapters.llamaServer serves '${model}', but engine.adapters.llamaServer.path names no program and none was built here${backend === 'auto' ? '' : ` for ${backend}`}`,
      remedy: `Run 'hearth engine build --backend ${kind} --target server', or name your own program.`,
    }),
  }
}

/** The library for the built-in worker: a build of ours, or null for the one that came with Hearth. */
export function libraryFor(builds: Builds | null, backend: Load['backend']): { build: OwnBuild; readOnly: readonly string[] } | null | { fault: Fault } {
  const build = builds?.newest(backend, 'library') ?? null
  if (build !== null) return { build: shown(build), readOnly: [build.folder, ...build.readOnlyPaths] }
  if (backend !== 'hip') return null
  return { fault: fault('engine_unavailable', { why: 'engine.backend is hip, and no library for ROCm comes with Hearth', remedy: "Run 'hearth engine build --backend hip'." }) }
}

/** Name of the library build that `libraryFor` would choose, as one word that no later build has; null = none. */
export function ownLibrary(builds: Builds | null, backend: Load['backend']): string | null {
  const build = builds?.newest(backend, 'library') ?? null
  return build === null ? null : `${build.name} of ${build.builtAt}`
}

function shown({ name, backend, folder, library, builtAt }: Build): OwnBuild {
  return { name, backend, folder, library, builtAt }
}
