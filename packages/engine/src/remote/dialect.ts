// Owns what a provider's wire format must be able to do, so that one model serves them all. Types only.
import type { ModelRequest, RemoteModelConfig } from '@hearth/protocol'
import type { Chunk } from './answer.ts'
import type { Turn } from './thoughts.ts'

export type Reading = {
  /** One event of the stream, or what is wrong with it. Throws a StreamError for an error that came as an event. */
  read(event: unknown): Chunk | string
  /** The answer with what was sealed in it, when it is over; empty when that cannot go back as it came. */
  turn(): Turn
}

export type Way = { baseUrl: string; fetch: typeof globalThis.fetch; signal: AbortSignal }

export type Dialect<Body> = {
  /** Behind the base address; the only place anything is sent to. */
  path: string
  headers: Readonly<Record<string, string>>
  /** Whether sealed thoughts of earlier turns belong into this request. */
  takesThoughts(request: ModelRequest): boolean
  /** `request.maxTokens` is within what the model may write. `turns`: with their thoughts, by the index of their message. Throws FaultError for what it cannot say. */
  body(request: ModelRequest, config: RemoteModelConfig, turns: ReadonlyMap<number, Turn>): Promise<Body>
  /** Loads the official client on its first use, and sends. What it knows of keys, retries and the environment is nothing. */
  open(body: Body, way: Way): Promise<AsyncIterable<unknown>>
  reading(): Reading
}

/** An error that came in the stream of an answer; `error` is what it says, as it came. */
export class StreamError extends Error {
  readonly error: unknown
  constructor(error: unknown) {
    super('the stream says that it failed')
    this.error = error
  }
}
