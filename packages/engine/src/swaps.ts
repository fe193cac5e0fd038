// Owns the forecast of asking a model that is not in memory: who would leave, what loading, answering and coming back take, and what forbids it. Moves nothing.
import { chatStaysMs, type MemoryPlan, type Swap } from '@hearth/protocol'
import type { InstalledModel } from './installed.ts'
import type { Forecast } from './local/forecast.ts'
import type { Handover } from './local/handover.ts'
import type { Slots } from './local/slots.ts'
import type { Supervisor } from './local/supervisor.ts'
import { bytesOf } from './model-files.ts'
import { checkMs, leaveMs, loadMs, type Loadable, type Loads } from './profile/loads.ts'
import type { Identity } from './profile/store.ts'

/** `asker`: the model of who asks, which comes back afterwards; null = none of this box. `sessionKey`: its conversation. `promptChars`: of the first turn. */
export type SwapWish = { asker: InstalledModel | null; sessionKey: string; promptChars: number; maxTokens: number; turns: number }
export type SwapAnswer = { ok: true; swap: Swap } | { ok: false; why: string; remedy: string }

type Member = { id: string; installed: InstalledModel; supervisor: Supervisor; slots: Slots; forecast: Forecast; handover: Handover | null }
export type SwapsOptions = {
  loads: Loads
  /** First words are checked after a load. */
  checks: boolean
  plan(installed: InstalledModel): Promise<MemoryPlan | null>
  open(installed: InstalledModel): Member
  members(): Iterable<Member>
  identity(installed: InstalledModel): Identity
}

// Of program text; what does not fit by this count might still, and is not worth finding out.
const charsPerToken = 3

export class Swaps {
  readonly #options: SwapsOptions

  constructor(options: SwapsOptions) {
    this.#options = options
  }

  /** What asking `installed` now would take. Not ok: it must not be loaded for this, whatever it takes. */
  async forecast(installed: InstalledModel, { asker, sessionKey, promptChars, maxTokens, turns }: SwapWish): Promise<SwapAnswer> {
    const { loads, checks } = this.#options
    const its = this.#options.open(installed)
    const { lastFault, state } = its.supervisor.status
    if (state === 'broken') return no(`'${installed.id}' does not start${lastFault === null ? '' : `: ${lastFault.message}`}`, `Run 'hearth doctor', then 'hearth models reset ${installed.id}'.`)
    const plan = await this.#options.plan(installed)
    if (plan === null) return no(`the file of '${installed.id}' cannot be read`, `Run 'hearth models verify ${installed.id}'.`)
    if (plan.verdict === 'refused') return no(plan.said.replace(/\.$/, ''), plan.remedy ?? "Run 'hearth doctor'.")
    const waitsFor = plan.waitsFor ?? []
    if (waitsFor.length > 0) return no(`${quoted(waitsFor)} would have to end what it does first`, 'Ask again later.')
    const neededTokens = Math.ceil(promptChars / charsPerToken) + maxTokens
    if (plan.contextTokens < neededTokens) return no(`${plan.contextTokens} tokens of context fit beside the rest, and the question needs ${neededTokens}`, 'Shorten escalation.packetTokens, or unload another model.')

    const leaving = [...this.#options.members()].filter(({ id }) => plan.evicts?.some(({ model }) => model === id))
    const chats = leaving.filter(({ slots }) => slots.chattedWithin(chatStaysMs)).map(({ id }) => id)
    if (chats.length > 0) return no(`somebody chats with ${quoted(chats)}, which would have to leave the memory`, 'Ask again later.')

    const known = await loads.all()
    const load = loadMs(known, this.loadable(installed))
    const answer = its.forecast.atMostMs(promptChars, maxTokens * turns)
    const own = leaving.find(({ installed: { path } }) => path === asker?.path)
    return {
      ok: true,
      swap: {
        leaves: leaving.map(({ id }) => id), roomMs: Math.round(leaving.reduce((sum, one) => sum + Math.max(one.handover?.keepingMs ?? 0, leaveMs(known, this.loadable(one.installed))), 0)),
        loadMs: whole(load?.ms ?? null), loadFrom: load?.from ?? null, checkMs: whole(checkMs(known, this.loadable(installed), checks)), answerMs: whole(answer),
        backMs: own === undefined ? 0 : whole(sum(leaveMs(known, this.loadable(installed)), loadMs(known, this.loadable(own.installed))?.ms ?? null, returningMs(own, own.slots.tokensOf(sessionKey)))),
      },
    }
  }

  /** What a load of it is known by. */
  loadable(installed: InstalledModel): Loadable {
    return { ...this.#options.identity(installed), model: installed.id, bytes: bytesOf(installed.path) }
  }
}

function returningMs({ handover, forecast: { prefillMsPerToken } }: Member, tokens: number): number | null {
  return handover !== null ? handover.returningMs(tokens) : tokens === 0 ? 0 : prefillMsPerToken === null ? null : tokens * prefillMsPerToken
}

function no(why: string, remedy: string): SwapAnswer {
  return { ok: false, why, remedy }
}

function sum(...parts: (number | null)[]): number | null {
  return parts.reduce((all, one) => (all === null || one === null ? null : all + one), 0)
}

function whole(ms: number | null): number | null {
  return ms === null ? null : Math.round(ms)
}

function quoted(names: readonly string[]): string {
  return names.map((name) => `'${name}'`).join(' and ')
}
