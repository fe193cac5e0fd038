// Owns `hearth cancel`.
import { Client } from '@hearth/protocol/client'
import { isEnded } from '@hearth/protocol/outcome'
import type { Job } from '@hearth/protocol'
import type { Command } from '../command.ts'
import { findJob } from '../jobs.ts'
import { jsonLine, visible } from '../text.ts'

export const cancel: Command = {
  spec: {
    name: 'cancel', operands: 'JOB', arity: [1, 1],
    about: 'Asks a job to stop: it ends as cancelled as soon as its running step was stopped. JOB is an id or the beginning of one. A job that is over stays as it is.',
    flags: {},
    examples: [['hearth cancel 4f2', 'stops the job whose id begins with 4f2']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const job = await findJob(client, args.operands[0])
    const over = isEnded(job.state)
    if (!over) await client.call('POST', `/api/jobs/${encodeURIComponent(job.id)}/cancel`)
    const after = await client.call<Job>('GET', `/api/jobs/${encodeURIComponent(job.id)}`)
    if (args.flag('json')) ctx.out.line(jsonLine(after))
    else ctx.out.line(over ? `${visible(job.id)} is over already: ${job.state}` : isEnded(after.state) ? `${visible(job.id)} is ${after.state}` : `${visible(job.id)} is being cancelled`)
    return 0
  },
}
