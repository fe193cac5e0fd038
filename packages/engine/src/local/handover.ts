// Owns the moment in which a sequence passes from one session to another: what leaves is saved, what comes back is restored.
// Nothing here may fail a request: without a state its prompt is evaluated again.
import { createHash, randomBytes } from 'node:crypto'
import type { SavedState, SavedStates } from './states.ts'
import type { Forecast } from './forecast.ts'
import type { Displaced, Slot, Slots } from './slots.ts'
import type { Supervisor } from './supervisor.ts'
import type { Load, Ready } from './wire.ts'

export type HandoverOptions = {
  states: SavedStates
  slots: Slots
  supervisor: Supervisor
  forecast: Forecast
  load: Load
  log: (line: string) => void
}

/** What was put into a sequence before its run. */
export type Restored = { tokens: number; entry: SavedState }

// A file costs this much however short it is, and both ways move about a gigabyte a second (1,489 tokens, 34 MB: 16 to 41 ms out, 7 ms in).
const fileMs = 20
const msPerByte = 1e-6
const leastTokens = 64
// Longest time in which the last saves of a worker may begin: who stops a daemon or loads another model waits for them.
const keepAllMs = 3000

/** Whether a state is worth a file: evaluating it again must cost at least twice what writing and reading it do. */
export function savingPays(tokens: number, prefillMsPerToken: number, bytesPerToken: number): boolean {
  return tokens >= leastTokens && tokens * prefillMsPerToken >= 2 * fileCostMs(tokens, bytesPerToken)
}

function fileCostMs(tokens: number, bytesPerToken: number): number {
  return fileMs + tokens * bytesPerToken * msPerByte
}

/** Everything a state depends on besides the model file. Threads only change the speed, the path only the name. */
export function settingsOf({ modelPath: _path, threads: _threads, ...load }: Load, { library, backend, contextTokens, inspection }: Ready): string {
  return createHash('sha256').update(JSON.stringify([load, library, backend, contextTokens, inspection.architecture, inspection.chatTemplate])).digest('hex').slice(0, 32)
}

export class Handover {
  readonly #options: HandoverOptions
  #model: string | null = null
  #settings: { ready: Ready; name: string } | null = null
  /** Saves that are not in the index yet; their session waits for them. */
  readonly #saving = new Map<string, Promise<void>>()

  constructor(options: HandoverOptions) {
    this.#options = options
  }

  /** The identity of the file that the next worker will load, and the folders it may write to. */
  launching(model: string): string[] {
    this.#model = model
    this.#settings = null
    return this.#options.states.folders(model)
  }

  has(sessionKey: string): boolean {
    return this.#saving.has(sessionKey) || this.#find(sessionKey) !== null
  }

  /** Before the first token of a request: saves what its sequence would lose, brings back what its session had. */
  async prepare(slot: Slot, sessionKey: string | null): Promise<Restored | null> {
    const wanted = sessionKey === null || slot.own ? null : this.#wanted(sessionKey)
    if (slot.displaced !== null && !this.#keepsItself) await this.#save(slot.sequence, slot.displaced)
    const found = await wanted
    if (found === null) return null
    const operation = newOperation()
    const reply = await this.#options.supervisor.work({ type: 'restore', operation, sequence: slot.sequence, path: found.path })
    if (reply?.type === 'restored' && reply.tokens > 0) {
      // From here on the server's own cache has the newer memory of this session; ours would only take its place.
      if (this.#keepsItself) this.#options.states.drop(found.entry)
      return { tokens: reply.tokens, entry: found.entry }
    }
    // Also when the worker died over it: nothing is loaded twice that killed once.
    this.#options.log(`a saved state was not taken: ${reply === null ? 'the worker ended' : reply.type === 'state_failed' ? reply.problem : 'it was empty'}`)
    this.#options.states.drop(found.entry)
    return null
  }

  /** The worker's own count decides: a state that was restored and then hardly used does not belong to this conversation. */
  judge({ tokens, entry }: Restored, reusedTokens: number): void {
    if (reusedTokens * 2 < tokens) this.#options.states.drop(entry)
  }

  /** Saves every session that lies in an idle sequence, the last used first. */
  async keepAll(): Promise<void> {
    const until = performance.now() + keepAllMs
    for (const { sequence, ...held } of this.#options.slots.unsaved()) {
      if (performance.now() >= until) return
      await this.#save(sequence, held)
      await this.#saving.get(held.sessionKey)
      if (this.#find(held.sessionKey) !== null) this.#options.slots.markSaved(sequence)
    }
  }

  /** What keepAll would take now, by the figures that decide whether a state is worth a file. */
  get keepingMs(): number {
    return Math.min(keepAllMs, this.#options.slots.unsaved().reduce((sum, { tokens }) => sum + (this.#pays(tokens) ?? 0), 0))
  }

  /** What bringing back a session of so many tokens takes after its worker ended: its state is read, or its prompt; null = reading a prompt was never measured. */
  returningMs(tokens: number): number | null {
    const { prefillMsPerToken } = this.#options.forecast
    return this.#pays(tokens) ?? (tokens === 0 ? 0 : prefillMsPerToken === null ? null : tokens * prefillMsPerToken)
  }

  /** What a file of so many tokens costs one way; null = it is not worth one. */
  #pays(tokens: number): number | null {
    const bytesPerToken = this.#model === null || this.#name() === null ? null : this.#options.states.bytesPerToken(this.#model)
    return bytesPerToken === null || !savingPays(tokens, this.#options.forecast.prefillMsPerToken ?? 1, bytesPerToken) ? null : fileCostMs(tokens, bytesPerToken)
  }

  async #wanted(sessionKey: string): Promise<{ entry: SavedState; path: string } | null> {
    await this.#saving.get(sessionKey)
    const entry = this.#find(sessionKey)
    const path = entry === null ? null : await this.#options.states.checked(entry)
    return entry === null || path === null ? null : { entry, path }
  }

  #find(sessionKey: string): SavedState | null {
    const settings = this.#name()
    return this.#model === null || settings === null ? null : this.#options.states.find(this.#model, sessionKey, settings)
  }

  /** Resolves when the worker has written the file; the check and the index follow behind. */
  async #save(sequence: number, { sessionKey, tokens }: Displaced): Promise<void> {
    const { states, supervisor, forecast } = this.#options
    const model = this.#model
    const settings = this.#name()
    const msPerToken = forecast.prefillMsPerToken ?? 1
    if (model === null || settings === null || !savingPays(tokens, msPerToken, states.bytesPerToken(model))) return
    const draft = states.draft(model, tokens)
    if (draft === null) return
    const written = supervisor.work({ type: 'save', operation: newOperation(), sequence, path: draft.path })
    const kept = written.then(async (reply) => {
      if (reply?.type === 'saved' && reply.tokens > 0) {
        await states.keep(model, sessionKey, settings, draft, { tokens: reply.tokens, prefillMs: reply.tokens * msPerToken })
        return
      }
      if (reply?.type === 'state_failed') this.#options.log(`a state was not saved: ${reply.problem}`)
      states.discard(draft)
    }).catch((error: unknown) => this.#options.log(`a state was not saved: ${error instanceof Error ? error.message : String(error)}`))
    this.#saving.set(sessionKey, kept)
    void kept.then(() => {
      if (this.#saving.get(sessionKey) === kept) this.#saving.delete(sessionKey)
    })
    await written
  }

  /** A llama-server keeps what loses its slot in a cache of its own, which ends with it: it only needs help over its end. */
  get #keepsItself(): boolean {
    return this.#options.supervisor.status.ready?.backend.startsWith('llama-server') === true
  }

  /** The settings of the worker that runs now; null when it cannot save. */
  #name(): string | null {
    const { ready } = this.#options.supervisor.status
    if (ready === null || ready.library === undefined) return null
    if (this.#settings?.ready !== ready) {
      this.#settings = { ready, name: settingsOf(this.#options.load, ready) }
      if (this.#model !== null) this.#options.states.forgetOthers(this.#model, this.#settings.name)
    }
    return this.#settings.name
  }
}

function newOperation(): string {
  return randomBytes(8).toString('hex')
}
