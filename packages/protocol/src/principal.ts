// Owns the words for who asks (Principal) and on whose files (Project). One of each today; every request carries them.
import { z } from 'zod'

export const scopes = ['infer', 'jobs:read', 'jobs:write', 'approve', 'escalate', 'admin', 'metrics'] as const
export const jobClasses = ['interactive', 'job', 'batch'] as const
export type JobClass = (typeof jobClasses)[number]
/** Strictest first. */
export const consents = ['never', 'ask', 'auto'] as const
export type Consent = (typeof consents)[number]
/** Strictest first. */
export const dataClasses = ['local-only', 'redact', 'open'] as const
export type DataClass = (typeof dataClasses)[number]

/** Who asks: the owner of the Unix socket today; keys and SSH keys later. */
export const Principal = z.strictObject({
  id: z.string().min(1).describe('stable name, e.g. socket:1000'),
  kind: z.enum(['socket', 'key', 'ssh']).describe('how it proved itself'),
  origin: z.enum(['human', 'automation']).describe('a person or a program'),
  scopes: z.array(z.enum(scopes)).describe('what it may do'),
  class: z.enum(jobClasses).describe('the highest priority class it may ask for'),
  models: z.array(z.string()).optional().describe('the only models it may use; absent = all'),
})
export type Principal = z.infer<typeof Principal>

/** Whose files: a folder with its rules. `dataClass` and `consent` are read by the egress gate when there is one. */
export const Project = z.strictObject({
  id: z.string().min(1),
  path: z.string().min(1).describe('absolute path of the folder'),
  dataClass: z.enum(dataClasses).default('local-only'),
  consent: z.enum(consents).default('never'),
})
export type Project = z.infer<typeof Project>
