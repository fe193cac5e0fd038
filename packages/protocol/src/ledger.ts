// Owns the ledger's words: one entry a model call, local or not, written before the answer is parsed. Integers for money and energy.
import { z } from 'zod'
import { purposes, Timings, Usage } from './model.ts'

export const LedgerEntry = z.strictObject({
  id: z.int().min(1),
  at: z.int().describe('end of the call, milliseconds since 1970'),
  jobId: z.string().nullable(),
  step: z.int().nullable(),
  principal: z.string(),
  origin: z.enum(['human', 'automation']),
  model: z.string(),
  place: z.enum(['local', 'lan', 'remote']),
  purpose: z.enum(purposes),
  usage: Usage,
  timings: Timings,
  /** Integrated energy of the call; null where the box cannot say. */
  joules: z.int().nullable(),
  /** Price in micro-dollars; 0 for a local call. */
  usdMicros: z.int(),
  prepaidUsdMicros: z.int().min(0).optional().describe('what more it would have cost at the dated price, had a package or paid throughput not covered it; absent = nothing'),
  escalation: z.string().optional().describe('escalation of the job that it was bought for; absent = none'),
  ended: z.string().describe("stop reason, the fault code, or 'charged': a crash left its reservation open, and it counts at its worst price"),
})
export type LedgerEntry = z.infer<typeof LedgerEntry>

/** One outbound connection of the daemon or a helper it started. `bytes` is null where the helper cannot count. */
export const EgressEntry = z.strictObject({
  id: z.int().min(1),
  at: z.int(),
  jobId: z.string().nullable(),
  purpose: z.enum(['model-download', 'lan-endpoint', 'tool', 'mcp', 'provider']),
  host: z.string(),
  bytes: z.int().nullable().describe('bytes sent; of one that is open, what it sent until now; null = not known'),
  cut: z.literal(true).optional().describe('the daemon was killed while it was open: it sent so many bytes at least'),
})
export type EgressEntry = z.infer<typeof EgressEntry>

/** One body that was sent to a model or an MCP server outside of the house, as it left. The row is on disk before the first byte and stays; the body goes when it is old. */
export const PacketEntry = z.strictObject({
  id: z.string().regex(/^[a-z0-9]{12}$/),
  at: z.int(),
  jobId: z.string().nullable(),
  escalation: z.string().nullable().describe('id of the escalation within its job; null = a chat'),
  principal: z.string(),
  purpose: z.enum([...purposes, 'mcp']),
  host: z.string(),
  model: z.string().describe('the name of the server, for `mcp`'),
  bytes: z.int().min(0).describe('of the body'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/).describe('of the body'),
  redactions: z.array(z.strictObject({ kind: z.string(), count: z.int().min(1) })).describe('what was replaced in it, by kind'),
})
export type PacketEntry = z.infer<typeof PacketEntry>

/** What one job did and cost. Sums of the ledger and the egress table, never estimates. */
export const Receipt = z.strictObject({
  steps: z.int(),
  toolCalls: z.int(),
  modelCalls: z.int(),
  promptTokens: z.int(),
  reusedTokens: z.int(),
  completionTokens: z.int(),
  /** From start to end of the job's run, in seconds. */
  seconds: z.number(),
  modelSeconds: z.number(),
  /** Completion tokens per second of decoding; null when nothing was decoded. */
  tokensPerSecond: z.number().nullable(),
  joules: z.int().nullable(),
  usdMicros: z.int(),
  /** Sum of the egress table for this job. */
  bytesLeftBox: z.int(),
  network: z.array(z.strictObject({ host: z.string(), connections: z.int(), bytes: z.int().describe('sent') })).optional().describe('what its tools sent, by host, most first, 20 at most; absent = nothing'),
})
export type Receipt = z.infer<typeof Receipt>
