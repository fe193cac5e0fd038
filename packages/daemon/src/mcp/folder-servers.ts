// Owns which MCP servers a folder's own .mcp.json may start: those of the very bytes that its owner approved, and no other. Starts none itself.
import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, FaultError, McpServer, type FolderServers, type McpServerRow } from '@hearth/protocol'
import { z } from 'zod'
import { PrivateFile } from './private-file.ts'

const fileName = '.mcp.json'
const fileBytes = 64 * 1024

const Approval = z.strictObject({ folder: z.string(), sha256: z.string(), by: z.string(), at: z.int() })
const Approvals = z.strictObject({ version: z.literal(1), approvals: z.array(Approval) })

// The ecosystem's shape: a program, or an address.
const Program = z.object({ command: z.string().min(1), args: z.array(z.string()).default([]), env: z.record(z.string(), z.string()).default({}) })
const Address = z.object({ url: z.string(), type: z.string().default('http'), headers: z.record(z.string(), z.unknown()).default({}) })
const Listed = z.object({ mcpServers: z.record(z.string(), z.unknown()) })

export type FromFolder = { servers: Record<string, McpServer>; problems: { name: string; problem: string }[] }

export class FolderServerStore {
  readonly #file: PrivateFile<z.infer<typeof Approvals>>

  constructor(stateDir: string) {
    this.#file = new PrivateFile(join(stateDir, 'mcp-approvals.json'), Approvals, { version: 1, approvals: [] })
  }

  /** What the folder's file says and whether that is approved; null = it has none. Throws FaultError for a file that cannot be one. */
  async look(folder: string): Promise<FolderServers | null> {
    const bytes = await contentOf(folder)
    if (bytes === null) return null
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const { servers, problems } = parsed(bytes)
    const approval = (await this.#file.read()).approvals.find((one) => one.folder === folder && one.sha256 === sha256)
    return {
      path: join(folder, fileName), sha256, approvedBy: approval?.by ?? null,
      servers: Object.entries(servers).map(([name, server]) => rowOf(name, server)), problems,
    }
  }

  /** Approves these very bytes for this folder. Throws `conflict` when the file is another one by now. */
  async approve(folder: string, sha256: string, by: string, at: number): Promise<FolderServers> {
    const seen = await this.look(folder)
    if (seen === null || seen.sha256 !== sha256) throw new FaultError(fault('conflict', { problem: `${join(folder, fileName)} is not the file that was shown.` }))
    await this.#file.change(({ approvals }) => ({ version: 1, approvals: [...approvals.filter((one) => one.folder !== folder), { folder, sha256, by, at }] }))
    return { ...seen, approvedBy: by }
  }

  /** Nothing of this folder is approved any more; jobs that run keep what they have. */
  revoke(folder: string): Promise<void> {
    return this.#file.change(({ approvals }) => ({ version: 1, approvals: approvals.filter((one) => one.folder !== folder) }))
  }

  /** What a job in this folder gets. The bytes that are hashed are the bytes that are used. */
  async of(folder: string): Promise<FromFolder> {
    let bytes: Buffer | null
    try {
      bytes = await contentOf(folder)
    } catch (error) {
      return { servers: {}, problems: [{ name: fileName, problem: error instanceof Error ? error.message : String(error) }] }
    }
    if (bytes === null) return { servers: {}, problems: [] }
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const approved = (await this.#file.read()).approvals.some((one) => one.folder === folder && one.sha256 === sha256)
    if (!approved) return { servers: {}, problems: [{ name: fileName, problem: "not approved; look at it with 'hearth mcp show'" }] }
    return parsed(bytes)
  }
}

/** What people see of a server; a query may hold what is not theirs to see. */
export function rowOf(name: string, server: McpServer): McpServerRow {
  if ('command' in server) return { name, command: server.command, env: Object.keys(server.env) }
  const { origin, pathname } = new URL(server.url)
  return { name, command: [], env: [], url: `${origin}${pathname}` }
}

/** Null = there is no such file. A link, a pipe or a large file is refused: a tool of an earlier job may have made it. */
async function contentOf(folder: string): Promise<Buffer | null> {
  const refuse = (problem: string): never => {
    throw new FaultError(fault('bad_request', { where: fileName, problem }))
  }
  try {
    await using file = await open(join(folder, fileName), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const { size } = await file.stat().then((stat) => (stat.isFile() ? stat : refuse('it is not a regular file')))
    if (size > fileBytes) return refuse(`it is larger than ${fileBytes / 1024} KiB`)
    return await file.readFile()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    if (code === 'ELOOP' || code === 'EMLINK') return refuse('it is a link')
    throw error
  }
}

function parsed(bytes: Buffer): FromFolder {
  let value: unknown
  try {
    value = JSON.parse(bytes.toString('utf8'))
  } catch {
    return { servers: {}, problems: [{ name: fileName, problem: 'it is not JSON' }] }
  }
  const listed = Listed.safeParse(value)
  if (!listed.success) return { servers: {}, problems: [{ name: fileName, problem: 'it has no mcpServers' }] }
  const found: FromFolder = { servers: {}, problems: [] }
  for (const [key, raw] of Object.entries(listed.data.mcpServers)) {
    const name = key.toLowerCase().replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '').slice(0, 31)
    const server = name === '' ? 'it has no usable name' : serverOf(raw)
    if (typeof server === 'string') found.problems.push({ name: key.slice(0, 80), problem: server })
    else found.servers[name] = server
  }
  return found
}

/** The server that an entry names, or why it is not used. */
function serverOf(raw: unknown): McpServer | string {
  const program = Program.safeParse(raw)
  if (program.success) return McpServer.safeParse({ command: [program.data.command, ...program.data.args], env: program.data.env }).data ?? 'its program or its environment is not usable'
  const address = Address.safeParse(raw)
  if (!address.success) return 'it names no program'
  const { url, type, headers } = address.data
  if (type === 'sse') return 'it speaks the old dialect of two connections (sse)'
  // What stands in a folder is no secret, and a variable of the daemon is not the folder's to send.
  if (Object.keys(headers).length > 0) return 'headers of a folder are not sent; put the server into agent.mcpServers with headerFiles'
  return McpServer.safeParse({ url }).data ?? 'its url is not usable'
}
