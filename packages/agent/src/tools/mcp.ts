// Owns the tool mcp: the tools of the job's MCP servers behind one name, so that their schemas cost no token before they are used.
import { z } from 'zod'
import type { McpServers } from '../mcp/servers.ts'
import { defineTool, type Tool } from './tool.ts'

/** The tool over the servers of one job; their tools are listed in the prompt by name and line. */
export function mcpTool(servers: McpServers): Tool {
  return defineTool({
    name: 'mcp',
    description: 'Use a tool of a server. Without arguments it answers with the schema of that tool.',
    parameters: z.strictObject({
      // Not `tool`: in json mode that key names the tool itself.
      name: z.string().min(1).max(200).describe('name as listed, server__tool'),
      arguments: z.record(z.string(), z.unknown()).optional().describe('arguments by that schema; {} for none'),
    }),
    idempotency: 'unsafe',
    async run({ name, arguments: args }, context) {
      const answer = args === undefined ? await servers.describe(name) : await servers.call(name, args, context.limits.wallMs, context.signal)
      return {
        ok: answer.ok, exitCode: null, cause: answer.ok ? 'exited' : 'failed', text: answer.text, totalBytes: Buffer.byteLength(answer.text), outputFile: null,
        // A server works on the same folder.
        wrote: args !== undefined,
      }
    },
  })
}
