// Owns the edit tool: exact pieces of a file are replaced, all of them or none. A miss changes nothing and answers with the nearest text.
import { z } from 'zod'
import { decode, isAscii } from './encoding.ts'
import { applyEdits, type Edit } from './match.ts'
import { editBytes, look, notFound, path, shown } from './place.ts'
import { defineFileTool, type Prepared, refused, type ToolContext } from './tool.ts'
import { seenHash } from './traces.ts'
import { answeredWrite, sha256, writeFile } from './write.ts'

const parameters = z.strictObject({
  path,
  old: z.string().optional().describe('exact text that occurs once'),
  new: z.string().optional().describe('text to put there'),
  edits: z.array(z.strictObject({ old: z.string(), new: z.string() })).max(100).optional().describe('several at once, all or none'),
  replace_all: z.boolean().optional().describe('every occurrence'),
})

export const edit = defineFileTool({
  name: 'edit',
  description: 'Replace text in a file: old and new, or a list of edits.',
  parameters,
  simple: ['path', 'old', 'new'],
  async prepare(args, context) {
    const refuse = (problem: string, before: string | null = null): Prepared => {
      const outcome = refused(problem)
      return { before, after: null, path: null, run: () => Promise.resolve(outcome) }
    }
    const edits = editsOf(args)
    if (edits === null) return refuse('edit was not run: give old and new, or edits')
    const found = await look(args.path, { send: 'bytes' }, context)
    const name = shown(args.path)
    if ('missing' in found && edits.length === 1 && edits[0]?.old === '') return create(args.path, found.real, edits[0].new, context)
    if (!('content' in found)) {
      const outcome = notFound(args.path, found, context)
      return { before: null, after: null, path: null, run: () => Promise.resolve(outcome) }
    }
    if (found.size > editBytes) return refuse(`${name} is larger than ${editBytes / 2 ** 20} MiB; use bash to change it`)
    const before = sha256(found.content)
    const file = decode(found.content)
    if (file === null) return refuse(`${name} is a binary file; use bash to change it`, before)
    if (file.text === '' && edits.length === 1 && edits[0]?.old === '') return create(args.path, found.real, edits[0].new, context, before)
    if (file.unknown && !edits.every((one) => isAscii(one.old) && isAscii(one.new))) return refuse(`${name} is not UTF-8: only text in plain ASCII can be replaced in it; use bash for the rest`, before)

    const seen = seenHash(context.past, found.real)
    const stale = seen !== null && seen !== before
    const applied = applyEdits(file.text, edits, args.replace_all === true, name, context.writes)
    if (!applied.ok) return refuse(stale ? `${name} changed since you last saw it; read it again. ${applied.problem[0]?.toUpperCase() ?? ''}${applied.problem.slice(1)}` : applied.problem, before)
    const content = file.encode(applied.text)
    if (content === null) return refuse('new holds half of a character (a lone surrogate)', before)
    if (file.unknown && touchesForeign(file.text, applied.text)) return refuse(`${name} is not UTF-8, and what stands right before the old text may be half of a character; use bash to change it`, before)
    const after = sha256(content)
    const notes = [...(applied.loosely ? ['matched without regard to line ends and invisible characters'] : []), ...(stale ? ['it had changed since you last saw it'] : [])]
    const lines = [...new Set(applied.lines)]
    const where = `line${lines.length === 1 ? '' : 's'} ${lines.slice(0, 12).join(', ')}${lines.length > 12 ? ` and ${lines.length - 12} more` : ''}`
    const done = { ...answeredWrite(`edited ${args.path} at ${where}${notes.map((note) => `\n(${note})`).join('')}`), file: { path: found.real, sha256: after } }
    return { before, after, path: found.real, run: () => writeFile(args.path, content, context, done, before) }
  },
})

/** The simple form and the list are one list; the same edit in both counts once. Null = there is none. */
export function editsOf(args: Pick<z.infer<typeof parameters>, 'old' | 'new' | 'edits'>): Edit[] | null {
  const list = [...(args.edits ?? [])]
  if (args.old !== undefined && args.new !== undefined) {
    if (!list.some((one) => one.old === args.old && one.new === args.new)) list.unshift({ old: args.old, new: args.new })
  } else if (args.old !== undefined || (args.new !== undefined && list.length === 0)) {
    return null
  }
  return list.length === 0 ? null : list
}

function create(name: string, real: string, content: string, context: ToolContext, before: string | null = null): Prepared {
  const after = sha256(content)
  const done = { ...answeredWrite(`wrote ${name}`), file: { path: real, sha256: after } }
  return { before, after, path: real, run: () => writeFile(name, content, context, done, before) }
}

/** In Shift-JIS, GBK or Big5 the second byte of a character may look like ASCII. True when the first change begins right behind a byte from 0x80 on. */
function touchesForeign(before: string, after: string): boolean {
  let at = 0
  while (at < before.length && before[at] === after[at]) at += 1
  return at > 0 && before.charCodeAt(at - 1) >= 0x80
}
