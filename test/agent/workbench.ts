// A workbench for tests of the loop: a folder, the real sandbox, a scripted model that remembers what it was asked, and the events.
import { mkdtemp, rm, writeFile, mkdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runAgent } from '@hearth/agent'
import { scriptedModel, type ScriptInput } from '@hearth/engine'
import { type AbortCause, type AgentEnd, Config, type EscalationSettings, type Expert, JobEventBody, JobRequest, type AgentPorts, type Limits, type McpServer, type Model, type ModelRequest, type RunSpec, type Sandbox, type Workspace } from '@hearth/protocol'
import { createSandbox } from '@hearth/sandbox'

export const limits: Limits = { memoryBytes: 512 * 2 ** 20, pids: 64, wallMs: 20_000, outputBytes: 16 * 2 ** 20, tmpBytes: 16 * 2 ** 20, fileBytes: 64 * 2 ** 20 }

export type Ran = { end: AgentEnd; events: JobEventBody[]; requests: ModelRequest[] }

export type Options = {
  script: Partial<ScriptInput> & { turns: ScriptInput['turns'] }
  prompt?: string
  /** Default: the folder of the workbench. */
  cwd?: string
  checks?: string[]
  maxSteps?: number
  maxTokens?: number
  past?: JobEventBody[]
  /** Aborts after the first event that it accepts. */
  abortAt?: { when: (event: JobEventBody) => boolean; cause: AbortCause }
  profile?: Partial<Model['info']['profile']>
  limits?: Partial<Limits>
  model?: Model
  skillFolders?: string[]
  mcpServers?: Record<string, McpServer>
  mcp?: AgentPorts['mcp']
  workspace?: Workspace
  idle?: () => boolean
  speedAt?: AgentPorts['speedAt']
  expert?: Expert
  escalation?: Partial<EscalationSettings>
  approve?: 'writes'
  kind?: 'chat'
  /** What stands between the loop and the real sandbox. */
  sandboxOf?: (sandbox: Sandbox) => Sandbox
}

export class Workbench {
  readonly workspace: string
  readonly outputs: string
  readonly #root: string
  readonly #sandbox: Sandbox & { close(): Promise<void> }

  private constructor(root: string, mounts: NonNullable<RunSpec['mounts']>) {
    this.#root = root
    this.workspace = join(root, 'workspace')
    this.outputs = join(root, 'outputs')
    // weak: the loop is under test here, and this must run on boxes without a control group; the limits have their own tests.
    const sandbox = createSandbox({ config: Config.parse({ sandbox: { limits: 'weak' } }).sandbox, stateDir: join(root, 'state'), log: () => undefined })
    this.#sandbox = mounts.length === 0 ? sandbox : {
      report: () => sandbox.report(), close: () => sandbox.close(), run: (spec, signal) => sandbox.run({ ...spec, mounts: [...spec.mounts ?? [], ...mounts] }, signal),
    }
  }

  /** `mounts`: further folders that the sandbox sees, such as programs that are not below /usr. */
  static async open(files: Record<string, string> = {}, { mounts = [] }: { mounts?: NonNullable<RunSpec['mounts']> } = {}): Promise<Workbench> {
    const bench = new Workbench(await mkdtemp(join(tmpdir(), 'hearth-agent-')), mounts)
    await mkdir(bench.workspace)
    await mkdir(bench.outputs)
    for (const [name, text] of Object.entries(files)) await writeFile(join(bench.workspace, name), text)
    return bench
  }

  async run(options: Options): Promise<Ran> {
    const events: JobEventBody[] = []
    const requests: ModelRequest[] = []
    const abort = new AbortController()
    const end = await runAgent({
      jobId: 'job', request: JobRequest.parse({ prompt: options.prompt ?? 'Do it.', cwd: options.cwd ?? this.workspace, checks: options.checks ?? [], ...(options.approve === undefined ? {} : { approve: options.approve }), ...(options.kind === undefined ? {} : { kind: options.kind }) }),
      maxSteps: options.maxSteps ?? 30, maxTokens: options.maxTokens ?? 1_000_000, timeoutSeconds: 60, attempt: 1, seed: 1, limits: { ...limits, ...options.limits },
      past: options.past ?? [], outputDir: this.outputs, skillFolders: options.skillFolders ?? [], mcpServers: options.mcpServers ?? {},
      ...(options.escalation === undefined ? {} : { escalation: { modes: ['advise'], planFirst: false, packet: 'packet', packetTokens: 8192, stepTurns: 6, medianSeconds: null, ...options.escalation } }),
    }, {
      ...(options.workspace === undefined ? {} : { workspace: options.workspace }), ...(options.idle === undefined ? {} : { idle: options.idle }),
      ...(options.speedAt === undefined ? {} : { speedAt: options.speedAt }), ...(options.expert === undefined ? {} : { expert: options.expert }), ...(options.mcp === undefined ? {} : { mcp: options.mcp }),
      model: remembering(options.model ?? scripted(options), requests), sandbox: options.sandboxOf?.(this.#sandbox) ?? this.#sandbox, now: Date.now,
      emit: (event) => {
        // What the daemon would store must be what the schema says.
        events.push(JobEventBody.parse(event))
        if (options.abortAt?.when(event) === true) abort.abort(options.abortAt.cause)
        return Promise.resolve()
      },
    }, abort.signal)
    return { end, events, requests }
  }

  async close(): Promise<void> {
    await this.#sandbox.close()
    await rm(this.#root, { recursive: true, force: true })
  }
}

function scripted(options: Options): Model {
  const model = scriptedModel({ version: 1, ...options.script }, 'scripted:test')
  return { info: { ...model.info, profile: { ...model.info.profile, ...options.profile } }, generate: (request, signal) => model.generate(request, signal) }
}

function remembering(model: Model, requests: ModelRequest[]): Model {
  return {
    info: model.info,
    generate(request, signal) {
      requests.push(structuredClone(request))
      return model.generate(request, signal)
    },
  }
}

export function ofType<T extends JobEventBody['type']>(events: readonly JobEventBody[], type: T): Extract<JobEventBody, { type: T }>[] {
  return events.filter((event): event is Extract<JobEventBody, { type: T }> => event.type === type)
}

export const call = (name: string, args: Record<string, unknown>): { calls: { name: string; arguments: Record<string, unknown> }[] } => ({ calls: [{ name, arguments: args }] })
export const finish = (answer = 'done'): ReturnType<typeof call> => call('finish', { answer })
