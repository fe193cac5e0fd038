// Owns the words of escalation: what says that a job is stuck (Signal), what is sent (Packet), who may allow it (Policy), and the port through which
// the agent asks (Expert). The agent decides that and what to ask; the daemon decides whether it leaves the house, and counts it.
import { z } from 'zod'
import type { Model } from './model.ts'
import { consents, dataClasses } from './principal.ts'

/**
 * plan: before the first step, a plan with checks that can be run. advise: a diagnosis and the next three actions. step: it works with our tools for some turns,
 * until the check passes. review: it judges a "done". rest: it works to the end.
 */
export const escalationModes = ['plan', 'advise', 'step', 'review', 'rest'] as const
export type EscalationMode = (typeof escalationModes)[number]

/** hard: acts alone. soft: two together act. declared: the model asked. logged: written down until it is calibrated on this box, never acts. */
export const signalKinds = ['hard', 'soft', 'declared', 'logged'] as const
export const Signal = z.strictObject({
  kind: z.enum(signalKinds),
  name: z.string().describe('e.g. same_error, done_contradicted, failing_tests_flat'),
  evidence: z.string().describe('what was seen, with the number'),
})
export type Signal = z.infer<typeof Signal>

/** What became of the job in the three local turns after an escalation. */
export const effects = ['cleared', 'same', 'worse'] as const
export type Effect = (typeof effects)[number]

/** Limits in money (micro-dollars) and count; null = this limit does not exist. A box without any limit in money buys nothing. */
export const Budget = z.strictObject({
  escalationUsdMicros: z.int().min(0).nullable().default(null).describe('one escalation'),
  jobUsdMicros: z.int().min(0).nullable().default(null).describe('one job'),
  dayUsdMicros: z.int().min(0).nullable().default(null).describe('a day (UTC)'),
  monthUsdMicros: z.int().min(0).nullable().default(null).describe('a month (UTC)'),
  jobCount: z.int().min(0).nullable().default(null).describe('escalations of one job'),
  dayCount: z.int().min(0).nullable().default(null).describe('escalations of a day'),
  monthCount: z.int().min(0).nullable().optional().describe('escalations of a month; absent = no such limit'),
})
export type Budget = z.infer<typeof Budget>

/** What may leave, and who says so. Of box, project, principal and job the strictest holds in each field. */
export const Policy = z.strictObject({
  consent: z.enum(consents).describe('never: nothing is bought; ask: a person approves each packet; auto: within the budget'),
  modes: z.array(z.enum(escalationModes)).describe('modes that are allowed'),
  dataClass: z.enum(dataClasses).describe('local-only: nothing of it leaves; redact: secrets are replaced before it leaves; open: as it is, but for secrets'),
  budget: Budget,
})
export type Policy = z.infer<typeof Policy>

export type PacketSlice = { path: string; fromLine: number; text: string }

/** What the agent knows and would send; rendered by it, with what never changes within a job first, so that a provider's cache is hit. */
export type Packet = {
  /** The same for all packets of a job: goal, acceptance, constraints. */
  prefix: string
  /** This escalation: diff, failing output, what was tried, slices of files, the question. */
  body: string
  /** Files of the folder of which anything is in it, relative to the folder: policy may name paths. */
  files: readonly string[]
}

export type Consultation = {
  /** Unique within the job: e1, e2, … */
  id: string
  mode: EscalationMode
  step: number
  signals: readonly Signal[]
  packet: Packet
  /** Completion tokens of one turn, and turns at most: they bound the price. */
  maxTokens: number
  maxTurns: number
}

/**
 * What asking a model of this box that is not in memory takes, forecast from what was measured here, milliseconds. Null = nothing was measured that would tell,
 * and then it is not asked: a guess would move models for nothing.
 */
export const Swap = z.strictObject({
  leaves: z.array(z.string()).describe('models that leave the memory for it'),
  roomMs: z.int().min(0).describe('until they have left, with the saving of their conversations'),
  loadMs: z.int().min(0).nullable().describe('loading it'),
  loadFrom: z.string().nullable().describe('the model that the loading time was scaled from, by the size of the files; null = its own loads'),
  checkMs: z.int().min(0).nullable().describe('the check of its first words; 0 = this file and build have passed it'),
  answerMs: z.int().min(0).nullable().describe('reading the packet and writing the longest answer, all turns'),
  backMs: z.int().min(0).nullable().describe("bringing back the job's own model and its conversation; 0 = it does not leave"),
})
export type Swap = z.infer<typeof Swap>
/** Milliseconds. Somebody who was answered so lately reads, thinks or types: their model does not leave for a question of a job. */
export const chatStaysMs = 600_000

/** One that a route names and that was passed over. */
export const PassedOver = z.strictObject({ model: z.string(), why: z.string(), swap: Swap.optional().describe('of a model of this box that would have to be loaded') })
export type PassedOver = z.infer<typeof PassedOver>

/** Why it may not be bought. `budget` and `limit` are the owner's limits in money and count, `provider` is a technical fault, the others are policy. */
export const denialRules = ['consent', 'mode', 'data_class', 'secret', 'budget', 'price', 'provider', 'limit', 'untrusted'] as const
export const Denial = z.strictObject({ rule: z.enum(denialRules), why: z.string(), remedy: z.string(), passedOver: z.array(PassedOver).optional().describe('who was not asked before, and why; absent = nobody') })
export type Denial = z.infer<typeof Denial>

/** What would be sent where at which worst price. Nothing was sent or reserved yet. */
export const Offer = z.strictObject({
  model: z.string(),
  place: z.enum(['local', 'lan', 'remote']),
  host: z.string(),
  consent: z.enum(['ask', 'auto']).describe('ask: a person approves exactly this text first'),
  preview: z.string().describe('the packet as it would leave, placeholders in place of secrets'),
  sha256: z.string().describe('of the preview: what a person approves is exactly this text'),
  bytes: z.int().min(0),
  redactions: z.array(z.strictObject({ kind: z.string(), count: z.int() })),
  worstUsdMicros: z.int().min(0).describe('price at worst, micro-dollars'),
  because: z.string().optional().describe('why this model and not another one of the route'),
  bound: z.string().optional().describe('what the job may spend by its worth, and the chance that this is made of; absent = nobody said what it is worth'),
  swap: Swap.optional().describe('a model of this box that is loaded for it'),
  insteadUsdMicros: z.int().min(0).optional().describe('what the first bought one of the route would have cost at worst; absent = none was to be bought'),
  passedOver: z.array(PassedOver).optional().describe('who was not asked before this one, and why; absent = nobody'),
})
export type Offer = z.infer<typeof Offer>

/** The packet as one text: what an offer previews, and the first words that the expert reads. */
export function packetText({ prefix, body }: Pick<Packet, 'prefix' | 'body'>): string {
  return prefix === '' ? body : `${prefix}\n\n${body}`
}

/** The port of the agent. Never throws for anything a provider, a policy or a person does. */
export interface Expert {
  /** Who would answer now, or why nobody does. Sends nothing. */
  offer(asked: Consultation): Promise<{ ok: true; offer: Offer } | { ok: false; denial: Denial }>
  /**
   * The model that answers this escalation: a gate around a provider. It looks at policy, secrets and budget again at each call, writes the audit row and
   * reserves the worst price before the first byte leaves. `approved`: sha256 of the text that a person approved; null = consent is `auto`.
   * What was replaced is put back in its answers. A refusal is its `failed` event, with one of the fault codes of this subject.
   */
  model(asked: Consultation, offer: Offer, approved: string | null): Promise<Model>
  /**
   * Why the yes of a person to this offer holds no more, as a sentence: it is too old, the text is another one now, or it was sent once and nobody knows what came of it.
   * Null = it holds, also after a start of the daemon. Absent = every yes does.
   */
  lapsed?(asked: Consultation, offer: Offer): Promise<string | null>
  /** Why nothing of this file (relative to the folder) may be in a packet; null = it may. */
  withholds?(path: string): string | null
  /** What a call of this escalation cost so far, micro-dollars. */
  spent(id: string): number
}

