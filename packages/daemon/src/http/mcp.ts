// Owns the routes over a folder's own MCP servers: look, approve, revoke.
import { realpath } from 'node:fs/promises'
import { fault, FaultError } from '@hearth/protocol'
import { z } from 'zod'
import type { Route } from './api.ts'
import { bodyOf, parse } from './parse.ts'

const Folder = z.strictObject({ path: z.string().startsWith('/').describe('absolute path of the folder') })
const Approve = Folder.extend({ sha256: z.string().regex(/^[0-9a-f]{64}$/).describe('of the file as it was shown') })

export const mcpRoutes: readonly Route[] = [
  {
    method: 'GET', path: '/api/mcp', scope: 'jobs:read', about: '`?path=FOLDER` -> FolderServers: what the `.mcp.json` of the folder names, and whether those very bytes are approved; 404 when it has none',
    async handle(c, api) {
      const found = await api.folderServers.look(await real(parse(Folder, c.req.query(), 'the query').path))
      if (found === null) throw new FaultError(fault('not_found', { what: 'an .mcp.json in this folder' }))
      return c.json(found)
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
