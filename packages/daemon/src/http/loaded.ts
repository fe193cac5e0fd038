// Owns the routes of models in memory: load, unload, pin, unpin.
import { FaultError, type LoadEvent } from '@hearth/protocol'
import type { Context } from 'hono'
import type { Api, Env, Route } from './api.ts'
import { ndjson } from './stream.ts'

export const loadedRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/models/:id/load', scope: 'admin', about: 'lines of LoadEvent; ?pin=1 pins it too. Who leaves gives up waiting, not a load that has begun',
    handle: (c, api) => ndjson((left) => each(api.parts.loaded.load(idOf(c), { pin: c.req.query('pin') === '1' }, left))),
  },
  {
    method: 'POST', path: '/api/models/:id/unload', scope: 'admin', about: 'lines of LoadEvent; refused while it answers, with ?wait=1 done after that. Its conversations are kept',
    handle: (c, api) => ndjson((left) => each(api.parts.loaded.unload(idOf(c), { wait: c.req.query('wait') === '1' }, left))),
  },
  {
    method: 'POST', path: '/api/models/:id/pin', scope: 'admin', about: '`{"pinned": true, "worker"}`: never unloaded by itself until the daemon ends; loads nothing',
    handle: (c, api) => pin(c, api, true),
  },
  {
    method: 'POST', path: '/api/models/:id/unpin', scope: 'admin', about: '`{"pinned": false, "worker"}`: also against the configuration, until the daemon ends',
    handle: (c, api) => pin(c, api, false),
  },
]

async function pin(c: Context<Env>, api: Api, pinned: boolean): Promise<Response> {
  const result = await api.parts.loaded.pin(idOf(c), pinned)
  if (!result.ok) throw new FaultError(result.fault)
  return c.json({ pinned, worker: result.worker })
}

async function* each(events: AsyncIterable<LoadEvent>): AsyncGenerator<readonly LoadEvent[]> {
  for await (const event of events) yield [event]
}

function idOf(c: Context<Env>): string {
  return c.req.param('id') ?? ''
}
