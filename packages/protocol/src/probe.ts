// Owns the words of a probe: what a model was asked, what it got right, and how the agent should speak with it because of that.
import { z } from 'zod'
import type { Fault } from './fault.ts'
import { AgentProfile } from './model.ts'

export const ProbeRequest = z.strictObject({
  write: z.boolean().default(false).describe('put the recommended profile into the owner\'s entries'),
  seconds: z.int().min(10).max(86_400).default(600).describe('time for all of it; parts of the window that would take longer are left out'),
})
export type ProbeRequest = z.infer<typeof ProbeRequest>
export type ProbeRequestInput = z.input<typeof ProbeRequest>

/** native: the template's own tool calls; json: one JSON object a step; text: neither. */
export const probeModes = ['native', 'json', 'text'] as const
export type ProbeMode = (typeof probeModes)[number]

export const ProbeCase = z.strictObject({
  name: z.string(),
  mode: z.enum(probeModes),
  problem: z.string().nullable().describe('what was wrong with the answer; null = it was right'),
  counts: z.boolean().describe('false: good to know, and no part of the share of right answers'),
  ms: z.number().min(0),
})
export type ProbeCase = z.infer<typeof ProbeCase>

const Share = z.strictObject({ right: z.int().min(0), of: z.int().min(0) })
export type Share = z.infer<typeof Share>

export const ProbeResult = z.strictObject({
  model: z.string(),
  contextTokens: z.int(),
  cases: z.array(ProbeCase),
  native: Share.nullable().describe('null: its template has no tools'),
  json: Share,
  schema: Share.describe('answers that had to be JSON of a schema'),
  stops: z.boolean().describe('it ends by itself and at a stop sequence'),
  repeats: z.boolean().describe('it says the same again and again in a long answer'),
  edits: z.strictObject({ edit: Share, write: Share }).describe('files that were changed rightly by replacing text, and by writing them whole; asked in the recommended mode'),
  toolsAtOnce: z.int().nullable().describe("the largest number of the agent's tools among which it found the right one each time; null = not even among four, or not asked"),
  goesOn: z.array(z.string()).describe('texts at which its answers went on with a turn that was not its own'),
  thinks: z.strictObject({ byItself: z.boolean().nullable(), off: z.boolean().nullable(), on: z.boolean().nullable() }).describe('whether thoughts came that are told apart: unasked, and when asked to leave it or to do it; null = not asked'),
  window: z.array(z.strictObject({ share: z.number(), promptTokens: z.int().nullable(), found: z.boolean().nullable(), why: z.string() }))
    .describe('a code at the beginning of a prompt that fills this share of the window; found null: not asked, and why'),
  profile: AgentProfile.describe('as it is now'),
  recommended: z.strictObject({ toolMode: z.enum(['native', 'json']), weak: z.boolean().describe('neither way was right in half of the cases'), why: z.string(), changes: z.array(z.string()).describe('what the profile does not say yet'), profile: AgentProfile.describe('the profile with these changes') }),
  agrees: z.boolean().describe('the profile says what is recommended'),
})
export type ProbeResult = z.infer<typeof ProbeResult>

/** One line of the stream of a probe. Ends with exactly one `done` or `failed`. */
export type ProbeEvent =
  | { type: 'case'; done: number; total: number; case: ProbeCase }
  | { type: 'window'; share: number; found: boolean | null; why: string }
  /** `written`: the file that the profile was put into. */
  | { type: 'done'; result: ProbeResult; written: string | null }
  | { type: 'failed'; fault: Fault }
