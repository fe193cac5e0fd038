// Owns the file tools read, write, grep and glob: each is a short program inside the sandbox, so a path can never lead out of it.
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { outcomeOf, runProgram } from './run.ts'
import { commandWord, defineTool, refused, type ToolContext, type ToolOutcome } from './tool.ts'

export const path = commandWord().max(4096).describe('path, relative to the folder')

// $1 path, $2 first line, $3 number of lines (0 = all). A special file would block or never end.
const readScript = `
if [ -d "$1" ]; then echo "$1 is a folder; use glob or bash ls" >&2; exit 2; fi
if [ ! -e "$1" ]; then echo "there is no file $1" >&2; exit 2; fi
if [ ! -f "$1" ]; then echo "$1 is not a regular file" >&2; exit 2; fi
if [ -s "$1" ] && ! grep -qI . -- "$1" && [ "$(head -c 4096 -- "$1" | tr -d '\\n' | wc -c)" -gt 0 ]; then echo "$1 is a binary file" >&2; exit 2; fi
if [ "$3" -gt 0 ]; then tail -n "+$2" -- "$1" | head -n "$3"; else tail -n "+$2" -- "$1"; fi`

export const read = defineTool({
  name: 'read',
  description: 'Read a text file. output:ID reads the full output of an earlier call.',
  parameters: z.strictObject({
    path,
    offset: z.int().min(1).optional().describe('first line, from 1'),
    limit: z.int().min(1).optional().describe('number of lines'),
  }),
  idempotency: 'pure',
  async run(args, context) {
    if (args.path.startsWith('output:')) return readOutput(args.path.slice('output:'.length), args.offset ?? 1, args.limit ?? 400, context)
    const result = await runProgram({ argv: ['sh', '-c', readScript, 'sh', args.path, String(args.offset ?? 1), String(args.limit ?? 0)], readOnly: true }, context)
    return outcomeOf(result, context, false, false)
  },
})

/** More than any observation holds. */
const readCharacters = 2 ** 20

/** Lines of a kept output. The id names a file of this job's own folder and can name no other. */
async function readOutput(id: string, offset: number, limit: number, context: ToolContext): Promise<ToolOutcome> {
  if (!/^[A-Za-z0-9_-]{1,80}$/.test(id)) return refused(`there is no output ${id.slice(0, 80)}`)
  const lines: string[] = []
  let size = 0
  try {
    await using file = await open(join(context.outputDir, `${id}.txt`))
    let number = 0
    for await (const line of file.readLines({ encoding: 'utf8' })) {
      number += 1
      if (number < offset) continue
      lines.push(line.slice(0, readCharacters - size))
      size += line.length
      if (lines.length >= limit || size >= readCharacters) break
    }
  } catch {
    return refused(`there is no output ${id}`)
  }
  const text = lines.join('\n')
  return { ok: true, exitCode: 0, cause: 'exited', text, totalBytes: Buffer.byteLength(text), outputFile: null, wrote: false }
}

export const write = defineTool({
  name: 'write',
  description: 'Write a whole file; folders are made as needed.',
  parameters: z.strictObject({ path, content: z.string().describe('the new content') }),
  idempotency: 'compare',
  target: (args) => ({ path: args.path, content: args.content }),
  run: (args, context) => writeFile(args.path, args.content, context, `wrote ${args.path}`),
})

/** Replaces a file's content inside the sandbox and answers with `done`. */
export async function writeFile(file: string, content: string, context: ToolContext, done: string): Promise<ToolOutcome> {
  const script = 'mkdir -p -- "$(dirname -- "$1")" && cat > "$1"'
  const result = await runProgram({ argv: ['sh', '-c', script, 'sh', file], stdin: content, readOnly: false }, context)
  const outcome = outcomeOf(result, context, true, false)
  return outcome.ok ? { ...outcome, text: done } : outcome
}

/** The content of a text file of the workspace, or null when there is none that can be read. At most 2 MiB. */
export async function contentOf(file: string, context: ToolContext): Promise<string | null> {
  const result = await runProgram({ argv: ['cat', '--', file.startsWith('/') ? file : `./${file}`], readOnly: true }, context)
  return result.ok && result.cause === 'exited' && result.exitCode === 0 && !result.stdout.truncated ? result.stdout.text : null
}

/** sha256 of a file of the workspace, computed inside the sandbox; null when it does not exist. */
export async function hashOf(file: string, context: ToolContext): Promise<string | null> {
  const result = await runProgram({ argv: ['sh', '-c', 'sha256sum < "$1"', 'sh', file], readOnly: true }, context)
  const hash = result.ok && result.exitCode === 0 ? result.stdout.text.slice(0, 64) : ''
  return /^[0-9a-f]{64}$/.test(hash) ? hash : null
}

export const grep = defineTool({
  name: 'grep',
  description: 'Search files for an extended regular expression; answers path:line:text.',
  parameters: z.strictObject({
    pattern: commandWord().describe('extended regular expression'),
    path: path.optional().describe('file or folder; default: the whole folder'),
    include: commandWord().optional().describe('only files with such a name, e.g. *.ts'),
  }),
  idempotency: 'pure',
  async run(args, context) {
    const include = args.include === undefined ? [] : [`--include=${args.include}`]
    const script = 'out=$(grep -rnIE --exclude-dir=.git --exclude-dir=node_modules "$@" | cut -c1-400 | head -n 200); [ -n "$out" ] && printf "%s\\n" "$out" || echo "no match"'
    const result = await runProgram({ argv: ['bash', '-c', script, 'bash', ...include, '-e', args.pattern, '--', args.path ?? '.'], readOnly: true }, context)
    return outcomeOf(result, context, false, false)
  },
})

export const glob = defineTool({
  name: 'glob',
  description: 'List files by a pattern such as **/*.ts, sorted, at most 500.',
  parameters: z.strictObject({ pattern: commandWord().max(1024).describe('shell pattern; ** crosses folders') }),
  idempotency: 'pure',
  async run(args, context) {
    // IFS empty: the unquoted expansion is matched against names but never split into words. A word without a wildcard stays as it is.
    const script = 'shopt -s globstar nullglob; IFS=; names=($1); [ ${#names[@]} -eq 1 ] && [ ! -e "${names[0]}" ] && names=(); [ ${#names[@]} -gt 0 ] && printf "%s\\n" "${names[@]}" | head -n 500 || echo "no match"'
    const result = await runProgram({ argv: ['bash', '-c', script, 'bash', args.pattern], readOnly: true }, context)
    return outcomeOf(result, context, false, false)
  },
})
