// Owns `hearth mcp show|approve|revoke|login|logout`: MCP servers of the configuration and of a folder's own .mcp.json. Approves only bytes that were shown.
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { FolderServers, McpLoginEvent, McpServerList, McpServerRow } from '@hearth/protocol'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Args } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { jsonLine, nothingDropped, oneLine, visible } from '../text.ts'

const operands = '[FOLDER]'

export const show: Command = {
  spec: {
    name: 'mcp show', operands, arity: [0, 1],
    about: "Shows the MCP servers of the configuration (agent.mcpServers) and those that the .mcp.json of a folder names: the programs they start or the address they are at, whether somebody is logged in there, and whether these very bytes are approved. Servers of the configuration need no approval.",
    flags: {}, examples: [['hearth mcp show', 'of the current folder']],
  },
  async run(ctx, args) {
    const { servers } = await ask<McpServerList>(new Client(ctx.paths.socket), '/api/mcp/servers')
    const found = await look(ctx, args).catch((error: unknown) => {
      if (error instanceof FaultError && error.fault.code === 'not_found' && servers.length > 0) return null
      throw error
    })
    if (args.flag('json')) ctx.out.line(jsonLine({ ...found, configured: servers }))
    else {
      if (servers.length > 0) ctx.out.line('of the configuration')
      for (const server of servers) printServer(ctx, server)
      if (found !== null) print(ctx, found)
    }
    return 0
  },
}

export const approve: Command = {
  spec: {
    name: 'mcp approve', operands, arity: [0, 1],
    about: 'Lets jobs in this folder use the MCP servers that its .mcp.json names: programs start in the sandbox and without a network, servers at an address are told whatever a job asks them, and that leaves this box. Holds for these very bytes: a changed file has to be approved again. Shows them first; give the sha256 that it showed.',
    flags: { sha256: { type: 'string', value: 'HEX', help: 'of the file that is approved; at least its first 12 digits' } },
    examples: [['hearth mcp approve', 'shows what would be approved, and with which sha256'], ['hearth mcp approve --sha256 3f2a91c07b44', 'approves it']],
  },
  async run(ctx, args) {
    const found = await look(ctx, args)
    const given = args.text('sha256')
    if (given === null) {
      print(ctx, found)
      ctx.out.line(`Nothing was approved. If this is what you want: hearth mcp approve --sha256 ${found.sha256.slice(0, 12)}`)
      return 0
    }
    if (given.length < 12 || !found.sha256.startsWith(given.toLowerCase())) throw new FaultError(fault('conflict', { problem: `The file has sha256 ${found.sha256.slice(0, 12)}, not ${visible(given)}.` }))
    const reply = await new Client(ctx.paths.socket).call<FolderServers>('POST', '/api/mcp/approve', { path: folderOf(args), sha256: found.sha256 })
    if (args.flag('json')) ctx.out.line(jsonLine(reply))
    else print(ctx, reply)
    return 0
  },
}

export const revoke: Command = {
  spec: {
    name: 'mcp revoke', operands, arity: [0, 1],
    about: "Approves nothing of this folder any more. Jobs that run keep what they have; those that begin later start none of the folder's servers.",
    flags: {}, examples: [['hearth mcp revoke', 'the current folder']],
  },
  async run(ctx, args) {
    await new Client(ctx.paths.socket).call('POST', '/api/mcp/revoke', { path: folderOf(args) })
    if (args.flag('json')) ctx.out.line(jsonLine({}))
    else ctx.out.line(`nothing of ${oneLine(folderOf(args))} is approved`)
    return 0
  },
}

export const login: Command = {
  spec: {
    name: 'mcp login', operands: 'NAME [FOLDER]', arity: [1, 2],
    about: "Logs in at an MCP server that asks for it (OAuth). Prints a page to open in any browser. When that browser runs on another machine, it ends at an address that it cannot reach: paste that address here. The login is kept by the daemon, for this one address, and renewed by it.",
    flags: {}, examples: [['hearth mcp login tracker', 'a server of the configuration'], ['hearth mcp login tracker .', "one of this folder's own .mcp.json, once that is approved"]],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const left = new AbortController()
    const release = ctx.onInterrupt(() => left.abort())
    const pasted = createInterface({ input: ctx.stdin })
    try {
      for await (const event of client.stream<McpLoginEvent>('POST', '/api/mcp/login', serverOf(args), left.signal)) {
        if (args.flag('json')) ctx.out.line(jsonLine(event))
        if (event.type === 'failed') throw new FaultError(event.fault)
        if (event.type === 'done') {
          if (!args.flag('json')) ctx.out.line(`logged in at ${oneLine(event.server.name)} (${oneLine(event.server.url ?? '')})`)
          return 0
        }
        if (!args.flag('json')) ctx.out.line(`Open this page in a browser and agree there:\n\n  ${oneLine(event.page)}\n\nThe browser then goes to port ${event.port} of this box. If it runs on another machine it cannot: copy the address\nthat it shows then, and paste it here. (With ssh -L ${event.port}:127.0.0.1:${event.port} it can.)`)
        pasted.on('line', (line) => {
          if (line.trim() === '') return
          void client.call('POST', `/api/mcp/login/${event.id}`, { address: line.trim() })
            .catch((error: unknown) => ctx.err.line(error instanceof FaultError ? visible(`${error.fault.message} ${error.fault.remedy}`) : String(error)))
        })
      }
      throw new FaultError(fault('cancelled', { by: 'you' }))
    } finally {
      pasted.close()
      ctx.stdin.destroy()
      release()
    }
  },
}

export const logout: Command = {
  spec: {
    name: 'mcp logout', operands: 'NAME [FOLDER]', arity: [1, 2],
    about: 'Forgets the login at an MCP server. What the server itself keeps of it is ended there.',
    flags: {}, examples: [['hearth mcp logout tracker', 'a server of the configuration']],
  },
  async run(ctx, args) {
    const { known } = await new Client(ctx.paths.socket).call<{ known: boolean }>('POST', '/api/mcp/logout', serverOf(args))
    if (args.flag('json')) ctx.out.line(jsonLine({ known }))
    else ctx.out.line(known ? `logged out of ${oneLine(args.operands[0] ?? '')}` : `nobody was logged in at ${oneLine(args.operands[0] ?? '')}`)
    return 0
  },
}

function serverOf(args: Args): { name: string; path: string | null } {
  const [name = '', folder] = args.operands
  return { name, path: folder === undefined ? null : resolve(folder) }
}

function folderOf(args: Args): string {
  return resolve(args.operands[0] ?? '.')
}

function look(ctx: Context, args: Args): Promise<FolderServers> {
  return ask<FolderServers>(new Client(ctx.paths.socket), `/api/mcp?${new URLSearchParams({ path: folderOf(args) }).toString()}`)
}

function print(ctx: Context, { path, sha256, approvedBy, servers, problems }: FolderServers): void {
  const { ink } = ctx.out
  ctx.out.line(`${oneLine(path)}  ${ink.dim(`sha256 ${sha256.slice(0, 12)}`)}  ${approvedBy === null ? ink.yellow('not approved') : ink.green(`approved by ${oneLine(approvedBy)}`)}`)
  for (const server of servers) printServer(ctx, server)
  for (const { name, problem } of problems) ctx.out.line(`  ${oneLine(name)}  ${ink.dim(`not used: ${oneLine(problem)}`)}`)
}

const loginWords: Readonly<Record<NonNullable<McpServerRow['login']>, string>> = { none: 'not logged in', logged_in: 'logged in', expired: 'the login is over' }

function printServer(ctx: Context, { name, command, env, url, login }: McpServerRow): void {
  const { ink } = ctx.out
  const where = url === undefined ? oneLine(nothingDropped(command.join(' '))) : `at ${ink.bold(oneLine(new URL(url).host))} (${oneLine(url)})${login === undefined ? '' : ink.dim(`  ${loginWords[login]}`)}`
  ctx.out.line(`  ${ink.bold(oneLine(name))}  ${where}${env.length === 0 ? '' : ink.dim(`  sets ${oneLine(env.join(', '))}`)}`)
}
