// Owns the words of a job: what is asked (JobRequest), what is known (Job), and the one numbered stream of what happened (JobEvent).
// The stream is also the journal: history, resume, logs, page and tests are all read from it.
import { z } from 'zod'
import type { Fault } from './fault.ts'
import { escalationModes } from './escalation.ts'
import { escalationEvents } from './escalation-events.ts'
import { Receipt } from './ledger.ts'
import type { Outcome } from './outcome.ts'
import { liveStates, outcomes, waitingStates } from './outcome.ts'
import { CallLikelihood, stopReasons, Timings, ToolCall, Usage } from './model.ts'
import { HostPattern } from './network.ts'
import { consents, dataClasses, jobClasses, Principal, Project } from './principal.ts'
import { jobResults } from './workspace.ts'

const noNul = (text: string): boolean => !text.includes('\0')
const nulProblem = { error: 'it holds a NUL character' }

export const jobKinds = ['task', 'chat'] as const

export const JobRequest = z.strictObject({
  prompt: z.string().min(1).max(2_000_000).describe('what to do'),
  cwd: z.string().min(1).describe('absolute path of the folder to work in'),
  checks: z.array(z.string().min(1).max(8192).refine(noNul, nulProblem)).max(16).default([]).describe('shell commands that decide whether the job is resolved'),
  model: z.string().min(1).refine(noNul, nulProblem).nullable().default(null).describe('model id, or scripted:FILE; null = the configured default'),
  maxSteps: z.int().min(1).max(10_000).nullable().default(null),
  maxTokens: z.int().min(1).nullable().default(null).describe('prompt tokens evaluated plus completion tokens over the whole job'),
  timeoutSeconds: z.number().positive().max(30 * 86_400).nullable().default(null),
  seed: z.int().min(0).max(2 ** 32 - 1).nullable().default(null),
  class: z.enum(jobClasses).default('job'),
  kind: z.enum(jobKinds).optional().describe('task (or absent): it ends when it is done; chat: then it waits for the next words, until it is cancelled'),
  approve: z.enum(['none', 'writes']).optional().describe('writes: each call that may change something waits until somebody allows it; absent = none'),
  network: z.array(HostPattern).max(64).optional().describe('hosts that its tools may reach, each with an optional :PORT (else 80 and 443), within sandbox.network.allow; absent or empty = none'),
  result: z.enum(jobResults).nullable().default(null).describe('where it works and what becomes of it: in_place, branch, diff; null = the configured default'),
  budgetUsdMicros: z.int().min(0).nullable().optional().describe('money it may spend at most, micro-dollars; null or absent = as the box, its project and who asks allow'),
  worthUsdMicros: z.int().min(0).nullable().optional().describe('what a resolved outcome is worth: it never spends more than this times its chance to be resolved; null or absent = no such limit'),
  escalation: z.strictObject({
    consent: z.enum(consents).optional(),
    modes: z.array(z.enum(escalationModes)).optional(),
    dataClass: z.enum(dataClasses).optional(),
    planFirst: z.boolean().optional().describe('buy a plan before the first step, where that is allowed'),
    askAt: z.array(z.int().min(1)).max(100).optional().describe('steps after which help is asked for, in place of the signals; to compare moments, needs the scope admin'),
    untilTrigger: z.boolean().optional().describe('it waits where help would be asked for first, and nothing is ever bought: what forks begin from; needs the scope admin'),
  }).optional().describe('rules of its own for help from outside; they only make those of box, project and key stricter'),
  tags: z.record(z.string(), z.string()).default({}),
  idempotencyKey: z.string().min(1).max(200).nullable().default(null).describe('a second request with the same key gets the same job'),
})
export type JobRequest = z.infer<typeof JobRequest>
export type JobRequestInput = z.input<typeof JobRequest>

const FaultShape = z.custom<Fault>((value) => typeof value === 'object' && value !== null && 'code' in value)
  .meta({ description: 'code, origin, message, remedy' })

export const Job = z.strictObject({
  id: z.string(),
  state: z.enum([...liveStates, ...outcomes]),
  /** true: a check passed; false: a check failed or the job did not get that far; null: no check was asked for, or it is not over. */
  verified: z.boolean().nullable(),
  request: JobRequest,
  principal: Principal,
  project: Project,
  model: z.string(),
  createdAt: z.int(),
  startedAt: z.int().nullable(),
  endedAt: z.int().nullable(),
  lastSeq: z.int(),
  /** Model's own words at the end. */
  summary: z.string().nullable(),
  fault: FaultShape.nullable(),
  receipt: Receipt.nullable(),
  exitCode: z.int().nullable(),
})
export type Job = z.infer<typeof Job>

/** What a second run of an interrupted tool call may do. `pure`: run again. `compare`: look at the file's hash. `unsafe`: never run again. */
export const idempotencies = ['pure', 'compare', 'unsafe'] as const
export type Idempotency = (typeof idempotencies)[number]

/** What happened, without the envelope. One tagged union; the agent emits it, the daemon numbers, stores and sends it. */
export const JobEventBody = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('accepted'), request: JobRequest, principal: Principal, model: z.string() }),
  z.strictObject({ type: z.literal('queued'), position: z.int(), reason: z.string() }),
  z.strictObject({ type: z.literal('started'), attempt: z.int().describe('1, then one more for each resume'), seed: z.int(), sandbox: z.string(), localFiles: z.literal('shown').optional().describe('its commands see the local-only files of its project: nothing of the job ever leaves; absent = they see none until the job names one') }),
  z.strictObject({ type: z.literal('suspended'), reason: z.string(), state: z.enum(waitingStates).optional().describe('it waits for a person: words (paused) or an approval; absent = it goes on with the next start'), lacks: z.literal('money').optional().describe('what it waits for: a budget (`hearth resume`); an attached client leaves with exit code 12') }),
  z.strictObject({ type: z.literal('resumed'), by: z.string().describe('principal'), budgetUsdMicros: z.int().nullable().describe('limit of the whole job from here on; null = as before'), worthUsdMicros: z.int().optional().describe('what it is worth from here on; absent = as before') }),
  z.strictObject({ type: z.literal('loading'), model: z.string(), detail: z.string() }),
  z.strictObject({
    type: z.literal('waiting'), model: z.string(), position: z.int().describe('of its request in the line for the model, 1 = next'), reason: z.string().describe('what it waits for'),
    etaMs: z.number().nullable().describe('forecast from measured speeds; null = nothing was measured yet'),
  }),
  z.strictObject({ type: z.literal('step'), step: z.int().min(1) }),
  z.strictObject({ type: z.literal('text'), step: z.int(), text: z.string().describe('a piece of the completion, batched') }),
  z.strictObject({ type: z.literal('thought'), step: z.int(), text: z.string().describe("a piece of the model's thoughts, batched") }),
  z.strictObject({
    type: z.literal('turn'), step: z.int(), model: z.string(), text: z.string().describe('the whole completion'),
    toolCalls: z.array(ToolCall), stop: z.enum(stopReasons), usage: Usage, timings: Timings,
    reasoning: z.string().optional().describe("what it thought before, at most 200,000 characters; absent = nothing, or nothing that is told apart. In later prompts only when the model's profile keeps thoughts"),
    likelihood: CallLikelihood.optional().describe('how likely the model found the names and the values of its calls, in thousandths; one turn in eight asks for it, and it is absent where nobody says it cheaply'),
  }),
  z.strictObject({ type: z.literal('turn_failed'), step: z.int(), model: z.string(), fault: FaultShape, usage: Usage, timings: Timings, retry: z.boolean() }),
  z.strictObject({ type: z.literal('call_rejected'), step: z.int(), text: z.string(), problem: z.string().describe('what the model is told') }),
  z.strictObject({
    type: z.literal('tool_planned'), step: z.int(), call: ToolCall, argsHash: z.string().describe('sha256 of the canonical arguments'),
    idempotency: z.enum(idempotencies), before: z.string().nullable().describe('sha256 of the file a compare call will change; null = absent or not asked'),
    after: z.string().optional().describe('sha256 that file has when the call is done; absent = not known'),
  }),
  z.strictObject({ type: z.literal('tool_started'), step: z.int(), callId: z.string() }),
  z.strictObject({ type: z.literal('tool_output'), step: z.int(), callId: z.string(), text: z.string().describe('a piece of output while it runs, batched') }),
  z.strictObject({
    type: z.literal('tool_result'), step: z.int(), callId: z.string(), name: z.string(), ok: z.boolean(),
    exitCode: z.int().nullable(), cause: z.string(), observation: z.string().describe('what the model sees'),
    totalBytes: z.int(), outputFile: z.string().nullable().describe('full text on this box'), durationMs: z.number(),
    wrote: z.boolean().describe('the call may have changed the workspace'),
    cwd: z.string().optional().describe('where the next shell command begins, relative to the folder; absent = as before'),
    file: z.strictObject({ path: z.string(), sha256: z.string() }).optional().describe('the file that was read or written, as the call left it'),
    files: z.array(z.string()).optional().describe('other files of which lines stand in the observation'),
    processes: z.array(z.string()).optional().describe('background processes that run after the call; absent = as before'),
  }),
  z.strictObject({ type: z.literal('tool_unknown'), step: z.int(), callId: z.string(), name: z.string(), observation: z.string() }),
  z.strictObject({
    type: z.literal('check'), step: z.int(), command: z.string(), when: z.enum(['final', 'after_edit']), passed: z.boolean(),
    exitCode: z.int().nullable(), cause: z.string(), output: z.string(), durationMs: z.number(),
  }),
  z.strictObject({ type: z.literal('warned'), text: z.string().describe('for people; the model is not told') }),
  z.strictObject({ type: z.literal('nudge'), step: z.int(), text: z.string().describe('appended to the history by the harness') }),
  z.strictObject({ type: z.literal('guard'), step: z.int(), guard: z.string(), action: z.enum(['nudge', 'replan', 'sample', 'escalate', 'stop']), evidence: z.string() }),
  z.strictObject({
    type: z.literal('workspace'), kind: z.enum(['in_place', 'worktree', 'copy']), path: z.string().describe('folder that the tools see as /work'),
    base: z.string().nullable().describe('commit on the shadow ref that holds the folder as it was; null = nothing is kept'), detail: z.string().describe('what was left out of it, or why nothing is kept'),
  }),
  z.strictObject({
    type: z.literal('opened'),
    instructions: z.array(z.strictObject({ path: z.string().describe('relative to the folder'), sha256: z.string(), text: z.string().describe('made harmless and cut') })),
    skills: z.array(z.strictObject({ name: z.string(), description: z.string(), path: z.string().describe('folder of the skill, relative to the folder or absolute') })),
    servers: z.array(z.strictObject({ name: z.string(), tools: z.array(z.strictObject({ name: z.string(), line: z.string() })), problem: z.string().nullable() })).describe('MCP servers'),
    guessedCheck: z.string().nullable().describe("the project's own test command as it was guessed; it never resolves a job"),
  }),
  z.strictObject({
    type: z.literal('call_repaired'), step: z.int(), callId: z.string(), format: z.string().describe('how the call was written'), changes: z.array(z.string()).describe('what was changed to fit the schema'),
    text: z.string().optional().describe('the call as the model wrote it, at most 2000 characters; absent when the engine had read it'),
  }),
  z.strictObject({
    type: z.literal('committed'), step: z.int(), commit: z.string().describe('on the shadow ref of the job'), files: z.int(), added: z.int().describe('lines'), removed: z.int().describe('lines'),
  }),
  z.strictObject({ type: z.literal('reverted'), step: z.int(), toStep: z.int().describe('0 = as it was before the job'), commit: z.string(), by: z.string() }),
  z.strictObject({ type: z.literal('delivered'), how: z.enum(['in_place', 'branch', 'diff']), to: z.string().describe('folder, branch or file'), files: z.int(), why: z.string().optional().describe('why it is not delivered as asked') }),
  z.strictObject({
    type: z.literal('rewritten'), step: z.int(), reason: z.enum(['compaction', 'replan']), text: z.string().describe('stands in the history for what was left out'),
    keptMessages: z.int().describe('last messages that stay as they were'), droppedMessages: z.int(), beforeTokens: z.int(), afterTokens: z.int().describe('an estimate'),
    refillTokens: z.int().describe('prompt tokens to be read again because of it'), refillMs: z.number().nullable().describe('what reading them takes at the speed measured so far; null = not measured'), evidence: z.string(),
  }),
  z.strictObject({
    type: z.literal('sub_step'), step: z.int(), callId: z.string(), n: z.int().describe('turn of the sub-agent'), call: z.string().describe('what it did, in a line'), usage: Usage, timings: Timings,
    files: z.array(z.string()).optional().describe('files that it saw something of before this turn'),
  }),
  z.strictObject({
    type: z.literal('sampled'), step: z.int(), chosen: z.int().nullable().describe('index of the candidate that goes on; null = none was better'),
    candidates: z.array(z.strictObject({ seed: z.int(), passed: z.boolean(), files: z.int(), commit: z.string().nullable() })),
  }),
  z.strictObject({ type: z.literal('said'), text: z.string(), by: z.string().describe('principal') }),
  z.strictObject({
    type: z.literal('approval_asked'), step: z.int(), callId: z.string().describe('of a tool call; escalation:ID for what would leave the box'), question: z.string(),
    sha256: z.string().optional().describe('of the text that would leave, which stands in escalation_offered; absent for a tool call'),
  }),
  z.strictObject({
    type: z.literal('approval_given'), callId: z.string(), approved: z.boolean(), by: z.string(), note: z.string(),
    sha256: z.string().optional().describe('of the text that is approved; for what would leave the box it must be that of the offer'),
    text: z.string().optional().describe('what shall be sent instead; it is offered again'),
  }),
  ...escalationEvents,
  z.strictObject({ type: z.literal('network_refused'), fault: FaultShape }),
  z.strictObject({
    type: z.literal('ended'), outcome: z.enum(outcomes as [Outcome, ...Outcome[]]), verified: z.boolean().nullable(),
    summary: z.string().nullable(), fault: FaultShape.nullable(), receipt: Receipt, exitCode: z.int(),
  }),
])
export type JobEventBody = z.infer<typeof JobEventBody>

/** Envelope: numbered per job from 1 without a gap. */
export type JobEvent = JobEventBody & { seq: number; jobId: string; at: number }

export type EventOf<T extends JobEventBody['type']> = Extract<JobEventBody, { type: T }>
