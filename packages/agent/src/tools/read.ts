// Owns the read tool: a text file, or the kept output of an earlier call, page by page. Never shows a binary file.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { withoutHiddenComments } from '../observe.ts'
import { kindOf } from '../observe/binary.ts'
import { look, notFound, path, shown } from './place.ts'
import { answered, defineTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'

export const read = defineTool({
  name: 'read',
  description: 'Read a text file. output:ID reads the full output of an earlier call.',
  parameters: z.strictObject({
    path,
    offset: z.int().min(1).optional().describe('first line, from 1'),
    limit: z.int().min(1).optional().describe('number of lines'),
  }),
  idempotency: 'pure',
  async run({ path: name, offset = 1, limit = 0 }, context) {
    if (name.startsWith('output:')) return readOutput(name.slice('output:'.length), offset, limit, context)
    // Room for the words that say what follows.
    const room = Math.max(200, context.shownBytes - 120)
    const found = await look(name, { send: 'text', offset, limit, maxBytes: room + 1 }, context)
    if (!('content' in found)) return notFound(name, found, context)
    if (found.kind === 'binary') return refused(`${shown(name)} is a binary file (${kindOf(Buffer.from(found.magic, 'hex')) ?? 'unknown kind'}, ${found.size} bytes)`)
    const text = new TextDecoder().decode(found.content)
    const notes: string[] = []
    const whole = found.content.length <= room
    const part = whole ? text : firstLines(text.replace(/\ufffd+$/, ''))
    if (found.lines !== null && offset > 1 && part === '') notes.push(`the file has ${found.lines} lines`)
    if (!whole) notes.push(pageNote(part, offset, found.lines))
    if (found.kind === 'text' && text.includes('\ufffd') && !isUtf8(found.content)) notes.push('it is not UTF-8: some characters are shown as \ufffd')
    const clean = /\.(md|markdown|mdx)$/i.test(name) ? withoutHiddenComments(part) : part
    const outcome = answered(notes.length === 0 ? clean : `${clean.replace(/\n$/, '')}${clean === '' ? '' : '\n'}[${notes.join('; ')}]`)
    return found.sha256 === null ? outcome : { ...outcome, file: { path: found.real, sha256: found.sha256 } }
  },
})

/** Whole lines of a text that was cut; the text itself when it is one line. */
function firstLines(text: string): string {
  const end = text.lastIndexOf('\n')
  return end === -1 ? text : text.slice(0, end + 1)
}

function pageNote(part: string, offset: number, lines: number | null): string {
  const count = part.split('\n').length - 1
  if (count === 0) return `line ${offset} is longer than fits here; see parts of it with bash and cut -c`
  const last = offset + count - 1
  return `lines ${offset}-${last}${lines === null ? '' : ` of ${lines}`}; go on with offset ${last + 1}`
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    // The last character may be cut.
    new TextDecoder('utf-8', { fatal: true }).decode(bytes, { stream: true })
    return true
  } catch {
    return false
  }
}

/** Lines of a kept output. The id names a file of this job's own folder and can name no other. */
async function readOutput(id: string, offset: number, limit: number, context: ToolContext): Promise<ToolOutcome> {
  if (!/^[A-Za-z0-9_-]{1,80}$/.test(id)) return refused(`there is no output ${id.slice(0, 80)}`)
  const room = Math.max(200, context.shownBytes - 120)
  const lines: string[] = []
  let size = 0
  let more = false
  try {
    await using file = await open(join(context.outputDir, `${id}.txt`))
    let number = 0
    for await (const line of file.readLines({ encoding: 'utf8' })) {
      number += 1
      if (number < offset) continue
      if ((limit > 0 && lines.length >= limit) || size >= room) {
        more = true
        break
      }
      lines.push(line.slice(0, room - size))
      size += line.length + 1
    }
  } catch {
    return refused(`there is no output ${id}`)
  }
  const text = lines.join('\n')
  return answered(more && limit === 0 ? `${text}\n[lines ${offset}-${offset + lines.length - 1}; go on with offset ${offset + lines.length}]` : text)
}
