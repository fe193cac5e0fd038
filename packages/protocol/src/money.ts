// Owns the words of money: what was bought ahead (Package), what is kept for whom (Earmark), and what is left (BudgetReply). Amounts are integers.
import { z } from 'zod'

/** Tokens or money bought ahead. What it covers costs nothing more, so it is drawn down before money is spent. */
export const Package = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,60}$/),
  provider: z.string().describe('id of the provider that sold it'),
  models: z.array(z.string()).min(1).nullable().default(null).describe('ids of the models it is good for; null = all of that provider'),
  tokens: z.int().min(1).nullable().default(null).describe('prompt and completion tokens it holds'),
  usdMicros: z.int().min(1).nullable().default(null).describe('or the money it holds, micro-dollars'),
  paidUsdMicros: z.int().min(0).nullable().default(null).describe('what was paid for it; null = not said, and whether it pays is not forecast'),
  boughtAt: z.iso.date().describe('first day it is good for (UTC); what was drawn before is of an earlier one of that id. A day to come forecasts whether it would pay'),
  expiresAt: z.iso.date().nullable().default(null).describe('last day it is good for (UTC); null = it does not lapse'),
  principals: z.array(z.string()).min(1).nullable().default(null).describe('the only ones who may draw on it; null = all'),
}).refine(({ tokens, usdMicros }) => (tokens === null) !== (usdMicros === null), { path: ['tokens'], error: 'a package holds either tokens or usdMicros' })
  .refine(({ boughtAt, expiresAt }) => expiresAt === null || expiresAt >= boughtAt, { path: ['expiresAt'], error: 'it ends before it begins' })
export type Package = z.infer<typeof Package>

/** Part of the box's own limits that only these principals may spend, together. Others are denied before they touch it. */
export const Earmark = z.strictObject({
  principals: z.array(z.string()).min(1).describe('e.g. key:7k2m9x4tq8wz, socket:1000'),
  dayUsdMicros: z.int().min(0).default(0).describe('of a day; of the limit of the month it is kept for every day that is left, where that limit holds so much and monthUsdMicros is 0, else for today'),
  monthUsdMicros: z.int().min(0).default(0).describe('of a month'),
})
export type Earmark = z.infer<typeof Earmark>

export const budgetScopes = ['box', 'project', 'principal', 'job'] as const
export type BudgetScope = (typeof budgetScopes)[number]

/** One limit. `spent` holds what is reserved and not settled yet at its worst price; `held` says how much of it that is. */
export const BudgetRow = z.strictObject({
  scope: z.enum(budgetScopes),
  id: z.string().describe('box, or which project, principal or job'),
  period: z.enum(['job', 'day', 'month']),
  unit: z.enum(['usdMicros', 'escalations']),
  limit: z.int(),
  spent: z.int(),
  held: z.int(),
  left: z.int().describe('never below 0'),
})
export type BudgetRow = z.infer<typeof BudgetRow>

export const PackageRow = z.strictObject({
  id: z.string(),
  provider: z.string(),
  unit: z.enum(['tokens', 'usdMicros']),
  amount: z.int(),
  used: z.int().describe('with what is reserved'),
  left: z.int(),
  boughtAt: z.string(),
  expiresAt: z.string().nullable(),
  perDay: z.number().describe('drawn a day, over the last 7 days or since it was bought; before its first day what it would have covered of the last 7 days'),
  emptyAt: z.string().nullable().describe('day on which it is empty at that pace, if that is before it lapses'),
  lapses: z.int().describe('what is forecast to be left when it lapses; 0 = nothing, or it does not lapse'),
  worthUsdMicros: z.int().describe('what it paid for so far, at the dated prices'),
  forecastUsdMicros: z.int().nullable().optional().describe('what it is forecast to pay for in all; null = cannot be said yet'),
  pays: z.boolean().nullable().describe('whether it is forecast to save more than it cost; null = cannot be said yet'),
  warnings: z.array(z.string()),
})
export type PackageRow = z.infer<typeof PackageRow>

export const BudgetReply = z.strictObject({
  day: z.string().describe('UTC day on which money is booked now'),
  clockBack: z.boolean().describe('the clock is behind the last booking, so money is still booked on that day'),
  rows: z.array(BudgetRow),
  worth: z.string().optional().describe('what the job may spend by its worth, and the chance that this is made of; absent = nobody said what it is worth'),
  reserved: z.array(z.strictObject({
    principals: z.array(z.string()), period: z.enum(['day', 'month']), usdMicros: z.int(), left: z.int().describe('what only they may still spend'),
  })).describe('what of the limits of this box is kept for whom'),
  packages: z.array(PackageRow),
  throughput: z.array(z.strictObject({ provider: z.string(), tokensPerMinute: z.int(), used: z.int().describe('tokens of the last minute, with what is reserved') })),
  open: z.strictObject({ count: z.int(), usdMicros: z.int() }).describe('reserved and not settled yet'),
  charged: z.strictObject({ count: z.int(), usdMicros: z.int() }).describe('this month: reservations that a crash left open, charged at their worst price'),
})
export type BudgetReply = z.infer<typeof BudgetReply>

/** Body of a resume. */
export const ResumeRequest = z.strictObject({
  budgetUsdMicros: z.int().min(0).nullable().default(null).describe('limit of the whole job from now on, with what it spent already; null = as before'),
  worthUsdMicros: z.int().min(0).optional().describe('what the job is worth from now on; absent = as before'),
})
export type ResumeRequest = z.infer<typeof ResumeRequest>
