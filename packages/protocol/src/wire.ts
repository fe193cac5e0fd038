// Owns the shapes of the daemon's HTTP API on the Unix socket: replies and streams. Routes are listed in docs/api.md and checked against it.
import { z } from 'zod'
import { CatalogModel } from './catalog.ts'
import type { Fault } from './fault.ts'
import { Job } from './job.ts'
import { EgressEntry, LedgerEntry, PacketEntry } from './ledger.ts'
import { McpServerRow } from './mcp.ts'
import { PredictedSpeed } from './profile.ts'
import { Usage } from './model.ts'
import { Price, providerKinds } from './provider.ts'
import { ProviderGap } from './provider-gaps.ts'

/** Body of every reply whose status is not 2xx. */
export type ErrorReply = { error: Fault }

export const WorkerState = z.enum(['stopped', 'starting', 'ready', 'draining', 'failed', 'broken'])
export type WorkerState = z.infer<typeof WorkerState>

export const WorkerStatus = z.strictObject({
  model: z.string(),
  state: WorkerState,
  pid: z.int().nullable(),
  restarts: z.int().describe('restarts since the daemon started'),
  lastFault: z.string().nullable(),
  backend: z.string().nullable().describe('cpu, vulkan, hip, llama-server cpu or gpu; null before the first load'),
  build: z.string().nullable().optional().describe('build of `hearth engine build` that runs it; null or absent = what came with Hearth, or a program of the owner'),
  contextTokens: z.int().nullable(),
  sequences: z.int().nullable(),
  threads: z.int().nullable().optional().describe('CPU threads it computes with; null before the first load'),
  busy: z.int().describe('requests being answered'),
  waiting: z.int().describe('requests waiting for a slot'),
  draft: z.string().optional().describe('the model that guesses ahead, or why it does not; absent = none was asked for, or nothing is loaded'),
  distrusted: z.string().optional().describe('what gave wrong tokens after its load, and what serves instead; absent = nothing did'),
  memoryBytes: z.int().nullable().optional().describe('resident memory of its process on a CPU, else what the plan of its load counted; null = not in memory'),
  pinned: z.boolean().optional().describe('never unloaded by itself'),
  idleSince: z.int().nullable().optional().describe('end of its last request, milliseconds since 1970; null while one is answered, and when it is not in memory'),
  loadedAt: z.int().nullable().optional().describe('since when it has its place in memory, milliseconds since 1970; null = it has none'),
  unloadsAt: z.int().nullable().optional().describe('when it is unloaded if nobody asks, milliseconds since 1970; null = not by itself'),
})
export type WorkerStatus = z.infer<typeof WorkerStatus>

export const StatusReply = z.strictObject({
  version: z.string(),
  wire: z.int(),
  pid: z.int(),
  startedAt: z.int(),
  stateDir: z.string(),
  modelsDir: z.string(),
  socket: z.string(),
  rssBytes: z.int(),
  freeDiskBytes: z.int(),
  jobs: z.strictObject({ running: z.int(), queued: z.int(), suspended: z.int(), ended: z.int() }),
  workers: z.array(WorkerStatus),
  sandbox: z.strictObject({ available: z.boolean(), limits: z.string(), detail: z.string() }),
  http: z.strictObject({
    url: z.string().nullable().describe('where programs with a key reach it; null = nowhere'),
    problem: z.string().nullable().describe('why it does not listen though it should'),
  }).optional(),
  idleExitSeconds: z.int().nullable().describe('a daemon that was started for one job ends after this long without work'),
})
export type StatusReply = z.infer<typeof StatusReply>

export const JobList = z.strictObject({ jobs: z.array(Job) })
export type JobList = z.infer<typeof JobList>

/** Whether a catalogue model fits this box when nothing else is loaded, by its published size. */
export const ModelFit = z.strictObject({
  place: z.enum(['ram', 'gtt', 'vram']),
  limitBytes: z.int().describe('what models may have of that place'),
  contextTokens: z.int().nullable().describe('window of one conversation; 0 = it does not fit; null = it fits, and its cache is not known'),
})
export type ModelFit = z.infer<typeof ModelFit>

export const ModelRow = z.strictObject({
  id: z.string(),
  name: z.string(),
  summary: z.string(),
  license: z.string().nullable(),
  roles: z.array(z.string()),
  bytes: z.int().nullable(),
  contextTokens: z.int().nullable(),
  toolMode: z.string(),
  installed: z.boolean(),
  origin: z.enum(['catalog', 'imported']),
  path: z.string().nullable(),
  sha256: z.string().nullable(),
  problem: z.string().nullable().describe('why an installed file cannot be used; null when it can'),
  aliases: z.array(z.string()).optional().describe('other ids for it; absent = none'),
  fit: ModelFit.optional().describe('absent: its size or the memory of the box is not known'),
  speed: PredictedSpeed.optional().describe('absent: nothing was measured on this box that would tell'),
})
export type ModelRow = z.infer<typeof ModelRow>
/** What `models prune` frees: unfinished downloads, folders that no record or catalogue entry explains, files that lie here twice. */
export const PruneReply = z.strictObject({
  items: z.array(z.strictObject({
    kind: z.enum(['unfinished', 'leftover', 'duplicate']),
    model: z.string().describe('id, or the name of the folder'),
    path: z.string(),
    bytes: z.int().min(0).describe('disk space it frees'),
    why: z.string(),
  })),
  bytes: z.int().min(0),
  done: z.boolean().describe('false: only listed'),
})
export type PruneReply = z.infer<typeof PruneReply>

/** GGUF models found in a folder (another program's cache), and what became of each. */
export const FolderImportRequest = z.strictObject({
  path: z.string().startsWith('/').describe('absolute path of the folder'),
  dryRun: z.boolean().default(false).describe('only list'),
})
export type FolderImportRequest = z.input<typeof FolderImportRequest>
export const FolderImportReply = z.strictObject({
  kind: z.enum(['ollama', 'hub', 'files']).describe('how the folder is laid out'),
  found: z.array(z.strictObject({
    name: z.string().describe('what the other program calls it'),
    path: z.string(),
    bytes: z.int().min(0),
    state: z.enum(['new', 'imported', 'known', 'refused']),
    id: z.string().nullable(),
    problem: z.string().nullable(),
  })),
})
export type FolderImportReply = z.infer<typeof FolderImportReply>

/** A model on another machine of the local network, from engine.endpoints. */
export const EndpointRow = z.strictObject({
  id: z.string(),
  place: z.literal('lan'),
  countsAsLocal: z.boolean().describe('the owner says that policy treats that machine as this box'),
  url: z.string().describe('no secret can stand in it'),
  model: z.string().describe('what it is asked for'),
  key: z.boolean().describe('it is asked with a key'),
  contextTokens: z.int(),
  toolMode: z.string(),
  check: z.strictObject({
    ok: z.boolean(),
    detail: z.string().describe('what it answered, or why it did not'),
    ms: z.int().min(0),
  }).optional().describe('absent: it was not asked'),
})
export type EndpointRow = z.infer<typeof EndpointRow>

/** Everything that is known about one model. Exactly one of `row`, `endpoint` and `remote` is there. */
export const ModelDetail = z.strictObject({
  row: ModelRow.nullable(),
  entry: CatalogModel.nullable().describe('of the catalogue with the owner\'s changes; null for an imported model'),
  record: z.strictObject({
    installedAt: z.int(),
    verifiedAt: z.int().nullable().describe('when all its bytes were last compared; null = never'),
    files: z.array(z.strictObject({ name: z.string(), bytes: z.int(), sha256: z.string().nullable() })),
    architecture: z.string().nullable(),
    toolFormat: z.string().nullable(),
    kvBytesPerToken: z.int().nullable(),
    from: z.string().nullable().describe('where an imported file came from'),
  }).nullable().describe('what lies on this disk'),
  endpoint: EndpointRow.nullable(),
  remote: z.lazy(() => RemoteRow).optional().describe('a model that a provider sells; the others are null then'),
})
export type ModelDetail = z.infer<typeof ModelDetail>

/** A model that a provider sells, from escalation.providers. */
export const RemoteRow = z.strictObject({
  id: z.string(),
  place: z.literal('remote'),
  provider: z.string(),
  kind: z.enum(providerKinds),
  url: z.string().describe('no secret can stand in it'),
  model: z.string().describe('the name that is sent'),
  key: z.boolean().describe('it is asked with a key'),
  contextTokens: z.int(),
  toolMode: z.string(),
  price: Price.nullable().describe('that holds today (UTC); null = none is known, and nothing is bought'),
  maxOutputTokens: z.int().describe('what it may write at most in one answer'),
  usedFor: z.array(z.string()).describe('modes in which a job may ask it, with the kinds of jobs where a route names some; empty = no route leads to it'),
  calls: z.int().describe('bought from it on this box, until now'),
  lastUsedAt: z.int().nullable(),
  usdMicros: z.int().describe('what they cost, those under way at their worst price'),
  prepaidUsdMicros: z.int().describe('what packages and paid throughput covered beside that, at list price'),
  gaps: z.array(ProviderGap).describe('what is missing before anything is bought from it'),
})
export type RemoteRow = z.infer<typeof RemoteRow>

export const ModelList = z.strictObject({
  models: z.array(ModelRow),
  default: z.string().nullable(),
  recommended: z.string().nullable().optional().describe('the model of the catalogue to fetch for this box; null = none fits'),
  endpoints: z.array(EndpointRow).optional().describe('models on other machines of this network; absent = none is configured'),
  remotes: z.array(RemoteRow).optional().describe('models that providers sell; absent = none is configured'),
})
export type ModelList = z.infer<typeof ModelList>

/** One line of the stream of a pull or verify. Ends with exactly one `done` or `failed`. */
export type TransferEvent =
  | { type: 'source'; file: string; source: string; totalBytes: number | null; resumedBytes: number }
  | { type: 'progress'; file: string; doneBytes: number; totalBytes: number | null; bytesPerSecond: number }
  | { type: 'verifying'; file: string }
  | { type: 'note'; text: string }
  | { type: 'done'; model: ModelRow; downloadedBytes: number }
  | { type: 'failed'; fault: Fault }

/** One line of the stream of `models load` and `models unload`. Ends with exactly one `done` or `failed`. */
export type LoadEvent =
  /** `position` 1 = next. */
  | { type: 'waiting'; position: number; reason: string }
  /** `worker`: as it is now; null when it was not in memory and stays so. */
  | { type: 'done'; worker: WorkerStatus | null }
  | { type: 'failed'; fault: Fault }

export const ImportRequest = z.strictObject({
  path: z.string().startsWith('/').describe('absolute path of a GGUF file; it is linked, not copied'),
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/).nullable().default(null),
  copy: z.boolean().default(false),
})
export type ImportRequest = z.input<typeof ImportRequest>

/** The MCP servers that a folder's own .mcp.json names. They start only when its very bytes were approved. */
export const FolderServers = z.strictObject({
  path: z.string().describe('of the file'),
  sha256: z.string().describe('of the file as it is now'),
  approvedBy: z.string().nullable().describe('principal; null = these bytes are not approved'),
  servers: z.array(McpServerRow),
  problems: z.array(z.strictObject({ name: z.string(), problem: z.string() })).describe('entries that are not used, and why'),
})
export type FolderServers = z.infer<typeof FolderServers>

export const UsageReply = z.strictObject({
  since: z.int().nullable(),
  totals: z.strictObject({
    calls: z.int(), promptTokens: z.int(), reusedTokens: z.int(), completionTokens: z.int(),
    modelSeconds: z.number(), joules: z.int().nullable(), usdMicros: z.int(), bytesLeftBox: z.int(), jobs: z.int(), resolved: z.int(),
  }),
  byModel: z.array(z.strictObject({
    model: z.string(), place: z.string(), calls: z.int(), promptTokens: z.int(), reusedTokens: z.int(), completionTokens: z.int(), modelSeconds: z.number(), usdMicros: z.int(),
    mendedCalls: z.int().describe('tool calls of jobs that were repaired before they ran'), refusedCalls: z.int().describe('answers that were no call, and calls that could not be run'),
  })),
  entries: z.array(LedgerEntry).describe('newest first, bounded'),
})
export type UsageReply = z.infer<typeof UsageReply>

const EgressSum = z.strictObject({
  name: z.string().describe('purpose, host, job (empty = none) or day (UTC)'),
  connections: z.int(),
  bytes: z.int().describe('sent, as far as it is known'),
  uncounted: z.int().describe('connections whose bytes are not known, or not all: helpers that connect by themselves, what is still open, and what was open when the daemon was killed'),
})

/** What left the box: every connection, and the bodies that went to models outside of it. */
export const EgressReply = z.strictObject({
  since: z.int().nullable(),
  totals: z.strictObject({ connections: z.int(), bytes: z.int(), uncounted: z.int(), packets: z.int(), packetBytes: z.int(), redactions: z.int() }),
  by: z.strictObject({ purpose: z.array(EgressSum), host: z.array(EgressSum), job: z.array(EgressSum), day: z.array(EgressSum) }).describe('most bytes first, days newest first; 100 rows at most'),
  entries: z.array(EgressEntry).describe('newest first, bounded'),
  packets: z.array(PacketEntry.extend({ hasBody: z.boolean().describe('false: it was removed, because it was old') })).describe('newest first, bounded'),
})
export type EgressReply = z.infer<typeof EgressReply>

export const DoctorReport = z.strictObject({
  ok: z.boolean(),
  checks: z.array(z.strictObject({
    name: z.string(),
    state: z.enum(['ok', 'warn', 'fail']),
    detail: z.string(),
    remedy: z.string().nullable(),
  })),
})
export type DoctorReport = z.infer<typeof DoctorReport>

export const SubmitReply = z.strictObject({ job: Job, duplicate: z.boolean().describe('true when the idempotency key named an older job') })
export type SubmitReply = z.infer<typeof SubmitReply>

/** The smallest call that shows whether a provider answers: what it would be, or what came of it. */
export const ProviderTrial = z.strictObject({
  model: z.string(),
  provider: z.string(),
  host: z.string(),
  text: z.string().describe('all that is sent'),
  maxTokens: z.int().describe('what it may write at most'),
  worstUsdMicros: z.int().describe('what it costs at most'),
  answer: z.strictObject({
    text: z.string(), usage: Usage, ttftMs: z.number().nullable(), usdMicros: z.int().describe('what it cost'),
  }).optional().describe('absent = nothing was sent'),
})
export type ProviderTrial = z.infer<typeof ProviderTrial>

/** Body of a trial. */
export const TrialRequest = z.strictObject({ worstUsdMicros: z.int().min(0).describe('what a person agreed to; a call that may cost more is refused') })
export type TrialRequest = z.infer<typeof TrialRequest>
