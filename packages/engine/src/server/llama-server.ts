// Owns a llama-server in the shape of an engine worker: the words of local/wire.ts on one side, its HTTP endpoints on the other.
// So the supervisor, the slots, the templates, the grammars and the readers of calls are the built-in worker's. Never trusts /health alone.
import { createHash } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { fault, type Fault, type LlamaServerConfig } from '@hearth/protocol'
import type { Exit, Hearing, Launch, WorkerProcess } from '../local/process.ts'
import { Malformed } from '../catalog/bounded-reader.ts'
import { isObject, shown } from '../foreign.ts'
import type { Generate, Load, Segment, StateWork, ToWorker } from '../local/wire.ts'
import { ServerProcess, type Confined, type Probes } from './child.ts'
import { completionBody, CompletionReader } from './completion.ts'
import { guessesAhead, refusal, serverArguments } from './flags.ts'
import { ask, stream } from './http.ts'
import { restoreSlot, saveSlot } from './slot-files.ts'
import { readVocabulary, type Vocabulary } from './vocabulary.ts'

const pollMs = 50
const askMs = 10_000
/** After a broken connection a dying process gets this long to be seen dead: its exit says more than the connection. */
const dyingMs = 1000
/** After the end of the process its last words are waited for at most so long. */
const drainMs = 200
/** A loading server that read or mapped this much more is not hanging. */
const loadedBytesAtLeast = 2 ** 20

export type LlamaServerOptions = {
  model: string
  program: string
  load: Load
  config: LlamaServerConfig
  confined: Confined
  probes: Probes
}

/** Starts the program when it is called; everything that goes wrong is heard, nothing is thrown. */
export function llamaServerLauncher(options: LlamaServerOptions): Launch {
  return (hearing) => new LlamaServer(options, hearing)
}

class LlamaServer implements WorkerProcess {
  readonly #options: LlamaServerOptions
  readonly #hearing: Hearing
  readonly #runs = new Map<string, AbortController>()
  readonly #running = new Set<Promise<void>>()
  /** The process has ended. */
  readonly #dead = new AbortController()
  /** It has ended and all that it wrote is read. */
  readonly #over = new AbortController()
  #server: ServerProcess | null = null
  #vocabulary: Vocabulary | null = null
  /** Program and arguments, which the layout of a slot's memory may depend on; null when it cannot save slots. */
  #library: string | null = null
  #guesses = false
  #contextTokens = 0
  #bos: number | null = null
  #gone = false

  constructor(options: LlamaServerOptions, hearing: Hearing) {
    this.#options = options
    this.#hearing = hearing
    void this.#start().catch((error: unknown) => this.#refuse(`it could not be started (${problemOf(error)})`))
  }

  get pid(): number | null {
    return this.#server?.pid ?? null
  }

  send(message: ToWorker): void {
    switch (message.type) {
      case 'load':
        void this.#load().catch((error: unknown) => this.#refuse(problemOf(error)))
        return
      case 'generate':
        this.#follow(this.#generate(message))
        return
      case 'cancel':
        this.#runs.get(message.id)?.abort()
        return
      case 'ping':
        void this.#ping(message.n)
        return
      case 'save':
      case 'restore':
        void this.#state(message)
        return
      case 'shutdown':
        if (this.#server === null) this.kill()
        else this.#server.terminate()
        return
      default:
        message satisfies never
    }
  }

  kill(): void {
    if (this.#gone) return
    if (this.#server?.pid !== null && this.#server !== null) this.#server.kill()
    // Nothing was started, or it was refused before: its end is still told once, and not inside the caller's turn.
    else queueMicrotask(() => this.#exit({ how: 'it was not started', native: 'other' }))
  }

  async #start(): Promise<void> {
    const { program, probes, confined, load, config } = this.#options
    const probe = await probes.of(program, confined)
    if (this.#gone) return
    if ('fault' in probe) return this.#refuse(probe.fault.message, probe.fault)
    if ('problem' in probe) return this.#refuse(probe.problem, fault('engine_refused', { program, why: probe.problem, remedy: 'Correct engine.adapters.llamaServer.path.' }))
    const refused = refusal(program, probe)
    if (refused !== null) return this.#refuse(refused.message, refused)
    this.#vocabulary = await readVocabulary(load.modelPath)
    if (this.#gone) return
    const server = new ServerProcess()
    const { argv, env, notes } = serverArguments(probe, load, config, server.socket, this.#vocabulary.heads)
    for (const note of notes) this.#hearing.log(note)
    this.#guesses = guessesAhead(argv)
    if (probe.flags.has('--slot-save-path')) this.#library = libraryOf(program, serverArguments(probe, load, config, '', this.#vocabulary.heads).argv)
    const failed = server.start(program, argv, { ...confined, env: { ...confined.env, ...env } }, {
      exit: (exit) => this.#exit(exit), log: (line) => this.#hearing.log(line),
    })
    if (failed !== null) return this.#refuse(failed.fault.message, failed.fault)
    this.#server = server
    // It is there once it listens; how long that may take is the supervisor's business.
    while (!this.#gone && await this.#health() === null) await pause(pollMs)
    if (!this.#gone) this.#hearing.message({ type: 'booted' })
  }

  async #load(): Promise<void> {
    const server = this.#server
    const vocabulary = this.#vocabulary
    if (server === null || vocabulary === null) return
    let seen = 0
    while (!this.#gone && await this.#health() !== 200) {
      const now = bytesTaken(server.pid)
      if (now - seen >= loadedBytesAtLeast) {
        seen = now
        this.#hearing.message({ type: 'loading', progress: 0 })
      }
      await pause(pollMs)
    }
    if (this.#gone) return
    const { load } = this.#options
    const props = object(await this.#json('GET', '/props'), '/props')
    const settings = isObject(props['default_generation_settings']) ? props['default_generation_settings'] : {}
    const slots = props['total_slots']
    const window = settings['n_ctx']
    if (slots !== load.sequences) throw new Error(`it has ${shown(String(slots))} slots where ${load.sequences} were asked for`)
    if (typeof window !== 'number' || window < 1) throw new Error('its /props name no context window')
    // It rounds the window up; the file's own is never passed.
    this.#contextTokens = Math.min(window, load.contextTokens, vocabulary.inspection.trainedContextTokens || Infinity)
    this.#bos = await this.#prepended()
    this.#hearing.message({
      type: 'ready', backend: `llama-server ${load.backend === 'cpu' ? 'cpu' : 'gpu'}`, contextTokens: this.#contextTokens, sequences: load.sequences,
      threads: load.threads, inspection: vocabulary.inspection, ...(this.#library === null ? {} : { library: this.#library }),
    })
  }

  async #generate(asked: Generate): Promise<void> {
    const request = this.#guesses ? { ...asked, likelihoods: false } : asked
    const run = new AbortController()
    this.#runs.set(request.id, run)
    const signal = AbortSignal.any([run.signal, this.#over.signal])
    const { id } = request
    let reader: CompletionReader | null = null
    try {
      const tokens = await this.#tokenise(request.segments, signal)
      if (tokens.length >= this.#contextTokens) {
        this.#hearing.message({ type: 'refused', id, cause: 'context_overflow', promptTokens: tokens.length, contextTokens: this.#contextTokens })
        return
      }
      reader = new CompletionReader(request, tokens.length, (message) => this.#hearing.message(message))
      const answer = await stream(this.#socket(), '/completion', completionBody(request, tokens, this.#contextTokens), signal)
      if (answer.events === null) {
        const problem = errorOf(answer.text)
        // The only 4xx that a checked request can earn is a grammar it cannot read.
        if (request.grammar !== null && answer.status === 400) this.#hearing.message({ type: 'refused', id, cause: 'bad_grammar', problem })
        else reader.broke(`it answered with status ${answer.status} and '${problem}'`)
        return
      }
      for await (const data of answer.events) {
        reader.push(data)
        // A stop string, a whole JSON value or nonsense: leaving closes the connection, and the server stops computing.
        if (reader.over) break
      }
      reader.ended()
    } catch (error) {
      await this.#brokeOff(request, reader, run.signal, error)
    } finally {
      run.abort()
      this.#runs.delete(id)
    }
  }

  /** A run whose connection ended: cancelled by us, or with the process (whose end tells the supervisor, who tells the run), or for no reason. */
  async #brokeOff(request: Generate, reader: CompletionReader | null, cancelled: AbortSignal, error: unknown): Promise<void> {
    const known = reader ?? new CompletionReader(request, 0, (message) => this.#hearing.message(message))
    if (cancelled.aborted) return known.cancelled()
    if (!this.#gone) await pause(dyingMs, this.#dead.signal)
    if (this.#gone) known.lost()
    else known.broke(`it closed the connection after ${known.tokens} tokens (${problemOf(error)})`)
  }

  /** Token numbers of a prompt: each segment by itself, control tokens only where the template wrote them. */
  async #tokenise(segments: readonly Segment[], signal: AbortSignal): Promise<number[]> {
    const parts: number[] = []
    for (const [index, { text, special }] of segments.entries()) {
      const tokens = this.#vocabulary?.sentencePiece === true && index > 0 ? await this.#behind(text, special, signal) : await this.#tokens(text, { parse_special: special }, signal)
      for (const token of tokens) parts.push(token)
    }
    if (this.#bos !== null && parts[0] !== this.#bos) parts.unshift(this.#bos)
    return parts
  }

  /** SentencePiece puts a blank before every text it is given; behind a line break, which is then taken off, it does not. */
  async #behind(text: string, special: boolean, signal: AbortSignal): Promise<number[]> {
    const before = await this.#tokens('\n', { parse_special: false }, signal)
    const all = await this.#tokens(`\n${text}`, { parse_special: special }, signal)
    return before.every((token, index) => all[index] === token) ? all.slice(before.length) : this.#tokens(text, { parse_special: special }, signal)
  }

  async #tokens(content: string, options: { parse_special?: boolean; add_special?: boolean }, signal?: AbortSignal): Promise<number[]> {
    const { tokens } = object(await this.#json('POST', '/tokenize', { content, add_special: false, ...options }, signal), '/tokenize')
    if (!Array.isArray(tokens) || !tokens.every((token): token is number => Number.isInteger(token) && Number(token) >= 0)) throw new Error('its /tokenize gives no token numbers')
    return tokens
  }

  /** The token that this model wants before every prompt, or null. */
  async #prepended(): Promise<number | null> {
    const bosText = this.#vocabulary?.inspection.bosText ?? null
    if (bosText === null) return null
    const [bos] = await this.#tokens(bosText, { parse_special: true })
    const [first] = await this.#tokens('a', { add_special: true })
    return bos !== undefined && first === bos ? bos : null
  }

  async #state({ type, operation, sequence, path }: StateWork): Promise<void> {
    try {
      const tokens = await (type === 'save' ? saveSlot : restoreSlot)(this.#socket(), sequence, path, this.#over.signal)
      this.#hearing.message({ type: type === 'save' ? 'saved' : 'restored', operation, tokens })
    } catch (error) {
      this.#hearing.message({ type: 'state_failed', operation, problem: problemOf(error) })
    }
  }

  async #ping(n: number): Promise<void> {
    if (await this.#health() !== null) this.#hearing.message({ type: 'pong', n })
  }

  /** The status of /health, or null when nobody answers. It only says that the process listens. */
  async #health(): Promise<number | null> {
    try {
      return (await ask(this.#socket(), 'GET', '/health', { timeoutMs: askMs, signal: this.#over.signal })).status
    } catch {
      return null
    }
  }

  async #json(method: 'GET' | 'POST', path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
    const answer = await ask(this.#socket(), method, path, { ...(body === undefined ? {} : { body }), signal: signal ?? this.#over.signal, timeoutMs: 60_000 })
    if (answer.status !== 200) throw new Error(`it answers ${path} with status ${answer.status} and '${errorOf(answer.text)}'`)
    try {
      return JSON.parse(answer.text) as unknown
    } catch {
      throw new Error(`it answers ${path} with '${shown(answer.text)}', which is no JSON`)
    }
  }

  #socket(): string {
    return this.#server?.socket ?? ''
  }

  #refuse(problem: string, why?: Fault): void {
    if (this.#gone) return
    this.#hearing.message({ type: 'load_failed', cause: 'other', problem, ...(why === undefined ? {} : { fault: why }) })
  }

  #exit(exit: Exit): void {
    if (this.#gone) return
    this.#gone = true
    this.#dead.abort()
    // What it wrote before its end is still on its way: the kernel has closed the connections, so each run comes to the end of its own by itself.
    void Promise.race([Promise.allSettled(this.#running), pause(drainMs)]).then(() => {
      this.#over.abort()
      this.#hearing.exit(exit)
    })
  }

  #follow(run: Promise<void>): void {
    this.#running.add(run)
    void run.finally(() => this.#running.delete(run))
  }
}

function libraryOf(program: string, argv: readonly string[]): string {
  const { size, mtimeMs, ino } = statSync(program)
  return createHash('sha256').update(JSON.stringify([program, size, mtimeMs, ino, argv])).digest('hex')
}

function object(value: unknown, path: string): Record<string, unknown> {
  if (!isObject(value)) throw new Error(`its ${path} gives no object`)
  return value
}

/** The message of an error body, or the body itself, fit for a sentence. */
function errorOf(text: string): string {
  try {
    const value: unknown = JSON.parse(text)
    const error = isObject(value) ? value['error'] : null
    if (isObject(error) && typeof error['message'] === 'string') return shown(error['message'])
  } catch {
    // Not JSON: shown as it is.
  }
  return shown(text)
}

/** Resident memory and bytes read so far: a loading server moves at least one of them. */
function bytesTaken(pid: number | null): number {
  if (pid === null) return 0
  try {
    const pages = Number(readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')[1] ?? 0)
    const read = /^rchar: (\d+)/m.exec(readFileSync(`/proc/${pid}/io`, 'utf8'))
    return pages * 4096 + Number(read?.[1] ?? 0)
  } catch {
    return 0
  }
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    signal?.addEventListener('abort', end, { once: true })
    if (signal?.aborted === true) end()
  })
}

function problemOf(error: unknown): string {
  if (error instanceof Malformed) return `the model file cannot be read: ${error.message}`
  return shown(error instanceof Error ? error.message : String(error))
}
