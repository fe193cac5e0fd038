// Owns the plan tool: a short list with states, repeated whole in its answer so that it stands at the end of the history. Keeps nothing itself.
import { z } from 'zod'
import { answered, defineTool, refused } from './tool.ts'

const mostItems = 20
const itemCharacters = 200

export const plan = defineTool({
  name: 'plan',
  description: 'Keep a plan of up to 20 steps. Give the whole list each time, one step a line: [ ] open, [>] now, [x] done.',
  parameters: z.strictObject({ list: z.string().min(1).describe('the steps') }),
  idempotency: 'pure',
  run({ list }) {
    const items = list.split('\n').map(itemOf).filter((item) => item !== null)
    if (items.length === 0) return Promise.resolve(refused('the plan is empty; give one step a line'))
    if (items.length > mostItems) return Promise.resolve(refused(`the plan has ${items.length} steps; ${mostItems} are the most: put some together`))
    const done = items.filter((item) => item.startsWith('[x]')).length
    return Promise.resolve(answered(`${items.join('\n')}\n${done} of ${items.length} done`))
  },
})

/** `- [X] 2. words` -> `[x] words`; a line without a box is an open step. */
function itemOf(line: string): string | null {
  const [, mark = ' ', words = ''] = /^\s*(?:[-*+]|\d+[.)])?\s*(?:\[(.?)\])?\s*(.*?)\s*$/u.exec(line) ?? []
  if (words === '') return null
  const state = /[xX\u2713\u2714]/u.test(mark) ? 'x' : /[>~*\u2192]/u.test(mark) ? '>' : ' '
  return `[${state}] ${words.length > itemCharacters ? `${words.slice(0, itemCharacters)}...` : words}`
}
