// Owns the smallest call that shows whether a provider answers: fixed words, sent through record, purse and door as every other, when a person agreed to its price.
// Nothing of any folder is in it.
import { randomBytes } from 'node:crypto'
import { keyProblem } from '@hearth/engine/remote/key-file'
import {
  fault, FaultError, gapsOfProvider, gapsOfSale, ModelRequest, providerUrl, type Config, type Door, type Principal, type ProviderTrial,
} from '@hearth/protocol'
import type { Log } from '../log.ts'
import { Purse, type Purchase } from '../meter/purse.ts'
import { boughtFor } from '../store/money-rows.ts'
import type { Store } from '../store/store.ts'
import { recordedSend, type Packets } from './packets.ts'
import type { HeldSecrets } from './scan-held.ts'

export type TrialOptions = { config: Config; store: Store; packets: Packets; held: HeldSecrets; door: Door; log: Log }

// OpenAI's least.
const maxTokens = 16
const words = 'Answer with the one word: ok'
const request = ModelRequest.parse({ messages: [{ role: 'user', text: words }], maxTokens, purpose: 'canary' })

export class Trials {
  readonly #o: TrialOptions
  readonly #purse: Purse

  constructor(options: TrialOptions) {
    this.#o = options
    this.#purse = new Purse({ store: options.store, config: options.config.escalation })
  }

  /** What would be sent and what it costs at worst; sends nothing. `name`: of a model, or of a provider, whose first model is meant. Throws FaultError where something is missing. */
  async look(name: string, principal: Principal): Promise<ProviderTrial> {
    return this.#lookAt(await this.#ready(name), principal)
  }

  /** Sends it. Throws FaultError with the provider's own fault, and when it may cost more than was agreed to. */
  async ask(name: string, principal: Principal, agreedUsdMicros: number, signal: AbortSignal): Promise<ProviderTrial> {
    const { store, packets, held, door, log } = this.#o
    const purchase = await this.#ready(name)
    const look = this.#lookAt(purchase, principal)
    const { provider, model } = purchase
    const { createRemoteModel, throughDoor } = await import('@hearth/engine')
    const send = recordedSend(throughDoor(door, null), {
      packets, held: await held.texts(), jobId: null, escalation: purchase.escalation, principal: principal.id, purpose: request.purpose, model: model.id, redactions: [],
    })
    const inner = createRemoteModel({ provider, model, send, log: (line) => log('info', line, { from: 'trial' }) })
    const paid = this.#purse.paid(inner, { principal, jobId: null, step: () => null }, { ...purchase, approvedUsdMicros: agreedUsdMicros })
    let text = ''
    for await (const event of paid.generate(request, signal)) {
      if (event.type === 'text') text += event.text
      if (event.type === 'failed') throw new FaultError(event.fault)
      if (event.type === 'done') {
        if (event.stop === 'cancelled') throw new FaultError(fault('cancelled', { by: 'who asked' }))
        return { ...look, answer: { text, usage: event.usage, ttftMs: event.timings.ttftMs, usdMicros: boughtFor(store.read.query, purchase.escalation) } }
      }
    }
    throw new FaultError(fault('internal', { problem: 'a call ended without a last word' }))
  }

  #lookAt(purchase: Purchase, principal: Principal): ProviderTrial {
    const quote = this.#purse.quote({ principal, jobId: null, step: () => null }, purchase, request)
    if (!quote.ok) throw new FaultError(fault('not_bought', quote.denial))
    const { provider, model } = purchase
    return { model: model.id, provider: provider.id, host: new URL(providerUrl(provider)).host, text: words, maxTokens, worstUsdMicros: quote.hold.usdMicros }
  }

  /** The model, with nothing missing. */
  async #ready(name: string): Promise<Purchase> {
    const { escalation } = this.#o.config
    const sold = escalation.providers.flatMap((provider) => provider.models.map((model) => ({ provider, model })))
    const found = sold.find(({ model }) => model.id === name) ?? sold.find(({ provider }) => provider.id === name)
    if (found === undefined) {
      const [gap] = escalation.providers.filter(({ id }) => id === name).flatMap((one) => gapsOfProvider(one, null).slice(-1))
      throw new FaultError(gap === undefined ? fault('unknown_model', { id: name, known: sold.map(({ model }) => model.id) }) : fault('not_bought', { why: gap.what, remedy: gap.remedy }))
    }
    const { provider, model } = found
    const [gap] = gapsOfSale(escalation, provider, model, await keyProblem(provider.keyFile), Date.now())
    if (gap !== undefined) throw new FaultError(fault('not_bought', { why: gap.what, remedy: gap.remedy }))
    if (escalation.dataClass === 'local-only') throw new FaultError(fault('not_bought', { why: 'This box is local-only: nothing leaves it.', remedy: 'Set escalation.dataClass to redact in the configuration.' }))
    return { escalation: `trial-${randomBytes(6).toString('hex')}`, provider, model, project: null }
  }
}
