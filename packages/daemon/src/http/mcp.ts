// Owns the routes over MCP servers: those of the configuration, a folder's own (look, approve, revoke), logging in and out.
import { realpath } from 'node:fs/promises'
import { fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import type { Route } from './api.ts'
import { bodyOf } from './body.ts'
import { parse } from '../parse.ts'
import { ndjson } from './stream.ts'

const Folder = z.strictObject({ path: z.string().startsWith('/').describe('absolute path of the folder') })
const Approve = Folder.extend({ sha256: z.string().regex(/^[0-9a-f]{64}$/).describe('of the file as it was shown') })
const Server = z.strictObject({ name: z.string().min(1).max(80), path: Folder.shape.path.nullable().default(null).describe('folder whose own server it is; null = of the configuration') })
const Brought = z.strictObject({ address: z.string().max(16_384).describe('to which the browser was sent back') })

export const mcpRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/mcp/servers', scope: 'jobs:read', about: 'McpServerList: the servers of the configuration, and how their logins stand',
    handle: async (c, api) => c.json({ servers: await api.logins.list() }),
  },
  {
    method: 'POST', path: '/api/mcp/login', scope: 'admin', about: '`{name, path?}` -> lines of McpLoginEvent: the page to agree on, then how it ended. Who leaves gives it up',
    async handle(c, api) {
      const { name, path } = parse(Server, await bodyOf(c), 'the login')
      return ndjson(await api.logins.login(name, path === null ? null : await real(path)))
    },
  },
  {
    method: 'POST', path: '/api/mcp/login/:id', scope: 'admin', about: '`{address}` -> `{}`: hands in by hand where the browser was sent back to; the stream of that login says how it ended',
    async handle(c, api) {
      await api.logins.bring(c.req.param('id') ?? '', parse(Brought, await bodyOf(c), 'the login').address)
      return c.json({})
    },
  },
  {
    method: 'POST', path: '/api/mcp/logout', scope: 'admin', about: '`{name, path?}` -> `{"known"}`: forgets a login; false when there was none',
    async handle(c, api) {
      const { name, path } = parse(Server, await bodyOf(c), 'the login')
      return c.json({ known: await api.logins.logout(name, path === null ? null : await real(path)) })
    },
  },
  {
    method: 'GET', path: '/api/mcp', scope: 'jobs:read', about: '`?path=FOLDER` -> FolderServers: what the `.mcp.json` of the folder names, and whether those very bytes are approved; 404 when it has none',
    async handle(c, api) {
      const folder = await real(parse(Folder, c.req.query(), 'the query').path)
      const found = await api.folderServers.look(folder)
      if (found === null) throw new FaultError(fault('not_found', { what: '.mcp.json in this folder' }))
      return c.json(await api.logins.withLogins(found, folder))
    },
  },
  {
    method: 'POST', path: '/api/mcp/approve', scope: 'admin', about: '`{path, sha256}` -> FolderServers; from now on jobs in this folder start the servers of these very bytes, in the sandbox',
    async handle(c, api) {
      const { path, sha256 } = parse(Approve, await bodyOf(c), 'the approval')
      return c.json(await api.folderServers.approve(await real(path), sha256, c.get('principal').id, Date.now()))
    },
  },
  {
    method: 'POST', path: '/api/mcp/revoke', scope: 'admin', about: '`{path}` -> `{}`; jobs that begin after it start none of the folder\'s servers',
    async handle(c, api) {
      await api.folderServers.revoke(await real(parse(Folder, await bodyOf(c), 'the folder').path))
      return c.json({})
    },
  },
]

/** Approvals are kept by real path, as jobs are. */
async function real(path: string): Promise<string> {
  return realpath(path).catch(() => {
    throw new FaultError(fault('bad_cwd', { path, problem: 'it does not exist' }))
  })
}
