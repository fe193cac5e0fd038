// Owns where a llama-server that `hearth engine build` made lies, and what its manifest says. Builds nothing.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'

export const buildBackends = ['vulkan', 'hip', 'cpu'] as const
export type BuildBackend = (typeof buildBackends)[number]

/** `manifest.json` beside the built tree; written last, so that a folder without it is no engine. */
export const BuildManifest = z.strictObject({
  version: z.literal(1),
  backend: z.enum(buildBackends),
  release: z.string(),
  commit: z.string(),
  flags: z.array(z.string()),
  program: z.string(),
  builtAt: z.int(),
  seconds: z.number(),
})
export type BuildManifest = z.infer<typeof BuildManifest>

export function enginesFolder(cacheDir: string): string {
  return join(cacheDir, 'engines')
}

/** The manifest of a finished build, or null. */
export function readManifest(folder: string): BuildManifest | null {
  try {
    const manifest = BuildManifest.parse(JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')))
    return existsSync(join(folder, manifest.program)) ? manifest : null
  } catch {
    return null
  }
}

/** The program for a backend: on a GPU the ROCm or Vulkan build, whichever is there, Vulkan first; else the build for the CPU. */
export function builtProgram(cacheDir: string, backend: 'auto' | 'cpu' | 'vulkan'): string | null {
  const order: readonly BuildBackend[] = backend === 'cpu' ? ['cpu'] : backend === 'vulkan' ? ['vulkan'] : ['vulkan', 'hip', 'cpu']
  for (const one of order) {
    const folder = join(enginesFolder(cacheDir), `llama-server-${one}`)
    const manifest = readManifest(folder)
    if (manifest !== null) return join(folder, manifest.program)
  }
  return null
}
