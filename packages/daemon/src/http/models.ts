// Owns the routes of models: list, pull, verify, import, remove, reset.
import { fault, FaultError, ImportRequest, type ModelList, type ModelRow } from '@hearth/protocol'
import type { Context } from 'hono'
import type { Api, Env, Route } from './api.ts'
import { bodyOf, parse } from './parse.ts'
import { ndjson } from './stream.ts'

export const modelRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/models', scope: 'infer', about: 'ModelList: the catalogue and what was imported',
    async handle(c, api) {
      const shelf = await api.parts.shelf()
      const reply: ModelList = { models: await shelf.list(), default: await api.parts.defaultModel() }
      return c.json(reply)
    },
  },
  {
    method: 'POST', path: '/api/models/:id/pull', scope: 'admin', about: 'lines of TransferEvent; a second pull of the same model joins the first',
    handle: (c, api) => transfer(c, api, 'pull'),
  },
  {
    method: 'POST', path: '/api/models/:id/verify', scope: 'admin', about: 'lines of TransferEvent; reads the whole file and compares its sha256',
    handle: (c, api) => transfer(c, api, 'verify'),
  },
  {
    method: 'POST', path: '/api/models/import', scope: 'admin', about: 'ImportRequest -> 201 ModelRow',
    async handle(c, api) {
      const request = parse(ImportRequest, await bodyOf(c), 'the import')
      const result = await (await api.parts.shelf()).importFile(request)
      if (!result.ok) throw new FaultError(result.fault)
      return c.json(result.model, 201)
    },
  },
  {
    method: 'DELETE', path: '/api/models/:id', scope: 'admin', about: 'removes the file of a model; refused while a job or a pull uses it',
    async handle(c, api) {
      const row = await modelOf(c, api)
      const worker = api.parts.workers().find((status) => status.model === row.id)
      const user = api.store.read.modelsInUse().has(row.id) ? 'a job that is not over' : api.transfers.has(row.id) ? 'a transfer'
        : worker !== undefined && worker.busy + worker.waiting > 0 ? 'a request that is being answered' : null
      if (user !== null) throw new FaultError(fault('conflict', { problem: `The model '${row.id}' is in use by ${user}.` }))
      const result = await (await api.parts.shelf()).remove(row.id)
      if (!result.ok) throw new FaultError(result.fault)
      return c.json({ removed: row.id })
    },
  },
  {
    method: 'POST', path: '/api/models/:id/reset', scope: 'admin', about: 'lets the worker of a model start again after its circuit opened',
    async handle(c, api) {
      const row = await modelOf(c, api)
      return c.json({ reset: await api.parts.reset(row.id) })
    },
  },
]

async function transfer(c: Context<Env>, api: Api, kind: 'pull' | 'verify'): Promise<Response> {
  const row = await modelOf(c, api)
  const shelf = await api.parts.shelf()
  return ndjson((left) => api.transfers.join(kind, row.id, (signal) => shelf[kind](row.id, signal), left))
}

async function modelOf(c: Context<Env>, api: Api): Promise<ModelRow> {
  const id = c.req.param('id') ?? ''
  const rows = await (await api.parts.shelf()).list()
  const row = rows.find((candidate) => candidate.id === id)
  if (row === undefined) throw new FaultError(fault('unknown_model', { id, known: rows.map((known) => known.id) }))
  return row
}
