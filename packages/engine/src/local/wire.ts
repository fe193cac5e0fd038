// Owns the whole protocol between the daemon and an engine worker: one tagged union per direction, one JSON message each, over Node's IPC channel.
// A worker speaks sequences (token memories numbered from 0), never chats: prompts come rendered, tool calls leave as text.
//
// Order: worker `booted`; daemon `load`; worker `loading`* then `ready` or `load_failed` (and it exits). Then any number of `generate`, at most one
// at a time for each sequence; each is answered by `refused`, or by `started` (`prefill` | `tokens`)* and one of `end`, `broke`.
// `save` writes what a sequence remembers to a file, `restore` reads it back; each is answered by `saved`, `restored` or `state_failed`, in between runs of
// that sequence. A worker believes the file: who asks has checked that it is whole and of this very model, settings and library.
// `cancel` makes the run end with `end/cancelled` after the evaluation in flight. `ping` is answered by `pong` at once, also while a model computes.
// `shutdown`, or a closed channel, ends the process.
import type { Fault, Sampling } from '@hearth/protocol'
import type { OwnBuild } from './own-build.ts'

/**
 * Copies of a hybrid or sliding-window memory that a sequence may go back to. The library's own 32 can take 7.5 GiB for 8 sequences with a window
 * of 1,024 cells of 30 KiB (by arithmetic, not measured); an append-only conversation goes back by one turn.
 */
export const checkpointsPerSequence = 4

/** A piece of a prompt. `special: false` pieces never become control tokens, whatever they spell. */
export type Segment = { text: string; special: boolean }

export type Load = {
  type: 'load'
  modelPath: string
  /** `auto` tries a GPU first; `cpu` never touches one. */
  backend: 'auto' | 'cpu' | 'vulkan' | 'hip'
  /** A build of `hearth engine build` to load instead of what came with the library. */
  build?: OwnBuild | null
  threads: number
  /** Wanted window of each sequence; the worker takes the trained one when that is smaller. */
  contextTokens: number
  sequences: number
  /** Tokens in one evaluation. */
  batchTokens: number
  /** Prompt tokens a sequence hands over at once: the grain of prefill progress and of cancelling. */
  prefillTokens: number
  /** Guess ahead, by prompt lookup or by a second model (greedy runs only). */
  speculation?: 'off' | 'lookup' | 'draft'
  /** The second model; it gets as many sequences and the same window as the first. */
  draft?: { id: string; path: string } | null
}

export type Generate = {
  type: 'generate'
  id: string
  sequence: number
  segments: Segment[]
  sampling: Sampling & { seed: number }
  maxTokens: number
  stop: string[]
  /** GBNF from the first token on, or from the first blank or token after `after` was generated. */
  grammar: { gbnf: string; after: string | null } | null
  /** End as soon as the text is one complete JSON object, array or string. */
  stopAtJson: boolean
  /** The n likeliest tokens beside each chosen one; 0 = no probabilities. */
  probabilities: number
  /** The model's own likelihood of each chosen token, where it is cheap and `probabilities` is 0; `top` of the pieces is empty then. */
  likelihoods?: boolean
  /** Control tokens whose text is part of the completion; all others are invisible. */
  visible: string[]
  /** 1..5, larger first; strict inside a batch. */
  priority: 1 | 3 | 5
  /** Nothing of what the sequence holds may be reused: it was read for somebody else. */
  fresh?: boolean
}

/** `operation` names it in the reply; `path` lies in a folder the worker may write to. */
export type StateWork = { type: 'save' | 'restore'; operation: string; sequence: number; path: string }
/** `tokens`: what the sequence holds now. */
export type StateReply =
  | { type: 'saved'; operation: string; tokens: number }
  | { type: 'restored'; operation: string; tokens: number }
  | { type: 'state_failed'; operation: string; problem: string }

export type ToWorker = Load | Generate | StateWork | { type: 'cancel'; id: string } | { type: 'ping'; n: number } | { type: 'shutdown' }

/** What a file says about itself. Enough to render prompts without the model. */
export type Inspection = {
  architecture: string
  trainedContextTokens: number
  /** Jinja source; null when the file has none. */
  chatTemplate: string | null
  bosText: string | null
  eosText: string | null
  /** The texts of all control and unknown tokens: those that must never arise from message contents. */
  controlTexts: string[]
}

/** Causes that a native message names by itself; `garbled`: a llama-server whose answer is none. */
export type NativeCause = 'out_of_memory' | 'gpu_lost' | 'garbled' | 'other'

export type TokenPiece = { text: string; probability: number; top: { text: string; probability: number }[] }

/** Counts and milliseconds of one run. An end-of-generation token is not counted as a completion token. */
export type RunFigures = { promptTokens: number; reusedTokens: number; completionTokens: number; prefillMs: number; decodeMs: number; drafts?: { draftedTokens: number; acceptedTokens: number } }

export type RunReply =
  | { type: 'refused'; id: string; cause: 'context_overflow'; promptTokens: number; contextTokens: number }
  | { type: 'refused'; id: string; cause: 'bad_grammar'; problem: string }
  | { type: 'started'; id: string; promptTokens: number; reusedTokens: number }
  | { type: 'prefill'; id: string; doneTokens: number; totalTokens: number }
  /** `count` tokens since the last message; their text may be held back while it could still become a stop string or half a character. */
  | { type: 'tokens'; id: string; text: string; count: number; pieces: TokenPiece[] }
  | { type: 'end'; id: string; stop: 'end' | 'stop_sequence' | 'max_tokens' | 'cancelled'; figures: RunFigures }
  | { type: 'broke'; id: string; cause: NativeCause; problem: string; figures: RunFigures }

export type Ready = {
  type: 'ready'
  backend: 'cpu' | 'vulkan' | 'hip' | `llama-server ${string}`
  contextTokens: number
  sequences: number
  threads: number
  /** Which model guesses ahead, or why it does not; absent = none was wanted. */
  draft?: { id: string; refused: string | null }
  /** Name and version of what computes: saved states of another one may crash it. Absent = it cannot save states. */
  library?: string
  inspection: Inspection
}

export type FromWorker =
  | { type: 'booted' }
  | { type: 'loading'; progress: number }
  | Ready
  | { type: 'load_failed'; cause: NativeCause; problem: string; /** The cause by its own name, when it has one. */ fault?: Fault }
  | { type: 'pong'; n: number }
  | RunReply
  | StateReply

const fromWorker: Record<FromWorker['type'], true> = {
  booted: true, loading: true, ready: true, load_failed: true, pong: true,
  refused: true, started: true, prefill: true, tokens: true, end: true, broke: true,
  saved: true, restored: true, state_failed: true,
}
const toWorker: Record<ToWorker['type'], true> = { load: true, generate: true, save: true, restore: true, cancel: true, ping: true, shutdown: true }

/** Both ends are ours and of one version, so only the tag is looked at. */
export function isFromWorker(value: unknown): value is FromWorker {
  return hasTag(value, fromWorker)
}

export function isToWorker(value: unknown): value is ToWorker {
  return hasTag(value, toWorker)
}

export function isRunReply(message: FromWorker): message is RunReply {
  return 'id' in message
}

export function isStateReply(message: FromWorker): message is StateReply {
  return 'operation' in message
}

function hasTag(value: unknown, tags: Record<string, true>): boolean {
  return typeof value === 'object' && value !== null && 'type' in value && typeof value.type === 'string' && Object.hasOwn(tags, value.type)
}
