// Owns the words of the meter: what is asked of the ledger, sums of it, and what is derived from them. Days are UTC. Nothing here counts what was not measured as 0.
import { z } from 'zod'
import { PackageRow } from './money.ts'

export const usageGroupings = ['day', 'month', 'job', 'person', 'automation', 'principal', 'model', 'place', 'purpose', 'project'] as const
export type UsageGrouping = (typeof usageGroupings)[number] | `tag:${string}`

/** The query of a report. */
export const UsageQuery = z.strictObject({
  since: z.coerce.number().int().min(0).optional().describe('first moment, milliseconds since 1970'),
  until: z.coerce.number().int().min(0).optional().describe('first moment after it'),
  by: z.union([z.enum(usageGroupings), z.templateLiteral(['tag:', z.string().min(1)])]).default('model'),
  job: z.string().min(1).optional(),
  principal: z.string().min(1).optional(),
  tag: z.string().regex(/^[^=]+=/, 'a tag is KEY=VALUE').optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(1000).describe('rows at most'),
})
export type UsageQuery = z.output<typeof UsageQuery>

/** Sums over ledger rows. */
export const UsageFigures = z.strictObject({
  calls: z.int(),
  promptTokens: z.int().describe('all that was to be read, reused and written to a cache included'),
  reusedTokens: z.int(),
  cacheWriteTokens: z.int(),
  completionTokens: z.int(),
  modelSeconds: z.number().describe('from asking to the end of the answer, waiting included'),
  joules: z.int().nullable().describe('of the calls that were measured, above idle; null = none was'),
  measuredCalls: z.int().describe('calls whose energy was measured'),
  localCalls: z.int().describe('calls that could have been: those computed on this box'),
  kwh: z.number().nullable().describe('the same energy'),
  energyUsdMicros: z.int().nullable().describe('its price; null = not measured, or energy.usdPerKwh is not set'),
  usdMicros: z.int().describe('money spent on models'),
  prepaidUsdMicros: z.int().describe('what packages and paid throughput covered, at the dated price; not in usdMicros'),
  chargedCalls: z.int().describe('calls that a crash cut off: they count at their worst price, without tokens'),
  bytesLeftBox: z.int().nullable().describe('of all connections, or of those of the jobs of this row; null = connections cannot be told apart so'),
})
export type UsageFigures = z.infer<typeof UsageFigures>

const Parts = z.strictObject({ local: z.int(), lan: z.int(), remote: z.int(), localShare: z.number().nullable().describe('0 to 1; null = there was nothing') })
const perPiece = z.number().nullable()
const name = z.string().describe('day, job, id of a principal, model, place, purpose, project or folder, value of the tag; empty = none')

export const EscalationRow = z.strictObject({
  job: z.string(), id: z.string(), at: z.int().describe('when control came back'),
  mode: z.string().nullable().describe('null = nothing came back: it was denied, cancelled or cut off on the way'), model: z.string(),
  effect: z.enum(['cleared', 'same', 'worse']).nullable().describe('null = not told yet'),
  outcome: z.string().describe('state of the job'), usdMicros: z.int(), prepaidUsdMicros: z.int(),
})
export type EscalationRow = z.infer<typeof EscalationRow>

/** One interval of 95 %, by the bootstrap over days. `high` null = no upper end. */
const DaysInterval = z.strictObject({ value: z.number().nullable(), low: z.number().nullable(), high: z.number().nullable() })

export const UsageReport = z.strictObject({
  since: z.int().nullable(),
  until: z.int().nullable(),
  firstAt: z.int().nullable().describe('first call that is in these sums; null = none is'),
  by: z.string(),
  totals: UsageFigures.extend({ jobs: z.int().describe('that ended in this time'), resolved: z.int(), uncountedConnections: z.int().describe('connections whose bytes are not known') }),
  energySource: z.string().nullable().describe('what this box measures; null = it cannot say'),
  rows: z.array(UsageFigures.extend({ name, label: z.string().optional().describe('name of a key; absent = none') })).describe('days in order, else dearest first, then most tokens'),
  leftOut: z.int().describe('rows beyond the limit'),
  tokens: Parts.describe('read and written, by where; without benchmarks and canaries'),
  steps: Parts.describe('answered turns that worked on jobs (purposes agent, step and rest), by who took them'),
  jobs: z.strictObject({
    open: z.int().describe('begun before the end of this time and not over'),
    checked: z.strictObject({
      jobs: z.int(), resolved: z.int(), usdMicros: z.int(), prepaidUsdMicros: z.int(),
      usdMicrosPerResolved: perPiece.describe('money of all jobs with a check that ended in this time, whenever it was spent, for each one that was resolved; null = none was'),
    }),
    byOutcome: z.array(z.strictObject({ outcome: z.string(), jobs: z.int(), checked: z.int(), usdMicros: z.int(), prepaidUsdMicros: z.int(), usdMicrosPerJob: z.number() })),
  }),
  spenders: z.array(z.strictObject({ principal: z.string(), label: z.string().optional(), origin: z.enum(['human', 'automation']), calls: z.int(), tokens: z.int(), usdMicros: z.int(), prepaidUsdMicros: z.int() })).describe('people and automations, dearest first'),
  escalations: z.strictObject({
    count: z.int(), cleared: z.int(), same: z.int(), worse: z.int(), untold: z.int().describe('effect not told yet, or nothing came back'), usdMicros: z.int(), prepaidUsdMicros: z.int(),
    changed: z.int().describe('cleared, and the job was resolved'), usdMicrosPerChanged: perPiece.describe('money of all escalations for each that changed the outcome; null = none did'),
    newest: z.array(EscalationRow).describe('at most 100'),
    curve: z.array(z.strictObject({ mode: z.string(), model: z.string(), count: z.int(), cleared: z.int(), usdMicros: z.int().describe('with what packages covered'), usdMicrosPerCleared: perPiece })).describe('what the next dollar bought: the least money for a cleared one first, what cleared nothing last'),
  }),
  avoided: z.strictObject({
    model: z.string(), usdMicros: z.int(), promptTokens: z.int(), completionTokens: z.int(), unpricedDays: z.int().describe('days before its first price: not counted'), assumptions: z.array(z.string()),
  }).nullable().describe('an estimate; null = no model with a price is configured'),
  burn: z.strictObject({
    month: z.string(), usdMicros: z.int().describe('spent this month'), perDayUsdMicros: z.number().describe('over the last 7 days, or since the first purchase'), days: z.number(),
    monthEndUsdMicros: z.int().describe('at that pace'), limitUsdMicros: z.int().nullable().describe('escalation.budget.monthUsdMicros'), limitReachedOn: z.string().nullable().describe('day of this month; null = not at this pace, or no limit'),
  }).describe('of the whole box and of now, whatever was asked'),
  packages: z.array(PackageRow),
  throughput: z.array(z.strictObject({ provider: z.string(), tokensPerMinute: z.int(), used: z.int() })),
  box: z.strictObject({
    days: z.number().describe('whole days counted; the day that is not over and what was before the first call are left out'),
    writeOffUsdMicros: z.int().describe('part of energy.boxUsd for these days'),
    energyUsdMicros: z.int().nullable().describe('measured energy above idle; null = not measured, or no price'),
    idleUsdMicros: z.int().nullable().describe('the idle box all these days; null = energy.idleWatts or the price is not known'),
    localTokens: z.int().describe('read and written, reused ones too'),
    usdMicrosPerMillion: z.number().nullable().describe('all of the above for a million local tokens'),
    frontierUsdMicrosPerMillion: z.number().nullable().describe('the same tokens at the price of the frontier; null = no priced model'),
    netUsdMicrosPerDay: DaysInterval.describe('frontier cost avoided less energy'),
    breakEvenDays: DaysInterval.describe('after its first call; null = not at this rate'),
    breakEvenOn: z.string().nullable(),
    assumptions: z.array(z.string()),
  }).nullable().describe('null = energy.boxUsd is not set, or not one whole day was counted'),
  idle: z.array(z.strictObject({
    model: z.string(), streams: z.int(), decodeTokensPerSecond: z.number(), busyShare: z.number().describe('computing seconds of all local calls, over streams times the time'), freeTokensPerDay: z.number(),
  })).describe('free work left, for each model that `hearth tune` measured on this box'),
  days: z.array(z.strictObject({
    day: z.string(), localTokens: z.int(), lanTokens: z.int(), remoteTokens: z.int(), usdMicros: z.int(), prepaidUsdMicros: z.int(),
    checkedJobs: z.int(), resolvedJobs: z.int(), jobsUsdMicros: z.int().describe('money of the jobs with a check that ended on this day'),
  })).describe('days on which something was'),
  byModel: z.array(z.strictObject({ model: z.string(), mendedCalls: z.int(), refusedCalls: z.int() })).describe('tool calls that were mended or refused'),
})
export type UsageReport = z.infer<typeof UsageReport>

/** What each principal used in one month, for a bill. */
export const UsageStatement = z.strictObject({
  month: z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/),
  closed: z.boolean().describe('the month is over'),
  statements: z.array(z.strictObject({
    principal: z.string(), label: z.string().optional(), origins: z.array(z.string()),
    totals: UsageFigures, lines: z.array(UsageFigures.extend({ model: z.string(), place: z.string() })),
    jobs: z.int().describe('that ended in the month'), checked: z.int(), resolved: z.int(),
  })),
})
export type UsageStatement = z.infer<typeof UsageStatement>
