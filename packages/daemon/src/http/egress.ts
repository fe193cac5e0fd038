// Owns the routes of what left the box: sums, rows, and one body as it left.
import { z } from 'zod'
import type { Route } from './api.ts'
import { parse } from '../parse.ts'

const EgressQuery = z.strictObject({
  since: z.coerce.number().int().min(0).optional(),
  job: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(0).max(100_000).default(100),
})

export const egressRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/egress', scope: 'jobs:read', about: '`?since=MS&job=ID&limit=N` -> EgressReply: every connection, and what was sent to models outside of the house; no bodies',
    handle(c, api) {
      const query = parse(EgressQuery, c.req.query(), 'the query')
      return c.json(api.store.read.egress(query.since ?? null, query.job ?? null, query.limit))
    },
  },
  {
    method: 'GET', path: '/api/egress/:id/body', scope: 'admin', about: 'the body of a packet, byte for byte as it left; 410 when it was removed because it was old',
    async handle(c, api) {
      const { body } = await api.packets.body(c.req.param('id') ?? '')
      return c.body(new Uint8Array(body), 200, { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' })
    },
  },
]
