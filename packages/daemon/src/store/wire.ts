// Owns what the store and its writing thread say to each other.
import type { Fault } from '@hearth/protocol/fault'
import type { Ask } from '../meter/ask.ts'
import type { Reserved } from './money-rows.ts'
import type { Write } from './statements.ts'

/** To the thread. */
export type WriterIn = { type: 'reserve'; id: number; ask: Ask } | { type: 'write'; id: number; writes: readonly Write[] } | { type: 'stats'; id: number } | { type: 'close' }
/** From the thread. `ready` or `refused` comes first, once. `problem` is the driver's sentence; `broken` means nothing may be written any more, `full` that the disk is full and may be tried again. */
export type WriterOut =
  | { type: 'ready' }
  | { type: 'refused'; fault: Fault }
  | { type: 'done'; ids: readonly number[]; reserved: readonly (readonly [id: number, answer: Reserved])[] }
  | { type: 'failed'; id: number; problem: string; broken: boolean; full: boolean }
  /** The disk was full: the reserve was given up. */
  | { type: 'full' }
  | { type: 'stats'; id: number; commits: number; batches: number }
  | { type: 'closed' }
