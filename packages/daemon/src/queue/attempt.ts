// Owns one run of a job: what the agent is given (model, sandbox, place, network, expert), and the end that comes of it. Stores nothing but through `emit`.
import { mkdir } from 'node:fs/promises'
import { randomInt } from 'node:crypto'
import { join } from 'node:path'
import { abortEnd, fault, faultEnd, FaultError, networkProblem, type AbortCause, type AgentEnd, type Config, type EventOf, type Job, type JobEvent, type JobEventBody } from '@hearth/protocol'
import type { Experts } from '../egress/experts.ts'
import { networkOf } from '../egress/job-network.ts'
import { withheldFrom } from '../egress/withheld.ts'
import type { Log } from '../log.ts'
import type { EnergyMeter } from '../meter/energy.ts'
import { metered } from '../meter/meter.ts'
import { tellingWaits } from '../meter/waits.ts'
import type { FolderServerStore } from '../mcp/folder-servers.ts'
import type { RemoteServers } from '../mcp/remote.ts'
import type { Parts } from '../parts.ts'
import type { Store } from '../store/store.ts'
import type { Workspaces } from '../workspace/workspaces.ts'
import { limitsOf, turnEnd } from './turn.ts'

/** What runs of all jobs share. */
export type AttemptOptions = {
  store: Store; parts: Parts; config: Config; log: Log; outputs: string
  /** The real path of a folder that a job may work in. Throws FaultError `bad_cwd`. */
  usable(path: string): Promise<string>
  workspaces: Workspaces
  folderServers: FolderServerStore
  energy: EnergyMeter
  experts: Experts
  remoteServers: RemoteServers
}

/** What one run has of its runner. */
export type AttemptPorts = {
  emit(body: JobEventBody): Promise<void>
  /** An event that nobody waits for. */
  tell(body: JobEventBody): void
  /** What was said and not heard yet; emptied. */
  heard(): EventOf<'said'>[]
  /** The job has its copy of the folder. */
  copied(): void
  /** Whether nothing else runs or waits. */
  idle(): boolean
  /** Somebody wished that the history is shortened, and nothing more; asked once. */
  compact(): boolean
  abort: AbortController
  now(): number
}

const longestTimerMs = 2 ** 31 - 1

/** Runs a job from where its events end. Rejects with what the store or a folder of the daemon says; all else is an end. */
export async function attempt(job: Job, past: readonly JobEvent[], beforeMs: number, o: AttemptOptions, ports: AttemptPorts): Promise<AgentEnd> {
  const { parts, config, store } = o
  const { abort, now, emit } = ports
  await sameFolder(job.request.cwd, o)
  // What an owner allows may have become less while the job waited.
  const forbidden = networkProblem(config.sandbox.network.allow, job.request.network ?? [])
  if (forbidden !== null) return faultEnd(forbidden)
  let step: number | null = past.findLast((event) => event.type === 'step')?.step ?? null
  const fromFolder = await o.folderServers.of(job.request.cwd)
  const bought = await o.experts.main(job, () => step, fromFolder.servers)
  const found = bought ?? await parts.model(job.model)
  if (!found.ok) return faultEnd(found.fault)
  const terms = o.experts.terms(job, fromFolder.servers)
  const sandbox = await parts.sandbox()
  const report = await sandbox.report()
  if (!report.available) return faultEnd(report.fault ?? fault('sandbox_unavailable', { why: report.detail, remedy: "Run 'hearth doctor'." }))
  const runAgent = await parts.agent()
  const outputDir = join(o.outputs, job.id)
  await mkdir(outputDir, { recursive: true, mode: 0o700 })

  const seed = past.find((event) => event.type === 'started')?.seed ?? job.request.seed ?? randomInt(2 ** 32)
  const number = past.filter((event) => event.type === 'started').length + 1
  if (abort.signal.aborted) return abortEnd(abort.signal.reason as AbortCause)
  await emit({ type: 'started', attempt: number, seed, sandbox: report.detail, ...(terms.mayShow() ? { localFiles: 'shown' } : {}) })
  const worker = parts.workers().find((status) => status.model === job.model)
  if (worker !== undefined && worker.state !== 'ready') await emit({ type: 'loading', model: job.model, detail: 'it was not in memory' })

  const place = await o.workspaces.open(job, past, abort.signal)
  if (abort.signal.aborted) return abortEnd(abort.signal.reason as AbortCause)
  if ('fault' in place) return faultEnd(place.fault)
  for (const event of place.events) await emit(event)
  ports.copied()

  const timeoutSeconds = job.request.timeoutSeconds ?? config.jobs.timeoutSeconds
  const timeout: AbortCause = { kind: 'timeout', seconds: timeoutSeconds }
  const timer = setTimeout(() => abort.abort(timeout), Math.min(longestTimerMs, Math.max(0, timeoutSeconds * 1000 - (job.request.kind === 'chat' ? 0 : beforeMs))))
  const stepping = (body: JobEventBody): Promise<void> => {
    if (body.type === 'step') step = body.step
    return emit(body)
  }
  const speedAt = await parts.tuning.speedAt(job.model)
  const network = networkOf(job, past, { store, config, log: o.log, now, closed: () => terms.ofNetwork(), tell: (why) => ports.tell({ type: 'network_refused', fault: why }) })
  const model = bought?.ok === true ? bought.model : metered(tellingWaits(found.model, ports.tell), { principal: job.principal, jobId: job.id, step: () => step, energy: o.energy }, (entry) => store.ledger(entry), now)
  try {
    const end = turnEnd(job, await runAgent({
      jobId: job.id, request: { ...job.request, cwd: place.path }, attempt: number, seed, past: [...past, ...place.events], outputDir, timeoutSeconds, compact: ports.compact(), skillFolders: config.agent.skillFolders, mcpServers: { ...fromFolder.servers, ...config.agent.mcpServers }, mcpProblems: fromFolder.problems, escalation: o.experts.settings(job),
      maxSteps: job.request.maxSteps ?? config.jobs.maxSteps, maxTokens: job.request.maxTokens ?? config.jobs.maxTokens,
      limits: limitsOf(config.sandbox),
    }, { model, sandbox: withheldFrom(place.sandbox, place.path, () => terms.withheld()), mcp: o.remoteServers.forJob({ job, terms, events: () => store.read.journal(job.id) }, job.request.cwd, fromFolder.servers), emit: stepping, now, workspace: place.port, expert: o.experts.forJob(job, () => step, fromFolder.servers), idle: ports.idle, ...(speedAt === null ? {} : { speedAt }), heard: ports.heard, ...network }, abort.signal))
    if (end.type === 'ended') for (const event of await place.deliver(step ?? 0)) await emit(event)
    return end
  } finally {
    clearTimeout(timer)
  }
}

/** The folder was judged when the job was accepted. While it waited, another job's tools may have put a link in its place, or it is gone. */
async function sameFolder(path: string, { usable }: AttemptOptions): Promise<void> {
  const real = await usable(path)
  if (real !== path) throw new FaultError(fault('bad_cwd', { path, problem: `it leads to ${real} now` }))
}
