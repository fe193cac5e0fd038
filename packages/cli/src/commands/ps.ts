// Owns `hearth ps`: the list of jobs.
import { Client } from '@hearth/protocol/client'
import { liveStates } from '@hearth/protocol/outcome'
import type { Job, JobList } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { age, duration, table } from '../print.ts'
import { stateInk } from '../render.ts'
import { jsonLine, oneLine } from '../text.ts'

export const ps: Command = {
  spec: {
    name: 'ps', operands: '', arity: [0, 0],
    about: 'Lists the jobs that run or wait; with --all also those that are over, newest first.',
    flags: {
      all: { type: 'boolean', short: 'a', help: 'also the jobs that are over' },
      limit: { type: 'string', short: 'n', value: 'N', help: 'at most so many (default 50)' },
    },
    examples: [['hearth ps --all --limit 5', 'the last five jobs']],
  },
  async run(ctx, args) {
    const limit = args.whole('limit', 1) ?? 50
    const client = new Client(ctx.paths.socket)
    const list = async (query: string): Promise<Job[]> => (await ask<JobList>(client, `/api/jobs?limit=${limit}${query}`)).jobs
    const listed = args.flag('all') ? await list('') : live(await Promise.all(liveStates.map((state) => list(`&state=${state}`)))).slice(0, limit)
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ jobs: listed }))
      return 0
    }
    if (listed.length === 0) {
      ctx.out.line(args.flag('all') ? 'no jobs yet' : "nothing runs or waits ('hearth ps --all' lists what is over)")
      return 0
    }
    const { ink, width } = ctx.out
    const now = Date.now()
    const rows = listed.map((job) => [
      { text: oneLine(job.id), ink: ink.bold }, { text: job.state, ink: stateInk(job.state, ink) },
      age(now - job.createdAt), ran(job, now), oneLine(job.model), oneLine(job.request.prompt),
    ])
    const head = [{ title: 'JOB' }, { title: 'STATE' }, { title: 'CREATED' }, { title: 'TIME', side: 'right' as const }, { title: 'MODEL' }, { title: 'PROMPT' }]
    for (const line of table(head, rows, width, ink)) ctx.out.line(line)
    return 0
  },
}

/** One list, newest first. A job that changed its state between two answers is there once. */
function live(lists: readonly Job[][]): Job[] {
  const byId = new Map(lists.flat().map((job) => [job.id, job]))
  return [...byId.values()].sort((a, b) => b.createdAt - a.createdAt)
}

function ran(job: Job, now: number): string {
  return job.startedAt === null ? '-' : duration((job.endedAt ?? now) - job.startedAt)
}
