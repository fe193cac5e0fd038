// Owns the HTTP app: the route table made into an app, who may call what, and how a failure is answered. Knows no socket.
import { fault, faultFrom, type Fault, type Principal } from '@hearth/protocol'
import type { Context } from 'hono'
import { Hono } from 'hono/tiny'
import type { Log } from '../log.ts'
import type { Api, Env, Route } from './api.ts'
import { answer } from './answer.ts'
import { boxRoutes } from './box.ts'
import { chatSessionRoutes } from './chat-session.ts'
import { egressRoutes } from './egress.ts'
import { engineRoutes } from './engine.ts'
import { jobRoutes } from './jobs.ts'
import { evalRoutes } from './eval.ts'
import { keptRoutes } from './kept.ts'
import { keyRoutes } from './keys.ts'
import { mcpRoutes } from './mcp.ts'
import { loadedRoutes } from './loaded.ts'
import { moneyRoutes } from './money.ts'
import { modelRoutes } from './models.ts'
import { openAiRoutes } from './openai/routes.ts'
import { probeRoutes } from './probe.ts'
import { profileRoutes } from './profile.ts'
import { projectRoutes } from './projects.ts'
import { providerRoutes } from './providers.ts'
import { usageRoutes } from './usage.ts'

/** Every route of the daemon. docs/api.md and the tests are checked against this list. */
export const routes: readonly Route[] = [...boxRoutes, ...usageRoutes, ...jobRoutes, ...chatSessionRoutes, ...keptRoutes, ...modelRoutes, ...loadedRoutes, ...engineRoutes, ...profileRoutes, ...probeRoutes, ...mcpRoutes, ...projectRoutes, ...moneyRoutes, ...providerRoutes, ...egressRoutes, ...evalRoutes, ...keyRoutes, ...openAiRoutes]

/** Who asks, or why nobody is let in. */
export type Who = (request: Request) => Principal | Fault

// A stream that was cut says why; whoever does not end by itself then is ended.
const cutAfterMs = 250

/** `who` is asked for every request but those of a route without a scope, also for addresses that do not exist. */
export function makeApp(api: Api, who: Who, log: Log): Hono<Env> {
  const app = new Hono<Env>()
  for (const route of routes) {
    app.on(route.method, route.path, (c) => {
      if (route.scope === null) return route.handle(c, api)
      const principal = who(c.req.raw)
      if ('code' in principal) return answer(c.req.path, principal)
      if (!principal.scopes.includes(route.scope)) return answer(c.req.path, fault('not_allowed', { what: `call ${route.method} ${route.path} (scope ${route.scope})` }))
      c.set('principal', principal)
      c.set('cut', cutBy(c, api, principal))
      return route.handle(c, api)
    })
  }
  app.notFound((c) => {
    const principal = who(c.req.raw)
    return answer(c.req.path, 'code' in principal ? principal : fault('not_found', { what: `route ${c.req.method} ${c.req.path}` }))
  })
  app.onError((error, c) => {
    const cause = faultFrom(error)
    if (cause.code === 'internal') log('error', 'a request met an internal fault', { problem: error.stack ?? error.message })
    return answer(c.req.path, cause)
  })
  return app
}

/** Aborts when the key of this request is revoked; its connection is closed soon after. */
function cutBy(c: Context<Env>, api: Api, principal: Principal): AbortSignal {
  const cut = new AbortController()
  const outgoing = c.env?.outgoing
  if (principal.kind !== 'key' || outgoing === undefined) return cut.signal
  const forget = api.keys.watch(principal.id, (why) => {
    cut.abort(why)
    setTimeout(() => outgoing.destroy(), cutAfterMs).unref()
  })
  outgoing.once('close', forget)
  return cut.signal
}
