// Owns the rows of what providers sell: their price of today, what a job may ask them for, what was bought so far, and what is missing. Asks no provider.
import { keyProblem } from '@hearth/engine/remote/key-file'
import { escalationModes, gapsOfSale, priceAt, providerUrl, type Config, type RemoteRow } from '@hearth/protocol'
import { boughtByModel } from '../store/money-rows.ts'
import type { Api } from './api.ts'

/** In the order of the configuration. */
export async function remoteRows({ config: { escalation }, store }: Pick<Api, 'config' | 'store'>): Promise<RemoteRow[]> {
  const now = Date.now()
  const bought = boughtByModel(store.read.query)
  const rows = await Promise.all(escalation.providers.map(async (provider) => {
    const problem = await keyProblem(provider.keyFile)
    return provider.models.map((one): RemoteRow => ({
      id: one.id, place: 'remote', provider: provider.id, kind: provider.kind, url: providerUrl(provider), model: one.model, key: provider.keyFile !== null, contextTokens: one.contextTokens,
      toolMode: one.profile.toolMode, price: priceAt(one.prices, now), maxOutputTokens: one.maxOutputTokens, usedFor: usedFor(one.id, escalation),
      ...(bought.get(one.id) ?? { calls: 0, lastUsedAt: null, usdMicros: 0, prepaidUsdMicros: 0 }), gaps: gapsOfSale(escalation, provider, one, problem, now),
    }))
  }))
  return rows.flat()
}

/** Modes that the box allows and in which a route leads to this model; where no route is for a mode, all models of providers may be asked. */
function usedFor(id: string, { modes, routes }: Config['escalation']): string[] {
  return escalationModes.filter((mode) => modes.includes(mode)).flatMap((mode) => {
    const words: string[] = []
    for (const route of routes.filter((one) => one.modes === null || one.modes.includes(mode))) {
      const leads = route.models.includes(id)
      // The first that fits decides: behind one for all kinds comes nothing any more.
      if (route.kinds === null) return leads ? [...words, mode] : words
      if (leads) words.push(`${mode} (${route.kinds.join(', ')})`)
    }
    return [...words, mode]
  })
}
