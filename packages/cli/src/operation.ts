// Owns following one operation of the daemon (a pull, a build, a measuring) from its request to its one result: --json, Ctrl-C, the reader that left.
// Knows no operation: its caller says how its events look.
import type { Client } from '@hearth/protocol/client'
import { fault, FaultError, type Fault } from '@hearth/protocol/fault'
import type { Context } from './context.ts'
import { jsonLine } from './text.ts'

/** An operation tells events and ends with `done` or `failed`. */
type OperationEvent = { type: 'done' } | { type: 'failed'; fault: Fault } | { type: string }
type Done<E> = Extract<E, { type: 'done' }>
type Told<E> = Exclude<E, { type: 'done' | 'failed' }>

export type Operation<E> = {
  client: Client
  path: string
  body?: unknown
  /** Each event is a line on stdout, and nothing is told. */
  json: boolean
  tell(event: Told<E>): void
  /** Takes away what `tell` left drawn. */
  clear?(): void
  /** Who ended it when Ctrl-C did, and what that means: 'the terminal; nothing was written'. */
  left: string
  /** The sentence for a stream without a result. */
  noResult: string
}

/** Posts and follows until the end. Throws the operation's fault, or `cancelled` on Ctrl-C and when the reader of stdout went away. */
export async function operate<E extends OperationEvent>(ctx: Context, operation: Operation<E>): Promise<Done<E>> {
  const { client, path, body, json, tell, clear, left, noResult } = operation
  const leaving = new AbortController()
  const release = ctx.onInterrupt(() => leaving.abort())
  try {
    for await (const event of client.stream<E>('POST', path, body, AbortSignal.any([leaving.signal, ctx.closed]))) {
      if (json) ctx.out.line(jsonLine(event))
      if (isDone(event)) return event
      if ('fault' in event && event.type === 'failed') throw new FaultError(event.fault)
      if (!json) tell(event as Told<E>)
    }
  } finally {
    clear?.()
    release()
  }
  throw new FaultError(leaving.signal.aborted || ctx.closed.aborted ? fault('cancelled', { by: left }) : fault('internal', { problem: noResult }))
}

function isDone<E extends OperationEvent>(event: E): event is Done<E> {
  return event.type === 'done'
}
