// Owns `hearth show`: one job on one page.
import { Client } from '@hearth/protocol/client'
import { isEnded } from '@hearth/protocol/outcome'
import type { Job } from '@hearth/protocol'
import type { Command } from '../command.ts'
import { stored } from '../follow.ts'
import { findJob } from '../jobs.ts'
import { lookOf } from '../live.ts'
import { age, duration, fields } from '../print.ts'
import { eventLines, faultLines, outcomeWords, receiptLines, stateInk } from '../render.ts'
import { jsonLine, oneLine, visible } from '../text.ts'

const lastEvents = 12

export const show: Command = {
  spec: {
    name: 'show', operands: '[JOB]', arity: [0, 1],
    about: 'Prints one job on one page: what was asked, its state, whether it is verified, what it cost, and its last events. JOB is an id or the beginning of one; without it the newest job.',
    flags: {},
    examples: [['hearth show', 'the newest job'], ['hearth show 4f2 --json', 'the job whose id begins with 4f2, as JSON']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const job = await findJob(client, args.operands[0])
    if (args.flag('json')) {
      ctx.out.line(jsonLine(job))
      return 0
    }
    const { ink } = ctx.out
    const look = { ...lookOf(ctx.out, true), cardLines: 6 }
    const now = Date.now()
    const words = isEnded(job.state) ? outcomeWords(job.state) : job.state
    for (const line of fields(rowsOf(job, now), ink)) ctx.out.line(line)
    ctx.out.line()
    ctx.out.line(stateInk(job.state, ink)(ink.bold(words)))
    if (job.fault !== null) faultLines(job.fault, look).forEach((line) => ctx.out.line(line))
    if (job.receipt !== null) receiptLines(job.receipt, look).forEach((line) => ctx.out.line(line))
    if (job.summary !== null && job.summary.trim() !== '') ctx.out.line(`\n${visible(job.summary).trim()}`)
    const lines: string[] = []
    for await (const event of stored(client, job.id, Math.max(0, job.lastSeq - lastEvents))) {
      if (event.type !== 'ended' && event.type !== 'accepted') lines.push(...eventLines(event, look))
    }
    if (lines.length > 0) ctx.out.line(`\n${ink.dim(`last events ('hearth logs ${oneLine(job.id)}' has all ${job.lastSeq})`)}`)
    for (const line of lines) ctx.out.line(line)
    return 0
  },
}

function rowsOf(job: Job, now: number): [string, string][] {
  const { request } = job
  const limits = [
    ...(request.maxSteps === null ? [] : [`${request.maxSteps} steps`]),
    ...(request.maxTokens === null ? [] : [`${request.maxTokens} tokens`]),
    ...(request.timeoutSeconds === null ? [] : [duration(request.timeoutSeconds * 1000)]),
  ]
  const verified = job.verified === true ? 'yes, a check passed' : job.verified === false ? 'no' : isEnded(job.state) ? 'no check was asked for' : 'not yet'
  return [
    ['job', oneLine(job.id)],
    ['prompt', visible(request.prompt).trim()],
    ['folder', oneLine(request.cwd)],
    ...(request.result === 'branch' || request.result === 'diff' ? [['result', `as a ${request.result}; it works in a copy`] as [string, string]] : []),
    ['model', oneLine(job.model)],
    ...((request.network ?? []).length === 0 ? [] : [['network', oneLine((request.network ?? []).join(', '))] as [string, string]]),
    ...request.checks.map((check): [string, string] => ['check', visible(check)]),
    ...(limits.length === 0 ? [] : [['limits', limits.join(', ')] as [string, string]]),
    ...Object.entries(request.tags).map(([key, value]): [string, string] => ['tag', oneLine(`${key}=${value}`)]),
    ['asked by', oneLine(job.principal.id)],
    ['created', `${new Date(job.createdAt).toISOString()} (${age(now - job.createdAt)})`],
    ...(job.startedAt === null ? [] : [['ran', duration((job.endedAt ?? now) - job.startedAt)] as [string, string]]),
    ['verified', verified],
  ]
}
