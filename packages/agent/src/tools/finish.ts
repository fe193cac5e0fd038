// Owns the finish tool's words. Finishing itself is the loop's: it runs the checks.
import { z } from 'zod'
import { defineTool, refused } from './tool.ts'

export const finish = defineTool({
  name: 'finish',
  description: 'Say that the task is done. The checks are run then.',
  parameters: z.strictObject({ answer: z.string().describe('what was done, or the answer') }),
  idempotency: 'pure',
  run: () => Promise.resolve(refused('finish is decided by the loop')),
})
