// Owns the tool explore: a sub-agent that only reads, in a short context and a sequence of its own, so that the job's own history keeps the answer and not the search.
// It is the same loop over the same ports; nothing it does is stored but one line for each of its turns.
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { fault, outcomeTable, type AgentEnd, type AgentInput, type AgentPorts, type EventOf, type JobEventBody } from '@hearth/protocol'
import { z } from 'zod'
import { callLine } from './context/receipt.ts'
import { cutText } from './context/cut.ts'
import { spentTokens } from './guards.ts'
import { defineTool, refused, type Tool, type ToolContext, type ToolOutcome } from './tools/tool.ts'

export type RunLoop = (input: AgentInput, ports: AgentPorts, signal: AbortSignal) => Promise<AgentEnd>

const readingTools = ['glob', 'grep', 'read']
const stepsAtMost = 16
const answerBytes = 4000

/** The tool over one job's input and ports; `signal` ends it at once, since it can be asked again; `tell` puts an event into the job's history. A sub-agent has no such tool itself. */
export function exploreTool(input: AgentInput, ports: AgentPorts, runLoop: RunLoop, signal: AbortSignal, tell: (event: EventOf<'sub_step'>) => Promise<void>): Tool {
  return defineTool({
    name: 'explore',
    description: 'Let a helper search the folder and answer a question with file names and lines. Keeps your own context short.',
    parameters: z.strictObject({ question: z.string().min(1).max(4000).describe('what to find out, in full sentences') }),
    // It changes nothing, so after a crash it is simply asked again.
    idempotency: 'pure',
    run: ({ question }, context) => explore(question, { input, ports, runLoop, signal, tell }, context),
  })
}

type Outer = { input: AgentInput; ports: AgentPorts; runLoop: RunLoop; signal: AbortSignal; tell: (event: EventOf<'sub_step'>) => Promise<void> }

async function explore(question: string, { input, ports, runLoop, signal, tell }: Outer, context: ToolContext): Promise<ToolOutcome> {
  const outputDir = join(context.outputDir, `${context.callId}.explore`)
  await mkdir(outputDir, { recursive: true, mode: 0o700 })
  const { model } = ports
  // Its few tools are all needed, and it changes no file.
  const { maxTools: _max, editFormat: _format, ...profile } = model.info.profile
  const step = context.past.findLast((event) => event.type === 'step')?.step ?? 0
  const teller = new Teller(step, context.callId, tell)
  const end = await runLoop({
    ...input, jobId: `${input.jobId}.${context.callId}`, past: [], outputDir, mcpServers: {}, maxSteps: stepsAtMost, attempt: 1,
    maxTokens: Math.max(1, input.maxTokens - spentTokens(context.past)),
    request: {
      ...input.request, checks: [], kind: 'task', approve: 'none',
      prompt: `Find this out; change nothing:\n${question}\n\nThen call finish with a short answer that names files and lines (path:line). Say so when it is not there.`,
    },
  }, {
    now: ports.now, sandbox: ports.sandbox, workspace: null, emit: (event) => teller.heard(event),
    model: { info: { ...model.info, profile: { ...profile, tools: readingTools, fewShot: null } }, generate: (request, abort) => model.generate(request, abort) },
  }, signal)
  // No result is stored: the next run of the job asks again.
  if (end.type === 'suspended') return { ...refused(end.reason), fault: fault('shutting_down', {}) }
  if (end.summary === null || end.outcome === 'stuck' || end.fault !== null) {
    return refused(`the search found no answer: ${end.fault?.message ?? end.summary ?? outcomeTable[end.outcome].means}`)
  }
  const text = cutText(end.summary, answerBytes)
  return { ok: true, exitCode: 0, cause: 'exited', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}

/** Tells the job one line for each turn of the sub-agent. */
class Teller {
  readonly #step: number
  readonly #callId: string
  readonly #tell: Outer['tell']
  #turns = 0
  readonly #files = new Set<string>()

  constructor(step: number, callId: string, tell: Outer['tell']) {
    this.#step = step
    this.#callId = callId
    this.#tell = tell
  }

  async heard(event: JobEventBody): Promise<void> {
    if (event.type === 'tool_result') for (const path of [event.file?.path, ...event.files ?? []]) if (path !== undefined) this.#files.add(path)
    if (event.type === 'turn_failed') return this.#turn(event, 'the model failed')
    if (event.type === 'turn') await this.#turn(event, event.toolCalls.map((call) => callLine({ call })).join('; ') || event.text.replace(/\s+/g, ' ').slice(0, 160))
  }

  async #turn({ usage, timings }: EventOf<'turn'> | EventOf<'turn_failed'>, call: string): Promise<void> {
    const files = [...this.#files]
    this.#files.clear()
    await this.#tell({ type: 'sub_step', step: this.#step, callId: this.#callId, n: ++this.#turns, call, usage, timings, ...(files.length === 0 ? {} : { files }) })
  }
}
