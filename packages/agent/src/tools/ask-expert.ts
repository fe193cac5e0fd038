// Owns the ask_expert tool: the model's own call for help. It is written down and counted; the loop asks, where there is somebody to ask (escalate/). Sends nothing itself.
import { z } from 'zod'
import { answered, defineTool, refused } from './tool.ts'
import { questionRefusal, questionsAtMost } from '../escalate/state.ts'
import { expertQuestions } from './traces.ts'

export const askExpert = defineTool({
  name: 'ask_expert',
  description: 'Ask a stronger model when you are stuck, after you have tried.',
  parameters: z.strictObject({
    question: z.string().min(1),
    tried: z.string().describe('what you tried and what came of it'),
    files: z.array(z.string()).max(20).optional().describe('paths that matter'),
  }),
  simple: ['question', 'tried'],
  idempotency: 'pure',
  run(_args, context) {
    if (context.expert === true) {
      const no = questionRefusal(context.past)
      return Promise.resolve(no === null ? answered('Your question is put. The answer follows.') : refused(`${no}; go on by yourself, or call finish and say what is missing`))
    }
    if (expertQuestions(context.past) >= questionsAtMost) return Promise.resolve(refused('you asked twice already, and there is no expert; go on by yourself, or call finish and say what is missing'))
    return Promise.resolve(answered('No expert is configured. Your question is written down for the owner. Go on by yourself: try another way, or call finish and say what is missing.'))
  },
})
