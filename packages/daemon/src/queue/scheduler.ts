// Decides which job runs when: a pure function (state, event) -> (state, effects). No timers, no I/O, no clock.
// First come, first served, with two exceptions: a running limit, and nobody changes a folder while another works in it or copies it.
import { sep } from 'node:path'

/** What a job needs of its folder: it alone, to work in it; unchanged, until its copy is made; or nothing, because it has its copy. */
export type Hold = 'alone' | 'unchanged' | 'nothing'
/** `workspace`: real absolute path of the folder that it was asked for. */
export type Folder = { workspace: string; hold: Hold }

/** A job that waits. It holds its place from the moment it is asked for, and may start once it is on disk (`stored`). */
export type Waiting = Folder & { id: string; stored: boolean }

export type QueueState = {
  readonly limit: number
  readonly maxQueued: number
  readonly stopping: boolean
  /** Why nothing may start for now; null = it may. */
  readonly full: string | null
  readonly waiting: readonly Waiting[]
  readonly running: readonly (Folder & { id: string })[]
}

export type QueueEvent =
  /** A new job asks for a place. */
  | Folder & { type: 'ask'; id: string }
  /** It is on disk. */
  | { type: 'stored'; id: string }
  /** It could not be stored; its place is free again. */
  | { type: 'lost'; id: string }
  /** A job of an earlier run of the daemon; it is on disk and is never refused. */
  | Folder & { type: 'recovered'; id: string }
  /** A running job has its copy. */
  | { type: 'copied'; id: string }
  | { type: 'ended'; id: string }
  | { type: 'cancel'; id: string }
  | { type: 'stop' }
  /** The disk is full: what runs has to stop, and nothing starts. */
  | { type: 'full'; why: string }
  /** There is room again: what had to stop takes its place before all others. */
  | { type: 'room'; back: readonly (Folder & { id: string })[] }

export type QueueEffect =
  | { type: 'admit'; id: string }
  | { type: 'refuse'; id: string; queued: number; limit: number }
  | { type: 'start'; id: string }
  /** It waits: its place in the line from 1, and why. */
  | { type: 'wait'; id: string; position: number; reason: string }
  /** It was cancelled before it ran. */
  | { type: 'drop'; id: string }
  /** It is running and has to stop. */
  | { type: 'abort'; id: string }

export function emptyQueue(limit: number, maxQueued: number): QueueState {
  return { limit, maxQueued, stopping: false, full: null, waiting: [], running: [] }
}

export function decide(state: QueueState, event: QueueEvent): [QueueState, QueueEffect[]] {
  switch (event.type) {
    case 'ask': {
      if (state.stopping || state.waiting.length >= state.maxQueued) {
        return [state, [{ type: 'refuse', id: event.id, queued: state.waiting.length, limit: state.maxQueued }]]
      }
      return [{ ...state, waiting: [...state.waiting, { id: event.id, workspace: event.workspace, hold: event.hold, stored: false }] }, [{ type: 'admit', id: event.id }]]
    }
    case 'stored': return settle({ ...state, waiting: state.waiting.map((job) => (job.id === event.id ? { ...job, stored: true } : job)) }, event.id)
    case 'recovered': return settle({ ...state, waiting: [...state.waiting, { id: event.id, workspace: event.workspace, hold: event.hold, stored: true }] }, event.id)
    case 'copied': return settle({ ...state, running: state.running.map((job) => (job.id === event.id && job.hold === 'unchanged' ? { ...job, hold: 'nothing' } : job)) }, null)
    case 'lost': return settle({ ...state, waiting: state.waiting.filter((job) => job.id !== event.id) }, null)
    case 'ended': return settle({ ...state, running: state.running.filter((job) => job.id !== event.id) }, null)
    case 'cancel': {
      if (state.running.some((job) => job.id === event.id)) return [state, [{ type: 'abort', id: event.id }]]
      if (!state.waiting.some((job) => job.id === event.id && job.stored)) return [state, []]
      const [next, effects] = settle({ ...state, waiting: state.waiting.filter((job) => job.id !== event.id) }, null)
      return [next, [{ type: 'drop', id: event.id }, ...effects]]
    }
    case 'stop': return [{ ...state, stopping: true }, abortAll(state)]
    case 'full': return [{ ...state, full: event.why }, abortAll(state)]
    case 'room': return settle({ ...state, full: null, waiting: [...event.back.map((job) => ({ ...job, stored: true })), ...state.waiting] }, null)
    default: return event satisfies never
  }
}

function abortAll({ running }: QueueState): QueueEffect[] {
  return running.map(({ id }) => ({ type: 'abort', id }))
}

/** Starts all that may start; `asked` is told its place when it has to wait. */
function settle(state: QueueState, asked: string | null): [QueueState, QueueEffect[]] {
  const running = [...state.running]
  const waiting: Waiting[] = []
  const effects: QueueEffect[] = []
  for (const job of state.waiting) {
    const free = !state.stopping && state.full === null && job.stored && running.length < state.limit
    const blocked = inTheWay([...running, ...waiting], job) !== undefined
    if (free && !blocked) {
      running.push({ id: job.id, workspace: job.workspace, hold: job.hold })
      effects.push({ type: 'start', id: job.id })
    } else {
      waiting.push(job)
    }
  }
  const next = { ...state, running, waiting }
  const position = waiting.findIndex((job) => job.id === asked)
  const job = waiting[position]
  if (job !== undefined) effects.push({ type: 'wait', id: job.id, position: position + 1, reason: whyWaiting(next, job, position) })
  return [next, effects]
}

function whyWaiting(state: QueueState, job: Waiting, position: number): string {
  if (state.stopping) return 'the daemon is shutting down'
  if (state.full !== null) return state.full
  const other = inTheWay([...state.running, ...state.waiting.slice(0, position)], job)
  if (other !== undefined) return `job ${other.id} ${other.hold === 'alone' ? 'works in' : 'makes a copy of'} the same folder`
  const jobs = state.running.length === 1 ? '1 job is' : `${state.running.length} jobs are`
  return `${jobs} running, the limit is ${state.limit}`
}

/** An earlier job that needs this one's folder in another way; it goes first, also when it waits itself. */
function inTheWay<T extends Folder>(earlier: readonly T[], { workspace, hold }: Folder): T | undefined {
  return earlier.find((other) => overlaps(other.workspace, workspace) && (other.hold === 'alone' ? hold !== 'nothing' : other.hold === 'unchanged' && hold === 'alone'))
}

/** Same folder, or one inside the other. Both are real absolute paths. */
export function overlaps(a: string, b: string): boolean {
  return a === b || a.startsWith(b + sep) || b.startsWith(a + sep)
}
