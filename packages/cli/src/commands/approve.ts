// Owns `hearth approve`: what waits for a yes, and the answer to it from wherever somebody is.
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Client } from '@hearth/protocol/client'
import { fault, FaultError } from '@hearth/protocol/fault'
import type { JobList } from '@hearth/protocol'
import { answer, openQuestion, questionLines } from '../approval.ts'
import { usageFault } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { findJob } from '../jobs.ts'
import { age, inkOf, table } from '../print.ts'
import { callLines } from '../render.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const mostListed = 1000

export const approve: Command = {
  spec: {
    name: 'approve', operands: '[JOB]', arity: [0, 1],
    about: 'Answers what a job waits with: a call (hearth run --approve, hearth chat --approve), or a text that would leave this box (escalation.consent "ask"). Shows it whole and allows it, or refuses it with --refuse; the job goes on either way. Without JOB it lists what waits. '
      + 'The first answer counts: exit 65 and nothing done when the job does not wait any more, or waits with another call than --call.',
    flags: {
      refuse: { type: 'boolean', help: 'the call is not run' },
      why: { type: 'string', value: 'TEXT', help: 'with --refuse: told the model' },
      look: { type: 'boolean', help: 'only show it' },
      text: { type: 'string', value: 'FILE', help: 'of what would leave the box: send this text instead (- = standard input); it is offered again' },
      call: { type: 'string', value: 'ID', help: 'answer only this call (its id is in the list with --json)' },
    },
    examples: [
      ['hearth approve', 'what waits'],
      ['hearth approve 4f2', 'allows the call that the job waits with'],
      ['hearth approve 4f2 --look', 'shows it, answers nothing'],
      ['ssh box hearth approve 4f2 --refuse --why "\'use the staging folder\'"', 'from elsewhere, with a reason for the model'],
    ],
  },
  async run(ctx, args) {
    const json = args.flag('json')
    const refused = args.flag('refuse')
    const [word] = args.operands
    if (!refused && args.text('why') !== null) throw usageFault('--why goes with --refuse.')
    if (word === undefined && (refused || args.flag('look') || args.text('text') !== null || args.text('call') !== null)) throw usageFault('--refuse, --look, --text and --call go with a JOB.')
    if (refused && args.text('text') !== null) throw usageFault('--refuse and --text cannot both be meant.')
    const client = new Client(ctx.paths.socket)
    if (word === undefined) return await list(ctx, client, json)
    const job = await findJob(client, word)
    const question = await openQuestion(client, job.id)
    if (question === null) throw new FaultError(fault('conflict', { problem: `Job ${job.id} does not wait for an approval.` }))
    // Read before the call may run: it changes what is there.
    const lines = await questionLines(question, ctx.out)
    if (args.flag('look')) {
      if (json) ctx.out.line(jsonLine(question))
      else for (const line of lines) ctx.out.line(line)
      return 0
    }
    const file = args.text('text')
    if (file !== null && question.offered === null) throw usageFault('--text is for a text that would leave this box; this job waits with a call.')
    const text = file === null ? null : readFileSync(file === '-' ? 0 : resolve(ctx.cwd, file), 'utf8')
    const given = { approved: !refused, note: args.text('why') ?? '', ...(text === null ? {} : { text }) }
    const after = await answer(client, job.id, { ...question, callId: args.text('call') ?? question.callId }, given)
    if (json) {
      ctx.out.line(jsonLine(after))
      return 0
    }
    for (const line of lines) ctx.out.line(line)
    ctx.out.line(`${refused ? 'refused' : text === null ? 'allowed' : 'offered again with your text'}; '${job.request.kind === 'chat' ? 'hearth chat --resume' : 'hearth attach'} ${visible(job.id)}' watches on`)
    return 0
  },
}

async function list(ctx: Context, client: Client, json: boolean): Promise<number> {
  const { jobs } = await ask<JobList>(client, `/api/jobs?state=waiting_approval&limit=${mostListed}`)
  const questions = await Promise.all(jobs.map(async (job) => ({ job, question: await openQuestion(client, job.id) })))
  // One may have been answered since the list was made.
  const waiting = questions.flatMap(({ job, question }) => (question === null ? [] : [{ job, question }]))
  if (json) {
    ctx.out.line(jsonLine({ waiting: waiting.map(({ job, question }) => ({ jobId: job.id, model: job.model, ...question })) }))
    return 0
  }
  if (waiting.length === 0) {
    ctx.out.line('nothing waits for an approval')
    return 0
  }
  const { ink, width } = ctx.out
  const plain = { ink: inkOf(false), width: Infinity, cardLines: 1, summary: false }
  const rows = waiting.map(({ job, question }) => [
    { text: oneLine(job.id), ink: ink.bold }, age(Date.now() - question.askedAt), oneLine(job.model),
    oneLine(question.call === null ? question.question : callLines(question.call, plain)[0] ?? ''),
  ])
  for (const line of table([{ title: 'JOB' }, { title: 'ASKED' }, { title: 'MODEL' }, { title: 'CALL' }], rows, width, ink)) ctx.out.line(line)
  return 0
}
