// Owns the configuration: every key, its default and its meaning. The daemon reads one JSON file; an unknown key is an error.
import { z } from 'zod'
import { Budget, escalationModes } from './escalation.ts'
import { jobResults } from './workspace.ts'
import { McpServer } from './mcp.ts'
import { AgentProfile } from './model.ts'
import { Earmark, Package } from './money.ts'
import { OwnerPattern } from './network.ts'
import { consents, dataClasses } from './principal.ts'
import { ProviderConfig, RouteConfig } from './provider.ts'

const MiB = 2 ** 20
const GiB = 2 ** 30

// What the daemon itself says to its llama-server; an owner's argument must not contradict it.
const ownFlags = /^(-m|--model|-mu|--model-url|-hf|-hfr|--hf-repo|--host|--port|--api-key|--api-key-file|--api-prefix|-np|--parallel|-c|--ctx-size|--tools|-ag|--agent|--mcp-servers-config|--mcp-servers-json)(=|$)/

/** A llama-server program that serves some models instead of the built-in library. */
export const LlamaServerConfig = z.strictObject({
  path: z.string().startsWith('/').nullable().default(null).describe('the program; null = the newest build of `hearth engine build` that fits engine.backend'),
  models: z.array(z.string()).default([]).describe('ids of the models it serves; "*" = all, "auto" = those that `hearth tune` measured as faster with it'),
  args: z.array(z.string().refine((arg) => !ownFlags.test(arg), 'the daemon sets this argument itself')).default([]).describe('further arguments, passed as they are'),
  speculation: z.enum(['none', 'mtp', 'ngram']).default('none').describe('mtp: the prediction heads of the model or of draftModel; ngram: copies from the prompt'),
  draftModel: z.string().startsWith('/').nullable().default(null).describe('a GGUF file with prediction heads of its own'),
  draftTokens: z.int().min(1).max(64).default(3).describe('tokens guessed at once'),
  cacheMiB: z.int().min(0).default(2048).describe('memory for prompts that lost their slot'),
  readOnlyPaths: z.array(z.string().startsWith('/')).default([]).describe('further folders it may read (a ROCm outside /usr)'),
})
export type LlamaServerConfig = z.infer<typeof LlamaServerConfig>

/** A model on another machine of this network that speaks the OpenAI chat dialect. */
export const EndpointConfig = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,80}$/).describe('what people type as the model; unique, and not an id of the catalogue'),
  url: z.url({ protocol: /^https?$/ }).refine((url) => !/[?#]|\/\/[^/]*@/.test(url), 'no user, query or fragment belongs here').describe('base address, usually ending in /v1'),
  keyFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) that holds the key; null = none'),
  model: z.string().min(1).describe('the name that is sent as `model`'),
  local: z.boolean().default(false).describe('policy treats it as if it were this box; say so only of a machine you own'),
  contextTokens: z.int().min(512).describe('its context window'),
  profile: AgentProfile.prefault({ toolMode: 'native' }).describe('how the agent speaks with it'),
})
export type EndpointConfig = z.infer<typeof EndpointConfig>

/** How one model is kept in memory, against what holds for all. */
export const ModelKeeping = z.strictObject({
  pinned: z.boolean().default(false).describe('never unloaded by itself, neither for another model nor because nobody asks'),
  preload: z.boolean().default(false).describe('loaded when the daemon starts'),
  idleUnloadSeconds: z.int().min(0).optional().describe('instead of engine.idleUnloadSeconds'),
})
export type ModelKeeping = z.infer<typeof ModelKeeping>

export const Config = z.strictObject({
  engine: z.strictObject({
    sandbox: z.enum(['bwrap', 'off']).default('bwrap').describe('run the engine worker in bubblewrap; off = the owner accepts an unconfined worker'),
    backend: z.enum(['auto', 'cpu', 'vulkan', 'hip']).default('auto').describe('which llama.cpp backend to use; hip needs a build of `hearth engine build`'),
    threads: z.int().min(1).max(512).nullable().default(null).describe('CPU threads for inference; null = as `hearth tune` measured, else one for each physical core (1 on a machine with two CPUs)'),
    contextTokens: z.int().min(512).nullable().default(null).describe('context window of each sequence; null = the trained window, at most 32768 on a GPU (less where that does not fit) and 8192 on a CPU'),
    sequences: z.int().min(1).max(64).default(4).describe('conversations held at the same time'),
    batchTokens: z.int().min(32).max(8192).nullable().default(null).describe('tokens in one evaluation; null = as `hearth tune` measured, else 512'),
    speculation: z.enum(['off', 'lookup', 'draft']).nullable().default(null).describe('null = as `hearth tune` measured, else off; lookup: greedy text that repeats what was there before is guessed ahead and checked in one evaluation, while that is measured to be faster and at most two streams run; draft: the same, guessed by a second model'),
    draftModels: z.record(z.string(), z.string()).default({}).describe('by id: the model that guesses for it with speculation draft, instead of the catalogue\'s; it must be installed and have the same vocabulary'),
    goldenCheck: z.enum(['on', 'off']).default('on').describe('after a load, texts that every language model continues are tried, once for each file, engine, driver and setting; what gives wrong tokens never serves. off = the owner trusts them all'),
    idleUnloadSeconds: z.int().min(0).default(1800).describe('unload a model after this long without a request; 0 = never'),
    maxModels: z.int().min(1).nullable().default(null).describe('models in memory at the same time; null = as many as fit'),
    models: z.record(z.string(), ModelKeeping).default({}).describe('by id: how long a model stays in memory'),
    adapters: z.strictObject({
      llamaServer: LlamaServerConfig.prefault({}),
    }).prefault({}),
    endpoints: z.array(EndpointConfig).default([]).describe('models on other machines of this network; docs/adapters.md tells more'),
    savedStateBytes: z.int().min(0).default(GiB).describe('memory for conversations that gave their sequence to another one; 0 = none'),
    savedStateDiskBytes: z.int().min(0).default(4 * GiB).describe('the same on disk, in the cache folder; 0 = none'),
    reserved: z.strictObject({
      interactive: z.int().min(0).nullable().default(null).describe('sequences that jobs and batches leave free; null = 1 when there are at least 3'),
      job: z.int().min(0).default(0).describe('further sequences that batches leave free'),
    }).prefault({}),
    activeDecodes: z.int().min(1).nullable().default(null).describe('requests computed at the same time; null = the knee that `hearth tune` measured, else as many as there are sequences'),
  }).prefault({}),
  sandbox: z.strictObject({
    limits: z.enum(['strict', 'weak']).default('strict').describe('strict: kernel-enforced limits or refusal; weak: rlimits and a watching parent'),
    memoryBytes: z.int().min(64 * MiB).default(4 * GiB),
    pids: z.int().min(16).default(256),
    wallSeconds: z.int().min(1).default(120).describe('one tool call or check'),
    outputBytes: z.int().min(64 * 1024).default(64 * MiB),
    tmpBytes: z.int().min(MiB).default(512 * MiB),
    fileBytes: z.int().min(MiB).default(2 * GiB),
    readOnlyPaths: z.array(z.string().startsWith('/')).default([]).describe('further host folders that tools may read (a toolchain outside /usr)'),
    network: z.strictObject({
      allow: z.array(OwnerPattern).default([]).describe('hosts that a job may ask for with --network: example.org, *.example.org, an address, each with an optional :PORT (else 80 and 443), or * for every name; empty = no job has a network'),
      sentBytes: z.int().min(0).default(64 * MiB).describe('all that the tools of one job may send'),
      receivedBytes: z.int().min(0).default(8 * GiB).describe('all that they may receive'),
    }).prefault({}),
  }).prefault({}),
  jobs: z.strictObject({
    model: z.string().nullable().default(null).describe('default model; null = the best installed one, else the starter'),
    running: z.int().min(1).max(64).default(2).describe('jobs that run at the same time'),
    maxQueued: z.int().min(1).default(1000),
    maxSteps: z.int().min(1).default(60),
    maxTokens: z.int().min(1).default(2_000_000),
    timeoutSeconds: z.int().min(1).default(3600),
    result: z.enum(jobResults).default('in_place').describe('where a job works when it does not say: in_place = in the folder itself, with undo; branch, diff = in a copy, and the folder stays as it is'),
  }).prefault({}),
  workspace: z.strictObject({
    fileBytes: z.int().min(1024).default(20 * MiB).describe('files above this are not kept, so undo does not bring them back'),
    files: z.int().min(100).default(50_000).describe('new or changed files kept at once; more of them and nothing is kept'),
    totalBytes: z.int().min(MiB).default(GiB).describe('the same, in bytes'),
    copyBytes: z.int().min(MiB).default(4 * GiB).describe('a folder without git is copied up to this size (branch, diff)'),
    keepDays: z.number().min(0).default(14).describe('kept states of a job that is over are removed after so many days'),
    keepBytes: z.int().min(0).default(4 * GiB).describe('all kept states together; the oldest are removed first'),
  }).prefault({}),
  agent: z.strictObject({
    skillFolders: z.array(z.string().startsWith('/')).default([]).describe('folders whose subfolders are skills (SKILL.md), for every job; they go before those of a workspace'),
    mcpServers: z.record(z.string().regex(/^[a-z0-9][a-z0-9-]{0,30}$/), McpServer).default({}).describe('MCP servers of every job, by a short name; their tools are called NAME__TOOL'),
  }).prefault({}),
  escalation: z.strictObject({
    consent: z.enum(consents).default('never').describe('never: nothing is bought; ask: a person approves each packet; auto: within the budget'),
    modes: z.array(z.enum(escalationModes)).default(['advise']).describe('what may be bought; docs/escalation.md tells what each sends'),
    dataClass: z.enum(dataClasses).default('redact').describe('of folders that `hearth project` says nothing else of'),
    budget: Budget.prefault({}).describe('of this box; without a limit in money nothing is bought'),
    reserved: z.array(Earmark).default([]).describe('money of this box that is kept for some'),
    assumedChance: z.number().min(0).max(1).default(0.5).describe('chance that a job which buys help is resolved, as long as this box knows no better: it counts as 10 jobs beside those that were seen; bounds what a job with a worth may spend'),
    approvalSeconds: z.int().min(0).default(86_400).describe('a yes to what would leave holds so long; if it was not sent until then, it is asked again'),
    pauseSeconds: z.int().min(0).default(7 * 86_400).describe('a job that waits for money ends as over_budget after so long'),
    providers: z.array(ProviderConfig).default([]).describe('who sells tokens; docs/providers.md tells more'),
    routes: z.array(RouteConfig).default([]).describe('who is asked for what: the first that fits; none = all models of the providers, in their order'),
    packages: z.array(Package).default([]).describe('tokens and money bought ahead'),
    packet: z.enum(['packet', 'digest', 'full']).default('packet').describe('what is sent: the state of the work; only its head; or the whole transcript'),
    packetTokens: z.int().min(512).max(200_000).default(8192).describe('longest packet'),
    stepTurns: z.int().min(1).max(50).default(6).describe('turns of a step that is taken over'),
    localWaitSeconds: z.strictObject({
      interactive: z.int().min(0).max(86_400).default(30),
      job: z.int().min(0).max(86_400).default(120),
      batch: z.int().min(0).max(86_400).default(600),
    }).prefault({}).describe('a model of this box that is not in memory is loaded and asked when loading, answering and bringing back the job\'s own model are forecast to take no longer, by the class of the job; 0 = only one that is in memory'),
    timeouts: z.strictObject({
      silenceSeconds: z.number().positive().max(3600).default(300).describe('longest silence of an answer; a model that thinks without showing it says nothing for minutes'),
      totalSeconds: z.number().positive().max(86_400).default(1800).describe('longest call, waits not counted'),
      waitSeconds: z.number().min(0).max(3600).default(30).describe('what is waited in all when a provider says when to ask again; a longer wait is no help for this job'),
    }).prefault({}).describe('how long a bought answer may take'),
    denyFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) with texts that never leave, one a line: names, numbers, words; they are looked for in many spellings'),
    neverPaths: z.array(z.string().min(1)).default([]).describe('files that are never in a packet, as globs (*, **, ?), beside those of docs/escalation.md'),
    bodyDays: z.number().min(0).max(3650).default(30).describe('what was sent is kept so long, encrypted; its row stays'),
  }).superRefine(({ packages, providers, reserved, budget }, context) => {
    for (const [index, { monthUsdMicros }] of reserved.entries()) {
      if (monthUsdMicros > 0 && budget.monthUsdMicros === null) context.addIssue({ code: 'custom', path: ['reserved', index, 'monthUsdMicros'], message: 'escalation.budget.monthUsdMicros is not set, so there is nothing to keep a part of' })
    }
    for (const [index, { id, provider }] of packages.entries()) {
      if (packages.findIndex((one) => one.id === id) < index) context.addIssue({ code: 'custom', path: ['packages', index, 'id'], message: `another package is called '${id}'` })
      if (!providers.some((one) => one.id === provider)) context.addIssue({ code: 'custom', path: ['packages', index, 'provider'], message: `there is no provider '${provider}'` })
    }
  }).prefault({}),
  energy: z.strictObject({
    usdPerKwh: z.number().min(0).nullable().default(null).describe('price of electricity; null = energy has no price'),
    boxUsd: z.number().min(0).nullable().default(null).describe('what this box cost; null = nothing is written off'),
    boxMonths: z.number().positive().default(36).describe('months that its price is written off over'),
    idleWatts: z.number().min(0).nullable().default(null).describe('what it takes when nothing is computed; null = as its sensor says, where there is one'),
  }).prefault({}),
  storage: z.strictObject({
    refuseBelowBytes: z.int().min(0).default(2 * GiB).describe('new jobs are refused below this much free disk'),
  }).prefault({}),
  http: z.strictObject({
    port: z.int().min(0).max(65_535).nullable().default(8484).describe('port on 127.0.0.1, open while there is a usable key; 0 = any free one, null = none'),
    maxInFlight: z.int().min(1).max(10_000).default(256).describe('chat requests answered at the same time; more are told to come back'),
  }).prefault({}),
  models: z.strictObject({
    aliases: z.record(z.string().min(1), z.string().min(1)).default({}).describe('other names for models, for clients that insist on one of their own'),
    default: z.string().default('smollm2-135m').describe('fetched when nothing is installed'),
    hubUrl: z.url({ protocol: /^https?$/ }).refine((url) => !/[?#]|\/\/[^/]*@/.test(url), 'no user, query or fragment belongs here').default('https://huggingface.co').describe('model hub of hf: names; a mirror that speaks the same API may stand here'),
    hubTokenFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) with a token for models that the hub gives only to some'),
    connections: z.int().min(1).max(16).default(4).describe('connections for one large file'),
  }).prefault({}),
})
export type Config = z.infer<typeof Config>
