// Owns the words for remote providers: where they are, which models they sell and at which dated price. Knows no wire format.
import { z } from 'zod'
import { escalationModes } from './escalation.ts'
import { AgentProfile } from './model.ts'

export const providerKinds = ['anthropic', 'openai', 'compatible'] as const

/** Micro-dollars for a million tokens, so that 1 USD per million is 1,000,000. A price without a day cannot be checked, and an unknown price is refused. */
export const Price = z.strictObject({
  from: z.iso.date().describe('first day of this price (UTC)'),
  input: z.int().min(0).describe('micro-dollars for a million prompt tokens that were read anew'),
  cacheRead: z.int().min(0).describe('the same for prompt tokens that came out of the provider\'s cache'),
  cacheWrite: z.int().min(0).describe('the same for prompt tokens that were written into it'),
  output: z.int().min(0).describe('the same for completion tokens, thoughts included'),
})
export type Price = z.infer<typeof Price>

export const RemoteModelConfig = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._/-]{0,80}$/).describe('what people type; unique, and not an id of the catalogue'),
  model: z.string().min(1).describe('the name that is sent'),
  contextTokens: z.int().min(512),
  maxOutputTokens: z.int().min(16).describe('what the provider lets it write at most; with the price it bounds what a call can cost'),
  prices: z.array(Price).default([]).describe('newest day that has begun counts; none = the model is refused'),
  profile: AgentProfile.prefault({ toolMode: 'native' }).describe('how the agent speaks with it when it takes over a step'),
})
export type RemoteModelConfig = z.infer<typeof RemoteModelConfig>

/** A seller of tokens outside of the house. Its key is read from a private file for each call, and is sent to this address only. */
export const ProviderConfig = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/),
  kind: z.enum(providerKinds).describe('whose wire format it speaks; compatible = the OpenAI chat dialect at another address'),
  url: z.url({ protocol: /^https?$/ }).refine((url) => !/[?#]|\/\/[^/]*@/.test(url), 'no user, query or fragment belongs here').nullable().default(null)
    .describe('base address; null = the provider\'s own (anthropic, openai)'),
  keyFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) that holds the key'),
  models: z.array(RemoteModelConfig).default([]),
  tokensPerMinute: z.int().min(1).nullable().default(null).describe('throughput that is paid for anyway (provisioned); null = every token is bought'),
  reservedTokensPerMinute: z.record(z.string(), z.int().min(1)).default({}).describe('of that throughput, by principal: tokens a minute that nobody else may use'),
}).refine(({ kind, url }) => kind !== 'compatible' || url !== null, { path: ['url'], error: 'a compatible provider needs its address' })
  .refine(({ tokensPerMinute, reservedTokensPerMinute }) => Object.values(reservedTokensPerMinute).reduce((sum, part) => sum + part, 0) <= (tokensPerMinute ?? 0),
    { path: ['reservedTokensPerMinute'], error: 'more is reserved than tokensPerMinute holds' })
export type ProviderConfig = z.infer<typeof ProviderConfig>

export const routePreferences = ['order', 'cheapest', 'best', 'fastest'] as const

/** Who is asked for what. Ids are of models of providers, of engine.endpoints, or of this box. */
export const RouteConfig = z.strictObject({
  modes: z.array(z.enum(escalationModes)).min(1).nullable().default(null).describe('plan, advise, step, review, rest; null = all'),
  kinds: z.array(z.string().min(1)).min(1).nullable().default(null).describe('kinds of jobs: their tag `kind`, or task or chat; null = all'),
  models: z.array(z.string().min(1)).min(1).describe('who may be asked; what runs on this box or in the house goes first'),
  prefer: z.enum(routePreferences).default('order').describe('among bought models: as they stand here; or, by what came of earlier answers here, the cheapest that helped, the best, the fastest'),
})
export type RouteConfig = z.infer<typeof RouteConfig>

/** Addresses of the providers that have one of their own. */
const ownUrls: Readonly<Record<(typeof providerKinds)[number], string | null>> = { anthropic: 'https://api.anthropic.com', openai: 'https://api.openai.com/v1', compatible: null }

/** Where its requests go, without a slash at the end. */
export function providerUrl({ kind, url }: Pick<ProviderConfig, 'kind' | 'url'>): string {
  return (url ?? ownUrls[kind] ?? '').replace(/\/+$/, '')
}

/** The price that holds at this moment (milliseconds since 1970); null = none is known. */
export function priceAt(prices: readonly Price[], at: number): Price | null {
  const day = new Date(at).toISOString().slice(0, 10)
  return prices.filter(({ from }) => from <= day).reduce<Price | null>((newest, price) => (newest === null || price.from >= newest.from ? price : newest), null)
}
