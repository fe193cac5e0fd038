// Owns the routes of money: what is left of it, and letting a job go on that waits for it.
import { ResumeRequest } from '@hearth/protocol'
import { z } from 'zod'
import { whatIsLeft } from '../meter/left.ts'
import type { Route } from './api.ts'
import { jobOf } from './jobs.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

const LeftQuery = z.strictObject({ job: z.string().min(1).optional() })

export const moneyRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/budget', scope: 'jobs:read', about: '`?job=ID` -> BudgetReply: limits and what is left of them, of this box or as they hold for one job; packages; what is reserved',
    handle(c, api) {
      const { job } = parse(LeftQuery, c.req.query(), 'the query')
      return c.json(whatIsLeft(api.store, api.config.escalation, job === undefined ? null : jobOf(c, api, job), (path) => api.projects.of(path), Date.now()))
    },
  },
  {
    method: 'POST', path: '/api/jobs/:id/resume', scope: 'approve', about: 'ResumeRequest -> Job; a job that waits for money goes on, with a new limit for the whole job or the old one, and a new worth',
    async handle(c, api) {
      const request = parse(ResumeRequest, await bodyOf(c), 'the budget')
      const { id } = jobOf(c, api)
      await api.runner.resume(id, { ...request, by: c.get('principal').id })
      return c.json(api.store.read.job(id))
    },
  },
]
