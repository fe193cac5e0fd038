// Owns what of one job's requests may leave for MCP servers outside of this box: policy asked for each, secrets replaced or the request held back, a person's yes where one is
// needed, the record. Puts back in answers what was replaced. Opens no connection and adds no secret of ours.
import type { Consent, Job, JobEvent, McpAddress, ToolCall } from '@hearth/protocol'
import type { Packets } from '../egress/packets.ts'
import { Placeholders, type Redaction } from '../egress/placeholders.ts'
import { scan } from '../egress/scan.ts'
import type { KnownTexts } from '../egress/scan-known.ts'
import type { Terms } from '../egress/terms.ts'

export type OutwardOptions = {
  /** Texts that never leave, as they are now. */
  held(): Promise<KnownTexts>
  packets: Pick<Packets, 'record'>
  /** Key of the placeholders; outlives the daemon. */
  placeholderKey(): Promise<Buffer>
}

/** One job as its requests are judged. */
export type Asking = {
  job: Pick<Job, 'id' | 'principal'>
  /** What holds for this server now; `why`: why a person is asked. */
  terms: { ofServer(name: string, own: Consent | null): Terms & { why?: string } }
  /** All that happened in the job until now. */
  events(): readonly JobEvent[]
}

export type Server = { name: string } & Pick<McpAddress, 'url' | 'consent'>

/** Requests with nothing of the job in them: what connects, and what lists the tools. */
const plain = /^(?:initialize|ping|tools\/list|notifications\/[a-z_/]+)$/
const shownCharacters = 4000

export class Outward {
  readonly #o: OutwardOptions
  readonly #asking: Asking
  #placeholders: Promise<Placeholders> | null = null

  constructor(asking: Asking, options: OutwardOptions) {
    this.#asking = asking
    this.#o = options
  }

  /** The body as it may leave, which is on record by then. Rejects with a sentence when it may not: then nothing leaves. */
  async leave(server: Server, body: string | null): Promise<string | null> {
    const terms = this.#terms(server)
    if (!terms.ok) throw new Error(sentence(terms.denial))
    if (body === null) return null
    const said = messageIn(body)
    if (terms.consent === 'ask' && !plain.test(said.method ?? '') && !this.#allowed(server.name, said.params)) throw new Error(`nothing was sent to it: a person has to allow this call first (${terms.why ?? 'the policy says ask'})`)
    const { value, redactions } = await this.#hidden(terms, said.message)
    const text = JSON.stringify(value)
    const { job } = this.#asking
    const recorded = await this.#o.packets.record({ jobId: job.id, escalation: null, principal: job.principal.id, purpose: 'mcp', host: hostOf(server), model: server.name, redactions }, text)
    if (!recorded.ok) throw new Error(sentence({ why: recorded.fault.message, remedy: recorded.fault.remedy }))
    return text
  }

  /** What a person is asked before this call may leave; null = nobody is, or it may not leave anyway, which the call is told when it tries. */
  async question(server: Server, tool: string, args: Readonly<Record<string, unknown>>): Promise<string | null> {
    const terms = this.#terms(server)
    if (!terms.ok || terms.consent === 'auto') return null
    const found = await this.#hidden(terms, args).catch(() => null)
    if (found === null) return null
    const text = JSON.stringify(found.value, null, 1)
    const replaced = found.redactions.length === 0 ? '' : `; replaced: ${found.redactions.map(({ kind, count }) => `${count} ${kind}`).join(', ')}`
    return `May this be sent to ${hostOf(server)} (${server.name}__${tool}, ${Buffer.byteLength(JSON.stringify(found.value))} bytes${replaced})? It is asked because ${terms.why ?? 'the policy says ask'}.\n${text.length > shownCharacters ? `${text.slice(0, shownCharacters)}\n[... the whole call stands in its turn]` : text}`
  }

  /** The answer with what was replaced put back: it stays in the house. */
  async back(answer: Response): Promise<Response> {
    if (answer.body === null || this.#placeholders === null) return answer
    const words = (await this.#placeholders).stream({ json: true })
    const decoder = new TextDecoder()
    const put = (text: string, controller: TransformStreamDefaultController<Uint8Array>): void => {
      if (text !== '') controller.enqueue(Buffer.from(text))
    }
    const restored = new TransformStream<Uint8Array, Uint8Array>({
      transform: (chunk, controller) => put(words.push(decoder.decode(chunk, { stream: true })), controller),
      flush: (controller) => put(words.push(decoder.decode()) + words.end(), controller),
    })
    return new Response(answer.body.pipeThrough(restored), { status: answer.status, headers: answer.headers })
  }

  #terms(server: Server): Terms & { why?: string } {
    return this.#asking.terms.ofServer(server.name, server.consent)
  }

  async #hidden(terms: Extract<Terms, { ok: true }>, value: unknown): Promise<{ value: unknown; redactions: Redaction[] }> {
    this.#placeholders ??= this.#o.placeholderKey().then((key) => new Placeholders(key, this.#asking.job.id)).catch((error: unknown) => {
      // A key file that is mended is read again.
      this.#placeholders = null
      throw error
    })
    const held = await this.#o.held()
    const hidden = await (await this.#placeholders).hideInside(value, held)
    // What was cut over several texts stands only in all of them together.
    const cut = await scan(JSON.stringify(hidden.value), held)
    if (cut.length === 0 && (terms.secrets === 'redact' || hidden.places.length === 0)) return hidden
    const where = [...hidden.places.map(({ kind, at }) => `${kind} at ${at}`), ...cut.map(({ kind }) => kind)]
    throw new Error(`nothing was sent to it: a secret stands in the request (${[...new Set(where)].slice(0, 5).join(', ')})`)
  }

  /** A person allowed the very call that runs now. */
  #allowed(server: string, params: unknown): boolean {
    const events = this.#asking.events()
    const planned = events.flatMap((event) => (event.type === 'tool_planned' && event.call.name === 'mcp' ? [event.call] : [])).at(-1)
    return planned !== undefined && isCallOf(planned, server, params) && events.some((event) => event.type === 'approval_given' && event.callId === planned.id && event.approved)
  }
}

function isCallOf({ arguments: given }: ToolCall, server: string, params: unknown): boolean {
  const asked = params as { name?: unknown; arguments?: unknown } | null
  return typeof asked?.name === 'string' && given['name'] === `${server}__${asked.name}` && JSON.stringify(given['arguments']) === JSON.stringify(asked.arguments)
}

function messageIn(body: string): { message: unknown; method: string | null; params: unknown } {
  const message: unknown = JSON.parse(body)
  if (typeof message !== 'object' || message === null || !('method' in message)) return { message, method: null, params: null }
  return { message, method: typeof message.method === 'string' ? message.method : null, params: 'params' in message ? message.params : null }
}

function hostOf({ url }: Server): string {
  return new URL(url).host
}

function sentence({ why, remedy }: { why: string; remedy: string }): string {
  return `${why} ${remedy}`.replace(/\.$/, '')
}
