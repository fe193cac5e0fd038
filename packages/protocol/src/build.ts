// Owns the words of engine builds: what may be asked for, what a build says about itself, and what is told while one is made.
import { z } from 'zod'
import type { Fault } from './fault.ts'

export const buildBackends = ['cpu', 'vulkan', 'hip'] as const
export type BuildBackend = (typeof buildBackends)[number]

/** `library`: what the built-in worker loads; `server`: the program llama-server. */
export const buildTargets = ['library', 'server'] as const
export type BuildTarget = (typeof buildTargets)[number]

export const BuildRequest = z.strictObject({
  backend: z.enum(buildBackends),
  targets: z.array(z.enum(buildTargets)).min(1).max(2).default(['library', 'server']),
  jobs: z.int().min(1).max(512).nullable().default(null).describe('compilers at the same time; null = one less than there are CPUs'),
})
export type BuildRequest = z.infer<typeof BuildRequest>
export type BuildRequestInput = z.input<typeof BuildRequest>

/** The file manifest.json of a finished build. */
export const BuildManifest = z.strictObject({
  version: z.literal(1).describe('version of this format'),
  name: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/).describe('folder of the build, and what people type'),
  backend: z.enum(buildBackends),
  targets: z.array(z.enum(buildTargets)),
  release: z.string().describe('llama.cpp release, as node-llama-cpp names it'),
  commit: z.string().describe('commit of the source bundle; its history is squashed, so no other clone knows it'),
  library: z.string().describe('version of node-llama-cpp; its library serves with no other one'),
  flags: z.array(z.string()).describe('what cmake was given'),
  compiler: z.string().describe('name and version'),
  builtAt: z.int().describe('milliseconds since 1970'),
  buildMs: z.int().min(0),
  readOnlyPaths: z.array(z.string().startsWith('/')).describe('folders outside /usr whose libraries it needs (ROCm)'),
  bytes: z.int().min(0).describe('all its files'),
  files: z.array(z.strictObject({
    path: z.string().describe('inside the folder'),
    bytes: z.int().min(0),
    sha256: z.string().regex(/^[0-9a-f]{64}$/),
  })),
})
export type BuildManifest = z.infer<typeof BuildManifest>

export const BuildRow = z.strictObject({
  ...BuildManifest.omit({ version: true, files: true }).shape,
  problem: z.string().nullable().describe('why it cannot serve; null when it can'),
  usedBy: z.array(z.string()).describe('models whose engine runs it now'),
})
export type BuildRow = z.infer<typeof BuildRow>

export const BuildList = z.strictObject({ builds: z.array(BuildRow).describe('newest first') })
export type BuildList = z.infer<typeof BuildList>

/** One line of the stream of a build. Ends with exactly one `done` or `failed`. */
export type BuildEvent =
  | { type: 'step'; step: 'source' | 'configure' | 'compile' | 'check'; text: string }
  /** `etaMs`: from the speed so far; null in the beginning. */
  | { type: 'progress'; done: number; total: number; etaMs: number | null }
  | { type: 'note'; text: string }
  | { type: 'done'; build: BuildManifest }
  | { type: 'failed'; fault: Fault }
