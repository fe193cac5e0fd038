// Owns the folder of finished builds: what lies in it, which one fits a wish, taking one away. Builds nothing.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { BuildManifest, fault, FaultError, type BuildBackend, type BuildTarget } from '@hearth/protocol'

export type Build = BuildManifest & {
  /** Absolute. */
  folder: string
  /** Why it cannot serve as the library; null when it can, or was never meant to. */
  problem: string | null
}

/** Beginnings of the names of folders that are no builds: being made, being removed. */
export const building = '.building-'
const removing = '.removing-'

/** Program and library inside the folder of a build. */
export const serverProgram = 'bin/llama-server'

export class Builds {
  readonly #folder: string
  readonly #library: () => string | null

  /** `library`: the version of node-llama-cpp that a build must be made for; null = not known. */
  constructor(folder: string, library: () => string | null) {
    this.#folder = folder
    this.#library = library
  }

  /** Newest first. A folder without a whole manifest is none. */
  list(): Build[] {
    if (!existsSync(this.#folder)) return []
    const names = readdirSync(this.#folder).filter((name) => !name.startsWith('.'))
    return names.flatMap((name) => this.#read(name) ?? []).sort((a, b) => b.builtAt - a.builtAt || b.name.localeCompare(a.name))
  }

  /** The newest one that can be this target for this backend; null when there is none. */
  newest(backend: BuildBackend | 'auto', target: BuildTarget): Build | null {
    return pick(this.list(), backend, target)
  }

  /** Throws FaultError `not_found`. A program that runs keeps its files until it ends. */
  async remove(name: string): Promise<void> {
    if (!this.list().some((build) => build.name === name)) throw new FaultError(fault('not_found', { what: `build '${name}'; 'hearth engine ls' lists them` }))
    // First out of sight, so that nobody starts half of it.
    const away = join(this.#folder, `${removing}${name}`)
    await rm(away, { recursive: true, force: true })
    await rename(join(this.#folder, name), away)
    await rm(away, { recursive: true, force: true })
  }

  #read(name: string): Build | null {
    const folder = join(this.#folder, name)
    const found = readManifest(folder)
    if (found === null || found.name !== name || !found.files.every((file) => existsSync(join(folder, file.path)))) return null
    const wanted = this.#library()
    const problem = found.targets.includes('library') && wanted !== null && wanted !== found.library
      ? `its library is for node-llama-cpp ${found.library}, and this Hearth has ${wanted}: build it again` : null
    return { ...found, folder, problem }
  }
}

/**
 * The first build of the list that fits. `auto`: one for a GPU if there is any. A server of any backend can compute on the CPU;
 * a library that was built for a GPU cannot be loaded without that GPU's driver.
 */
export function pick(builds: readonly Build[], backend: BuildBackend | 'auto', target: BuildTarget): Build | null {
  const able = builds.filter((build) => build.targets.includes(target) && (target === 'server' || build.problem === null))
  const of = (...wanted: BuildBackend[]): Build | null => able.find((build) => wanted.includes(build.backend)) ?? null
  switch (backend) {
    case 'cpu': return of('cpu') ?? (target === 'server' ? of('vulkan', 'hip') : null)
    case 'vulkan': return of('vulkan')
    case 'hip': return of('hip')
    case 'auto': return of('vulkan', 'hip') ?? of('cpu')
    default: return backend satisfies never
  }
}

function readManifest(folder: string): BuildManifest | null {
  try {
    return BuildManifest.parse(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')))
  } catch {
    return null
  }
}

/** The version of the library in this installation; null when it is not there. */
export function libraryVersion(root: string): string | null {
  try {
    const { version } = JSON.parse(readFileSync(join(root, 'node_modules/node-llama-cpp/package.json'), 'utf8')) as { version?: unknown }
    return typeof version === 'string' ? version : null
  } catch {
    return null
  }
}
