// Owns `hearth mcp show|approve|revoke`: the MCP servers that a folder's own .mcp.json names. Approves only bytes that were shown.
import { resolve } from 'node:path'
import type { FolderServers } from '@hearth/protocol'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { Args } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const operands = '[FOLDER]'

export const show: Command = {
  spec: {
    name: 'mcp show', operands, arity: [0, 1],
    about: "Shows which MCP servers the .mcp.json of a folder names, the programs they start, and whether these very bytes are approved. Servers of the configuration (agent.mcpServers) need no approval.",
    flags: {}, examples: [['hearth mcp show', 'of the current folder']],
  },
  async run(ctx, args) {
    const found = await look(ctx, args)
    if (args.flag('json')) ctx.out.line(jsonLine(found))
    else print(ctx, found)
    return 0
  },
}

export const approve: Command = {
  spec: {
    name: 'mcp approve', operands, arity: [0, 1],
    about: 'Lets jobs in this folder start the MCP servers that its .mcp.json names, in the sandbox and without a network. Holds for these very bytes: a changed file has to be approved again. Shows them first; give the sha256 that it showed.',
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

function folderOf(args: Args): string {
  return resolve(args.operands[0] ?? '.')
}

function look(ctx: Context, args: Args): Promise<FolderServers> {
  return ask<FolderServers>(new Client(ctx.paths.socket), `/api/mcp?${new URLSearchParams({ path: folderOf(args) }).toString()}`)
}

function print(ctx: Context, { path, sha256, approvedBy, servers, problems }: FolderServers): void {
  const { ink } = ctx.out
  ctx.out.line(`${oneLine(path)}  ${ink.dim(`sha256 ${sha256.slice(0, 12)}`)}  ${approvedBy === null ? ink.yellow('not approved') : ink.green(`approved by ${oneLine(approvedBy)}`)}`)
  for (const { name, command, env } of servers) ctx.out.line(`  ${ink.bold(oneLine(name))}  ${oneLine(command.join(' '))}${env.length === 0 ? '' : ink.dim(`  sets ${oneLine(env.join(', '))}`)}`)
  for (const { name, problem } of problems) ctx.out.line(`  ${oneLine(name)}  ${ink.dim(`not used: ${oneLine(problem)}`)}`)
}
