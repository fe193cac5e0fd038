// Owns the routes of a provider's trial: what the smallest call would cost, and that call.
import { TrialRequest } from '@hearth/protocol'
import type { Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

export const providerRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/providers/:id/trial', scope: 'admin', about: 'ProviderTrial: the smallest call to a model that is sold (or to the first of a provider) and its worst price; sends nothing; says what is missing',
    handle: async (c, api) => c.json(await api.trials.look(c.req.param('id') ?? '', c.get('principal'))),
  },
  {
    method: 'POST', path: '/api/providers/:id/trial', scope: 'admin', about: 'TrialRequest -> ProviderTrial with its answer; the provider\'s own fault where it has none; nothing of any folder is sent',
    async handle(c, api) {
      const { worstUsdMicros } = parse(TrialRequest, await bodyOf(c), 'the trial')
      return c.json(await api.trials.ask(c.req.param('id') ?? '', c.get('principal'), worstUsdMicros, AbortSignal.any([c.req.raw.signal, c.get('cut')])))
    },
  },
]
