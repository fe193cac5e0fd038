// Owns the routes of keys: make, list, revoke.
import { KeyRequest, type KeyList, type KeyReply } from '@hearth/protocol'
import type { Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

export const keyRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/keys', scope: 'admin', about: 'KeyRequest -> 201 KeyReply, the only reply that ever holds the secret',
    async handle(c, api) {
      const made = await api.keys.add(parse(KeyRequest, await bodyOf(c), 'the key'))
      await api.listener.settled()
      const reply: KeyReply = { ...made, url: api.listener.state.url }
      return c.json(reply, 201, { 'cache-control': 'no-store' })
    },
  },
  {
    method: 'GET', path: '/api/keys', scope: 'admin', about: 'KeyList: every key there ever was, newest first; no secrets',
    handle(c, api) {
      const reply: KeyList = { keys: api.keys.list() }
      return c.json(reply)
    },
  },
  {
    method: 'DELETE', path: '/api/keys/:id', scope: 'admin', about: 'ApiKey; revoked for good, and what it has open is closed within a second',
    handle: async (c, api) => c.json(await api.keys.revoke(c.req.param('id') ?? '')),
  },
]
