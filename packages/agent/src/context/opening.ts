// Owns the first event of a job's history: what the folder and the owner bring, read once. A resumed job takes it from its events and reads nothing again.
import type { AgentInput, AgentPorts, EventOf, Fault } from '@hearth/protocol'
import type { McpServers } from '../mcp/servers.ts'
import { ownerSkills } from '../skills/owner.ts'
import { builtIn, offeredNames } from '../tools/registry.ts'
import { instructionBytes, readFolder } from './folder.ts'

/** The `opened` event of this job: the stored one, a new one (`fresh`), or null for a job that began before there was such an event. */
export async function openingOf(input: AgentInput, ports: AgentPorts, servers: McpServers, signal: AbortSignal): Promise<{ opened: EventOf<'opened'> | null; fresh: boolean } | { fault: Fault }> {
  const stored = input.past.find((event) => event.type === 'opened')
  if (stored !== undefined) return { opened: stored, fresh: false }
  if (input.past.some((event) => event.type === 'step')) return { opened: null, fresh: false }
  const { contextTokens, profile } = ports.model.info
  const found = await readFolder({ sandbox: ports.sandbox, workspace: input.request.cwd, limits: input.limits, signal }, contextTokens)
  if ('fault' in found) return found
  // The owner's come first: a folder cannot put another skill under a name of theirs.
  const skills = offeredNames(profile, [...builtIn, 'skill']).includes('skill') ? [...await ownerSkills(input.skillFolders ?? []), ...found.skills] : []
  const named = skills.filter((skill, index) => skills.findIndex(({ name }) => name === skill.name) === index)
  const room = instructionBytes(contextTokens) / 2
  const fitting = within(named, room, ({ name, description }) => name + description)
  const told = servers.size > 0 && offeredNames(profile, [...builtIn, ...(fitting.length === 0 ? [] : ['skill']), 'mcp']).includes('mcp') ? await servers.list(signal) : []
  const tools = new Set(within(told.flatMap((server) => server.tools), room, ({ name, line }) => name + line).map(({ name }) => name))
  const listed = told.map((server) => ({ ...server, tools: server.tools.filter(({ name }) => tools.has(name)) }))
  const untold = (input.mcpProblems ?? []).map((one) => ({ ...one, tools: [] }))
  return { opened: { type: 'opened', ...found, skills: fitting, servers: [...listed, ...untold] }, fresh: true }
}

/** The first ones whose lines stay within so many bytes: a list that fills the window leaves no room for the work. */
function within<T>(all: readonly T[], room: number, text: (one: T) => string): T[] {
  let left = room
  return all.filter((one) => {
    left -= Buffer.byteLength(text(one)) + 8
    return left >= 0
  })
}
