// Owns the routes about the daemon itself: health, status, usage, doctor, shutdown.
import { isEnded, version, wireVersion, type JobState, type StatusReply } from '@hearth/protocol'
import { z } from 'zod'
import { freeDisk } from '../queue/intake.ts'
import { readReply } from '../meter/usage-thread.ts'
import type { Route } from './api.ts'
import { parse } from '../parse.ts'

const UsageQuery = z.strictObject({
  since: z.coerce.number().int().min(0).optional(),
  job: z.string().min(1).optional(),
  limit: z.coerce.number().int().min(0).max(10_000).default(100),
})

export const boxRoutes: readonly Route[] = [
  { method: 'GET', path: '/healthz', scope: null, about: '200 `ok`; no details', handle: (c) => c.text('ok') },
  {
    method: 'GET', path: '/api/status', scope: 'jobs:read', about: 'StatusReply',
    async handle(c, api) {
      const { available, limits, detail } = await api.sandboxReport()
      const counts = api.store.read.counts()
      const ended = [...counts].reduce((sum, [state, count]) => (isEnded(state as JobState) ? sum + count : sum), 0)
      const reply: StatusReply = {
        version, wire: wireVersion, pid: process.pid, startedAt: api.startedAt, stateDir: api.paths.state, modelsDir: api.paths.models, socket: api.paths.socket,
        rssBytes: process.memoryUsage.rss(), freeDiskBytes: await freeDisk(api.paths.state),
        jobs: { running: counts.get('running') ?? 0, queued: counts.get('queued') ?? 0, suspended: counts.get('suspended') ?? 0, ended },
        workers: api.parts.workers(), sandbox: { available, limits, detail }, http: api.listener.state, idleExitSeconds: api.idleExitSeconds,
      }
      return c.json(reply)
    },
  },
  {
    method: 'GET', path: '/api/usage', scope: 'jobs:read', about: '`?since=MS&job=ID&limit=N` -> UsageReply: sums of the ledger and of what left the box',
    async handle(c, api) {
      const { since = null, job, limit } = parse(UsageQuery, c.req.query(), 'the query')
      // The rows of one job are few and lie together; all of them are read beside the daemon.
      return c.json(job === undefined ? await readReply(api.store.path, since, limit) : api.store.read.usage(since, job, limit))
    },
  },
  { method: 'GET', path: '/api/doctor', scope: 'admin', about: 'DoctorReport', handle: async (c, api) => c.json(await api.doctor()) },
  {
    method: 'POST', path: '/api/shutdown', scope: 'admin', about: '202; stops as SIGTERM does: running jobs are suspended at a step edge and go on at the next start',
    handle(c, api) {
      api.shutdown(c.get('principal').id)
      return c.json({ stopping: true }, 202)
    },
  },
]
