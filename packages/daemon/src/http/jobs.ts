// Owns the routes of jobs: submit, list, show, follow, cancel.
import { fault, FaultError, liveStates, outcomes, type Job, type JobState } from '@hearth/protocol'
import type { Context } from 'hono'
import { z } from 'zod'
import type { Api, Env, Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

const states: readonly string[] = [...liveStates, ...outcomes]

const ListQuery = z.strictObject({
  state: z.string().refine((value): value is JobState => states.includes(value), { error: `one of ${states.join(', ')}` }).optional(),
  limit: z.coerce.number().int().min(1).max(10_000).default(100),
})

const EventsQuery = z.strictObject({
  after: z.coerce.number().int().min(0).default(0),
  follow: z.enum(['0', '1']).default('0'),
})

const cancelAnswerMs = 2000

export const jobRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/jobs', scope: 'jobs:write', about: 'JobRequest -> 201 SubmitReply, when the job is on disk; 200 with `duplicate` for a known idempotency key',
    async handle(c, api) {
      const reply = await api.intake.submit(await bodyOf(c), c.get('principal'))
      return c.json(reply, reply.duplicate ? 200 : 201)
    },
  },
  {
    method: 'GET', path: '/api/jobs', scope: 'jobs:read', about: '`?state=&limit=` -> JobList, newest first',
    handle(c, api) {
      const query = parse(ListQuery, c.req.query(), 'the query')
      return c.json({ jobs: api.store.read.jobs(query.state ?? null, query.limit) })
    },
  },
  {
    method: 'GET', path: '/api/jobs/:id', scope: 'jobs:read', about: 'Job; the id, or its beginning (4 characters or more) when only one job has it',
    handle: (c, api) => c.json(jobOf(c, api)),
  },
  {
    method: 'GET', path: '/api/jobs/:id/events', scope: 'jobs:read',
    about: '`?after=N&follow=1` -> lines of JobEvent after number N, until `ended`; without `follow`, or with `follow=0`, those there are',
    handle(c, api) {
      const query = parse(EventsQuery, c.req.query(), 'the query')
      const { id } = jobOf(c, api)
      return ndjson((signal) => api.feed.events(id, query.after, query.follow === '1', signal))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/cancel', scope: 'jobs:write', about: 'Job; it is over within two seconds or soon after, when a tool call has to be killed first',
    async handle(c, api) {
      const { id } = jobOf(c, api)
      await api.runner.cancel(id, c.get('principal').id)
      for await (const _ of api.feed.events(id, api.store.read.lastSeq(id), true, AbortSignal.timeout(cancelAnswerMs))) { /* until it ended */ }
      return c.json(api.store.read.job(id))
    },
  },
]

/** The job of the path, or of another word. Throws FaultError `unknown_job`, or `bad_request` for a beginning that two jobs share. */
export function jobOf(c: Context<Env>, api: Api, id: string = c.req.param('id') ?? ''): Job {
  const exact = api.store.read.job(id)
  if (exact !== null) return exact
  const found = id.length >= 4 ? api.store.read.jobsByPrefix(id) : []
  if (found.length > 1) throw new FaultError(fault('bad_request', { where: 'the id', problem: `more than one job begins with '${id}'` }))
  const only = found[0]
  if (only === undefined) throw new FaultError(fault('unknown_job', { id }))
  return only
}
