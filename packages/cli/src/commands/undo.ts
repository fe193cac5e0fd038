// Owns `hearth undo`.
import { Client } from '@hearth/protocol/client'
import type { UndoReply } from '@hearth/protocol'
import { usageFault } from '../args.ts'
import type { Command } from '../command.ts'
import { findJob } from '../jobs.ts'
import { counted } from '../print.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const namedFiles = 20

export const undo: Command = {
  spec: {
    name: 'undo', operands: 'JOB [STEP]', arity: [1, 2],
    about: 'Puts the folder of a job that is over back to its state after STEP; without STEP to its state before the job. Only files that the job changed are touched, and ignored and large files '
      + 'never. When such a file was changed after the job, nothing is done and the files are named, unless --force is given. What is put away stays kept: hearth undo JOB with a later step brings it back.',
    flags: {
      force: { type: 'boolean', short: 'f', help: 'also files that were changed after the job' },
    },
    examples: [['hearth undo 4f2', 'as if the job had never run'], ['hearth undo 4f2 3', 'back (or forward again) to the state after step 3']],
  },
  async run(ctx, args) {
    const [word, stepWord] = args.operands
    if (stepWord !== undefined && !/^\d{1,6}$/.test(stepWord)) throw usageFault(`STEP is a number, not '${stepWord}'.`)
    const client = new Client(ctx.paths.socket)
    const job = await findJob(client, word)
    const reply = await client.call<UndoReply>('POST', `/api/jobs/${encodeURIComponent(job.id)}/undo`, { toStep: Number(stepWord ?? 0), force: args.flag('force') })
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    const state = reply.toStep === 0 ? 'its state before the job' : `its state after step ${reply.toStep}`
    ctx.out.line(reply.count === 0 ? `${visible(job.request.cwd)} is at ${state} already` : `${visible(job.request.cwd)} is back at ${state}: ${counted(reply.count, 'file')}`)
    for (const file of reply.files.slice(0, namedFiles)) ctx.out.line(`  ${oneLine(file)}`)
    if (reply.count > namedFiles) ctx.out.line(ctx.out.ink.dim(`  … ${counted(reply.count - namedFiles, 'file')} more`))
    return 0
  },
}
