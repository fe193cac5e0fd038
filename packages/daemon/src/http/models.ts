// Owns the routes of models: list, show, pull, verify, import, prune, remove, reset.
import { fault, FaultError, FolderImportRequest, ImportRequest, type ModelDetail, type ModelList, type ModelRow } from '@hearth/protocol'
import type { Context } from 'hono'
import type { Api, Env, Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { remoteRows } from './remotes.ts'
import { ndjson } from './stream.ts'

export const modelRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/models', scope: 'infer', about: 'ModelList: the catalogue, what was imported, endpoints, and what providers sell; ?check=1 asks each endpoint whether it answers',
    async handle(c, api) {
      const shelf = await api.parts.shelf()
      const { models, recommended } = await shelf.overview(api.config.models.default)
      const reply: ModelList = { models: await api.parts.tuning.withSpeeds(models), recommended, default: await api.parts.defaultModel() }
      const endpoints = await api.parts.endpoints(c.req.query('check') === '1')
      const remotes = await remoteRows(api)
      return c.json({ ...reply, ...(endpoints.length === 0 ? {} : { endpoints }), ...(remotes.length === 0 ? {} : { remotes }) })
    },
  },
  {
    method: 'GET', path: '/api/models/:id', scope: 'infer', about: 'ModelDetail: all that is known of one model, by id, alias, the id of an endpoint or of what a provider sells',
    async handle(c, api) {
      const id = c.req.param('id') ?? ''
      const elsewhere = [...await api.parts.endpoints(false), ...await remoteRows(api)]
      const found = elsewhere.find((one) => one.id === id)
      const none = { row: null, entry: null, record: null, endpoint: null }
      const detail: ModelDetail = found === undefined ? await (await api.parts.shelf()).detail(id, elsewhere.map((one) => one.id)) : 'provider' in found ? { ...none, remote: found } : { ...none, endpoint: found }
      return c.json(detail)
    },
  },
  {
    method: 'GET', path: '/api/models/:id/plan', scope: 'infer', about: 'MemoryPlan: what loading it now would take, and whether it fits',
    async handle(c, api) {
      const found = await api.parts.plan(c.req.param('id') ?? '')
      if (!found.ok) throw new FaultError(found.fault)
      return c.json(found.plan)
    },
  },
  {
    method: 'POST', path: '/api/models/:id/pull', scope: 'admin', about: 'lines of TransferEvent; `:id` may be hf:ORG/REPO:QUANT (escaped); ?trust=1 believes a file without a sha256; a second pull of the same model joins the first',
    async handle(c, api) {
      const name = c.req.param('id') ?? ''
      const id = name.startsWith('hf:') ? name : (await modelOf(c, api)).id
      const shelf = await api.parts.shelf()
      const options = { trustFirstUse: c.req.query('trust') === '1' }
      return ndjson((left) => api.transfers.join('pull', id, (signal) => shelf.pull(id, signal, options), left))
    },
  },
  {
    method: 'POST', path: '/api/models/:id/verify', scope: 'admin', about: 'lines of TransferEvent; reads the whole file and compares its sha256',
    async handle(c, api) {
      const row = await modelOf(c, api)
      const shelf = await api.parts.shelf()
      return ndjson((left) => api.transfers.join('verify', row.id, (signal) => shelf.verify(row.id, signal), left))
    },
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
    method: 'POST', path: '/api/models/import-folder', scope: 'admin', about: 'FolderImportRequest -> FolderImportReply: the models of another program, each linked',
    async handle(c, api) {
      const request = parse(FolderImportRequest, await bodyOf(c), 'the import')
      const result = await (await api.parts.shelf()).importFolder(request)
      if (!result.ok) throw new FaultError(result.fault)
      return c.json(result.reply)
    },
  },
  {
    method: 'POST', path: '/api/models/prune', scope: 'admin', about: 'PruneReply: what lies in the models folder for nothing; ?apply=1 removes it',
    async handle(c, api) {
      return c.json(await (await api.parts.shelf()).prune({ apply: c.req.query('apply') === '1' }))
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

async function modelOf(c: Context<Env>, api: Api): Promise<ModelRow> {
  const id = c.req.param('id') ?? ''
  const rows = await (await api.parts.shelf()).list()
  const row = rows.find((candidate) => candidate.id === id) ?? rows.find((candidate) => candidate.aliases?.includes(id))
  if (row === undefined) throw new FaultError(fault('unknown_model', { id, known: rows.map((known) => known.id) }))
  return row
}
