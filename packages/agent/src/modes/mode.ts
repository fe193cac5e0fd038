// Owns the words of a tool mode: how history becomes messages, what is asked of the model, how an answer becomes calls.
import type { AgentProfile, EventOf, Message, ModelRequest, ToolCall } from '@hearth/protocol'
import type { Tool } from '../tools/tool.ts'

/** The part of a request that a mode decides; the loop adds sampling, seed, limits and the session key. */
export type Asked = Pick<ModelRequest, 'tools' | 'toolChoice' | 'responseFormat'>

/** What the model said in one turn, before it is understood. */
export type Answer = { text: string; calls: ToolCall[]; malformed: { text: string; problem: string } | null; cut: boolean }

export type Understood =
  | { type: 'calls'; calls: ToolCall[] }
  /** Words without a call: in native mode the model may think that it is done. */
  | { type: 'said' }
  | { type: 'malformed'; problem: string }

export type Mode = {
  /** Messages before the first turn; frozen for the job. `opened`: what the folder brings with it; null for a job without such an event. */
  opening(task: string, checks: readonly string[], opened: EventOf<'opened'> | null): Message[]
  asked(): Asked
  understand(answer: Answer, step: number): Understood
  /** The assistant's own turn, word for word. `thoughts`: what it thought before; only in the prompt where the profile keeps them. */
  said(text: string, calls: readonly ToolCall[], thoughts: string | null): Message
  /** A tool's observation, as the model reads it. */
  observed(callId: string, name: string, observation: string): Message
  /** Words of the harness: a nudge or the reason why a turn was refused. */
  told(text: string): Message
  /** Words of the person, after those of the opening. */
  heard(text: string): Message
  /** Whether a `finish` that was taken has an answer in the history. */
  answersFinish: boolean
}

export type ModeOptions = {
  tools: readonly Tool[]
  examples: readonly Message[]
  /** Completion tokens of one answer at most. */
  callTokens: number
  /** The profile's own words. */
  prompt: NonNullable<AgentProfile['prompt']> | null
  keepsThoughts: boolean
  /** The job asked for hosts. */
  network: boolean
}

/** The system prompt: `usual`, or the profile's words in its place, before what may never be missing. */
export function systemWords(own: ModeOptions['prompt'], usual: string, always: string): string {
  if (own === null) return usual
  return own.how === 'add' ? `${usual}\n${own.text}` : `${own.text}\n${always}`
}

/** The assistant's message with its thoughts, where they are kept. */
export function withThoughts(message: Extract<Message, { role: 'assistant' }>, thoughts: string | null): Message {
  return thoughts === null ? message : { ...message, reasoning: thoughts }
}
