// Owns the events of escalation, a part of the one stream of a job (job.ts): what was noticed, what was offered, denied, said by the expert, given back, and what came of it.
import { z } from 'zod'
import { Denial, effects, escalationModes, Offer, Signal } from './escalation.ts'

const id = z.string().describe('of the escalation within its job: e1, e2, …')
const mode = z.enum(escalationModes)
const signals = z.array(Signal).describe('why; empty for a plan or a review, which nothing went wrong for')

/** How a turn or a step of an expert came to its end. */
export const handBacks = ['answered', 'stop', 'passed', 'done', 'turns', 'failed'] as const
export type HandBack = (typeof handBacks)[number]

export const escalationEvents = [
  z.strictObject({ type: z.literal('signals'), step: z.int(), signals: z.array(Signal), acts: z.boolean().describe('one that is hard or declared, or two that are soft, and nothing forbids to act') }),
  z.strictObject({
    type: z.literal('escalation_offered'), step: z.int(), id, mode, signals,
    packet: z.strictObject({ prefix: z.string(), body: z.string(), files: z.array(z.string()) }).describe('what the agent would send; a person may have edited it'),
    maxTokens: z.int().describe('completion tokens of one turn'), maxTurns: z.int(), offer: Offer,
    again: z.string().optional().describe('why it is offered once more; absent = it is not'),
  }),
  z.strictObject({ type: z.literal('escalation_denied'), step: z.int(), id, mode, signals, denial: Denial, usdMicros: z.int().optional().describe('what it cost all the same; absent = nothing') }),
  z.strictObject({
    type: z.literal('remote'), step: z.int(), id,
    event: z.looseObject({ type: z.string() }).describe("one event of the expert's own course: its turn, the call of a tool, the result; as in this list, with steps of its own"),
  }),
  z.strictObject({
    type: z.literal('handed_back'), step: z.int(), id, mode, how: z.enum(handBacks).describe('answered; stop = it says that going on is useless; passed = the check passed; done = it says it is done; turns = they are used up; failed = the call failed, or its money was used up'),
    text: z.string().describe('what the local model is told'), turns: z.int(), usdMicros: z.int(), model: z.string(),
    checks: z.array(z.string()).optional().describe('checks of a plan that decide the job from here on; each was run in the sandbox'),
  }),
  z.strictObject({ type: z.literal('effect'), step: z.int(), id, effect: z.enum(effects), evidence: z.string() }),
] as const
export type EscalationEvent = z.infer<(typeof escalationEvents)[number]>
