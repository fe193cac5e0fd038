// Owns how node-llama-cpp is made to load a build of ours: its request for the package with ready-made binaries is answered with our folder.
// Builds nothing and imports nothing of the library. The folder beside node_modules that it also looks into would not outlive `npm ci`,
// is not ours to write in an installation of root's, and would serve every daemon that runs from this checkout.
import { registerHooks } from 'node:module'
import type { BuildBackend } from '@hearth/protocol'

export type OwnBuild = {
  name: string
  backend: BuildBackend
  /** Absolute; holds `library/NAME/llama-addon.node`, see `libraryFolder`. */
  folder: string
  /** The library's own version; it looks at it. */
  library: string
  /** Tells a build from a later one of the same name. */
  builtAt: number
}

// The library knows ROCm only as a kind of CUDA: its addon reports a device named ROCm as `cuda`.
const suffixes = { cpu: '', vulkan: '-vulkan', hip: '-cuda' } as const satisfies Record<BuildBackend, string>

/** What the library calls the backend. */
export function libraryGpu(backend: BuildBackend): false | 'vulkan' | 'cuda' {
  return backend === 'cpu' ? false : backend === 'vulkan' ? 'vulkan' : 'cuda'
}

/** Name of the folder that the library wants its binary in, for this machine. `arch` as in process.arch. */
export function libraryFolder(backend: BuildBackend, arch: string): string {
  return `linux-${arch}${suffixes[backend]}`
}

/** From now on, in this process, the library finds this build where it looks for the ready-made binary of the same backend. */
export function useOwnBuild({ backend, folder, library }: OwnBuild, arch: string): void {
  // There is one package for everything on arm64.
  const wanted = `@node-llama-cpp/${arch === 'x64' ? libraryFolder(backend, arch) : `linux-${arch}`}`
  const source = `export const getBinsDir = () => (${JSON.stringify({ binsDir: `${folder}/library`, packageVersion: library })})`
  const url = `data:text/javascript,${encodeURIComponent(source)}`
  registerHooks({
    resolve: (specifier, context, next) => (specifier === wanted ? { url, format: 'module', shortCircuit: true } : next(specifier, context)),
  })
}
