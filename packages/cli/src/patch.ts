// Owns how what a job changed reaches the reader: the patch byte for byte into a pipe, readable and coloured on a terminal, or only its files and lines.
import type { Client } from '@hearth/protocol/client'
import type { Context } from './context.ts'
import { count, counted } from './print.ts'
import { columns, cut, oneLine, pad, visible } from './text.ts'

export type DiffStat = { files: { path: string; added: number | null; removed: number | null }[]; added: number; removed: number }

/** `step`: only what that step changed; null = all of the job so far. */
export async function printPatch(ctx: Context, client: Client, jobId: string, step: number | null): Promise<void> {
  const bytes = client.bytes('GET', `/api/jobs/${encodeURIComponent(jobId)}/diff${step === null ? '' : `?step=${step}`}`, ctx.closed)
  if (!ctx.out.tty) for await (const chunk of bytes) ctx.out.write(chunk)
  else for await (const line of linesOf(bytes)) ctx.out.line(painted(ctx, line))
}

export function statLines(ctx: Context, stat: DiffStat): string[] {
  const { ink, width } = ctx.out
  if (stat.files.length === 0) return ['nothing was changed']
  const size = Math.min(Math.max(...stat.files.map(({ path }) => columns(oneLine(path)))), Number.isFinite(width) ? width - 20 : Infinity)
  const lines = stat.files.map(({ path, added, removed }) => {
    const figures = added === null || removed === null ? ink.dim('binary') : `${ink.green(`+${count(added)}`)} ${ink.red(`-${count(removed)}`)}`
    return `${pad(cut(oneLine(path), size), size)}  ${figures}`
  })
  return [...lines, ink.dim(`${counted(stat.files.length, 'file')}, +${count(stat.added)} -${count(stat.removed)}`)]
}

/** Lines of at most a megabyte: a longer one is cut there. */
async function* linesOf(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    yield* lines
    if (rest.length > 2 ** 20) {
      yield rest
      rest = ''
    }
  }
  if (rest !== '') yield rest
}

function painted(ctx: Context, line: string): string {
  const { ink } = ctx.out
  const clean = visible(line)
  if (/^(diff --git |index |--- |\+\+\+ |new file |deleted file |old mode |new mode |similarity |GIT binary )/.test(clean)) return ink.bold(clean)
  if (clean.startsWith('@@')) return ink.cyan(clean)
  return clean.startsWith('+') ? ink.green(clean) : clean.startsWith('-') ? ink.red(clean) : clean
}
