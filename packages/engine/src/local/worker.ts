// The engine worker's entry program: one model, one context, N sequences, told what to do over IPC (see wire.ts). The only importer of node-llama-cpp.
// Holds no secret, opens no connection, reads no environment of its own; a native abort here ends this process and nothing else.
import {
  getLlama, getModuleVersion, LlamaGrammarEvaluationState, LlamaLogLevel,
  type EvaluationPriority, type Llama, type LlamaContextSequence, type LlamaGrammar, type LlamaModel, type SequenceEvaluateOptions, type Token,
} from 'node-llama-cpp'
import { Batching, rowKey } from './batching.ts'
import { CompletionText } from './completion-text.ts'
import { Drafts, type DraftModel } from './drafting.ts'
import { ownLikelihoods } from './likelihood.ts'
import { nativeCause } from './native-cause.ts'
import { libraryGpu, useOwnBuild } from './own-build.ts'
import { controlTokens, inspect, tokenise, vocabularyMismatch } from './vocabulary.ts'
import { checkpointsPerSequence, isToWorker, type FromWorker, type Generate, type Load, type RunFigures, type StateWork, type TokenPiece } from './wire.ts'

const penalisedTokens = 64
const keptGrammars = 32

type Loaded = {
  llama: Llama
  model: LlamaModel
  sequences: LlamaContextSequence[]
  contextTokens: number
  prefillTokens: number
  drafts: Drafts<Token, EvaluationPriority> | null
  /** It can say how likely the model itself found a token. */
  likelihoods: boolean
  controls: Map<string, Token>
}

let loaded: Loaded | null = null
const batching = new Batching()
const runs = new Map<string, { cancelled: boolean }>()
const grammars = new Map<string, LlamaGrammar>()

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message)
}

function problemOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

async function load(message: Load): Promise<void> {
  const own = message.build ?? null
  if (own !== null) useOwnBuild(own, process.arch)
  const llama = await getLlama({
    build: 'never', skipDownload: true, progressLogs: false, maxThreads: message.threads,
    gpu: message.backend === 'auto' && own?.backend !== 'hip' ? 'auto' : libraryGpu(message.backend === 'auto' ? 'hip' : message.backend),
    logLevel: LlamaLogLevel.warn,
    logger: (level, text) => process.stderr.write(`${level}: ${text.trimEnd()}\n`),
  })
  let told = 0
  const model = await llama.loadModel({
    modelPath: message.modelPath,
    onLoadProgress: (progress) => {
      if (performance.now() - told < 100) return
      told = performance.now()
      send({ type: 'loading', progress })
    },
  })
  const contextTokens = Math.min(message.contextTokens, model.trainContextSize)
  const context = await model.createContext({
    contextSize: contextTokens, sequences: message.sequences, batchSize: message.batchTokens, threads: message.threads,
    batching: { itemPrioritizationStrategy: batching.strategy },
    // The daemon planned this size and reports it; a silently smaller window would be a lie.
    failedCreationRemedy: false,
  })
  const sequences = Array.from({ length: message.sequences }, () => context.getSequence({ checkpoints: { max: checkpointsPerSequence } }))
  const controls = controlTokens(model)
  const draft = message.speculation === 'draft' && message.draft ? await loadDraft(llama, message, message.draft, model, sequences) : null
  const drafts = draft?.model ? new Drafts<Token, EvaluationPriority>({ kind: 'draft', model: draft.model }, batching)
    : message.speculation === 'lookup' ? new Drafts<Token, EvaluationPriority>({ kind: 'lookup' }, batching) : null
  loaded = { llama, model, sequences, contextTokens, prefillTokens: message.prefillTokens, drafts, likelihoods: ownLikelihoods(context, model, llama), controls }
  send({
    type: 'ready', backend: llama.gpu === 'vulkan' ? 'vulkan' : llama.gpu === 'cuda' ? 'hip' : 'cpu', contextTokens, sequences: message.sequences,
    threads: context.idealThreads, inspection: inspect(model, controls), library: await libraryName(llama, own === null ? llama.buildType : `${own.name} of ${own.builtAt}`),
    ...(draft === null ? {} : { draft: { id: draft.id, refused: draft.refused } }),
  })
}

type LoadedDraft = { id: string; model: DraftModel<Token, EvaluationPriority> | null; refused: string | null }

/** The model that guesses, beside the one that is served; whatever is wrong with it, that one is served without. */
async function loadDraft(llama: Llama, message: Load, { id, path }: { id: string; path: string }, model: LlamaModel, sequences: readonly LlamaContextSequence[]): Promise<LoadedDraft> {
  const without = (refused: string): LoadedDraft => ({ id, model: null, refused })
  if (sequences.some((one) => one.needsCheckpoints)) return without("the model's own memory cannot be cut back when a guess is wrong")
  let draft: LlamaModel | null = null
  try {
    draft = await llama.loadModel({ modelPath: path })
    const mismatch = vocabularyMismatch(model, draft)
    if (mismatch === null) {
      const contextTokens = Math.min(message.contextTokens, draft.trainContextSize)
      const context = await draft.createContext({ contextSize: contextTokens, sequences: message.sequences, batchSize: message.batchTokens, threads: message.threads, failedCreationRemedy: false })
      const guessing = Array.from({ length: message.sequences }, () => context.getSequence())
      if (!guessing.some((one) => one.needsCheckpoints)) return { id, model: { sequences: guessing, contextTokens, vocabulary: [...model.iterateAllTokens()].length }, refused: null }
    }
    await draft.dispose()
    return without(mismatch ?? 'its memory cannot be cut back when a guess is wrong')
  } catch (error) {
    await draft?.dispose()
    return without(`it could not be loaded (${problemOf(error)})`)
  }
}

/** The addon's own version, and what it was built from and how: all that the layout of a state may depend on. */
async function libraryName(llama: Llama, build: string): Promise<string> {
  const { repo, release } = llama.llamaCppRelease
  return `node-llama-cpp ${await getModuleVersion()}, ${repo} ${release}, ${build}`
}

async function compiled(llama: Llama, gbnf: string): Promise<LlamaGrammar> {
  const known = grammars.get(gbnf)
  if (known !== undefined) return known
  const grammar = await llama.createGrammar({ grammar: gbnf })
  const oldest = grammars.keys().next().value
  if (grammars.size >= keptGrammars && oldest !== undefined) grammars.delete(oldest)
  grammars.set(gbnf, grammar)
  return grammar
}

async function generate(it: Loaded, request: Generate, run: { cancelled: boolean }): Promise<void> {
  const { id } = request
  const sequence = it.sequences[request.sequence]
  if (sequence === undefined) throw new Error(`there is no sequence ${request.sequence}`)
  const tokens = tokenise(it.model, request.segments)
  if (tokens.length >= it.contextTokens) {
    send({ type: 'refused', id, cause: 'context_overflow', promptTokens: tokens.length, contextTokens: it.contextTokens })
    return
  }
  let grammar: LlamaGrammar | null = null
  try {
    grammar = request.grammar === null ? null : await compiled(it.llama, request.grammar.gbnf)
  } catch (error) {
    send({ type: 'refused', id, cause: 'bad_grammar', problem: problemOf(error) })
    return
  }
  const startedAt = performance.now()
  const figures: RunFigures = { promptTokens: tokens.length, reusedTokens: 0, completionTokens: 0, prefillMs: 0, decodeMs: 0 }
  try {
    // At least one token is evaluated, because only an evaluation gives the probabilities of the next one.
    const reusable = request.fresh === true ? [] : tokens.slice(0, -1)
    if (sequence.compareContextTokens(reusable).firstDifferentIndex < sequence.nextTokenIndex) {
      await batching.exclusive(() => sequence.adaptStateToTokens(reusable, false))
    }
    figures.reusedTokens = sequence.nextTokenIndex
    send({ type: 'started', id, promptTokens: tokens.length, reusedTokens: figures.reusedTokens })
    batching.enter(request.priority)
    try {
      const stop = await evaluate(it, sequence, tokens, grammar, request, run, figures, startedAt)
      send({ type: 'end', id, stop, figures })
    } finally {
      batching.leave(request.priority)
    }
  } catch (error) {
    const problem = problemOf(error)
    send({ type: 'broke', id, cause: nativeCause(problem), problem, figures })
  }
}

async function stateWork(it: Loaded, { type, operation, sequence: number, path }: StateWork): Promise<void> {
  const sequence = it.sequences[number]
  try {
    if (sequence === undefined) throw new Error(`there is no sequence ${number}`)
    // The library waits for the lock of its dispatch loop here, as for an erasure.
    const tokens = await batching.exclusive(async () => {
      if (type === 'save') {
        // A file holds no checkpoints, and such a memory cannot be cut back without one: what is saved ends where the next prompt surely still agrees.
        const last = sequence.lastCheckpointIndex
        if (sequence.needsCheckpoints && last > 0) await sequence.adaptStateToTokens(sequence.contextTokens.slice(0, last + 1), false)
        await sequence.saveStateToFile(path)
      } else {
        // Loading leaves the checkpoints of the session before in place; going back to one of them would be another talk's memory.
        await sequence.clearHistory()
        await sequence.loadStateFromFile(path, { acceptRisk: true })
        await sequence.takeCheckpoint()
      }
      return sequence.nextTokenIndex
    })
    send({ type: type === 'save' ? 'saved' : 'restored', operation, tokens })
  } catch (error) {
    send({ type: 'state_failed', operation, problem: problemOf(error) })
  }
}

type Draw = { token: Token; confidence?: number; probabilities?: Map<Token, number> }
type Stop = 'end' | 'stop_sequence' | 'max_tokens' | 'cancelled'

async function evaluate(
  it: Loaded, sequence: LlamaContextSequence, tokens: readonly Token[], grammar: LlamaGrammar | null,
  request: Generate, run: { cancelled: boolean }, figures: RunFigures, startedAt: number,
): Promise<Stop> {
  const { id } = request
  let at = figures.reusedTokens
  while (tokens.length - at > it.prefillTokens) {
    await batching.pass(request.priority)
    if (run.cancelled) return 'cancelled'
    await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(at, at + it.prefillTokens), { evaluationPriority: keyOf(request) })
    at += it.prefillTokens
    figures.prefillMs = performance.now() - startedAt
    send({ type: 'prefill', id, doneTokens: at, totalTokens: tokens.length })
  }
  // Hybrid and sliding-window memories cannot be cut back; a checkpoint at the end of the prompt is what the next turn starts from. All but the last token
  // of the prompt stands before it: a checkpoint in front of the last piece cost up to 128 tokens in each turn.
  if (sequence.needsCheckpoints) {
    const last = tokens.length - 1
    if (last > at) {
      await batching.pass(request.priority)
      await sequence.evaluateWithoutGeneratingNewTokens(tokens.slice(at, last), { evaluationPriority: keyOf(request) })
      at = last
    }
    if (at > figures.reusedTokens) await batching.exclusive(() => sequence.takeCheckpoint())
  }

  const visible = new Set(request.visible.map((text) => it.controls.get(text)))
  const recent = tokens.slice(-penalisedTokens)
  const constraint = new Constraint(it.model, grammar, request.grammar?.after ?? null)
  const text = new CompletionText({
    spell: (pending, before) => it.model.detokenize(pending as Token[], pending.some((token) => visible.has(token as Token)), before as Token[]),
    before: tokens, stop: request.stop, stopAtJson: request.stopAtJson,
    send: (piece, count, pieces) => send({ type: 'tokens', id, text: piece, count, pieces }),
  })
  const options = { ...samplingOf(request, recent), evaluationPriority: keyOf(request), grammarEvaluationState: () => constraint.state }
  const limit = Math.min(request.maxTokens, it.contextTokens - tokens.length)
  const draws: AsyncGenerator<Draw, void, void> = it.drafts?.may(sequence, request) === true
    ? it.drafts.draws({
      sequence, request, priority: keyOf(request), tokens, at, limit, contextTokens: it.contextTokens, figures,
      ends: (token) => it.model.isEogToken(token), over: () => run.cancelled,
    })
    : request.probabilities > 0
    ? sequence.evaluateWithMetadata(tokens.slice(at), { probabilities: true, confidence: true }, options)
    : sequence.evaluateWithMetadata(tokens.slice(at), request.likelihoods === true && it.likelihoods ? { confidence: true } : {}, options)
  let firstAt: number | null = null
  let stop: Stop | null = null
  while (stop === null) {
    if (batching.closed) await batching.pass(request.priority)
    if (run.cancelled) stop = 'cancelled'
    else {
      const drawn = await draws.next()
      const now = performance.now()
      if (firstAt === null) {
        firstAt = now
        figures.prefillMs = now - startedAt
        send({ type: 'prefill', id, doneTokens: tokens.length, totalTokens: tokens.length })
      }
      figures.decodeMs = now - firstAt
      if (drawn.done === true) stop = 'end'
      else {
        const { token } = drawn.value
        figures.completionTokens++
        recent.push(token)
        const pushed = text.push(token, pieceOf(it.model, drawn.value, request.probabilities))
        constraint.watch(pushed.text)
        if (pushed.over === 'json') stop = 'end'
        else if (pushed.over !== null) stop = pushed.over
        else if (run.cancelled) stop = 'cancelled'
        else if (figures.completionTokens >= limit) stop = 'max_tokens'
      }
    }
  }
  await draws.return()
  text.finish(stop === 'end' || stop === 'max_tokens')
  return stop
}

/** The grammar from the start, or from the first token behind a trigger text. */
class Constraint {
  readonly #model: LlamaModel
  readonly #grammar: LlamaGrammar | null
  readonly #after: string | null
  #tail = ''
  state: LlamaGrammarEvaluationState | undefined

  constructor(model: LlamaModel, grammar: LlamaGrammar | null, after: string | null) {
    this.#model = model
    this.#grammar = grammar
    this.#after = after
    if (grammar !== null && after === null) this.state = new LlamaGrammarEvaluationState({ model, grammar })
  }

  watch(text: string): void {
    if (this.#grammar === null || this.#after === null || this.state !== undefined) return
    this.#tail += text
    const at = this.#tail.lastIndexOf(this.#after)
    if (at >= 0) {
      // A token that carries more than blanks behind the trigger has begun the call by itself: it stays unconstrained and is judged by the parser.
      if (this.#tail.slice(at + this.#after.length).trim() === '') this.state = new LlamaGrammarEvaluationState({ model: this.#model, grammar: this.#grammar })
      this.#tail = ''
    } else this.#tail = this.#tail.slice(-this.#after.length)
  }
}

/** Class and sequence in the one number that the library hands to the batching strategy. */
function keyOf({ priority, sequence }: Generate): EvaluationPriority {
  return rowKey(priority, sequence) as EvaluationPriority
}

function samplingOf(request: Generate, recent: readonly Token[]): SequenceEvaluateOptions {
  const { temperature, topK, topP, minP, repeatPenalty, seed } = request.sampling
  return {
    temperature, topK, topP, minP, seed,
    ...(repeatPenalty === 1 ? {} : {
      repeatPenalty: { penalty: repeatPenalty, maxPunishTokens: penalisedTokens, punishTokens: () => recent.slice(-penalisedTokens) },
    }),
  }
}

function pieceOf(model: LlamaModel, { confidence, probabilities = new Map() }: Draw, count: number): Omit<TokenPiece, 'text'> | null {
  if (confidence === undefined) return null
  const top = probabilities.entries().take(count).map(([other, probability]) => ({ text: model.detokenize([other], true), probability: bounded(probability) })).toArray()
  return { probability: bounded(confidence), top }
}

// The library sums 49,152 single-precision values: totals up to 1.00014 were seen.
function bounded(probability: number): number {
  return Math.min(1, Math.max(0, probability))
}

async function answer(message: unknown): Promise<void> {
  if (!isToWorker(message)) return
  switch (message.type) {
    case 'ping':
      send({ type: 'pong', n: message.n })
      return
    case 'load':
      try {
        await load(message)
      } catch (error) {
        const problem = problemOf(error)
        send({ type: 'load_failed', cause: nativeCause(problem), problem })
      }
      return
    case 'generate': {
      if (loaded === null) return
      const run = { cancelled: false }
      runs.set(message.id, run)
      try {
        await generate(loaded, message, run)
      } catch (error) {
        // Nothing was evaluated for it yet; the runs beside it go on.
        const figures: RunFigures = { promptTokens: 0, reusedTokens: 0, completionTokens: 0, prefillMs: 0, decodeMs: 0 }
        send({ type: 'broke', id: message.id, cause: 'other', problem: problemOf(error), figures })
      } finally {
        runs.delete(message.id)
      }
      return
    }
    case 'save':
    case 'restore':
      if (loaded !== null) await stateWork(loaded, message)
      return
    case 'cancel': {
      const run = runs.get(message.id)
      if (run !== undefined) run.cancelled = true
      return
    }
    case 'shutdown':
      process.exit(0)
      return
    default:
      message satisfies never
  }
}

// State files are for this user alone.
process.umask(0o077)
process.on('message', (message) => void answer(message))
process.on('disconnect', () => process.exit(0))
send({ type: 'booted' })
