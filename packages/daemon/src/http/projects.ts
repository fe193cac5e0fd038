// Owns the routes of projects: list, add, change, remove.
import { ProjectChange, ProjectRequest } from '@hearth/protocol'
import type { Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'

export const projectRoutes: readonly Route[] = [
  { method: 'GET', path: '/api/projects', scope: 'jobs:read', about: 'ProjectList: folders with rules of their own, and what holds for each with the rules of the box', handle: (c, api) => c.json(api.projects.list()) },
  {
    method: 'POST', path: '/api/projects', scope: 'admin', about: 'ProjectRequest -> 201 ProjectView',
    handle: async (c, api) => c.json(await api.projects.add(parse(ProjectRequest, await bodyOf(c), 'the project'), c.get('principal')), 201),
  },
  {
    method: 'POST', path: '/api/projects/:id', scope: 'admin', about: 'ProjectChange -> ProjectView; fields that are absent stay as they are',
    handle: async (c, api) => c.json(await api.projects.change(c.req.param('id') ?? '', parse(ProjectChange, await bodyOf(c), 'the change'), c.get('principal'))),
  },
  {
    method: 'DELETE', path: '/api/projects/:id', scope: 'admin', about: '`{}`; the folder and its jobs stay, only its rules are gone',
    async handle(c, api) {
      await api.projects.remove(c.req.param('id') ?? '', c.get('principal'))
      return c.json({})
    },
  },
]
