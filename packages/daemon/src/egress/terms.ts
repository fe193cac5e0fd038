// Owns what policy, path rules and taint say now of each way out of a job: a question to a model, a call to an MCP server, a connection of its tools. Knows no secret, no
// money and no network.
import { isThisBox, type Config, type Consent, type Consultation, type Denial, type EndpointConfig, type Job, type McpServer, type Principal, type ProviderConfig, type RemoteModelConfig } from '@hearth/protocol'
import { wholeJob } from '../meter/ask.ts'
import type { Projects } from '../projects.ts'
import type { Query } from '../store/db.ts'
import { text } from '../store/rows.ts'
import type { Store } from '../store/store.ts'
import { namesOfFile } from './links.ts'
import { neverLeaves, type PathLists, type PathRule } from './paths.ts'
import { saysPrincipal, strictest, type Effective, type Source } from './policy.ts'
import { strangerIn, TaintReader, type Taint } from './taint.ts'

/** Somebody who could answer. */
export type Seller = { place: 'remote'; id: string; host: string; provider: ProviderConfig; model: RemoteModelConfig }
export type Asked = Seller | { place: 'lan'; id: string; host: string; endpoint: EndpointConfig } | { place: 'local'; id: string; host: string }

/** MCP servers of a job's folder, by name. */
export type Servers = Readonly<Record<string, McpServer>>

export type Terms = { ok: true; consent: 'ask' | 'auto'; secrets: 'redact' | 'hold' } | { ok: false; denial: Denial }

export type TermsOptions = { config: Config; projects: Projects; store: Store }

export class JobTerms {
  readonly #job: Job
  readonly #servers: Servers
  readonly #o: TermsOptions
  readonly #now: () => number
  /** Where the job works, when that is known. */
  #folder: string | null = null
  #read: { sign: string; seq: number; reader: TaintReader } | null = null

  /** `servers`: MCP servers of the job's folder, by name. */
  constructor(job: Job, servers: Servers, options: TermsOptions, now: () => number) {
    this.#job = job
    this.#servers = servers
    this.#o = options
    this.#now = now
  }

  /** Policy as it is now, for this question and this answerer. */
  of({ id, mode, packet }: Pick<Consultation, 'id' | 'mode' | 'packet'>, one: Asked): Terms {
    const held = effectiveOf(this.#o, this.#job, this.#now())
    // Who gave the job named this machine: it is asked for nothing, and buys nothing.
    const named = one.place === 'lan' && one.id === this.#job.model
    if (!named && !held.modes.includes(mode)) return deny('mode', `'${mode}' is not allowed by ${sources[held.because.modes[mode] ?? 'box']}.`, 'Allow it there, or go on without.')
    if (staysIn(one)) return { ok: true, consent: 'auto', secrets: 'redact' }
    if (!named && held.consent === 'never') return deny('consent', `Nothing may be bought: ${sources[held.because.consent]} says so.`, "Set the consent to 'ask' or 'auto' there.")
    if (held.dataClass === 'local-only') return deny('data_class', `Nothing of this job may leave the house: ${sources[held.because.dataClass]} says local-only.`, 'Go on without, or let it leave there.')
    const lists = this.lists()
    const kept = packet.files.flatMap((path) => { const found = this.keeps(path, lists); return found === null ? [] : [{ path, why: found.why }] })[0]
    if (kept !== undefined) return deny('data_class', `Something of ${kept.path} would leave, and it may not: ${kept.why}.`, 'Ask without that file.')
    const { localFile, ownerFile } = this.#taint(lists)
    const seen = localFile ?? (id === wholeJob ? ownerFile : null)
    if (seen !== null) return hasSeen(seen)
    // Strangers' words, the owner's files and a way out: of these three two at most without a person (the rule of two).
    return { ok: true, consent: named || (held.consent === 'auto' && strangerIn(this.#taint(lists)) === null) ? 'auto' : 'ask', secrets: secretsOf(held) }
  }

  /**
   * The same for a call to an MCP server outside of this box. Who named it in the configuration, or approved the folder's file, has consented to it, so what the box says of
   * buying is not asked; `own` is what its entry says, null = nothing. Project, key and job make it stricter. What the server itself answered before counts as no
   * stranger's words to it; a yes of its own entry is one to everybody's.
   */
  ofServer(name: string, own: Consent | null): Terms & { why?: string } {
    const held = this.#outward({ consent: own ?? 'auto' })
    const shut = this.#shut(held)
    if (shut !== null) return shut
    if (held.consent === 'never') return deny('consent', `The server '${name}' may not be asked: ${sourceOf(held.because.consent, name)} says never.`, 'Allow it there, or go on without.')
    const lists = this.lists()
    const taint = this.#taint(lists)
    if (taint.ownerFile !== null) return hasSeen(taint.ownerFile)
    const stranger = own === 'auto' ? null : strangerIn(taint, name)
    return {
      ok: true, secrets: secretsOf(held), consent: stranger === null ? held.consent : 'ask',
      ...(held.consent === 'ask' ? { why: `${sourceOf(held.because.consent, name)} says ask` } : stranger === null ? {} : { why: `words of strangers are in this job (${stranger})` }),
    }
  }

  /** Why the tools of the job may send nothing now; null = they may. Who gave the job named the hosts, which is the yes of a person to all three. */
  ofNetwork(): Denial | null {
    return this.#shut(this.#outward({}))?.denial ?? null
  }

  /** Files that the commands of the job must not see now; null = they may see all. What a job names it may see, and from then on nothing of it leaves. */
  withheld(): PathLists | null {
    const lists = this.lists()
    return lists.localOnly.length > 0 && this.#taint(lists).localFile === null ? lists : null
  }

  /**
   * Nothing of the job could leave as things are, so its commands may see the local-only files that there are: who begins so must say it in `started`, and then nothing of
   * it ever leaves.
   */
  mayShow(): boolean {
    if (this.withheld() === null) return false
    const { config: { escalation, engine, agent } } = this.#o
    const { request, model } = this.#job
    const outward = this.#outward({})
    if (outward.dataClass === 'local-only') return true
    const far = engine.endpoints.filter(({ local }) => !local).map(({ id }) => id)
    const sold = escalation.providers.flatMap(({ models }) => models.map(({ id }) => id))
    const buys = effectiveOf(this.#o, this.#job, this.#now()).consent !== 'never' && far.length + sold.length > 0
    const asks = outward.consent !== 'never' && Object.values({ ...this.#servers, ...agent.mcpServers }).some((server) => 'url' in server && !isThisBox(server.url))
    return !buys && !asks && (request.network ?? []).length === 0 && !far.includes(model) && !sold.includes(model)
  }

  #outward(box: { consent?: Consent }): Effective {
    const { config: { escalation }, projects, store } = this.#o
    const { project: { path }, principal, request } = this.#job
    return strictest({ ...escalation, consent: 'auto', ...box }, [...projects.say(path), ['key', isOver(store, principal, this.#now()) ? { consent: 'never' } : {}], ['job', request.escalation ?? {}]])
  }

  #shut({ dataClass, because }: Effective): { ok: false; denial: Denial } | null {
    if (dataClass === 'local-only') return deny('data_class', `Nothing of this job may leave the house: ${sources[because.dataClass]} says local-only.`, 'Go on without, or let it leave there.')
    const { localFile } = this.#taint(this.lists())
    return localFile === null ? null : hasSeen(localFile)
  }

  /** Why nothing of this file may leave, by any name that links give it now; null = its names say nothing against it. */
  keeps(path: string, lists = this.lists()): PathRule | null {
    this.#folder ??= folderOf(this.#o.store.read.query, this.#job.id)
    return neverLeaves(namesOfFile(this.#folder ?? this.#job.request.cwd, path), lists)
  }

  lists(): PathLists {
    return { owner: this.#o.config.escalation.neverPaths, ...this.#o.projects.keeps(this.#job.project.path) }
  }

  /** What the job has touched until now: each event is read once, and all of them again only when the lists changed. */
  #taint(lists: PathLists): Taint {
    const sign = JSON.stringify(lists)
    if (this.#read?.sign !== sign) {
      const remoteServers = new Set(Object.entries({ ...this.#servers, ...this.#o.config.agent.mcpServers }).flatMap(([name, server]) => ('command' in server ? [] : [name])))
      this.#read = { sign, seq: 0, reader: new TaintReader(lists, { network: (this.#job.request.network ?? []).length > 0, remoteServers }) }
    }
    const events = this.#o.store.read.events(this.#job.id, this.#read.seq, -1)
    this.#read.seq = events.at(-1)?.seq ?? this.#read.seq
    return this.#read.reader.read(events)
  }
}

function hasSeen(path: string): { ok: false; denial: Denial } {
  return deny('data_class', `This job has seen ${path}, which never leaves the house, so nothing of the job does.`, 'Do that part in a job of its own.')
}

function secretsOf({ dataClass }: Pick<Effective, 'dataClass'>): 'redact' | 'hold' {
  return dataClass === 'redact' ? 'redact' : 'hold'
}

/** What the box says of a server is its entry. */
function sourceOf(source: Source, server: string): string {
  return source === 'box' ? `its entry (agent.mcpServers.${server}.consent)` : sources[source]
}

const sources: Readonly<Record<Source, string>> = { box: 'the configuration of this box', project: 'the project of this folder', key: 'the key that gave the job', job: 'the job' }

/** What holds for a job now, of box, project, key and job the strictest. */
export function effectiveOf({ config: { escalation }, projects, store }: TermsOptions, { project: { path }, principal, request }: Job, now: number): Effective {
  return strictest(escalation, [...projects.say(path), ['key', isOver(store, principal, now) ? { consent: 'never' } : saysPrincipal(principal)], ['job', request.escalation ?? {}]])
}

/** What holds for a client of the API that named a machine outside: the box decides, and the key. */
export function ofBox({ escalation: { dataClass } }: Config, store: Store, principal: Principal, now: number): { ok: true; secrets: 'redact' | 'hold' } | { ok: false; denial: Denial } {
  if (isOver(store, principal, now)) return deny('consent', 'The key of this request may not be used any more.', 'Use another key.')
  if (dataClass === 'local-only') return deny('data_class', `Nothing may leave the house: ${sources.box} says local-only.`, 'Use a model of this box, or say in engine.endpoints that the machine counts as it.')
  return { ok: true, secrets: secretsOf({ dataClass }) }
}

/** The key that gave the job was revoked, or its time is over: nothing is bought for it any more. */
function isOver({ read }: Store, { id }: Principal, now: number): boolean {
  const key = id.startsWith('key:') ? read.key(id.slice('key:'.length))?.key : undefined
  return key !== undefined && (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now))
}

/** The folder that the job's tools see as theirs; null until there is one. */
function folderOf(query: Query, jobId: string): string | null {
  const [row] = query("SELECT json_extract(body, '$.path') AS path FROM events WHERE job_id = ? AND type = 'workspace' ORDER BY seq LIMIT 1", jobId)
  return row === undefined ? null : text(row, 'path')
}

export function deny(rule: Denial['rule'], why: string, remedy: string): { ok: false; denial: Denial } {
  return { ok: false, denial: { rule, why, remedy } }
}

/** Nothing of it leaves the house: this box, or a machine that the owner counts as it. */
export function staysIn(one: Asked): boolean {
  return one.place === 'local' || (one.place === 'lan' && one.endpoint.local)
}
