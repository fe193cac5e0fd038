// Owns the decisions about one worker process as a pure function (state, event, now) -> (state, effects). No timer, no process, no I/O.
//
//   state      what it means                              leaves it by
//   stopped    no process, nobody asked                   want -> starting
//   starting   process runs, model loads, canary, trust   canary ok -> ready; exit, refusal, silence -> failed or broken;
//                                                         wrong tokens -> starting with another engine; none left -> broken
//   ready      answers requests                           exit, silence -> failed or broken; unload, idle -> draining
//   draining   finishes what runs, takes nothing new      exit -> stopped (-> starting when somebody waits)
//   failed     no process, waits for its back-off         retry -> starting (if it had served or somebody waits), else stopped
//   broken     five failures in ten minutes, or no trust  reset -> stopped
import { fault, type Fault, type WorkerState } from '@hearth/protocol'
import type { Exit } from './process.ts'
import type { NativeCause } from './wire.ts'

export type Timing = {
  /** Period of `tick`: one ping each. */
  tickMs: number
  /** A process that left this many pings in a row unanswered is killed at the next tick: within ten seconds at a tick of one. */
  unansweredPings: number
  /** Longest time from the start of the process, or from one sign of loading to the next. */
  startMs: number
  /** Longest time without a token or prefill progress while something runs; five times the forecast of the evaluation in flight when that is more. */
  progressMs: number
  backoffMs: number
  backoffMaxMs: number
  circuitFailures: number
  circuitMs: number
  /** 0 = never unload. */
  idleUnloadMs: number
  /** A worker idle for this long is asked for one token. */
  canaryEveryMs: number
  /** A draining process that does not end is killed. */
  drainMs: number
}

export const defaultTiming: Timing = {
  tickMs: 1000, unansweredPings: 8, startMs: 120_000, progressMs: 60_000, backoffMs: 500, backoffMaxMs: 60_000,
  circuitFailures: 5, circuitMs: 600_000, idleUnloadMs: 1_800_000, canaryEveryMs: 3_600_000, drainMs: 10_000,
}

export type State = {
  phase: WorkerState
  /** The worker has said its first word, so it owes answers to pings. */
  booted: boolean
  unanswered: number
  /** Callers waiting for `ready`. */
  wanted: number
  running: number
  /** Times of the failures inside the circuit's window. */
  failures: readonly number[]
  /** Failures since it last served well for a whole window; the back-off grows with it. */
  streak: number
  restarts: number
  /** Why we killed the process: the first cause wins over how it then ended. */
  cause: Fault | null
  /** The process that was killed gave wrong tokens: the next one is another engine, so nothing is waited for and nobody is told. */
  distrusted: boolean
  lastFault: Fault | null
  /** Time of the last event that matters in this phase: start, sign of loading, progress of a run, end of the last run, begin of draining. */
  since: number
  readyAt: number | null
  /** Forecast of the evaluation in flight in ms; from the last prefill. */
  forecastMs: number
  checkedAt: number
  closing: boolean
}

export type Event =
  | { type: 'want' } | { type: 'unwant' }
  | { type: 'booted' } | { type: 'loading' } | { type: 'loaded' } | { type: 'load_failed'; cause: NativeCause; problem: string; fault?: Fault }
  /** `canary_ok` at a start: its tokens are also trusted. `distrusted`: they are wrong. `untrusted`: no other engine is left. */
  | { type: 'distrusted'; fault: Fault } | { type: 'untrusted'; fault: Fault }
  | { type: 'canary_ok' } | { type: 'canary_failed'; problem: string }
  | { type: 'pong' } | { type: 'progress'; forecastMs?: number } | { type: 'run_started' } | { type: 'run_ended' }
  | { type: 'launch_refused'; fault: Fault } | { type: 'exited'; exit: Exit }
  | { type: 'tick' } | { type: 'retry' } | { type: 'unload' } | { type: 'reset' } | { type: 'settle' } | { type: 'close' }

export type Effect =
  | { type: 'launch' } | { type: 'load' } | { type: 'canary' } | { type: 'ping' } | { type: 'shutdown' } | { type: 'kill' }
  | { type: 'serve' }
  /** End every run with this cause. */
  | { type: 'fail_runs'; fault: Fault }
  /** Answer everybody who waits for `ready` with this cause. */
  | { type: 'fail_waiters'; fault: Fault }
  | { type: 'retry_in'; ms: number }

export type Decision = { state: State; effects: Effect[] }

export function initialState(now: number): State {
  return {
    phase: 'stopped', booted: false, unanswered: 0, wanted: 0, running: 0, failures: [], streak: 0, restarts: 0, cause: null, distrusted: false, lastFault: null,
    since: now, readyAt: null, forecastMs: 0, checkedAt: now, closing: false,
  }
}

export function decide(model: string, timing: Timing, state: State, event: Event, now: number): Decision {
  const same: Decision = { state, effects: [] }
  switch (event.type) {
    case 'want': {
      const wanting = { ...state, wanted: state.wanted + 1 }
      if (state.closing) return answered(wanting, fault('shutting_down', {}))
      if (state.phase === 'stopped') return launch(wanting, now)
      if (state.phase === 'ready') return serve(wanting, now)
      if (state.phase === 'broken') return answered(wanting, state.lastFault?.code === 'wrong_tokens' ? state.lastFault : circuitOpen(model, timing, state))
      return { state: wanting, effects: [] }
    }
    case 'unwant':
      return { state: { ...state, wanted: Math.max(0, state.wanted - 1) }, effects: [] }
    case 'booted':
      if (state.phase !== 'starting' || state.booted) return same
      return { state: { ...state, booted: true, unanswered: 0, since: now }, effects: [{ type: 'load' }] }
    case 'loading':
      return state.phase === 'starting' ? { state: { ...state, since: now }, effects: [] } : same
    case 'loaded':
      return state.phase === 'starting' ? { state: { ...state, since: now }, effects: [{ type: 'canary' }] } : same
    case 'canary_ok':
      if (state.phase === 'starting') return serve({ ...state, phase: 'ready', readyAt: now, since: now, checkedAt: now }, now)
      return { state: { ...state, checkedAt: now }, effects: [] }
    case 'canary_failed':
      return alive(state) ? kill(state, fault('load_failed', { model, how: `its first token did not come (${event.problem})` })) : same
    case 'distrusted':
      return state.phase === 'starting' ? kill({ ...state, distrusted: state.cause === null }, event.fault) : same
    case 'untrusted':
      return state.phase === 'starting' ? broken(state, event.fault, now) : same
    case 'load_failed':
      return state.phase === 'starting' ? kill(state, event.fault ?? nativeFault(model, event.cause, event.problem, 'load_failed')) : same
    case 'launch_refused':
      return failed(timing, { ...state, cause: event.fault }, event.fault, now)
    case 'pong':
      return { state: { ...state, unanswered: 0 }, effects: [] }
    case 'progress':
      return { state: { ...state, since: now, forecastMs: event.forecastMs ?? state.forecastMs }, effects: [] }
    case 'run_started':
      return { state: { ...state, running: state.running + 1, since: now }, effects: [] }
    case 'run_ended': {
      const ended = { ...state, running: Math.max(0, state.running - 1), since: now }
      return { state: ended, effects: state.phase === 'draining' && ended.running === 0 ? [{ type: 'shutdown' }] : [] }
    }
    case 'exited':
      return exited(model, timing, state, event.exit, now)
    case 'tick':
      return tick(model, timing, state, now)
    case 'retry':
      if (state.phase !== 'failed') return same
      return state.readyAt !== null || state.wanted > 0 ? launch({ ...state, restarts: state.restarts + 1 }, now) : { state: { ...state, phase: 'stopped' }, effects: [] }
    case 'unload':
      return drain(state, now)
    case 'reset':
      if (state.phase !== 'broken') return { state: { ...state, failures: [], streak: 0 }, effects: [] }
      return { state: { ...initialState(now), restarts: state.restarts, lastFault: state.lastFault, wanted: state.wanted }, effects: [] }
    case 'settle':
      return answered({ ...state, closing: true }, fault('shutting_down', {}))
    case 'close':
      return close(state, now)
    default:
      event satisfies never
      return same
  }
}

function alive(state: State): boolean {
  return state.phase === 'starting' || state.phase === 'ready' || state.phase === 'draining'
}

function launch(state: State, now: number): Decision {
  return { state: { ...state, phase: 'starting', booted: false, unanswered: 0, cause: null, distrusted: false, since: now, readyAt: null }, effects: [{ type: 'launch' }] }
}

function serve(state: State, now: number): Decision {
  return { state: { ...state, wanted: 0, since: now }, effects: [{ type: 'serve' }] }
}

function answered(state: State, why: Fault): Decision {
  return { state: { ...state, wanted: 0 }, effects: [{ type: 'fail_waiters', fault: why }] }
}

/** First cause wins; the process is judged when its exit is seen. */
function kill(state: State, cause: Fault): Decision {
  return { state: { ...state, cause: state.cause ?? cause }, effects: [{ type: 'kill' }] }
}

function drain(state: State, now: number): Decision {
  // Nobody wants what it loads, or what would start again.
  if (state.phase === 'starting' && state.wanted === 0) return { state: { ...state, phase: 'draining', since: now }, effects: [{ type: 'kill' }] }
  if (state.phase === 'failed' && state.wanted === 0) return { state: { ...state, phase: 'stopped' }, effects: [] }
  if (state.phase !== 'ready') return { state, effects: [] }
  return { state: { ...state, phase: 'draining', since: now }, effects: state.running === 0 ? [{ type: 'shutdown' }] : [] }
}

function close(state: State, now: number): Decision {
  const why = fault('shutting_down', {})
  const closing = { ...state, closing: true, wanted: 0, since: now }
  const effects: Effect[] = [{ type: 'fail_waiters', fault: why }, { type: 'fail_runs', fault: why }]
  // A process that computes or loads hears nothing for a while, and has nothing to save.
  if (state.phase === 'starting' || (alive(state) && state.running > 0)) {
    return { state: { ...closing, phase: 'draining', running: 0, cause: why }, effects: [...effects, { type: 'kill' }] }
  }
  if (alive(state)) return { state: { ...closing, phase: 'draining' }, effects: [...effects, { type: 'shutdown' }] }
  return { state: { ...closing, phase: state.phase === 'broken' ? 'broken' : 'stopped' }, effects }
}

function exited(model: string, timing: Timing, state: State, exit: Exit, now: number): Decision {
  if (state.phase === 'draining') {
    const stopped: State = { ...state, phase: 'stopped', running: 0, cause: null, readyAt: null }
    const why = state.cause ?? exitFault(model, exit)
    const effects: Effect[] = state.running > 0 ? [{ type: 'fail_runs', fault: why }] : []
    if (stopped.wanted === 0 || state.closing) return { state: stopped, effects }
    const next = launch(stopped, now)
    return { state: next.state, effects: [...effects, ...next.effects] }
  }
  if (!alive(state)) return { state, effects: [] }
  if (state.distrusted && state.cause !== null) {
    const left = { ...state, lastFault: state.cause, running: 0 }
    return state.wanted > 0 && !state.closing ? launch(left, now) : { state: { ...left, phase: 'stopped', cause: null, distrusted: false, booted: false }, effects: [] }
  }
  return failed(timing, state, state.cause ?? (state.phase === 'starting' ? startFault(model, exit) : exitFault(model, exit)), now)
}

function failed(timing: Timing, state: State, why: Fault, now: number): Decision {
  const servedWell = state.readyAt !== null && now - state.readyAt >= timing.circuitMs
  const streak = servedWell ? 1 : state.streak + 1
  const failures = [...state.failures.filter((at) => now - at < timing.circuitMs), now]
  const broken = failures.length >= timing.circuitFailures
  const effects: Effect[] = [{ type: 'fail_runs', fault: why }, { type: 'fail_waiters', fault: why }]
  if (!broken) effects.push({ type: 'retry_in', ms: Math.min(timing.backoffMaxMs, timing.backoffMs * 2 ** (streak - 1)) })
  return {
    state: { ...state, phase: broken ? 'broken' : 'failed', booted: false, running: 0, wanted: 0, failures, streak, cause: null, lastFault: why, since: now },
    effects,
  }
}

/** Another start would find the same. */
function broken(state: State, why: Fault, now: number): Decision {
  return {
    state: { ...state, phase: 'broken', booted: false, running: 0, wanted: 0, cause: null, lastFault: why, since: now },
    effects: [{ type: 'fail_runs', fault: why }, { type: 'fail_waiters', fault: why }],
  }
}

function tick(model: string, timing: Timing, state: State, now: number): Decision {
  if (!alive(state)) return { state, effects: [] }
  if (state.cause !== null) return { state, effects: [{ type: 'kill' }] }
  if (state.booted && state.unanswered >= timing.unansweredPings) {
    return kill(state, fault('worker_stuck', { model, seconds: Math.round((state.unanswered + 1) * timing.tickMs / 1000) }))
  }
  const silentMs = now - state.since
  if (state.phase === 'starting' && silentMs > timing.startMs) {
    return kill(state, fault('load_failed', { model, how: `it did not come up in ${Math.round(timing.startMs / 1000)} s` }))
  }
  if (state.phase !== 'starting' && state.running > 0 && silentMs > Math.max(timing.progressMs, 5 * state.forecastMs)) {
    return kill(state, fault('worker_stuck', { model, seconds: Math.round(silentMs / 1000) }))
  }
  if (state.phase === 'draining' && state.running === 0 && silentMs > timing.drainMs) return { state, effects: [{ type: 'kill' }] }
  if (state.phase === 'ready' && state.running === 0 && timing.idleUnloadMs > 0 && silentMs >= timing.idleUnloadMs) return drain(state, now)
  if (!state.booted) return { state, effects: [] }
  const effects: Effect[] = [{ type: 'ping' }]
  const due = state.phase === 'ready' && state.running === 0 && now - Math.max(state.checkedAt, state.since) >= timing.canaryEveryMs
  if (due) effects.push({ type: 'canary' })
  return { state: { ...state, unanswered: state.unanswered + 1, checkedAt: due ? now : state.checkedAt }, effects }
}

function circuitOpen(model: string, timing: Timing, state: State): Fault {
  return fault('circuit_open', { model, failures: state.failures.length, minutes: Math.round(timing.circuitMs / 60_000) })
}

/** A native cause as a fault; what names nothing by itself gets `otherwise`. */
export function nativeFault(model: string, cause: NativeCause, how: string, otherwise: 'load_failed' | 'internal'): Fault {
  switch (cause) {
    case 'out_of_memory': return fault('worker_out_of_memory', { model, how })
    case 'gpu_lost': return fault('gpu_lost', { model, how })
    case 'garbled': return fault('engine_garbled', { model, how })
    case 'other': return otherwise === 'load_failed' ? fault('load_failed', { model, how }) : fault('internal', { problem: `the engine said: ${how}` })
    default: return cause satisfies never
  }
}

function exitFault(model: string, exit: Exit): Fault {
  return exit.native === 'other' ? fault('worker_exited', { model, how: exit.how }) : nativeFault(model, exit.native, exit.how, 'internal')
}

function startFault(model: string, exit: Exit): Fault {
  return exit.native === 'other' ? fault('load_failed', { model, how: `the worker ended while starting (${exit.how})` }) : exitFault(model, exit)
}
