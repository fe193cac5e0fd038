// Owns the MCP servers of one job: started in the sandbox, or reached through the door, when they are first needed, asked for their tools, called, ended
// with the job. A server that lies, hangs or dies is an error text for the model; the job goes on without it.
import type { Client } from '@modelcontextprotocol/client'
import type { EventOf, McpServer } from '@hearth/protocol'
import { harmless } from '../observe.ts'
import type { Line, Place } from './line.ts'

type Told = EventOf<'opened'>['servers'][number]
type Tool = { name: string; description: string; schema: unknown }
export type Answer = { ok: boolean; text: string }

const startMs = 20_000
const toolsAtMost = 64
const pagesAtMost = 8
const lineCharacters = 120
const schemaCharacters = 6000
// After this many deaths a server is left alone for the rest of the job.
const startsAtMost = 3

export class McpServers {
  readonly #open: Map<string, Connection>

  /** Nothing is started here. */
  constructor(servers: Readonly<Record<string, McpServer>>, place: Place) {
    this.#open = new Map(Object.entries(servers).map(([name, server]) => [name, new Connection(name, server, place)]))
  }

  get size(): number {
    return this.#open.size
  }

  /** The tools of all servers by name and line, for the prompt. Starts them all; a server that does not come up is told with its reason. None is waited for any longer when the signal aborts. */
  async list(signal: AbortSignal): Promise<Told[]> {
    const leave = (): void => void this.close()
    signal.addEventListener('abort', leave, { once: true })
    return Promise.all([...this.#open.values()].map(async (server): Promise<Told> => {
      const tools = await server.tools()
      if ('problem' in tools) return { name: server.name, tools: [], problem: tools.problem }
      return { name: server.name, problem: null, tools: tools.map(({ name, description }) => ({ name: `${server.name}__${name}`, line: firstLine(description) })) }
    })).finally(() => signal.removeEventListener('abort', leave))
  }

  /** The description and schema of a tool, as the server tells it. */
  async describe(tool: string): Promise<Answer> {
    const found = await this.#find(tool)
    if ('text' in found) return found
    const { name, description, schema } = found.tool
    return { ok: true, text: `${found.server.name}__${name}: ${harmless(description).slice(0, schemaCharacters)}\nArguments: ${JSON.stringify(schema).slice(0, schemaCharacters)}` }
  }

  /** Calls a tool. The answer is data of a foreign program. */
  async call(tool: string, args: Record<string, unknown>, timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    const found = await this.#find(tool)
    return 'text' in found ? found : found.server.call(found.tool.name, args, timeoutMs, signal)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#open.values()].map((server) => server.close()))
  }

  async #find(name: string): Promise<{ server: Connection; tool: Tool } | Answer> {
    const at = name.indexOf('__')
    const server = this.#open.get(name.slice(0, at))
    if (at < 1 || server === undefined) return { ok: false, text: `there is no tool ${name.slice(0, 120)}; its name begins with the server's: ${[...this.#open.keys()].map((one) => `${one}__`).join(', ')}` }
    const tools = await server.tools()
    if ('problem' in tools) return { ok: false, text: `the server ${server.name} cannot be used: ${tools.problem}` }
    const tool = tools.find((one) => one.name === name.slice(at + 2))
    return tool === undefined ? { ok: false, text: `the server ${server.name} has no tool ${name.slice(at + 2, 120)}; it has ${tools.map((one) => one.name).join(', ')}` } : { server, tool }
  }
}

class Connection {
  readonly name: string
  readonly #server: McpServer
  readonly #place: Place
  #transport: Line | null = null
  #client: Promise<Client> | null = null
  #tools: Promise<Tool[] | { problem: string }> | null = null
  #starts = 0
  #closed = false

  constructor(name: string, server: McpServer, place: Place) {
    this.name = name
    this.#server = server
    this.#place = place
  }

  /** Asked once; a server that could not tell is asked again at the next use. */
  async tools(): Promise<Tool[] | { problem: string }> {
    this.#tools ??= this.#list()
    const tools = await this.#tools
    if ('problem' in tools) this.#tools = null
    return tools
  }

  async call(name: string, args: Record<string, unknown>, timeoutMs: number, signal: AbortSignal): Promise<Answer> {
    for (let first = true; ; first = false) {
      try {
        const client = await this.#connect()
        const result = await client.callTool({ name, arguments: args }, { timeout: timeoutMs, signal })
        return { ok: result.isError !== true, text: textOf(result.content, result.structuredContent) }
      } catch (error) {
        if (first && this.#transport?.forgotten === true) continue
        return { ok: false, text: `${this.name}__${name} failed: ${this.#problem(error)}` }
      }
    }
  }

  /** For good. The line is closed first: who still waits for the server to come up is let go by that. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#transport?.close()
    await this.#client?.then((one) => one.close()).catch(() => undefined)
  }

  async #list(): Promise<Tool[] | { problem: string }> {
    try {
      const client = await this.#connect()
      const found: Tool[] = []
      const signal = AbortSignal.timeout(startMs)
      let cursor: string | undefined
      for (let page = 0; page < pagesAtMost && found.length < toolsAtMost; page++) {
        const { tools, nextCursor } = await client.request({ method: 'tools/list', params: cursor === undefined ? {} : { cursor } }, { signal, timeout: startMs })
        for (const { name, description, inputSchema } of tools) {
          const wanted = this.#server.tools === null || this.#server.tools.includes(name)
          if (wanted && /^[\w.-]{1,64}$/.test(name) && !found.some((one) => one.name === name)) found.push({ name, description: description ?? '', schema: inputSchema })
        }
        if (nextCursor === undefined) break
        cursor = nextCursor
      }
      return found.slice(0, toolsAtMost).toSorted((a, b) => (a.name < b.name ? -1 : 1))
    } catch (error) {
      return { problem: this.#problem(error) }
    }
  }

  #connect(): Promise<Client> {
    if (this.#client !== null && this.#transport?.problem == null) return this.#client
    if (this.#closed) return Promise.reject(new Error('the job is over'))
    if (this.#starts >= startsAtMost) return Promise.reject(new Error(`it ended ${startsAtMost} times`))
    this.#starts += 1
    this.#client = this.#begin()
    this.#client.catch(() => undefined)
    return this.#client
  }

  // The client is only loaded by a job that has a server.
  async #begin(): Promise<Client> {
    const { Client } = await import('@modelcontextprotocol/client')
    await this.#transport?.close()
    const transport = await this.#line()
    if (this.#closed) throw new Error('the job is over')
    this.#transport = transport
    // No schema of a server is compiled in this process: a pattern in it could hold up the whole daemon.
    const client = new Client({ name: 'hearth', version: '1' }, { jsonSchemaValidator: { getValidator: () => (input) => ({ valid: true, data: input as never, errorMessage: undefined }) } })
    client.setNotificationHandler('notifications/tools/list_changed', () => { this.#tools = null })
    try {
      await client.connect(transport, { timeout: startMs })
      return client
    } catch (error) {
      await transport.close()
      throw error
    }
  }

  async #line(): Promise<Line> {
    if ('command' in this.#server) return new (await import('./transport.ts')).SandboxTransport(this.#place, this.#server.command, this.#server.env)
    if (this.#place.door === null) throw new Error('servers at an address cannot be reached from here')
    return new (await import('./http.ts')).HttpTransport(this.name, this.#server.url, this.#place.door)
  }

  /** What the process says of its own end tells more than the connection that it closed. */
  #problem(error: unknown): string {
    const own = this.#transport?.problem ?? null
    const said = complaint(harmless(this.#transport?.stderr ?? ''))
    const text = own !== null && own !== 'it was closed' ? own : plain(error)
    return `${harmless(text).slice(0, 300)}${said === '' ? '' : ` (${said})`}`
  }
}

/** What the library throws, as a person would say it. */
function plain(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof SyntaxError) return 'its answer is no JSON'
  if (error.name === 'ZodError' || error.name === '$ZodError') return 'its answer is no message of the protocol'
  return 'status' in error && typeof error.status === 'number' ? `it answers HTTP ${error.status}` : error.message
}

/** The line of a program's last words that says most: one that names an error, else the last one. */
function complaint(stderr: string): string {
  const lines = stderr.trim().split('\n')
  return (lines.findLast((line) => /error|cannot|not found|failed/i.test(line)) ?? lines.at(-1) ?? '').trim().slice(0, 200)
}

function firstLine(description: string): string {
  return harmless(description).trim().split('\n')[0]?.replace(/\s+/g, ' ').slice(0, lineCharacters) ?? ''
}

function textOf(content: unknown, structured: unknown): string {
  const parts = (Array.isArray(content) ? content : []).map((part: unknown) => {
    const { type, text, mimeType, uri, resource } = (typeof part === 'object' && part !== null ? part : {}) as Record<string, unknown>
    if (type === 'text' && typeof text === 'string') return text
    if (type === 'resource' && typeof resource === 'object' && resource !== null && 'text' in resource && typeof resource.text === 'string') return resource.text
    return `[${String(type)}${typeof mimeType === 'string' ? ` ${mimeType}` : ''}${typeof uri === 'string' ? ` ${uri}` : ''}, not shown]`
  })
  if (parts.length === 0 && structured !== undefined) return JSON.stringify(structured)
  return parts.join('\n')
}
