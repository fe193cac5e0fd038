// Owns the routes over the kept states of a job's folder: diff and undo.
import { fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import type { Route } from './api.ts'
import { jobOf } from './jobs.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

const DiffQuery = z.strictObject({
  step: z.coerce.number().int().min(1).optional(),
  stat: z.enum(['0', '1']).default('0'),
})

const UndoRequest = z.strictObject({
  toStep: z.int().min(0).default(0).describe('the step whose state is wanted; 0 = before the job'),
  force: z.boolean().default(false).describe('also files that were changed after the job'),
})

export const keptRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/jobs/:id/diff', scope: 'jobs:read',
    about: '`?step=N` -> the work of the job, or of one step, as a patch that `git apply` takes, binary files included; with `stat=1` DiffStat: lines by file',
    async handle(c, api) {
      const query = parse(DiffQuery, c.req.query(), 'the query')
      const job = jobOf(c, api)
      const events = api.store.read.journal(job.id)
      if (query.stat === '1') return c.json(await api.workspaces.after.stat(job, events, query.step ?? null))
      return new Response(await api.workspaces.after.patch(job, events, query.step ?? null), { headers: { 'content-type': 'application/octet-stream', 'cache-control': 'no-store' } })
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/undo', scope: 'jobs:write',
    about: '`{toStep, force}` -> UndoReply; the folder is as it was after that step (0 = before the job); refused while the job runs (a chat may wait), and when files were changed since',
    async handle(c, api) {
      const { toStep, force } = parse(UndoRequest, await bodyOf(c), 'the undo')
      const job = jobOf(c, api)
      if (job.endedAt === null && job.state !== 'paused') throw new FaultError(fault('job_not_over', { id: job.id }))
      const other = api.runner.runningIn(job.request.cwd)
      if (other !== null) throw new FaultError(fault('conflict', { problem: `Job ${other} works in this folder now.` }))
      const by = c.get('principal').id
      const options = { toStep, force, by }
      // A chat that waits has a journal of its own, and its model has to know that the files are others now.
      if (job.endedAt === null) {
        return c.json(await api.runner.aside(job.id, (emit) => api.workspaces.after.undo(job, api.store.read.journal(job.id), options, async (event) => {
          await Promise.all([emit(event), emit({ type: 'nudge', step: event.step, text: `The person put the folder back to its state ${toStep === 0 ? 'before the first step' : `after step ${toStep}`}. Read files again before you change them.` })])
        })))
      }
      const reply = await api.workspaces.after.undo(job, api.store.read.journal(job.id), options, async (event) => {
        await api.store.append([{ ...event, seq: api.store.read.lastSeq(job.id) + 1, jobId: job.id, at: Date.now() }])
        api.feed.announce(job.id)
      })
      return c.json(reply)
    },
  },
]
