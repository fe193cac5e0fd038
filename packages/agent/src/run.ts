// Owns what one run of a job is made of: its input, its ports, its history. Everything else in this package is a function of it.
import type { AgentInput, AgentPorts, EventOf, JobEventBody, Model } from '@hearth/protocol'
import { exampleMessagesFor } from './banks/bank.ts'
import type { CheckPlace } from './checks.ts'
import { patientSignal } from './ends.ts'
import { exploreTool, type RunLoop } from './explore.ts'
import { History } from './history.ts'
import { jsonMode } from './modes/json.ts'
import type { Mode } from './modes/mode.ts'
import { nativeMode } from './modes/native.ts'
import type { McpServers } from './mcp/servers.ts'
import { Background } from './tools/background.ts'
import { fetchTool, toldOfNetwork } from './tools/fetch.ts'
import { mcpTool } from './tools/mcp.ts'
import { toolsOf } from './tools/registry.ts'
import { skillTool } from './tools/skill.ts'
import type { Tool } from './tools/tool.ts'
import { everyHandle, runningHandles } from './tools/traces.ts'

export type Run = {
  input: AgentInput
  ports: AgentPorts
  mode: Mode
  tools: readonly Tool[]
  history: History
  /** Processes that outlive their call; closed when the run ends. */
  background: Background
  /** The loop itself, for a part of the job that has a conversation of its own. */
  runLoop: RunLoop
  /** Aborts the model at once. */
  signal: AbortSignal
  /** Aborts tools and checks; waits a little when the daemon only wants to stop. */
  patient: AbortSignal
}

/** `opened` decides which tools there are, so it is known before the first prompt is made; a stored one is also among the past events. */
export function beginRun(input: AgentInput, ports: AgentPorts, signal: AbortSignal, opened: EventOf<'opened'> | null, servers: McpServers, runLoop: RunLoop): Run {
  const skills = opened === null || opened.skills.length === 0 ? [] : [skillTool(opened.skills)]
  const explore = exploreTool(input, ports, runLoop, signal, (event) => put(run, event))
  const mcp = opened?.servers.some((server) => server.tools.length > 0) === true ? [mcpTool(servers)] : []
  const fetching = ports.network === undefined ? [] : [fetchTool(ports.network)]
  const tools = toldOfNetwork(toolsOf(ports.model.info.profile, [explore, ...fetching, ...mcp, ...skills]), ports.network)
  const mode = modeOf(ports.model, tools, input.request.prompt, ports.network !== undefined)
  const history = new History(mode, input.request.prompt, input.request.checks)
  for (const event of input.past) history.apply(event)
  const background = new Background(everyHandle(input.past), runningHandles(input.past))
  const run: Run = { input, ports, mode, tools, history, background, runLoop, signal, patient: patientSignal(signal) }
  return run
}

/** Adds an event to the history and waits until it is on disk. */
export async function put(run: Run, event: JobEventBody): Promise<void> {
  run.history.apply(event)
  await run.ports.emit(event)
}

/** Where the checks of this run are run. */
export function checkPlace({ input, ports, patient }: Run): CheckPlace {
  return { sandbox: ports.sandbox, workspace: input.request.cwd, limits: input.limits, signal: patient, ...(ports.network === undefined ? {} : { network: ports.network }) }
}

function modeOf(model: Model, tools: readonly Tool[], task: string, network: boolean): Mode {
  const { profile } = model.info
  const options = { tools, examples: exampleMessagesFor(profile, task), callTokens: profile.maxCallTokens, prompt: profile.prompt ?? null, keepsThoughts: profile.reasoning?.keep === true, network }
  return profile.toolMode === 'json' ? jsonMode(options) : nativeMode(options)
}
