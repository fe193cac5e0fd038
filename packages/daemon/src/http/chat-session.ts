// Owns the routes by which a person takes part in a job: words, a yes or no to a call, an interruption, a fork. The runner does all of it.
import { fault, FaultError, type Job, type SubmitReply } from '@hearth/protocol'
import type { Context } from 'hono'
import { z } from 'zod'
import type { Api, Env, Route } from './api.ts'
import { jobOf } from './jobs.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

const SayRequest = z.strictObject({
  text: z.string().min(1).max(2_000_000).describe('what the model is told'),
})

const ApproveRequest = z.strictObject({
  callId: z.string().min(1).describe('of the event approval_asked'),
  approved: z.boolean(),
  note: z.string().max(10_000).default('').describe('told the model with a refusal'),
  sha256: z.string().regex(/^[0-9a-f]{64}$/).optional().describe('of the text that was shown, where one would leave the box; an approval without it, or of another text, is refused'),
  text: z.string().max(2_000_000).optional().describe('what shall be sent instead; it is offered again'),
})

const ForkRequest = z.strictObject({
  step: z.int().min(0).nullable().default(null).describe('the last step that is taken over; null = all'),
  model: z.string().min(1).nullable().default(null).describe('null = the same'),
  approve: z.enum(['none', 'writes']).nullable().default(null).describe('null = as before'),
})

export const chatSessionRoutes: readonly Route[] = [
  {
    method: 'POST', path: '/api/jobs/:id/say', scope: 'jobs:write',
    about: '`{text}` -> Job, when the words are on disk; a chat that waits goes on with them, one that works hears them at its next step',
    async handle(c, api) {
      const { text } = parse(SayRequest, await bodyOf(c), 'what is said')
      const { id } = chatOf(c, api)
      await api.runner.say(id, text, c.get('principal').id)
      return c.json(api.store.read.job(id))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/approve', scope: 'approve',
    about: '`{callId, approved, note, sha256, text}` -> Job, when the answer is on disk; the job goes on with the call, or with its refusal and the note. For what would leave the box the sha256 of the shown text belongs to a yes; `text` is sent in its place, after it was offered again',
    async handle(c, api) {
      const answer = parse(ApproveRequest, await bodyOf(c), 'the answer')
      const { id } = jobOf(c, api)
      const { sha256, text, ...said } = answer
      await api.runner.approve(id, { ...said, by: c.get('principal').id, ...(sha256 === undefined ? {} : { sha256 }), ...(text === undefined ? {} : { text }) })
      return c.json(api.store.read.job(id))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/interrupt', scope: 'jobs:write', about: 'Job; stops the turn of a chat, which then waits for the next words. What was said so far is kept',
    async handle(c, api) {
      const { id } = chatOf(c, api)
      await api.runner.interrupt(id, c.get('principal').id)
      return c.json(api.store.read.job(id))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/compact', scope: 'jobs:write', about: 'Job; the history of a chat that waits is shortened, when that saves a third of it; the event `rewritten` has the price',
    async handle(c, api) {
      const { id } = chatOf(c, api)
      await api.runner.compact(id)
      return c.json(api.store.read.job(id))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/fork', scope: 'jobs:write',
    about: '`{step, model, approve}` -> 201 SubmitReply: a chat whose past is that of this job up to a step; the job itself stays as it is, and so does the folder',
    async handle(c, api) {
      const options = parse(ForkRequest, await bodyOf(c), 'the fork')
      const job = await api.intake.fork(jobOf(c, api), options, c.get('principal'))
      return c.json({ job, duplicate: false } satisfies SubmitReply, 201)
    },
  },
]

function chatOf(c: Context<Env>, api: Api): Job {
  const job = jobOf(c, api)
  if (job.request.kind !== 'chat') throw new FaultError(fault('conflict', { problem: `Job ${job.id} is no chat; 'hearth chat --fork ${job.id}' makes one of it.` }))
  if (job.endedAt !== null) throw new FaultError(fault('conflict', { problem: `Chat ${job.id} is over; 'hearth chat --fork ${job.id}' goes on from it.` }))
  return job
}
