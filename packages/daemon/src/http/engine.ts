// Owns the routes of engine builds: list, make, remove.
import { BuildRequest } from '@hearth/protocol'
import type { Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

let asked = 0

export const engineRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/engine/builds', scope: 'infer', about: 'BuildList: the engines built on this box, newest first, and who runs them',
    async handle(c, api) {
      return c.json((await api.parts.builds()).list())
    },
  },
  {
    method: 'POST', path: '/api/engine/builds', scope: 'admin', about: 'BuildRequest -> lines of BuildEvent; refused while another build is under way; leaving stops it',
    async handle(c, api) {
      const request = parse(BuildRequest, await bodyOf(c), 'the build')
      const builds = await api.parts.builds()
      asked += 1
      // Each its own: a second one is not joined to the first, which may be of another kind, but refused by the builder.
      return ndjson((left) => api.transfers.join('build', String(asked), (signal) => builds.build(request, signal), left))
    },
  },
  {
    method: 'DELETE', path: '/api/engine/builds/:name', scope: 'admin', about: 'removes a build; refused while a worker runs it',
    async handle(c, api) {
      const name = c.req.param('name') ?? ''
      await (await api.parts.builds()).remove(name)
      return c.json({ removed: name })
    },
  },
]
