// Owns one run on a llama-server: what is asked of its native /completion endpoint, and its stream read back as words of the worker's wire.
// Text ends (stop strings, a whole JSON value) are found here, as in the built-in worker, so both adapters stop at the same character.
import { isObject, saidError, shown, tokenProbabilities } from '../foreign.ts'
import { CompletionText } from '../local/completion-text.ts'
import type { Generate, RunFigures, RunReply, TokenPiece } from '../local/wire.ts'
import { literal } from '../local/template/grammar.ts'

/** The body for a prompt of token numbers. `n_predict` never passes the window. */
export function completionBody(request: Generate, tokens: readonly number[], contextTokens: number): Record<string, unknown> {
  const { temperature, topK, topP, minP, repeatPenalty, seed } = request.sampling
  return {
    prompt: tokens, id_slot: request.sequence, cache_prompt: request.fresh !== true, stream: true, return_progress: true,
    n_predict: Math.min(request.maxTokens, contextTokens - tokens.length), n_probs: listed(request),
    // Whatever the owner's arguments set as defaults, a request means the same everywhere.
    samplers: ['penalties', 'top_k', 'top_p', 'min_p', 'temperature'],
    temperature, top_k: topK, top_p: topP, min_p: minP, repeat_penalty: repeatPenalty, repeat_last_n: 64, seed,
    presence_penalty: 0, frequency_penalty: 0, stop: [], preserved_tokens: request.visible,
    ...grammarOf(request.grammar),
  }
}

/** Likelier tokens in its lists: none means no probability at all. Those it gives are the model's own, before grammar and filters. */
function listed({ probabilities, likelihoods }: Generate): number {
  return likelihoods === true ? Math.max(1, probabilities) : probabilities
}

/**
 * Our grammar begins behind the trigger text, llama.cpp's with it: so a lazy grammar gets a new root that spells the trigger first.
 * Trigger type 1 is a word (common_grammar_trigger_type in llama.cpp's common.h).
 */
function grammarOf(grammar: Generate['grammar']): Record<string, unknown> {
  if (grammar === null) return {}
  if (grammar.after === null) return { grammar: grammar.gbnf }
  const gbnf = `root ::= ${literal(grammar.after)} behind-trigger\n${grammar.gbnf.replace(/^root ::=/m, 'behind-trigger ::=')}`
  return { grammar: gbnf, grammar_lazy: true, grammar_triggers: [{ type: 1, value: grammar.after }] }
}

/** One event of the stream, as far as it is believed. */
type Piece = {
  content: string
  stop: boolean
  predicted: number
  stopType: string
  progress: { cache: number; processed: number } | null
  timings: { cache: number | null; promptMs: number | null; predictedMs: number | null }
  probabilities: TokenPiece[]
  error: string | null
}

export class CompletionReader {
  readonly #id: string
  readonly #promptTokens: number
  readonly #wanted: number
  readonly #send: (message: RunReply) => void
  readonly #startedAt = performance.now()
  readonly #texts: string[] = []
  readonly #text: CompletionText
  #started = false
  #reused = 0
  #count = 0
  #firstAt: number | null = null
  #over = false

  constructor(request: Generate, promptTokens: number, send: (message: RunReply) => void) {
    this.#id = request.id
    this.#promptTokens = promptTokens
    this.#wanted = listed(request)
    this.#send = send
    this.#text = new CompletionText({
      // The server gives whole characters: a "token" here is an index into its pieces.
      spell: (tokens) => tokens.map((index) => this.#texts[index] ?? '').join(''), before: [], stop: request.stop, stopAtJson: request.stopAtJson,
      send: (text, count, pieces) => send({ type: 'tokens', id: request.id, text, count, pieces }),
    })
  }

  get tokens(): number {
    return this.#count
  }

  /** True once its last word was said. */
  get over(): boolean {
    return this.#over
  }

  /** Takes the data of one event. What is no answer of a llama-server ends the run as `broke`. */
  push(data: string): void {
    if (this.#over || data === '[DONE]') return
    const piece = read(data, this.#wanted)
    if (typeof piece === 'string') return this.broke(piece)
    if (piece.error !== null) return this.broke(`it stopped with the error '${piece.error}'`)
    if (piece.progress !== null) {
      this.#start(piece.progress.cache)
      this.#send({ type: 'prefill', id: this.#id, doneTokens: Math.min(piece.progress.processed, this.#promptTokens), totalTokens: this.#promptTokens })
    }
    const ended = piece.stop && piece.stopType === 'eos' ? 1 : 0
    if (piece.predicted < this.#count || piece.predicted > this.#count + 1000) return this.broke(`it counted ${piece.predicted} tokens after ${this.#count}`)
    const fresh = Math.max(0, piece.predicted - ended - this.#count)
    if (fresh > 0 || piece.content !== '') this.#take(piece, fresh)
    if (piece.stop && !this.#over) this.#finish(piece)
  }

  /** The stream is over. Silence is no answer: a stream without its last event is a fault, whatever the status said. */
  ended(): void {
    if (!this.#over) this.broke(this.#count === 0 ? 'it answered with status 200 and not one token' : `its answer broke off after ${this.#count} tokens`)
  }

  cancelled(): void {
    this.#end('cancelled', this.#figures(null))
  }

  /** The process ended; whoever watches it says so. What was heard before is passed on. */
  lost(): void {
    if (this.#over) return
    this.#over = true
    this.#text.finish(false)
  }

  broke(problem: string): void {
    if (this.#over) return
    this.#over = true
    this.#text.finish(false)
    this.#send({ type: 'broke', id: this.#id, cause: 'garbled', problem, figures: this.#figures(null) })
  }

  #start(reused: number): void {
    if (this.#started) return
    this.#started = true
    this.#reused = Math.min(reused, this.#promptTokens)
    this.#send({ type: 'started', id: this.#id, promptTokens: this.#promptTokens, reusedTokens: this.#reused })
  }

  #take(piece: Piece, fresh: number): void {
    this.#start(0)
    this.#firstAt ??= performance.now()
    // Tokens whose character was not whole yet come as one piece with the token that completes it.
    for (let i = 1; i < fresh; i++) this.#push('', null)
    this.#count += fresh
    const over = this.#push(piece.content, piece.probabilities[0] ?? null)
    if (over !== null) this.#end(over === 'json' ? 'end' : over, this.#figures(null))
  }

  #push(text: string, piece: TokenPiece | null): 'stop_sequence' | 'json' | null {
    this.#texts.push(text)
    return this.#text.push(this.#texts.length - 1, piece).over
  }

  #finish(piece: Piece): void {
    // The end of generation is an evaluation too; not even that came.
    if (piece.predicted === 0) return this.broke('it answered with status 200 and not one token')
    this.#start(piece.timings.cache ?? 0)
    this.#end(piece.stopType === 'limit' ? 'max_tokens' : piece.stopType === 'word' ? 'stop_sequence' : 'end', this.#figures(piece))
  }

  #end(stop: 'end' | 'stop_sequence' | 'max_tokens' | 'cancelled', figures: RunFigures): void {
    if (this.#over) return
    this.#over = true
    this.#text.finish(stop === 'end' || stop === 'max_tokens')
    this.#send({ type: 'end', id: this.#id, stop, figures })
  }

  /** The server's own times when the answer ran to its end, else ours. */
  #figures(last: Piece | null): RunFigures {
    const now = performance.now()
    return {
      promptTokens: this.#promptTokens, reusedTokens: this.#reused, completionTokens: this.#count,
      prefillMs: last?.timings.promptMs ?? (this.#firstAt ?? now) - this.#startedAt, decodeMs: last?.timings.predictedMs ?? (this.#firstAt === null ? 0 : now - this.#firstAt),
    }
  }
}

/** An event as data, or what is wrong with it. */
function read(data: string, probabilities: number): Piece | string {
  let value: unknown
  try {
    value = JSON.parse(data)
  } catch {
    return `it sent '${shown(data)}', which is no JSON`
  }
  if (!isObject(value)) return `it sent '${shown(data)}', which is no object`
  const error = value['error']
  if (error !== undefined) return { ...nothing, error: saidError(error) }
  const { content, stop, tokens_predicted: predicted, stop_type: stopType } = value
  if (typeof content !== 'string' || typeof stop !== 'boolean') return `it sent '${shown(data)}', which is no piece of a completion`
  if (typeof predicted !== 'number' || !Number.isInteger(predicted) || predicted < 0) return `it counted '${shown(String(predicted))}' tokens`
  const progress = value['prompt_progress']
  const timings = isObject(value['timings']) ? value['timings'] : {}
  return {
    content, stop, predicted, stopType: typeof stopType === 'string' ? stopType : 'none', error: null,
    progress: isObject(progress) ? { cache: count(progress['cache']) ?? 0, processed: count(progress['processed']) ?? 0 } : null,
    timings: { cache: count(timings['cache_n']), promptMs: count(timings['prompt_ms']), predictedMs: count(timings['predicted_ms']) },
    probabilities: probabilities === 0 ? [] : tokenProbabilities(value['completion_probabilities'], probabilities),
  }
}

const nothing: Piece = { content: '', stop: false, predicted: 0, stopType: 'none', progress: null, timings: { cache: null, promptMs: null, predictedMs: null }, probabilities: [], error: null }

function count(value: unknown): number | null {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : null
}
