// Owns `hearth diff`: the patch as it is into a pipe, readable and coloured on a terminal.
import { Client } from '@hearth/protocol/client'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { findJob } from '../jobs.ts'
import { count, counted } from '../print.ts'
import { columns, cut, jsonLine, oneLine, pad, visible } from '../text.ts'

type DiffStat = { files: { path: string; added: number | null; removed: number | null }[]; added: number; removed: number }

export const diff: Command = {
  spec: {
    name: 'diff', operands: '[JOB]', arity: [0, 1],
    about: 'Prints what a job changed in its folder, as a patch; also while it runs, up to its last step. Into a pipe or a file it is the patch byte for byte, and git apply takes it, binary '
      + 'files included; on a terminal it is coloured and control characters are shown. JOB is an id or the beginning of one; without it the newest job.',
    flags: {
      stat: { type: 'boolean', help: 'only the files and their lines' },
      step: { type: 'string', value: 'N', help: 'only what step N changed' },
    },
    examples: [['hearth diff 4f2 --stat', 'which files, how many lines'], ['hearth diff 4f2 | git apply', 'takes the work of a job that ran with --result diff']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const step = args.whole('step', 1)
    const job = await findJob(client, args.operands[0])
    const address = `/api/jobs/${encodeURIComponent(job.id)}/diff`
    const query = step === null ? '' : `step=${step}`
    if (args.flag('stat') || args.flag('json')) {
      const stat = await client.call<DiffStat>('GET', `${address}?stat=1${query === '' ? '' : `&${query}`}`)
      if (args.flag('json')) ctx.out.line(jsonLine(stat))
      else for (const line of statLines(ctx, stat)) ctx.out.line(line)
      return 0
    }
    const bytes = client.bytes('GET', `${address}${query === '' ? '' : `?${query}`}`, ctx.closed)
    if (!ctx.out.tty) for await (const chunk of bytes) ctx.out.write(chunk)
    else for await (const line of linesOf(bytes)) ctx.out.line(painted(ctx, line))
    return 0
  },
}

function statLines(ctx: Context, stat: DiffStat): string[] {
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
