// Owns the HTTP app: the route table made into an app, who may call what, and how a failure is answered. Knows no socket.
import { fault, faultFrom, httpOf, type ErrorReply, type Fault, type Principal } from '@hearth/protocol'
import { Hono } from 'hono/tiny'
import type { Log } from '../log.ts'
import type { Api, Env, Route } from './api.ts'
import { boxRoutes } from './box.ts'
import { jobRoutes } from './jobs.ts'
import { modelRoutes } from './models.ts'

/** Every route of the daemon. docs/api.md and the tests are checked against this list. */
export const routes: readonly Route[] = [...boxRoutes, ...jobRoutes, ...modelRoutes]

/** `who` gives the principal of a connection; on the Unix socket that is its owner. */
export function makeApp(api: Api, who: () => Principal, log: Log): Hono<Env> {
  const app = new Hono<Env>()
  for (const route of routes) {
    app.on(route.method, route.path, (c) => {
      const principal = who()
      if (route.scope !== null && !principal.scopes.includes(route.scope)) return answer(fault('not_allowed', { what: `call ${route.method} ${route.path} (scope ${route.scope})` }))
      c.set('principal', principal)
      return route.handle(c, api)
    })
  }
  app.notFound((c) => answer(fault('not_found', { what: `route ${c.req.method} ${c.req.path}` })))
  app.onError((error) => {
    const cause = faultFrom(error)
    if (cause.code === 'internal') log('error', 'a request met an internal fault', { problem: error.stack ?? error.message })
    return answer(cause)
  })
  return app
}

function answer(cause: Fault): Response {
  const body: ErrorReply = { error: cause }
  return Response.json(body, { status: httpOf(cause) })
}
