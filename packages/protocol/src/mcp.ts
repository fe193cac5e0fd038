// Owns the words of MCP servers: a program in the sandbox or an address, what people see of them, and the port to those at an address. Opens nothing.
import { z } from 'zod'
import type { Fault } from './fault.ts'
import { consents } from './principal.ts'

const tools = z.array(z.string()).nullable().default(null).describe('the only tools of it that are offered; null = all, 64 at most')

/** A program that speaks the Model Context Protocol over its stdin and stdout. It runs in the tools' sandbox, without a network. */
const McpProgram = z.strictObject({
  command: z.array(z.string().min(1)).min(1).describe('program and arguments, as the sandbox sees them'),
  env: z.record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/), z.string()).default({}).describe('its environment; a secret here is readable by the server only'),
  tools,
})

// What the daemon, the protocol or HTTP itself says in a request.
const ownHeaders = /^(host|connection|accept|accept-encoding|content-.*|transfer-encoding|user-agent|last-event-id|mcp-.*|expect|upgrade|te|trailer)$/i

/** A server that is reached over HTTP. What it is told leaves the sandbox, and usually the box. */
const McpAddress = z.strictObject({
  url: z.url({ protocol: /^https?$/ }).refine((url) => !/#|\/\/[^/]*@/.test(url), 'no user and no fragment belongs here').describe('where it is; a host that is named here may be on this box or in its network'),
  tokenFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) with a token for it, sent as `authorization: Bearer`; null = none, or that of `hearth mcp login`'),
  headerFiles: z.record(z.string(), z.string().startsWith('/')).refine((files) => Object.keys(files).every((name) => /^[A-Za-z0-9-]{1,64}$/.test(name) && !ownHeaders.test(name)), 'one of these headers is set by the daemon itself, or has no usable name').default({}).describe('further headers by name: the file (0600) that holds the value'),
  oauth: z.strictObject({
    clientId: z.string().min(1).nullable().default(null).describe('as whom to log in; null = the login server is asked for an id'),
    clientSecretFile: z.string().startsWith('/').nullable().default(null).describe('file (0600) with the secret of that id'),
    scope: z.string().min(1).nullable().default(null).describe('what to ask for, separated by blanks; null = what the server names'),
    redirectPort: z.int().min(1024).max(65_535).nullable().default(null).describe('port of this box to which the browser is sent back; null = any free one'),
  }).prefault({}),
  consent: z.enum(consents).nullable().default(null).describe('calls that leave this box. never: none; ask: a person allows each one; auto: none is asked for; null: only when words of strangers (`fetch`, a network, another server) are in the job. A project, a key or a job may be stricter'),
  tools,
}).refine(({ url, tokenFile, headerFiles }) => isSecure(url) || (tokenFile === null && Object.keys(headerFiles).length === 0), { path: ['url'], error: 'a secret is only sent over https, or to this box itself' })
export type McpAddress = z.infer<typeof McpAddress>

export const McpServer = z.union([McpProgram, McpAddress])
export type McpServer = z.infer<typeof McpServer>

/** Whether a URL leads to this box itself, whatever a name server says. */
export function isThisBox(url: string | URL): boolean {
  const { hostname } = new URL(url)
  return hostname === 'localhost' || hostname === '[::1]' || /^127(\.\d{1,3}){3}$/.test(hostname)
}

/** https, or this very box: only there may a secret go (RFC 8252, 8.3). */
export function isSecure(url: string | URL): boolean {
  const { protocol } = new URL(url)
  return protocol === 'https:' || (protocol === 'http:' && isThisBox(url))
}

/** `expired`: it was logged in, and has to be again. */
export const McpLogin = z.enum(['none', 'logged_in', 'expired'])
export type McpLogin = z.infer<typeof McpLogin>

/** A server as people see it. No secret stands in it. */
export const McpServerRow = z.strictObject({
  name: z.string(),
  command: z.array(z.string()).describe('empty: it is at an address'),
  env: z.array(z.string()).describe('names of the variables it sets'),
  url: z.string().optional().describe('where it is, without a query; absent = it is a program'),
  login: McpLogin.optional().describe('of `hearth mcp login`; absent = it is a program, or its token is in a file'),
})
export type McpServerRow = z.infer<typeof McpServerRow>

/** The servers of the configuration. */
export const McpServerList = z.strictObject({ servers: z.array(McpServerRow) })
export type McpServerList = z.infer<typeof McpServerList>

/** The way of one job to its MCP servers at an address. Secrets are added behind it: who holds it never sees one. */
export interface McpDoor {
  /**
   * One request to the server of this name, at its own address and nowhere else. Answers with its status and stream, but rejects
   * with a sentence when it cannot be reached, sends elsewhere (a redirect), or lets nobody in.
   */
  send(server: string, request: { method: 'GET' | 'POST' | 'DELETE'; headers: Readonly<Record<string, string>>; body: string | null; signal: AbortSignal }): Promise<Response>
  /** What a person is asked before this call of a tool may leave: what would be sent, and where. Null = nobody is asked, or it may not leave anyway. Absent = nobody ever is. */
  question?(server: string, tool: string, args: Readonly<Record<string, unknown>>): Promise<string | null>
}

/** One line of the stream of a login: `open` first, then exactly one of the others. */
export type McpLoginEvent =
  /** `page`: where the person agrees, in any browser. `port`: of this box, to which the browser is sent back; what it brings may also be handed in by hand. */
  | { type: 'open'; id: string; page: string; port: number }
  | { type: 'done'; server: McpServerRow }
  | { type: 'failed'; fault: Fault }
