// Owns `hearth why`: the story of one job's decisions, with the evidence and the price of each.
import { Client } from '@hearth/protocol/client'
import { isEnded } from '@hearth/protocol/outcome'
import type { Command } from '../command.ts'
import { stored } from '../follow.ts'
import { findJob } from '../jobs.ts'
import { outcomeWords, stateInk } from '../render.ts'
import { add, decisionOf, noSums, sumWords, type Decision } from '../story.ts'
import { jsonLine, oneLine, wrap } from '../text.ts'

const labelWidth = 10

export const why: Command = {
  spec: {
    name: 'why', operands: '[JOB]', arity: [0, 1],
    about: 'Tells why a job went as it did: each guard that saw something and what followed, each escalation with what it was offered for, its price, its denial or its answer, and what came of it. '
      + 'JOB is an id or the beginning of one; without it the newest job. With --json one object: the sums and the decisions with their events.',
    flags: {},
    examples: [['hearth why 4f2', 'the decisions of that job, in their order'], ['hearth why --json', 'the same for a program']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const job = await findJob(client, args.operands[0])
    const sums = noSums()
    const decisions: Decision[] = []
    for await (const event of stored(client, job.id, 0)) {
      add(sums, event)
      const decision = decisionOf(event)
      if (decision !== null) decisions.push(decision)
    }
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ job: job.id, state: job.state, sums, decisions }))
      return 0
    }
    const { ink, width } = ctx.out
    const words = isEnded(job.state) ? outcomeWords(job.state) : job.state
    ctx.out.line(`${ink.dim('job')} ${oneLine(job.id)}  ${stateInk(job.state, ink)(words)}`)
    let step: number | null = null
    for (const decision of decisions) {
      const label = decision.step === null || decision.step === step ? '' : `step ${decision.step}`
      step = decision.step ?? step
      for (const [index, line] of wrap(decision.text, width - labelWidth).entries()) ctx.out.line(`${ink.dim((index === 0 ? label : '').padEnd(labelWidth))}${line}`)
    }
    ctx.out.line(ink.dim(sumWords(sums)))
    return 0
  },
}
