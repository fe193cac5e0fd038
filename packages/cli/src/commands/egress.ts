// Owns `hearth egress`: every connection that left this box, what was sent to models outside of the house, and one body as it left.
import { Client } from '@hearth/protocol/client'
import type { EgressReply } from '@hearth/protocol'
import { oneOf } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { csv } from '../csv.ts'
import { momentMs } from '../moment.ts'
import { bytes, count, counted, fields, table } from '../print.ts'
import { jsonLine, oneLine } from '../text.ts'

const groups = ['purpose', 'host', 'job', 'day'] as const
type Group = (typeof groups)[number]
const csvRows = 100_000
const right = { side: 'right' as const }

export const egress: Command = {
  spec: {
    name: 'egress', operands: '', arity: [0, 0],
    about: 'Shows what left this box: every outbound connection of the daemon and its tools, and each body that went to a model outside of the house, with what was replaced in it. The row of a body is written before the body leaves.',
    flags: {
      by: { type: 'string', value: 'GROUP', help: `sums by ${groups.join(', ')} (default: purpose and host)` },
      since: { type: 'string', value: 'TIME', help: 'only what is newer: 24h, 7d, or a date like 2026-01-31' },
      job: { type: 'string', value: 'JOB', help: 'only one job' },
      body: { type: 'string', value: 'PACKET', help: 'the body of this packet, byte for byte as it left (needs the scope admin)' },
      csv: { type: 'boolean', help: `the connections as CSV, newest first, ${count(csvRows)} at most` },
    },
    examples: [
      ['hearth egress --since 24h', 'what left in the last day'],
      ['hearth egress --job 7k2m --by host', 'where one job sent what'],
      ['hearth egress --body 4k7t2m9x0abc | sha256sum', 'the same sum as in its row'],
    ],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const packet = args.text('body')
    if (packet !== null) {
      for await (const part of client.bytes('GET', `/api/egress/${encodeURIComponent(packet)}/body`)) ctx.out.write(part)
      return 0
    }
    const by = args.text('by')
    const chosen = by === null ? ['purpose', 'host'] as const : [oneOf('by', by, groups)]
    const query = new URLSearchParams(args.flag('csv') ? { limit: String(csvRows) } : {})
    const since = momentMs('since', args.text('since'))
    if (since !== null) query.set('since', String(since))
    const word = args.text('job')
    if (word !== null) query.set('job', (await (await import('../jobs.ts')).findJob(client, word)).id)
    const reply = await ask<EgressReply>(client, `/api/egress${query.size === 0 ? '' : `?${query.toString()}`}`)
    if (args.flag('json')) ctx.out.line(jsonLine(reply))
    else if (args.flag('csv')) ctx.out.write(egressCsv(reply))
    else print(ctx, reply, chosen)
    return 0
  },
}

function egressCsv({ entries }: EgressReply): string {
  return csv([['id', 'at', 'job', 'purpose', 'host', 'bytes', 'cut'], ...entries.map((row) => [row.id, new Date(row.at).toISOString(), row.jobId ?? '', row.purpose, row.host, row.bytes ?? '', row.cut === true ? 'yes' : ''])])
}

function print(ctx: Context, { since, totals, by, packets }: EgressReply, chosen: readonly Group[]): void {
  const { ink, width } = ctx.out
  const rows: [string, string][] = [
    ['since', since === null ? 'the beginning' : new Date(since).toISOString()],
    ['left the box', `${totals.uncounted === 0 ? '' : 'at least '}${bytes(totals.bytes)} in ${counted(totals.connections, 'connection')}${totals.uncounted === 0 ? '' : `, ${count(totals.uncounted)} of them not counted, or not to their end`}`],
    ['to models', `${totals.packets === 1 ? '1 body' : `${count(totals.packets)} bodies`}, ${bytes(totals.packetBytes)}, ${counted(totals.redactions, 'secret')} replaced`],
  ]
  for (const line of fields(rows, ink)) ctx.out.line(line)
  if (totals.connections > 0) {
    for (const group of chosen) {
      ctx.out.line()
      const lines = by[group].map((sum) => [count(sum.connections), bytes(sum.bytes), count(sum.uncounted), oneLine(sum.name === '' ? '-' : sum.name)])
      for (const line of table([{ title: 'CONNECTIONS', ...right }, { title: 'BYTES', ...right }, { title: 'NOT COUNTED', ...right }, { title: group.toUpperCase() }], lines, width, ink)) ctx.out.line(line)
    }
  }
  if (packets.length === 0) return
  ctx.out.line()
  const head = [{ title: 'PACKET' }, { title: 'SENT (UTC)' }, { title: 'BYTES', ...right }, { title: 'SHA256' }, { title: 'JOB' }, { title: 'PURPOSE' }, { title: 'MODEL' }, { title: 'HOST' }, { title: 'REPLACED' }]
  const lines = packets.map((packet) => [
    { text: packet.id, ink: packet.hasBody ? (text: string) => text : ink.dim }, new Date(packet.at).toISOString().slice(0, 19).replace('T', ' '), count(packet.bytes), packet.sha256.slice(0, 16), oneLine(packet.jobId ?? '-'),
    oneLine(packet.escalation === null ? packet.purpose : `${packet.purpose} ${packet.escalation}`), oneLine(packet.model), oneLine(packet.host), oneLine(packet.redactions.map(({ kind, count: n }) => `${n} ${kind}`).join(', ') || '-'),
  ])
  for (const line of table(head, lines, width, ink)) ctx.out.line(line)
}
