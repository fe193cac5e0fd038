// Owns the words for API keys: what a key may do, and how one is made and listed. The secret is in one reply only and nowhere else.
import { z } from 'zod'
import { Budget } from './escalation.ts'
import { jobClasses, scopes } from './principal.ts'

/** What may be known of a key after it was made. */
export const ApiKey = z.strictObject({
  id: z.string().describe('the part before the dot; not secret'),
  name: z.string(),
  scopes: z.array(z.enum(scopes)),
  origin: z.enum(['human', 'automation']),
  class: z.enum(jobClasses).describe('the highest priority class it may ask for'),
  models: z.array(z.string()).nullable().describe('the only models it may use; null = all'),
  budget: Budget.nullable().optional().describe('what it may spend; null or absent = as the box allows'),
  createdAt: z.int(),
  expiresAt: z.int().nullable(),
  lastUsedAt: z.int().nullable().describe('to the minute'),
  revokedAt: z.int().nullable(),
})
export type ApiKey = z.infer<typeof ApiKey>

export const KeyRequest = z.strictObject({
  name: z.string().min(1).max(80).regex(/^[^\p{Cc}]*$/u, { error: 'it holds control characters' }).describe('for people'),
  scopes: z.array(z.enum(scopes)).min(1).default(['infer']).describe('what it may do'),
  origin: z.enum(['human', 'automation']).default('automation').describe('a person or a program'),
  class: z.enum(jobClasses).default('interactive').describe('the highest priority class it may ask for'),
  models: z.array(z.string().min(1)).min(1).nullable().default(null).describe('the only models it may use; null = all but scripts'),
  budget: Budget.nullable().optional().describe('what it may spend; null or absent = as the box allows'),
  expiresInSeconds: z.number().positive().max(10 * 365 * 86_400).nullable().default(null).describe('null = never'),
})
export type KeyRequest = z.infer<typeof KeyRequest>
export type KeyRequestInput = z.input<typeof KeyRequest>

/** The only reply that holds a secret: `secret` is the whole key, `id.secret`. */
export type KeyReply = { key: ApiKey; secret: string; url: string | null }
export type KeyList = { keys: ApiKey[] }
