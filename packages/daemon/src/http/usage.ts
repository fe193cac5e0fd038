// Owns the routes of the meter: reports over the ledger and statements of a month. The rows are read on a thread of their own (meter/usage-thread.ts).
import { fault, FaultError, UsageQuery, UsageStatement } from '@hearth/protocol'
import { z } from 'zod'
import { whatIsLeft } from '../meter/left.ts'
import { readUsage } from '../meter/usage-thread.ts'
import { usageReport, usageStatement } from '../meter/usage.ts'
import type { Api, Route } from './api.ts'
import { jobOf } from './jobs.ts'
import { parse } from '../parse.ts'

const StatementQuery = z.strictObject({ month: UsageStatement.shape.month, principal: z.string().min(1).optional() })

export const usageRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/usage/report', scope: 'jobs:read',
    about: '`?since=MS&until=MS&by=G&job=ID&principal=ID&tag=K=V&limit=N` -> UsageReport: sums of the ledger and what follows from them; `by`: day, month, job, person, automation, principal, model, place, purpose, project or tag:KEY',
    async handle(c, api) {
      const { since = null, until = null, by, job, principal = null, tag, limit } = parse(UsageQuery, c.req.query(), 'the query')
      if (since !== null && until !== null && since >= until) throw new FaultError(fault('bad_request', { where: 'until', problem: 'it is not after since' }))
      const now = Date.now()
      const ask = { since, until, by, job: job === undefined ? null : jobOf(c, api, job).id, principal, tag: tag === undefined ? null : splitTag(tag), limit, now }
      const rows = await readUsage(api.store.path, ask)
      return c.json(usageReport(rows, ask, {
        config: api.config, projects: api.store.read.projects(), left: leftOf(api, now), idleWatts: api.energy.idleWatts, energySource: await api.energy.source(),
        profiles: (await api.parts.tuning.profiles()).models.flatMap(({ profile, current }) => (current ? [profile] : [])),
      }))
    },
  },
  {
    method: 'GET', path: '/api/usage/statement', scope: 'jobs:read', about: '`?month=YYYY-MM&principal=ID` -> UsageStatement: what each principal used in a month (UTC)',
    async handle(c, api) {
      const { month, principal = null } = parse(StatementQuery, c.req.query(), 'the query')
      const since = Date.parse(`${month}-01`)
      const [year = 0, number = 0] = month.split('-').map(Number)
      const until = Date.UTC(year, number, 1)
      const now = Date.now()
      const rows = await readUsage(api.store.path, { since, until, by: 'month', job: null, principal, tag: null, limit: 1, now })
      return c.json(usageStatement(rows, month, until <= now, api.config.energy.usdPerKwh))
    },
  },
]

function splitTag(text: string): [string, string] {
  const at = text.indexOf('=')
  return [text.slice(0, at), text.slice(at + 1)]
}

function leftOf(api: Api, now: number): Pick<ReturnType<typeof whatIsLeft>, 'packages' | 'throughput'> {
  const { packages, throughput } = whatIsLeft(api.store, api.config.escalation, null, (path) => api.projects.of(path), now)
  return { packages, throughput }
}
