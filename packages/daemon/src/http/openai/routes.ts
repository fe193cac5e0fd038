// Owns the routes of the OpenAI dialect.
import { fault } from '@hearth/protocol'
import { answer } from '../answer.ts'
import type { Api, Route } from '../api.ts'
import { chatCompletions } from './chat.ts'
import { namesFor } from './names.ts'

export const openAiRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/v1/models', scope: 'infer', about: 'OpenAI: the models that can be asked, by id, by alias and as `hearth`',
    handle: async (c, api) => c.json({ object: 'list', data: (await namesFor(api, c.get('principal'))).map((one) => entry(one, api)) }),
  },
  {
    method: 'GET', path: '/v1/models/:id', scope: 'infer', about: 'OpenAI: one of them',
    async handle(c, api) {
      const id = c.req.param('id') ?? ''
      const names = await namesFor(api, c.get('principal'))
      const found = names.find(({ name }) => name === id)
      return found === undefined ? answer(c.req.path, fault('unknown_model', { id, known: names.map(({ name }) => name) }), 'model') : c.json(entry(found, api))
    },
  },
  { method: 'POST', path: '/v1/chat/completions', scope: 'infer', about: 'OpenAI: an answer, whole or as server-sent events; see openai.md', handle: chatCompletions },
]

/** `created` is the daemon's start: the catalogue does not know when a model was made, and clients insist on a number. */
function entry({ name, row }: { name: string; row: { id: string; contextTokens: number | null; license: string | null } }, api: Api): Record<string, unknown> {
  return { id: name, object: 'model', created: Math.floor(api.startedAt / 1000), owned_by: 'hearth', hearth: { id: row.id, context_tokens: row.contextTokens, license: row.license } }
}
