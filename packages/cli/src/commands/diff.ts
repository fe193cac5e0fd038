// Owns `hearth diff`: which job and which step are meant, and in which shape its changes are wanted.
import { Client } from '@hearth/protocol/client'
import type { Command } from '../command.ts'
import { findJob } from '../jobs.ts'
import { printPatch, statLines, type DiffStat } from '../patch.ts'
import { jsonLine } from '../text.ts'

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
    if (args.flag('stat') || args.flag('json')) {
      const stat = await client.call<DiffStat>('GET', `/api/jobs/${encodeURIComponent(job.id)}/diff?stat=1${step === null ? '' : `&step=${step}`}`)
      if (args.flag('json')) ctx.out.line(jsonLine(stat))
      else for (const line of statLines(ctx, stat)) ctx.out.line(line)
      return 0
    }
    await printPatch(ctx, client, job.id, step)
    return 0
  },
}
