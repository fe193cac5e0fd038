// Owns which engine a model is served by as far as trust goes: what passed the golden-prompt check serves, what failed it is left for the next choice.
// Starts and ends no process; the supervisor asks it before each start and after each load.
import { fault, type Fault } from '@hearth/protocol'
import type { Hearing, Launch, WorkerProcess } from '../local/process.ts'
import type { Load, Ready } from '../local/wire.ts'
import { check, type Converse } from './check.ts'
import { keyOf, type Passes } from './passes.ts'
import { edition } from './prompts.ts'

/** `shipped`: the library that came with Hearth, also where one was built on this box. */
export type Choice = { engine: 'built-in' | 'llama-server'; backend: Load['backend']; shipped?: boolean }

export type TrustOptions = {
  model: string
  on: boolean
  /** What may serve the model, best first; at least one. */
  choices: readonly Choice[]
  passes: Passes
  launch(choice: Choice): Launch
  /** The build of this box that a choice of the built-in engine would load; null = what came with Hearth. */
  build(choice: Choice): string | null
  /** Puts a choice into the order to load. */
  apply(choice: Choice): void
  /** Plans the order to load; why it does not fit, or null. Asked when no worker of this model holds memory. */
  fits(): Promise<string | null>
  /** All that tells this engine, model and settings from others; read after each load. */
  identity(choice: Choice, ready: Ready): Promise<{ engine: string; driver: string; model: string; settings: readonly unknown[] }>
  load: Load
  log: (line: string) => void
}

/** `problem`: it could not be found out. */
export type Trusted = 'trusted' | 'gone' | { distrusted: Fault } | { problem: string }

/** What the owner's settings allow, best first. `server`: a llama-server is configured; `served`: this model is given to it. */
export function choicesOf(backend: Load['backend'], server: boolean, served: boolean): Choice[] {
  const backends: Load['backend'][] = backend === 'cpu' ? ['cpu'] : backend === 'hip' ? ['hip', 'vulkan', 'cpu'] : [backend, 'cpu']
  // No library for ROCm comes with Hearth.
  const builtIn = backends.flatMap((one): Choice[] => [{ engine: 'built-in', backend: one }, ...(one === 'hip' ? [] : [{ engine: 'built-in' as const, backend: one, shipped: true }])])
  const external: Choice = { engine: 'llama-server', backend }
  return served ? [external, ...builtIn] : server ? [...builtIn, external] : builtIn
}

export class Trust {
  readonly #options: TrustOptions
  #at = 0
  /** The choice at `#at` has failed, and no other one was taken yet. */
  #spent = false
  /** Backend and library, as wanted and as it came: `auto` that ran on the CPU need not be tried there again. */
  readonly #tried = new Set<string>()
  #failed: { label: string; said: string }[] = []

  constructor(options: TrustOptions) {
    this.#options = options
  }

  /** Starts the choice that serves now. */
  readonly launch = (hearing: Hearing): WorkerProcess | { fault: Fault } => this.#options.launch(this.#choice)(hearing)

  /** Before a start: null at once when nothing is to be done; else takes the next choice that fits, or says why there is none. */
  prepare(): Promise<Fault | null> | null {
    return this.#spent ? this.#next() : null
  }

  /** After a load and its first token. */
  async check(ready: Ready, converse: Converse): Promise<Trusted> {
    const { on, model, passes, identity, load, log } = this.#options
    if (!on) return 'trusted'
    const choice = this.#choice
    const build = choice.engine === 'built-in' ? this.#options.build(choice) : null
    const label = labelOf(choice, build, ready)
    const { engine, driver, model: file, settings } = await identity(choice, ready)
    const key = keyOf([edition, file, engine, driver, settings, load.batchTokens, load.prefillTokens, load.speculation ?? 'off', load.draft ?? null, ready.sequences > 1])
    if (await passes.find(key) !== null) return 'trusted'
    const checked = await check(ready, load, converse)
    if (checked === null) return 'gone'
    if ('problem' in checked) return checked
    const { verdict, ms } = checked
    if (verdict.right) {
      await passes.keep(key, { model, engine, driver, date: new Date().toISOString(), tookMs: ms, leftOut: verdict.leftOut })
      log(`'${model}' continues ${verdict.answers.length} known texts rightly on ${label} (${ms} ms)${verdict.leftOut.map((what) => `; not tried: ${what}`).join('')}`)
      return 'trusted'
    }
    this.#spent = true
    if (choice.engine === 'built-in') for (const backend of [choice.backend, ready.backend]) this.#tried.add(`${backend} ${build}`)
    this.#failed.push({ label, said: verdict.said })
    log(`'${model}' is not served by ${label}: ${verdict.said}`)
    return { distrusted: this.#fault() }
  }

  /** For the status; null when nothing failed. */
  get distrusted(): string | null {
    if (this.#failed.length === 0) return null
    const what = `${this.#failed.map(({ label }) => label).join(' and ')} gave wrong tokens`
    return this.#spent ? what : `${what}; ${this.#label(this.#choice)} serves instead`
  }

  /** Believes nothing of before: the first choice is tried again at the next start. True when another one was taken. */
  reset(): boolean {
    const fellBack = this.#at > 0
    this.#at = 0
    this.#spent = false
    this.#failed = []
    this.#tried.clear()
    if (fellBack) this.#options.apply(this.#choice)
    return fellBack
  }

  get #choice(): Choice {
    const choice = this.#options.choices[this.#at]
    if (choice === undefined) throw new Error(`nothing can serve '${this.#options.model}'`)
    return choice
  }

  async #next(): Promise<Fault | null> {
    const { choices, apply, build, fits, log, model } = this.#options
    const unfit: string[] = []
    const seen = new Set(this.#tried)
    for (let at = this.#at + 1; at < choices.length; at++) {
      const choice = choices[at]
      const name = `${choice?.backend} ${choice?.engine === 'built-in' ? build(choice) : 'llama-server'}`
      if (choice === undefined || seen.has(name)) continue
      seen.add(name)
      apply(choice)
      const problem = await fits()
      if (problem === null) {
        this.#at = at
        this.#spent = false
        log(`'${model}' is tried on ${this.#label(choice)}`)
        return null
      }
      unfit.push(`${this.#label(choice)} is no way out: ${problem.replace(/\.$/, '')}`)
    }
    apply(this.#choice)
    return this.#fault(unfit)
  }

  #label(choice: Choice): string {
    return labelOf(choice, choice.engine === 'built-in' ? this.#options.build(choice) : null, null)
  }

  #fault(unfit: readonly string[] = []): Fault {
    const said = this.#failed.map(({ label, said: how }) => `on ${label} ${how}`)
    return fault('wrong_tokens', { model: this.#options.model, said: [...said, ...unfit].join('; ') })
  }
}

/** As people call it. What was asked for may differ from what came: `auto` without a usable GPU is the CPU. */
function labelOf({ engine, backend }: Choice, build: string | null, ready: Ready | null): string {
  const on = ready?.backend ?? backend
  return engine === 'llama-server' ? 'the llama-server' : `the built-in engine (${on === 'auto' ? 'GPU if there is one' : on}${build === null ? '' : `, build ${build}`})`
}
