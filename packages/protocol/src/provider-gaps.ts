// Owns what is still missing before anything is bought from a provider, in the order in which a person mends it, and the command or line that mends it. Pure; reads no file.
import { z } from 'zod'
import type { Budget } from './escalation.ts'
import type { Consent } from './principal.ts'
import { priceAt, type Price, type ProviderConfig, type RemoteModelConfig } from './provider.ts'

export const ProviderGap = z.strictObject({
  what: z.string().describe('what is missing, as a sentence'),
  remedy: z.string().describe('the command or the line of the configuration that mends it'),
})
export type ProviderGap = z.infer<typeof ProviderGap>

/** What the box says, of its configuration. */
export type Allowed = { consent: Consent; budget: Pick<Budget, 'escalationUsdMicros' | 'jobUsdMicros' | 'dayUsdMicros' | 'monthUsdMicros'> }

/** Of one provider alone: its key and its models. `keyProblem`: why the key file cannot be used, as the end of a sentence; null = it can, or was not looked at. */
export function gapsOfProvider({ id, kind, keyFile, models }: ProviderConfig, keyProblem: string | null): ProviderGap[] {
  return [
    ...(keyFile === null && kind !== 'compatible' ? [{ what: `The provider '${id}' has no key.`, remedy: `Write the key into a file, chmod 600 it, and name it as "keyFile" of '${id}' in escalation.providers.` }] : []),
    ...(keyFile === null || keyProblem === null ? [] : [{ what: `The key of '${id}' cannot be used: ${keyProblem}.`, remedy: `Put the key into ${keyFile}, one line, and: chmod 600 ${keyFile}` }]),
    ...(models.length > 0 ? [] : [{ what: `The provider '${id}' has no model.`, remedy: `hearth provider add ${id} --model NAME --context TOKENS --max-output TOKENS` }]),
  ]
}

/** Of one of its models: a price that holds at this moment, milliseconds since 1970. */
export function gapsOfModel({ id, prices }: Pick<RemoteModelConfig, 'id' | 'prices'>, at: number): ProviderGap[] {
  if (priceAt(prices, at) !== null) return []
  const next = prices.map(({ from }) => from).toSorted()[0]
  return [{
    what: next === undefined ? `The model '${id}' has no price, so nothing is bought from it.` : `The first price of '${id}' holds from ${next} on, so nothing is bought from it today.`,
    remedy: `hearth provider price ${id} --input USD --output USD (for a million tokens, as the provider's page says today)`,
  }]
}

/** Of the box: money, and that anything may be bought at all. `price`: of the model that is looked at; one that costs nothing needs no money. */
export function gapsOfBox({ consent, budget }: Allowed, price: Price | null): ProviderGap[] {
  const { escalationUsdMicros, jobUsdMicros, dayUsdMicros, monthUsdMicros } = budget
  return [
    ...((price === null || price.input + price.cacheRead + price.cacheWrite + price.output > 0) && [escalationUsdMicros, jobUsdMicros, dayUsdMicros, monthUsdMicros].every((limit) => limit === null)
      ? [{ what: 'This box has no limit in money, and without one nothing is bought.', remedy: 'hearth provider allow --budget 2/day' }] : []),
    ...(consent === 'never' ? [{ what: "The consent of this box is 'never', so jobs buy nothing.", remedy: 'hearth provider allow --consent ask (a person approves each packet; auto: within the budget)' }] : []),
  ]
}

/** All that is missing before this model of this provider is bought. */
export function gapsOfSale(box: Allowed, provider: ProviderConfig, model: RemoteModelConfig, keyProblem: string | null, at: number): ProviderGap[] {
  return [...gapsOfProvider(provider, keyProblem), ...gapsOfModel(model, at), ...gapsOfBox(box, priceAt(model.prices, at))]
}
