// Owns the port `Model` for one file on this box: checks, prompt, slot, run and the event order. Never throws; knows no process and no token.
import { randomBytes, randomInt } from 'node:crypto'
import { fault, faultFrom, noUsage, type Fault, type JobClass, type Model, type ModelEvent, type ModelInfo, type ModelRequest, type StopReason, type Timings, type Usage } from '@hearth/protocol'
import type { InstalledModel } from '../installed.ts'
import type { Forecast } from './forecast.ts'
import type { Handover, Restored } from './handover.ts'
import { checkRequest } from '../request.ts'
import { Mailbox } from './mailbox.ts'
import type { Slot, Slots } from './slots.ts'
import { nativeFault } from './supervision.ts'
import type { Wish } from './line.ts'
import type { Held, Hold } from './residency.ts'
import type { RunMessage } from './runs.ts'
import type { Supervisor } from './supervisor.ts'
import type { CallEvent } from './template/call-reader.ts'
import { planRequest, type Plan } from './template/plan.ts'
import { ChatTemplate } from './template/render.ts'
import type { Generate, Inspection, RunFigures } from './wire.ts'

export type HoldModel = (wish: Wish) => Promise<Held>

export type LocalModelOptions = {
  installed: InstalledModel
  supervisor: Supervisor
  slots: Slots
  forecast: Forecast
  /** Null when no state is ever saved. */
  handover: Handover | null
  hold: HoldModel
  /** The right to compute, once it is loaded: on a CPU models may have to take turns. */
  turn: HoldModel
  /** Window before the first load; afterwards the worker's own figure counts. */
  contextTokens: number
}

type Terminal = Extract<ModelEvent, { type: 'done' | 'failed' }>
type Heard = RunMessage | { type: 'slot'; slot: Slot } | { type: 'position'; position: number; etaMs: number | null } | { type: 'prepared'; restored: Restored | null } | { type: 'aborted' }

const priority = { interactive: 5, job: 3, batch: 1 } as const

export class LocalModel implements Model {
  readonly #options: LocalModelOptions
  #template: { inspection: Inspection; template: ChatTemplate | { fault: Fault } } | null = null

  constructor(options: LocalModelOptions) {
    this.#options = options
  }

  get info(): ModelInfo {
    const { installed, supervisor, contextTokens } = this.#options
    return { id: installed.id, place: 'local', contextTokens: supervisor.status.ready?.contextTokens ?? contextTokens, profile: installed.profile }
  }

  async *generate(input: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent, void, void> {
    const call = new Call()
    const checked = checkRequest(input)
    if (!checked.ok) {
      yield call.failed(checked.fault)
      return
    }
    let hold: Hold | null = null
    let turn: Hold | null = null
    try {
      const held = yield* waitFor(this.#options.hold, checked.request.class, signal)
      if (held === 'aborted') return yield call.done('cancelled')
      if ('fault' in held) return yield call.failed(held.fault)
      hold = held
      const ready = await this.#options.supervisor.ready(signal)
      if (ready === 'aborted') return yield call.done('cancelled')
      if ('fault' in ready) return yield call.failed(ready.fault)
      const taken = yield* waitFor(this.#options.turn, checked.request.class, signal)
      if (taken === 'aborted') return yield call.done('cancelled')
      if ('fault' in taken) return yield call.failed(taken.fault)
      turn = taken
      yield* this.#answer(checked.request, signal, call)
    } catch (error) {
      if (!call.ended) yield call.failed(faultFrom(error))
    } finally {
      turn?.release()
      hold?.release()
    }
  }

  async *#answer(request: ModelRequest, signal: AbortSignal, call: Call): AsyncGenerator<ModelEvent, void, void> {
    const { supervisor, slots, installed, forecast, handover } = this.#options
    const first = await supervisor.ready(signal)
    if (first === 'aborted') return yield call.done('cancelled')
    if ('fault' in first) return yield call.failed(first.fault)
    const template = this.#templateOf(first.ready.inspection)
    if ('fault' in template) return yield call.failed(template.fault)
    const plan = planRequest(request, installed.toolFormat, template)
    if ('fault' in plan) return yield call.failed(plan.fault)
    if (slots.count !== first.ready.sequences) slots.resize(first.ready.sequences)

    const heard = new Mailbox<Heard>()
    const abort = (): void => heard.push({ type: 'aborted' })
    signal.addEventListener('abort', abort, { once: true })
    const side = isSide(request)
    const leave = slots.ask({
      sessionKey: request.sessionKey, class: request.class, prompt: plan.prompt.text, side, tentative: request.tentative === true, owner: request.owner ?? null,
      saved: !side && request.sessionKey !== null && handover?.has(request.sessionKey) === true, expectedMs: forecast.runMs(plan.prompt.text.length, request.maxTokens),
    }, (slot) => heard.push({ type: 'slot', slot }), (position, etaMs) => heard.push({ type: 'position', position, etaMs }))
    let run: Run | null = null
    let restored: Restored | null = null
    try {
      if (signal.aborted) return yield call.done('cancelled')
      for (;;) {
        const message = await heard.next()
        if (message.type === 'position') yield { type: 'queued', position: message.position, ...(message.etaMs === null ? {} : { etaMs: message.etaMs }) }
        else if (message.type === 'aborted') return yield call.done('cancelled')
        else if (message.type === 'slot') {
          run = new Run(message.slot, supervisor, forecast, plan.prompt.text.length)
          // The worker may have died and come back while this request waited for its slot.
          const again = await supervisor.ready(signal)
          if (again === 'aborted') return yield call.done('cancelled')
          if ('fault' in again) return yield call.failed(again.fault)
          call.queued()
          const { slot } = message
          run.prepare(handover?.prepare(slot, side ? null : request.sessionKey) ?? Promise.resolve(null), (restored) => heard.push({ type: 'prepared', restored }))
        } else if (message.type === 'prepared') {
          restored = message.restored
          run?.begin((slot) => generateOf(request, plan, slot, slot.foreign && restored === null), installed.id, (reply) => heard.push(reply))
        } else {
          if (message.type === 'started' && restored !== null) handover?.judge(restored, message.reusedTokens)
          for (const event of call.hear(message, plan, installed.id)) yield event
          if (call.ended) return
        }
      }
    } finally {
      signal.removeEventListener('abort', abort)
      leave()
      // A slot that was handed over in the moment the request gave up goes back.
      for (const message of heard.drain()) if (message.type === 'slot') message.slot.free()
      run?.leave()
    }
  }

  #templateOf(inspection: Inspection): ChatTemplate | { fault: Fault } {
    if (this.#template?.inspection !== inspection) this.#template = { inspection, template: ChatTemplate.of(inspection) }
    return this.#template.template
  }
}

/** Says what is waited for until the answer is there. Who leaves in between leaves the line too. */
async function* waitFor(ask: HoldModel, jobClass: JobClass, signal: AbortSignal): AsyncGenerator<ModelEvent, Held, void> {
  const heard = new Mailbox<{ position: number; reason: string } | { held: Held } | { error: unknown }>()
  const left = new AbortController()
  const abort = (): void => left.abort()
  if (signal.aborted) abort()
  else signal.addEventListener('abort', abort, { once: true })
  const asked = ask({ class: jobClass, signal: left.signal, waits: (position, reason) => heard.push({ position, reason }) })
  asked.then((held) => heard.push({ held }), (error: unknown) => heard.push({ error }))
  let over = false
  try {
    for (;;) {
      const message = await heard.next()
      if ('position' in message) {
        yield { type: 'queued', ...message }
        continue
      }
      over = true
      if ('error' in message) throw message.error
      return message.held
    }
  } finally {
    signal.removeEventListener('abort', abort)
    if (!over) {
      left.abort()
      asked.then((held) => {
        if (held !== 'aborted' && 'release' in held) held.release()
      }, () => undefined)
    }
  }
}

/** Titles, summaries, canaries, and whoever names no session: their memory is not worth a session's. */
function isSide(request: ModelRequest): boolean {
  return request.sessionKey === null || (request.purpose !== 'agent' && request.purpose !== 'chat')
}

function generateOf(request: ModelRequest, plan: Plan, slot: Slot, fresh: boolean): Generate {
  return {
    type: 'generate', id: randomBytes(8).toString('hex'), sequence: slot.sequence, segments: plan.prompt.segments,
    sampling: { ...request.sampling, seed: request.sampling.seed ?? randomInt(2 ** 32) },
    maxTokens: request.maxTokens, stop: request.stop, grammar: plan.grammar, stopAtJson: plan.stopAtJson,
    probabilities: request.probabilities, ...(request.likelihoods === true ? { likelihoods: true } : {}), visible: plan.visible, priority: priority[request.class], ...(fresh ? { fresh } : {}),
  }
}

/** One run on its slot: the slot is freed when the worker is done with it, which is later than the caller's end when that was an abort. */
class Run {
  readonly #slot: Slot
  readonly #supervisor: Supervisor
  readonly #forecast: Forecast
  readonly #promptChars: number
  #id: string | null = null
  #preparing = false
  #begun = false
  #left = false
  #over = false

  constructor(slot: Slot, supervisor: Supervisor, forecast: Forecast, promptChars: number) {
    this.#slot = slot
    this.#supervisor = supervisor
    this.#forecast = forecast
    this.#promptChars = promptChars
  }

  /** While a state is being saved or restored the slot stays taken, also when the caller leaves. */
  prepare(work: Promise<Restored | null>, done: (restored: Restored | null) => void): void {
    this.#preparing = true
    const ready = (restored: Restored | null): void => {
      this.#preparing = false
      if (this.#left) this.#finish()
      else done(restored)
    }
    work.then(ready, () => ready(null))
  }

  begin(make: (slot: Slot) => Generate, model: string, listener: (message: RunMessage) => void): void {
    const request = make(this.#slot)
    this.#id = request.id
    this.#supervisor.run(request, (message) => {
      if (message.type === 'tokens') this.#slot.grew(message.text)
      // The prompt counts from here on: a run that the end of the daemon cuts short is saved too.
      if (message.type === 'started') {
        this.#begun = true
        this.#slot.holds(message.promptTokens)
      }
      if (message.type === 'end' || message.type === 'broke') {
        // What never began left the memory as it was, which may be another owner's.
        if (this.#begun) this.#slot.holds(message.figures.promptTokens + message.figures.completionTokens)
        this.#forecast.measured(message.figures, this.#promptChars)
      }
      if (message.type === 'end' || message.type === 'broke' || message.type === 'refused' || message.type === 'lost') this.#finish()
      listener(message)
    }, fault('worker_exited', { model, how: 'before the request reached it' }))
  }

  /** The caller is gone: nothing more is computed for it. */
  leave(): void {
    if (this.#over) return
    this.#left = true
    if (this.#preparing) return
    if (this.#id === null) this.#finish()
    else this.#supervisor.cancel(this.#id)
  }

  #finish(): void {
    this.#over = true
    this.#slot.free()
  }
}

/** The account of one call: tokens, times, and the one terminal event. */
class Call {
  readonly #startedAt = performance.now()
  #queuedUntil: number | null = null
  #firstAt: number | null = null
  #lastAt: number | null = null
  #usage: Usage = noUsage
  #figures: RunFigures | null = null
  #calls = 0
  ended = false

  queued(): void {
    this.#queuedUntil = performance.now()
  }

  done(stop: StopReason): Terminal {
    this.ended = true
    return { type: 'done', stop, usage: this.#usage, timings: this.#timings() }
  }

  failed(why: Fault): Terminal {
    this.ended = true
    return { type: 'failed', fault: why, usage: this.#usage, timings: this.#timings() }
  }

  /** The events of one message of the worker, in order; the last one is terminal when `ended` is set. */
  hear(message: RunMessage, plan: Plan, model: string): ModelEvent[] {
    switch (message.type) {
      case 'started':
        this.#usage = { promptTokens: message.promptTokens, reusedTokens: message.reusedTokens, completionTokens: 0 }
        return [{ type: 'started', promptTokens: message.promptTokens, reusedTokens: message.reusedTokens }]
      case 'prefill':
        return [{ type: 'prefill', doneTokens: message.doneTokens, totalTokens: message.totalTokens }]
      case 'tokens': {
        const now = performance.now()
        this.#firstAt ??= now
        this.#lastAt = now
        this.#usage = { ...this.#usage, completionTokens: this.#usage.completionTokens + message.count }
        const probabilities = message.pieces.length > 0 ? { probabilities: message.pieces } : {}
        if (plan.reader !== null) return this.#read(plan.reader.push(message.text), probabilities)
        return message.text === '' && message.pieces.length === 0 ? [] : [{ type: 'text', text: message.text, ...probabilities }]
      }
      case 'end': {
        this.#take(message.figures)
        const rest = message.stop === 'cancelled' ? [] : this.#read(plan.reader?.end(message.stop !== 'end') ?? [], {})
        return [...rest, this.done(this.#calls > 0 && message.stop !== 'cancelled' ? 'tool_calls' : message.stop)]
      }
      case 'broke':
        this.#take(message.figures)
        return [this.failed(nativeFault(model, message.cause, message.problem, 'internal'))]
      case 'lost':
        return [this.failed(message.fault)]
      case 'refused':
        return [this.failed(message.cause === 'context_overflow'
          ? fault('context_overflow', { promptTokens: message.promptTokens, contextTokens: message.contextTokens })
          : fault('bad_schema', { problem: `the engine refuses its grammar (${message.problem})` }))]
      default:
        return message satisfies never
    }
  }

  #read(events: CallEvent[], probabilities: { probabilities?: Extract<ModelEvent, { type: 'text' }>['probabilities'] }): ModelEvent[] {
    this.#calls += events.filter((event) => event.type === 'tool_call').length
    if (probabilities.probabilities === undefined) return events
    const first = events.findIndex((event) => event.type === 'text')
    if (first < 0) return [{ type: 'text', text: '', probabilities: probabilities.probabilities }, ...events]
    return events.map((event, index) => (index === first && event.type === 'text' ? { type: 'text', text: event.text, ...(probabilities as Required<typeof probabilities>) } : event))
  }

  #take(figures: RunFigures): void {
    this.#figures = figures
    const { promptTokens, reusedTokens, completionTokens, drafts } = figures
    this.#usage = { promptTokens, reusedTokens, completionTokens, ...(drafts === undefined || drafts.draftedTokens === 0 ? {} : { drafts }) }
  }

  /** The worker's own times when it gave them (they hold no channel delay), else ours. */
  #timings(): Timings {
    const now = performance.now()
    const runFrom = this.#queuedUntil
    const firstAt = this.#firstAt
    return {
      queuedMs: (runFrom ?? now) - this.#startedAt,
      prefillMs: this.#figures?.prefillMs ?? (runFrom === null ? 0 : (firstAt ?? now) - runFrom),
      decodeMs: this.#figures?.decodeMs ?? (firstAt === null ? 0 : (this.#lastAt ?? now) - firstAt),
      ttftMs: firstAt === null ? null : firstAt - this.#startedAt,
      totalMs: now - this.#startedAt,
    }
  }
}
