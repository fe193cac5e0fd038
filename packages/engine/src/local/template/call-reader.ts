// Owns the shape of every reader of a streamed completion: text in pieces in, events out. The readers are in calls.ts, harmony.ts and reasoning.ts.
import type { ToolCall } from '@hearth/protocol'

export type CallEvent =
  | { type: 'text'; text: string }
  /** Thoughts: never part of the text. */
  | { type: 'reasoning'; text: string }
  | { type: 'tool_call'; call: ToolCall }
  | { type: 'malformed_call'; text: string; problem: string }

export interface CallReader {
  push(text: string): CallEvent[]
  /** The completion is over (`cut`: by a limit or a stop string, so an unfinished call is not the model's fault). */
  end(cut: boolean): CallEvent[]
}
