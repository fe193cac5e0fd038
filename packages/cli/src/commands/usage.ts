// Owns `hearth usage`: sums of the ledger.
import { Client } from '@hearth/protocol/client'
import type { UsageReply } from '@hearth/protocol'
import { parseSeconds, usageFault } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { bytes, count, duration, fields, table, usd } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'

export const usage: Command = {
  spec: {
    name: 'usage', operands: '', arity: [0, 0],
    about: 'Sums up the ledger: every model call of this box, by model, and how many tool calls were mended or refused. Nothing is estimated.',
    flags: {
      since: { type: 'string', value: 'TIME', help: 'only what is newer: 24h, 7d, or a date like 2026-01-31' },
      job: { type: 'string', value: 'JOB', help: 'only one job' },
    },
    examples: [['hearth usage --since 7d', 'the last seven days']],
  },
  async run(ctx, args) {
    const query = new URLSearchParams()
    const since = sinceMs(args.text('since'))
    if (since !== null) query.set('since', String(since))
    const client = new Client(ctx.paths.socket)
    const word = args.text('job')
    if (word !== null) query.set('job', (await (await import('../jobs.ts')).findJob(client, word)).id)
    const reply = await ask<UsageReply>(client, `/api/usage${query.size === 0 ? '' : `?${query.toString()}`}`)
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    const { totals } = reply
    const { ink } = ctx.out
    const rows: [string, string][] = [
      ['since', reply.since === null ? 'the beginning' : new Date(reply.since).toISOString()],
      ['jobs', `${count(totals.jobs)}, ${count(totals.resolved)} resolved`],
      ['model calls', count(totals.calls)],
      ['tokens', `${count(totals.promptTokens)} prompt (${count(totals.reusedTokens)} reused), ${count(totals.completionTokens)} generated`],
      ['model time', duration(totals.modelSeconds * 1000)],
      ...(totals.joules === null ? [] : [['energy', `${count(totals.joules)} J`] as [string, string]]),
      ['spent', usd(totals.usdMicros)],
      ['left the box', bytes(totals.bytesLeftBox)],
    ]
    for (const line of fields(rows, ink)) ctx.out.line(line)
    if (reply.byModel.length === 0) return 0
    ctx.out.line()
    const right = { side: 'right' as const }
    const head = [{ title: 'CALLS', ...right }, { title: 'PROMPT', ...right }, { title: 'REUSED', ...right }, { title: 'GENERATED', ...right }, { title: 'TIME', ...right }, { title: 'SPENT', ...right }, { title: 'MENDED', ...right }, { title: 'REFUSED', ...right }, { title: 'PLACE' }, { title: 'MODEL' }]
    const lines = table(head, reply.byModel.map((row) => [
      count(row.calls), count(row.promptTokens), count(row.reusedTokens), count(row.completionTokens),
      duration(row.modelSeconds * 1000), usd(row.usdMicros), count(row.mendedCalls), count(row.refusedCalls), oneLine(row.place), oneLine(row.model),
    ]), ctx.out.width, ink)
    for (const line of lines) ctx.out.line(line)
    return 0
  },
}

/** Milliseconds since 1970 from '7d' (ago) or an ISO date; null when absent. */
export function sinceMs(text: string | null): number | null {
  if (text === null) return null
  const seconds = /[smhd]$/.test(text) ? parseSeconds(text) : null
  if (seconds !== null) return Math.round(Date.now() - seconds * 1000)
  const date = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : NaN
  if (Number.isNaN(date)) throw usageFault(`--since takes a time like 24h or 7d, or a date like 2026-01-31, not '${text}'.`)
  return date
}
