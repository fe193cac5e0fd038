// Owns the engines built on this box as the daemon sees them: listed with who runs them, made, removed. The only way in for the daemon.
import { join } from 'node:path'
import { fault, FaultError, type BuildEvent, type BuildList, type BuildRequest, type Confine, type WorkerStatus } from '@hearth/protocol'
import { Builder } from './builder.ts'
import { Builds, libraryVersion } from './builds.ts'

export type BuildStoreOptions = {
  /** What can be made again lies here, builds among it. */
  cacheDir: string
  /** Folder of the checkout. */
  root: string
  /** How compilers are confined; null = not at all, as the owner wished. */
  confine: Confine | null
  node: string
  /** PATH, ROCM_PATH and AMDGPU_TARGETS are read of it. */
  env: Readonly<Record<string, string | undefined>>
  workers: () => readonly WorkerStatus[]
  /** Where headers are looked for: `/`, or a made tree in a test. */
  hostRoot?: string
}

export function buildsFolder(cacheDir: string): string {
  return join(cacheDir, 'builds')
}

/** The builds of a daemon with this cache folder. */
export function buildsOf(cacheDir: string, root: string): Builds {
  return new Builds(buildsFolder(cacheDir), () => libraryVersion(root))
}

export class BuildStore {
  readonly #options: BuildStoreOptions
  readonly #builds: Builds
  readonly #builder: Builder

  constructor(options: BuildStoreOptions) {
    this.#options = options
    this.#builds = buildsOf(options.cacheDir, options.root)
    const { cacheDir, workers: _workers, ...builder } = options
    this.#builder = new Builder({ folder: buildsFolder(cacheDir), ...builder })
  }

  list(): BuildList {
    return {
      builds: this.#builds.list().map(({ version: _version, files: _files, folder: _folder, ...build }) => ({ ...build, usedBy: this.#usersOf(build.name) })),
    }
  }

  build(request: BuildRequest, signal: AbortSignal): AsyncIterable<BuildEvent> {
    return this.#builder.build(request, signal)
  }

  /** Throws FaultError `not_found`, or `conflict` while a worker runs it. */
  async remove(name: string): Promise<void> {
    const users = this.#usersOf(name)
    if (users.length > 0) throw new FaultError(fault('conflict', { problem: `The build '${name}' is in use by the engine of ${users.map((user) => `'${user}'`).join(', ')}.` }))
    await this.#builds.remove(name)
  }

  #usersOf(name: string): string[] {
    return this.#options.workers().filter((worker) => worker.build === name && worker.pid !== null).map((worker) => worker.model)
  }
}
