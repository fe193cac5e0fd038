// Owns the bash tool: one shell command in the workspace. Never runs twice after a crash.
import { z } from 'zod'
import { outcomeOf, runProgram } from './run.ts'
import { commandWord, defineTool } from './tool.ts'

export const bash = defineTool({
  name: 'bash',
  description: 'Run a shell command in the folder. There is no network.',
  parameters: z.strictObject({ command: commandWord().describe('the command line') }),
  idempotency: 'unsafe',
  async run(args, context) {
    // stderr joins stdout at the source, so that the model reads both in the order they were written.
    const result = await runProgram({ argv: ['bash', '-c', 'exec 2>&1; eval "$1"', 'bash', args.command], readOnly: false, shown: true }, context)
    return outcomeOf(result, context, true, true)
  },
})
