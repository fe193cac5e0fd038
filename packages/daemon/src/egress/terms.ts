// Owns the terms of one question: what policy, path rules and taint say of it now, for this job and this answerer. Knows no secret, no money and no network.
import type { Config, Consultation, Denial, EndpointConfig, Job, McpServer, Principal, ProviderConfig, RemoteModelConfig } from '@hearth/protocol'
import type { Projects } from '../projects.ts'
import type { Store } from '../store/store.ts'
import { neverLeaves, type PathLists } from './paths.ts'
import { saysPrincipal, strictest, type Effective, type Source } from './policy.ts'
import { TaintReader, type Taint } from './taint.ts'

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
  #read: { sign: string; seq: number; reader: TaintReader } | null = null

  /** `servers`: MCP servers of the job's folder, by name. */
  constructor(job: Job, servers: Servers, options: TermsOptions, now: () => number) {
    this.#job = job
    this.#servers = servers
    this.#o = options
    this.#now = now
  }

  /** Policy as it is now, for this question and this answerer. */
  of({ mode, packet }: Pick<Consultation, 'mode' | 'packet'>, one: Asked): Terms {
    const held = effectiveOf(this.#o, this.#job, this.#now())
    // Who gave the job named this machine: it is asked for nothing, and buys nothing.
    const named = one.place === 'lan' && one.id === this.#job.model
    if (!named && !held.modes.includes(mode)) return deny('mode', `'${mode}' is not allowed by ${sources[held.because.modes[mode] ?? 'box']}.`, 'Allow it there, or go on without.')
    if (staysIn(one)) return { ok: true, consent: 'auto', secrets: 'redact' }
    if (!named && held.consent === 'never') return deny('consent', `Nothing may be bought: ${sources[held.because.consent]} says so.`, "Set the consent to 'ask' or 'auto' there.")
    if (held.dataClass === 'local-only') return deny('data_class', `Nothing of this job may leave the house: ${sources[held.because.dataClass]} says local-only.`, 'Go on without, or let it leave there.')
    const lists = this.lists()
    const kept = packet.files.flatMap((path) => { const found = neverLeaves([path], lists); return found === null ? [] : [{ path, why: found.why }] })[0]
    if (kept !== undefined) return deny('data_class', `Something of ${kept.path} would leave, and it may not: ${kept.why}.`, 'Ask without that file.')
    const { localFile, stranger } = this.#taint(lists)
    if (localFile !== null) return deny('data_class', `This job has seen ${localFile}, which never leaves the house, so nothing of the job does.`, 'Do that part in a job of its own.')
    // Strangers' words, the owner's files and a way out: of these three two at most without a person (the rule of two).
    return { ok: true, consent: named || (held.consent === 'auto' && stranger === null) ? 'auto' : 'ask', secrets: held.dataClass === 'redact' ? 'redact' : 'hold' }
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

const sources: Readonly<Record<Source, string>> = { box: 'the configuration of this box', project: 'the project of this folder', key: 'the key that gave the job', job: 'the job' }

/** What holds for a job now, of box, project, key and job the strictest. */
export function effectiveOf({ config: { escalation }, projects, store }: TermsOptions, { project: { path }, principal, request }: Job, now: number): Effective {
  return strictest(escalation, [...projects.say(path), ['key', isOver(store, principal, now) ? { consent: 'never' } : saysPrincipal(principal)], ['job', request.escalation ?? {}]])
}

/** The key that gave the job was revoked, or its time is over: nothing is bought for it any more. */
function isOver({ read }: Store, { id }: Principal, now: number): boolean {
  const key = id.startsWith('key:') ? read.key(id.slice('key:'.length))?.key : undefined
  return key !== undefined && (key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= now))
}

export function deny(rule: Denial['rule'], why: string, remedy: string): { ok: false; denial: Denial } {
  return { ok: false, denial: { rule, why, remedy } }
}

/** Nothing of it leaves the house: this box, or a machine that the owner counts as it. */
export function staysIn(one: Asked): boolean {
  return one.place === 'local' || (one.place === 'lan' && one.endpoint.local)
}
