// Owns what the two kinds of lines to an MCP server share: their shape, their bounds, and what they are made of.
import type { Transport } from '@modelcontextprotocol/client'
import type { Limits, McpDoor, Sandbox } from '@hearth/protocol'

/** A message larger than this is no message of an honest server. */
export const messageBytes = 8 * 2 ** 20
/** Messages that nobody asked for in one second; more is a flood, and the server is ended. */
export const messagesPerSecond = 2000

/** `door`: the way to servers at an address; null = there is none. */
export type Place = { sandbox: Sandbox; workspace: string; limits: Limits; door: McpDoor | null }

/** A connection of the MCP client, which knows more of its end than that it ended. */
export type Line = Transport & {
  /** Why it ended, in words; null while it runs. */
  readonly problem: string | null
  /** Its last words. */
  readonly stderr: string
  /** The server forgot the session: what was asked last did not run. */
  readonly forgotten?: boolean
}
