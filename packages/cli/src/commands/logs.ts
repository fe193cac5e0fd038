// Owns `hearth logs` (the events as text on stdout) and `hearth attach` (the live picture, ends with the job's exit code).
import { Client } from '@hearth/protocol/client'
import type { Command } from '../command.ts'
import { follow, stored } from '../follow.ts'
import { findJob } from '../jobs.ts'
import { lookOf } from '../live.ts'
import { eventLines } from '../render.ts'
import { jsonLine, visible } from '../text.ts'
import { watch } from '../watch.ts'

export const logs: Command = {
  spec: {
    name: 'logs', operands: '[JOB]', arity: [0, 1],
    about: 'Prints the events of a job as text, or with --json one event a line exactly as stored. JOB is an id or the beginning of one; without it the newest job.',
    flags: {
      follow: { type: 'boolean', short: 'f', help: 'go on until the job ends' },
      from: { type: 'string', value: 'SEQ', help: 'begin with event number SEQ' },
    },
    examples: [['hearth logs -f', 'the newest job, as it goes on'], ['hearth logs 4f2 --json --from 40', 'events from number 40 on, one JSON object a line']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const job = await findJob(client, args.operands[0])
    const after = (args.whole('from', 1) ?? 1) - 1
    const left = new AbortController()
    const release = ctx.onInterrupt(() => left.abort())
    const events = args.flag('follow') ? follow(client, job.id, after, AbortSignal.any([left.signal, ctx.closed])) : stored(client, job.id, after)
    try {
      for await (const event of events) {
        if (left.signal.aborted || ctx.closed.aborted) break
        if (event.type === 'lost') ctx.err.line('the connection to the daemon broke; waiting for it to come back')
        else if (args.flag('json')) ctx.out.line(jsonLine(event))
        else eventLines(event, lookOf(ctx.out, true)).forEach((line) => ctx.out.line(line))
      }
    } finally {
      release()
    }
    return left.signal.aborted ? 130 : 0
  },
}

export const attach: Command = {
  spec: {
    name: 'attach', operands: '[JOB]', arity: [0, 1],
    about: 'Watches a job from now on as hearth run does, and ends with its exit code. Ctrl-C leaves and the job goes on; hearth cancel stops it. '
      + 'JOB is an id or the beginning of one; without it the newest job.',
    flags: {
      from: { type: 'string', value: 'SEQ', help: 'begin with event number SEQ (default: the last one there is)' },
      quiet: { type: 'boolean', short: 'q', help: 'no progress and no receipt' },
    },
    examples: [['hearth attach 4f2 --from 1', 'replays the job from its first event and goes on']],
  },
  async run(ctx, args) {
    const job = await findJob(new Client(ctx.paths.socket), args.operands[0])
    const after = (args.whole('from', 1) ?? Math.max(1, job.lastSeq)) - 1
    ctx.err.line(visible(job.id))
    return await watch(ctx, job.id, { json: args.flag('json'), quiet: args.flag('quiet'), after, interrupt: 'leave' })
  },
}
