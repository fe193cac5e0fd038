// Owns the edit tool: replace one exact, unique piece of text. A miss changes nothing and answers with the nearest text.
import { z } from 'zod'
import { contentOf, path, writeFile } from './files.ts'
import { defineTool, refused } from './tool.ts'

export const edit = defineTool({
  name: 'edit',
  description: 'Replace a piece of text that occurs exactly once in a file.',
  parameters: z.strictObject({
    path,
    old: z.string().min(1).describe('the exact text to replace'),
    new: z.string().describe('the text to put there'),
  }),
  idempotency: 'compare',
  target: (args) => ({ path: args.path, content: null }),
  async run(args, context) {
    const before = await contentOf(args.path, context)
    if (before === null) return refused(`there is no text file ${args.path} of less than 2 MiB`)
    // Bytes that are no UTF-8 were read as this character and would be written back as it.
    if (before.includes('\ufffd')) return refused(`${args.path} is not UTF-8 text; use bash to change it`)
    const places = occurrences(before, args.old)
    if (places === 0) return refused(`the old text does not occur in ${args.path}. The nearest text there is:\n${nearest(before, args.old)}`)
    if (places > 1) return refused(`the old text occurs ${places} times in ${args.path}; give more of its surroundings`)
    const at = before.indexOf(args.old)
    const after = before.slice(0, at) + args.new + before.slice(at + args.old.length)
    return writeFile(args.path, after, context, `edited ${args.path}`)
  },
})

export function occurrences(text: string, piece: string): number {
  let count = 0
  for (let at = text.indexOf(piece); at !== -1; at = text.indexOf(piece, at + 1)) count += 1
  return count
}

/** The run of as many lines as `wanted` has that shares most words with it; the first of equals. At most 40 lines. */
export function nearest(text: string, wanted: string): string {
  const lines = text.split('\n')
  const size = Math.min(wanted.split('\n').length, 40)
  const words = new Set(wanted.match(/\w+/g) ?? [])
  const score = lines.map((line) => (line.match(/\w+/g) ?? []).filter((word) => words.has(word)).length)
  let best = 0
  let sum = score.slice(0, size).reduce((a, b) => a + b, 0)
  let most = sum
  for (let start = 1; start + size <= lines.length; start += 1) {
    sum += (score[start + size - 1] ?? 0) - (score[start - 1] ?? 0)
    if (sum > most) [most, best] = [sum, start]
  }
  return lines.slice(best, best + size).join('\n')
}
