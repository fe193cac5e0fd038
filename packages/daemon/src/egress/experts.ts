// Owns whom a job may ask and on which terms: route, policy, secrets and price of one escalation, put together into an offer, and the gated model that answers it.
// Every part decides for itself in a file of its own; this one only asks them, each time anew. Sends nothing.
import type { KeptThoughts, Send } from '@hearth/engine'
import {
  AgentProfile, fault, FaultError, noUsage, packetText, type Consultation, type Denial, type Door, type EndpointConfig, type EscalationSettings, type Expert, type Fault, type Job, type Model, type Offer, type PassedOver, type ProviderConfig, type RemoteModelConfig,
} from '@hearth/protocol'
import { heldExpert, heldFault, heldModes } from '../eval/held.ts'
import { wholeJob } from '../meter/ask.ts'
import type { EnergyMeter } from '../meter/energy.ts'
import { metered, type Account } from '../meter/meter.ts'
import type { Purse } from '../meter/purse.ts'
import type { Projects } from '../projects.ts'
import { escalationSpent, medianSeconds } from '../store/help-rows.ts'
import { Answerers, frameBytes, type AnswerersOptions, type Ranked } from './answerers.ts'
import { lapsedApproval } from './approvals.ts'
import { gated, sha256 } from './gate.ts'
import { recordedDoor, recordedSend, type Packets } from './packets.ts'
import { Placeholders, putsBackFor, type Redaction } from './placeholders.ts'
import type { HeldSecrets } from './scan-held.ts'
import { allowedSeconds, begunWithin, notLoaded, triedTwice, type NotAsked } from './stronger.ts'
import { deny, effectiveOf, JobTerms, staysIn, type Asked, type Seller, type Servers } from './terms.ts'

export type ExpertsOptions = AnswerersOptions & {
  projects: Projects; purse: Purse; packets: Packets; held: HeldSecrets; energy: EnergyMeter; door: Door
  /** Key of the placeholders; outlives the daemon. */
  placeholderKey(): Promise<Buffer>
  /** What a provider's client is given to send with, made of the door. */
  remote(options: { provider: ProviderConfig; model: RemoteModelConfig; send: Send; thoughts: KeptThoughts }): Promise<Model>
  /** For the sealed thoughts of one conversation. */
  thoughts(): Promise<KeptThoughts>
  lan(endpoint: EndpointConfig, door: Door): Promise<Model>
  throughDoor(jobId: string): Promise<Send>
  log: (line: string) => void
  now?: () => number
}

export class Experts {
  readonly #o: ExpertsOptions
  readonly #now: () => number

  constructor(options: ExpertsOptions) {
    this.#o = options
    this.#now = options.now ?? Date.now
  }

  /** How a job asks, as far as policy lets it. */
  settings(job: Job): EscalationSettings {
    const { config, store } = this.#o
    const { packet, packetTokens, stepTurns } = config.escalation
    const askAt = job.request.escalation?.askAt
    return {
      ...(askAt === undefined ? {} : { askAt }),
      modes: heldModes(job) ?? effectiveOf(this.#o, job, this.#now()).modes, planFirst: job.request.escalation?.planFirst ?? false, packet, packetTokens, stepTurns,
      medianSeconds: medianSeconds(store.read.query, job.request.class),
    }
  }

  /** Whether a job may name it as its model: it is sold by a provider. */
  sells(id: string): boolean {
    return this.#o.config.escalation.providers.some(({ models }) => models.some((one) => one.id === id))
  }

  /** What holds now for the other ways out of a job. */
  terms(job: Job, servers: Servers): JobTerms {
    return new JobTerms(job, servers, this.#o, this.#now)
  }

  /**
   * The model that a job runs on all the time, when it is outside of this house: gated, and paid for in the mode `rest` where a provider sells it. Null = nothing
   * stands between the job and its model. A fault where policy forbids it; nobody can be asked at each step, so consent to buy must be `auto`. A machine of the
   * network costs nothing and was named by who gave the job: consent and modes say nothing of it, all else does. `servers`: of the folder, by name.
   */
  async main(job: Job, step: () => number | null, servers: Servers): Promise<{ ok: true; model: Model } | { ok: false; fault: Fault } | null> {
    const endpoint = this.#o.config.engine.endpoints.find(({ id }) => id === job.model)
    if (heldModes(job) !== null && this.sells(job.model)) return { ok: false, fault: heldFault() }
    return endpoint?.local === false || this.sells(job.model) ? new JobExpert(job, step, servers, this.#o, this.#now).main() : null
  }

  /** The port for one run of a job; null when this box names nobody who could ever be asked. `step`: of the job now. */
  forJob(job: Job, step: () => number | null, servers: Servers): Expert | null {
    const { providers, routes } = this.#o.config.escalation
    if (heldModes(job) !== null) return heldExpert
    return providers.every(({ models }) => models.length === 0) && routes.length === 0 ? null : new JobExpert(job, step, servers, this.#o, this.#now)
  }
}

class JobExpert implements Expert {
  readonly #job: Job
  readonly #o: ExpertsOptions
  readonly #now: () => number
  readonly #account: Account
  readonly #terms: JobTerms
  readonly #answerers: Answerers
  #placeholders: Promise<Placeholders> | null = null

  constructor(job: Job, step: () => number | null, servers: Servers, options: ExpertsOptions, now: () => number) {
    this.#job = job
    this.#terms = new JobTerms(job, servers, options, now)
    this.#answerers = new Answerers(job, options, now)
    this.#o = options
    this.#now = now
    this.#account = { principal: job.principal, jobId: job.id, step, energy: options.energy }
  }

  async offer(asked: Consultation): Promise<{ ok: true; offer: Offer } | { ok: false; denial: Denial }> {
    const denials: Denial[] = []
    const passed: NotAsked[] = []
    const passedOver = (): { passedOver?: PassedOver[] } => (passed.length === 0 ? {} : { passedOver: passed.map(({ remedy: _remedy, ...one }) => one) })
    const choices = await this.#answerers.ranked(asked, (one) => this.#isPaidFor(asked, one))
    for (const [index, choice] of choices.entries()) {
      const terms = this.#terms.of(asked, choice.one)
      const weighed = terms.ok ? await this.#answerers.weighed(asked, choice, terms.consent) : { ok: true as const, swap: null, because: choice.because }
      if (!weighed.ok) {
        passed.push(weighed.passed)
        continue
      }
      const { swap, because } = weighed
      const one = await this.#offerOf(asked, { ...choice, because })
      if (!one.ok) {
        denials.push(one.denial)
        continue
      }
      const instead = swap === null ? null : this.#firstBought(asked, choices.slice(index + 1))
      return { ok: true, offer: { ...one.offer, ...(swap === null ? {} : { swap }), ...(instead === null ? {} : { insteadUsdMicros: instead }), ...passedOver() } }
    }
    // What policy says tells more than that somebody could not be reached.
    const denial = denials.find(({ rule }) => rule !== 'provider') ?? denials[0] ?? (passed[0] === undefined ? {
      rule: 'provider' as const, why: `Nobody is configured who could be asked for '${asked.mode}'.`, remedy: 'Add a provider (escalation.providers) or a route (escalation.routes).',
    } : { rule: 'provider' as const, why: `Nobody who is named for '${asked.mode}' can be asked now.`, remedy: passed[0].remedy })
    return { ok: false, denial: { ...denial, ...passedOver() } }
  }

  async model(asked: Consultation, offer: Offer, approved: string | null): Promise<Model> {
    const one = await this.#answerers.find(offer.model)
    if (one === null) return failing(offer, fault('unknown_model', { id: offer.model, known: [] }))
    // What was offered, and perhaps approved, was offered to this receiver.
    if (one.host !== offer.host) return failing(offer, fault('not_bought', { why: `It was offered to ${offer.host}, and '${offer.model}' is at ${one.host} now.`, remedy: 'Ask again; it is then offered anew.' }))
    // Somebody may have begun to use what would have to leave.
    const not = offer.swap === undefined ? null : await this.#answerers.forbids(asked, one)
    if (not !== null) return failing(offer, notLoaded(`${one.id}: ${not.why}`, not.remedy))
    return this.#answering(asked, one, approved === null ? null : { sha256: approved, usdMicros: offer.worstUsdMicros })
  }

  async main(): Promise<{ ok: true; model: Model } | { ok: false; fault: Fault } | null> {
    const one = await this.#answerers.find(this.#job.model)
    if (one === null) return null
    const asked: Consultation = { id: wholeJob, mode: 'rest', step: 0, signals: [], packet: { prefix: '', body: '', files: [] }, maxTokens: 0, maxTurns: 0 }
    const terms = this.#terms.of(asked, one)
    if (!terms.ok) return { ok: false, fault: fault('not_bought', terms.denial) }
    if (one.place !== 'lan' && terms.consent === 'ask') {
      return { ok: false, fault: fault('not_bought', { why: `A job on the bought model '${one.id}' sends something at each step, and each would wait for a person.`, remedy: "Set the consent to 'auto', or use a model of this box." }) }
    }
    const model = await this.#answering(asked, one, null)
    return { ok: true, model: one.place === 'lan' ? model : { info: model.info, generate: (request, signal) => model.generate({ ...request, purpose: 'rest' }, signal) } }
  }

  spent(id: string): number {
    return escalationSpent(this.#o.store.read.query, this.#job.id, id)
  }

  /** See `lapsedApproval`. */
  async lapsed(asked: Consultation, offer: Offer): Promise<string | null> {
    const { store, config, held } = this.#o
    try {
      const { text } = await (await this.#hiding()).hide(packetText(asked.packet), await held.texts())
      return lapsedApproval(asked.id, offer, sha256(text), { query: store.read.query, jobId: this.#job.id, approvalSeconds: config.escalation.approvalSeconds, now: this.#now() })
    } catch (error) {
      return `What may not leave cannot be read (${error instanceof Error ? error.message : String(error)}).`
    }
  }

  withholds(path: string): string | null {
    return this.#terms.keeps(path)?.why ?? null
  }

  /** What the first of these that may be bought would cost at worst; null = none may. */
  #firstBought(asked: Consultation, choices: readonly Ranked[]): number | null {
    for (const { one } of choices) {
      const worst = one.place === 'remote' && this.#terms.of(asked, one).ok ? this.#worst(asked, one, packetText(asked.packet)) : null
      if (worst?.ok === true) return worst.usdMicros
    }
    return null
  }

  async #offerOf(asked: Consultation, { one, because }: Ranked): Promise<{ ok: true; offer: Offer } | { ok: false; denial: Denial }> {
    const text = packetText(asked.packet)
    const base = { model: one.id, place: one.place, host: one.host, because }
    const terms = this.#terms.of(asked, one)
    if (!terms.ok) return terms
    if (staysIn(one)) return { ok: true, offer: { ...base, consent: 'auto', preview: text, sha256: sha256(text), bytes: Buffer.byteLength(text), redactions: [], worstUsdMicros: 0 } }
    let hidden
    try {
      hidden = await (await this.#hiding()).hide(text, await this.#o.held.texts())
    } catch (error) {
      return deny('secret', `What may not leave cannot be read (${error instanceof Error ? error.message : String(error)}).`, 'Mend that file; nothing leaves until then.')
    }
    if (terms.secrets === 'hold' && hidden.redactions.length > 0) {
      return deny('secret', `A secret stands in what would leave (${hidden.redactions.map(({ kind }) => kind).join(', ')}).`, "Take it out of the work, or use the data class 'redact'.")
    }
    const worst = this.#worst(asked, one, hidden.text)
    if (!worst.ok) return worst
    const bound = this.#o.purse.worthWords(this.#job.id)
    return {
      ok: true,
      offer: { ...base, ...(bound === null ? {} : { bound }), consent: terms.consent, preview: hidden.text, sha256: sha256(hidden.text), bytes: Buffer.byteLength(hidden.text), redactions: hidden.redactions, worstUsdMicros: worst.usdMicros },
    }
  }

  /**
   * What it costs at worst, when each turn is held as the first is: settled ones cost a part of that, which leaves room for what later ones are longer by. A turn
   * is reserved by itself before it is sent, and none beyond what a person approved.
   */
  #worst(asked: Consultation, one: Asked, text: string): { ok: true; usdMicros: number } | { ok: false; denial: Denial } {
    if (one.place !== 'remote') return { ok: true, usdMicros: 0 }
    const quote = this.#quote(asked, one, text)
    // What it cost already is in the limit that a yes sets.
    return quote.ok ? { ok: true, usdMicros: quote.hold.usdMicros * asked.maxTurns + this.spent(asked.id) } : quote
  }

  /** Whether throughput that is paid for anyway holds its first turn now. */
  #isPaidFor(asked: Consultation, one: Seller): boolean {
    const quote = this.#quote(asked, one, packetText(asked.packet))
    return quote.ok && quote.hold.cover?.source === 'throughput'
  }

  #quote(asked: Consultation, one: Seller, text: string): ReturnType<Purse['quote']> {
    return this.#o.purse.quote(this.#account, this.#purchase(asked, one), {
      messages: [{ role: 'system', text: ' '.repeat(frameBytes[asked.mode]) }, { role: 'user', text }], tools: [], responseFormat: { type: 'text' }, maxTokens: asked.maxTokens, purpose: asked.mode,
    })
  }

  #purchase({ id }: Consultation, { provider, model }: Seller): Parameters<Purse['quote']>[1] {
    const project = this.#o.projects.of(this.#job.project.path)
    return { escalation: id, provider, model, project: project === null ? null : { id: project.id, budget: project.rules.budget } }
  }

  #hiding(): Promise<Placeholders> {
    this.#placeholders ??= this.#remembering().catch((error: unknown) => {
      this.#placeholders = null
      throw error
    })
    return this.#placeholders
  }

  /** What was a secret in a packet once is one for as long as the job lives, also after a start: what was offered and seen before is looked at again, in its order. */
  async #remembering(): Promise<Placeholders> {
    const placeholders = new Placeholders(await this.#o.placeholderKey(), this.#job.id)
    const held = await this.#o.held.texts()
    for (const event of this.#o.store.read.journal(this.#job.id)) {
      if (event.type === 'escalation_offered') await placeholders.hide(packetText(event.packet), held)
      else if (event.type === 'remote' && event.event['type'] === 'tool_result' && typeof event.event['observation'] === 'string') await placeholders.hide(event.event['observation'], held)
    }
    return placeholders
  }

  async #answering(asked: Consultation, one: Asked, approved: { sha256: string; usdMicros: number } | null): Promise<Model> {
    if (one.place === 'local') {
      const found = await this.#o.parts.model(one.id)
      if (!found.ok) return failing({ model: one.id, place: one.place }, found.fault)
      return begunWithin(triedTwice(metered(found.model, this.#account, (entry) => this.#o.store.ledger(entry), this.#now)), this.#answerers.isReady(one) ? null : allowedSeconds(this.#o.config, this.#job))
    }
    if (one.place === 'lan' && one.endpoint.local) return metered(await this.#o.lan(one.endpoint, this.#o.door), this.#account, (entry) => this.#o.store.ledger(entry), this.#now)
    const placeholders = await this.#hiding()
    const named = one.id === this.#job.model && one.place === 'lan'
    const about = async (redactions: readonly Redaction[]): Promise<Parameters<typeof recordedSend>[1]> => ({
      packets: this.#o.packets, held: await this.#o.held.texts(), jobId: this.#job.id, escalation: named ? null : asked.id, principal: this.#job.principal.id, purpose: named ? 'agent' : asked.mode, model: one.id, redactions: [...redactions],
    })
    const may: Parameters<typeof gated>[0]['may'] = () => {
      const terms = this.#terms.of(asked, one)
      if (!terms.ok) return terms
      return terms.consent === 'ask' && approved === null ? deny('consent', 'It may leave only after a person approved it.', 'Ask again; it then waits for an approval.') : { ok: true, secrets: terms.secrets }
    }
    const door = await this.#o.throughDoor(this.#job.id)
    // A provider may have had it wait for an hour: what holds is asked for each body that leaves.
    const send: Send = (post) => {
      const now = may()
      return now.ok ? door(post) : Promise.reject(new FaultError(fault('not_bought', now.denial)))
    }
    // For all turns of this conversation: each is asked of a model of its own.
    const thoughts = await this.#o.thoughts()
    const inner = one.place === 'remote'
      ? async (redactions: readonly Redaction[]): Promise<Model> => this.#o.purse.paid(
          await this.#o.remote({ provider: one.provider, model: one.model, send: recordedSend(send, await about(redactions)), thoughts }), this.#account,
          { ...this.#purchase(asked, one), ...(approved === null ? {} : { approvedUsdMicros: approved.usdMicros }), alongTokens: (request) => thoughts.tokensAtMost(request) })
      : async (redactions: readonly Redaction[]): Promise<Model> => metered(
          await this.#o.lan(one.endpoint, recordedDoor(this.#o.door, await about(redactions))), this.#account, (entry) => this.#o.store.ledger(entry), this.#now)
    return gated({
      info: { id: one.id, place: one.place, contextTokens: one.place === 'remote' ? one.model.contextTokens : one.endpoint.contextTokens, profile: one.place === 'remote' ? one.model.profile : one.endpoint.profile },
      host: one.host, placeholders, approved: approved?.sha256 ?? null, putsBack: (tool) => putsBackFor(tool, (this.#job.request.network ?? []).length > 0), held: () => this.#o.held.texts(), inner,
      may,
    })
  }
}

function failing({ model, place }: Pick<Offer, 'model' | 'place'>, why: Fault): Model {
  return {
    info: { id: model, place, contextTokens: 1, profile: AgentProfile.parse({ toolMode: 'native' }) },
    async *generate() {
      yield { type: 'failed', fault: why, usage: noUsage, timings: { queuedMs: 0, prefillMs: 0, decodeMs: 0, ttftMs: null, totalMs: 0 } }
    },
  }
}
