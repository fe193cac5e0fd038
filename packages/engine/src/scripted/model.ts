// Owns the scripted model: a Model that says what its script says, with honest order, counts and time. Starts nothing and reads no file but its script.
import { fault, faultFrom, noUsage, type Fault, type Model, type ModelEvent, type ModelInfo, type ModelRequest, type StopReason, type Timings, type ToolCall, type Usage } from '@hearth/protocol'
import { completionText, promptText, Sessions, tokenEnd, tokensOf } from './accounting.ts'
import { waitUntil } from './pace.ts'
import { checkRequest } from '../request.ts'
import { checkScript, readScript, scriptedFault, type Script, type ScriptAnswer, type ScriptInput } from './script.ts'
import { speak, turnFor, unexpected, type Spoken } from './turn.ts'

/** Reads a script and makes its model, with the id `scripted:PATH`. */
export async function loadScript(path: string): Promise<{ ok: true; model: Model } | { ok: false; fault: Fault }> {
  const read = await readScript(path)
  return read.ok ? { ok: true, model: new ScriptedModel(read.script, `scripted:${path}`, path) } : read
}

/** The model of a script given as a value. Never throws: an invalid script answers every request with `bad_script`. */
export function scriptedModel(script: ScriptInput, id = 'scripted'): Model {
  const checked = checkScript(script, id)
  return checked.ok ? new ScriptedModel(checked.script, id, id) : new FailingModel(id, checked.fault)
}

// Without a speed, this many tokens make one event, and after this many events other work gets its turn.
const burstTokens = 64
const burstEvents = 16
const sessionsWithAttempts = 10_000
// What a script says fits the window that it names.
const leastWindow = 64

class ScriptedModel implements Model {
  readonly info: ModelInfo
  readonly #script: Script
  readonly #path: string
  readonly #sessions = new Sessions()
  readonly #attempts = new Map<string, number>()

  constructor(script: Script, id: string, path: string) {
    this.#script = script
    this.#path = path
    this.info = {
      id, place: 'local', contextTokens: script.contextTokens,
      profile: { toolMode: script.toolMode, tools: null, fewShot: null, sampling: {}, maxCallTokens: Math.min(script.contextTokens, 1_000_000), minContextTokens: leastWindow },
    }
  }

  async *generate(input: ModelRequest, signal: AbortSignal): AsyncGenerator<ModelEvent> {
    const run = new Run()
    try {
      const checked = checkRequest(input)
      yield* checked.ok ? this.#answer(checked.request, signal, run) : [run.failed(checked.fault)]
    } catch (error) {
      yield run.failed(faultFrom(error))
    }
  }

  /** What will be said, or why nothing can be. */
  #plan(request: ModelRequest): Plan | Fault {
    if (request.probabilities > 0) return fault('unsupported', { what: 'Reporting token probabilities' })
    const mismatch = (problem: string): Fault => fault('script_mismatch', { path: this.#path, problem })
    const { number, turn } = turnFor(this.#script, request)
    if (turn === null) {
      const turns = this.#script.turns.length
      return mismatch(`it has ${turns} ${turns === 1 ? 'turn' : 'turns'} and is asked for turn ${number}`)
    }
    const answer = this.#attempt(`${request.sessionKey ?? ''} ${number}`, turn.first) ?? turn
    const problem = unexpected(answer, request)
    if (problem !== null) return mismatch(`turn ${number} ${problem}`)
    const spoken = speak(answer, number, request, this.#path)
    if ('code' in spoken) return spoken
    const prompt = promptText(request)
    const promptTokens = answer.usage?.promptTokens ?? tokensOf(prompt.length)
    const room = this.#script.contextTokens - promptTokens
    if (room <= 0) return fault('context_overflow', { promptTokens, contextTokens: this.#script.contextTokens })
    const reusedTokens = Math.min(promptTokens, answer.usage?.reusedTokens ?? this.#sessions.reused(request.sessionKey, prompt))
    return { answer, spoken, prompt, promptTokens, reusedTokens, maxTokens: Math.min(room, request.maxTokens) }
  }

  async *#answer(request: ModelRequest, signal: AbortSignal, run: Run): AsyncGenerator<ModelEvent> {
    const plan = signal.aborted ? null : this.#plan(request)
    if (plan === null || 'code' in plan) {
      yield plan === null ? run.done('cancelled') : run.failed(plan)
      return
    }
    const { answer, spoken, prompt, promptTokens, reusedTokens, maxTokens } = plan
    run.prompt = { promptTokens, reusedTokens }
    run.reported = answer.usage?.completionTokens ?? null
    yield { type: 'started', promptTokens, reusedTokens }
    if (answer.delayMs !== undefined) {
      yield { type: 'prefill', doneTokens: reusedTokens, totalTokens: promptTokens }
      await waitUntil(performance.now() + answer.delayMs, signal)
      if (!signal.aborted) yield { type: 'prefill', doneTokens: promptTokens, totalTokens: promptTokens }
    }
    run.decodeFrom = performance.now()
    const said: Said = { text: '', calls: [] }
    try {
      const stop = yield* this.#speak(spoken, answer, maxTokens, request.stop, signal, run, said)
      if (stop !== 'cancelled' && answer.hang === true) await waitUntil(Infinity, signal)
      if (signal.aborted) yield run.done('cancelled')
      else yield run.ended(answer.fault === undefined ? null : scriptedFault(answer.fault), stop)
    } finally {
      this.#sessions.hold(request.sessionKey, prompt + completionText(said.text, said.calls))
    }
  }

  /** The next of `first` that this session has not had; null when all were given. In memory only. */
  #attempt(key: string, first: readonly ScriptAnswer[] | undefined): ScriptAnswer | null {
    if (first === undefined) return null
    const had = this.#attempts.get(key) ?? 0
    this.#attempts.set(key, had + 1)
    if (this.#attempts.size > sessionsWithAttempts) this.#attempts.delete(this.#attempts.keys().next().value ?? '')
    return first[had] ?? null
  }

  /** Streams the pieces at their speed, at most `maxTokens`; returns why it stopped. */
  async *#speak(
    spoken: Spoken, answer: ScriptAnswer, maxTokens: number, stops: readonly string[],
    signal: AbortSignal, run: Run, said: Said,
  ): AsyncGenerator<ModelEvent, StopReason> {
    const rate = answer.tokensPerSecond ?? this.#script.tokensPerSecond ?? null
    const dueOf = (token: number): number => rate === null || run.decodeFrom === null ? 0 : run.decodeFrom + token * 1000 / rate
    let events = 0
    for (const piece of spoken.pieces) {
      if (piece.type === 'text' || piece.type === 'reasoning') {
        const { text, stopped } = cutAtStop(piece.text, piece.type === 'text' ? stops : [])
        for (let from = 0; from < text.length;) {
          await waitUntilDue(dueOf(run.completionTokens), rate === null && ++events % burstEvents === 0, signal)
          if (signal.aborted) return 'cancelled'
          const now = performance.now()
          let to = from
          for (let n = 0; to < text.length && run.completionTokens < maxTokens; n++) {
            if (n > 0 && (rate === null ? n >= burstTokens : dueOf(run.completionTokens) > now)) break
            to = tokenEnd(text, to)
            run.count(1)
          }
          if (to === from) return 'max_tokens'
          if (piece.type === 'text') said.text += text.slice(from, to)
          yield { type: piece.type, text: text.slice(from, to) }
          from = to
        }
        if (stopped) return 'stop_sequence'
        continue
      }
      const whole = piece.type === 'tool_call' ? completionText('', [piece.call]) : piece.text
      const tokens = tokensOf(whole.length)
      const fits = Math.min(tokens, maxTokens - run.completionTokens)
      await waitUntilDue(dueOf(run.completionTokens + fits - 1), false, signal)
      if (signal.aborted) return 'cancelled'
      run.count(fits)
      if (fits < tokens) {
        yield { type: 'malformed_call', text: whole.slice(0, fits * 4), problem: 'the tool call was cut at the token limit' }
        return 'max_tokens'
      }
      if (piece.type === 'tool_call') said.calls.push(piece.call)
      else said.text += piece.text
      yield piece
    }
    return spoken.stop
  }
}

type Plan = { answer: ScriptAnswer; spoken: Spoken; prompt: string; promptTokens: number; reusedTokens: number; maxTokens: number }
type Said = { text: string; calls: ToolCall[] }

async function waitUntilDue(dueMs: number, breathe: boolean, signal: AbortSignal): Promise<void> {
  if (dueMs > performance.now()) await waitUntil(dueMs, signal)
  else if (breathe) await new Promise((resolve) => setImmediate(resolve))
}

function cutAtStop(text: string, stops: readonly string[]): { text: string; stopped: boolean } {
  const at = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((found) => found >= 0), Infinity)
  return at === Infinity ? { text, stopped: false } : { text: text.slice(0, at), stopped: true }
}

/** Counts and clock of one request. */
class Run {
  prompt: Omit<Usage, 'completionTokens'> = noUsage
  completionTokens = 0
  /** Completion tokens to report in place of the counted ones. */
  reported: number | null = null
  decodeFrom: number | null = null
  readonly #begun = performance.now()
  #firstToken: number | null = null

  count(tokens: number): void {
    this.#firstToken ??= performance.now()
    this.completionTokens += tokens
  }

  done(stop: StopReason): ModelEvent {
    return { type: 'done', stop, usage: this.#usage(), timings: this.#timings() }
  }

  failed(cause: Fault): ModelEvent {
    return { type: 'failed', fault: cause, usage: this.#usage(), timings: this.#timings() }
  }

  ended(cause: Fault | null, stop: StopReason): ModelEvent {
    return cause === null ? this.done(stop) : this.failed(cause)
  }

  #usage(): Usage {
    return { ...this.prompt, completionTokens: this.reported ?? this.completionTokens }
  }

  #timings(): Timings {
    const now = performance.now()
    const decodeFrom = this.decodeFrom ?? now
    return {
      queuedMs: 0, prefillMs: decodeFrom - this.#begun, decodeMs: now - decodeFrom,
      ttftMs: this.#firstToken === null ? null : this.#firstToken - this.#begun, totalMs: now - this.#begun,
    }
  }
}

class FailingModel implements Model {
  readonly info: ModelInfo
  readonly #fault: Fault

  constructor(id: string, cause: Fault) {
    this.info = { id, place: 'local', contextTokens: 1, profile: { toolMode: 'native', tools: null, fewShot: null, sampling: {}, maxCallTokens: 16, minContextTokens: 1 } }
    this.#fault = cause
  }

  async *generate(): AsyncGenerator<ModelEvent> {
    yield new Run().failed(this.#fault)
  }
}
