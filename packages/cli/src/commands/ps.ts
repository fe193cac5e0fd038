// Owns `hearth ps`: the list of jobs, and of the models in memory.
import { Client } from '@hearth/protocol/client'
import { liveStates } from '@hearth/protocol/outcome'
import type { Job, JobList, StatusReply } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { age, duration, table, type Ink } from '../print.ts'
import { stateInk } from '../render.ts'
import { jsonLine, oneLine } from '../text.ts'
import { loadedModels, loadedTable } from '../workers.ts'

export const ps: Command = {
  spec: {
    name: 'ps', operands: '', arity: [0, 0],
    about: 'Lists the jobs that run or wait; with --all also those that are over, newest first. Below them the models in memory: how much they take, since when, who uses them, and how long they stay.',
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
    const [{ workers }, every, ...alive] = await Promise.all([
      ask<StatusReply>(client, '/api/status'), args.flag('all') ? list('') : null, ...liveStates.map((state) => list(`&state=${state}`)),
    ])
    const unended = live(alive)
    const listed = every ?? unended.slice(0, limit)
    const models = loadedModels(workers, unended.filter(({ state }) => state === 'running'))
    if (args.flag('json')) {
      ctx.out.line(jsonLine({ jobs: listed, models }))
      return 0
    }
    const { ink, width } = ctx.out
    const now = Date.now()
    if (listed.length === 0) ctx.out.line(args.flag('all') ? 'no jobs yet' : "nothing runs or waits ('hearth ps --all' lists what is over)")
    else for (const line of jobTable(listed, now, width, ink)) ctx.out.line(line)
    if (models.length > 0) for (const line of ['', ...loadedTable(models, now, width, ink)]) ctx.out.line(line)
    return 0
  },
}

function jobTable(jobs: readonly Job[], now: number, width: number, ink: Ink): string[] {
  const rows = jobs.map((job) => [
    { text: oneLine(job.id), ink: ink.bold }, { text: job.state, ink: stateInk(job.state, ink) },
    age(now - job.createdAt), ran(job, now), oneLine(job.model), oneLine(job.request.prompt),
  ])
  const head = [{ title: 'JOB' }, { title: 'STATE' }, { title: 'CREATED' }, { title: 'TIME', side: 'right' as const }, { title: 'MODEL' }, { title: 'PROMPT' }]
  return table(head, rows, width, ink)
}

/** One list, newest first. A job that changed its state between two answers is there once. */
function live(lists: readonly Job[][]): Job[] {
  const byId = new Map(lists.flat().map((job) => [job.id, job]))
  return [...byId.values()].sort((a, b) => b.createdAt - a.createdAt)
}

function ran(job: Job, now: number): string {
  return job.startedAt === null ? '-' : duration((job.endedAt ?? now) - job.startedAt)
}
