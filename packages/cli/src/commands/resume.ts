// Owns `hearth resume`: a job that waits for money goes on.
import { Client } from '@hearth/protocol/client'
import type { Job } from '@hearth/protocol'
import type { Command } from '../command.ts'
import { findJob } from '../jobs.ts'
import { jsonLine, visible } from '../text.ts'
import { watch } from '../watch.ts'

export const resume: Command = {
  spec: {
    name: 'resume', operands: 'JOB', arity: [1, 1],
    about: 'Lets a job go on that waits for money, and watches it as `hearth run` does. With --budget its own limit is another one from now on; what the box, its project and who gave it allow still holds. '
      + 'JOB is an id or the beginning of one. A job that waits longer than escalation.pauseSeconds ends as over_budget.',
    flags: {
      budget: { type: 'string', value: 'USD', help: 'money the whole job may spend, with what it has spent already (default: as before)' },
      worth: { type: 'string', value: 'USD', help: 'what the job is worth when it is resolved; it never spends more than this times its chance (default: as before)' },
      detach: { type: 'boolean', short: 'd', help: 'do not watch it' },
      quiet: { type: 'boolean', short: 'q', help: 'no progress and no receipt' },
    },
    examples: [['hearth resume 4f2 --budget 2.50', 'goes on until it has spent two dollars and a half in all']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const [budgetUsdMicros, worthUsdMicros] = [args.usdMicros('budget'), args.usdMicros('worth')]
    const { id, lastSeq } = await findJob(client, args.operands[0])
    const job = await client.call<Job>('POST', `/api/jobs/${encodeURIComponent(id)}/resume`, { budgetUsdMicros, ...(worthUsdMicros === null ? {} : { worthUsdMicros }) })
    const json = args.flag('json')
    if (!args.flag('detach')) {
      ctx.err.line(visible(id))
      return await watch(ctx, id, { json, quiet: args.flag('quiet'), after: lastSeq, interrupt: 'leave' })
    }
    ctx.out.line(json ? jsonLine(job) : `${visible(id)} goes on`)
    return 0
  },
}
