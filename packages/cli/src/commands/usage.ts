// Owns `hearth usage`: sums of the ledger, what follows from them, statements of a month; as text, JSON, CSV or a picture.
import { resolve } from 'node:path'
import { Client } from '@hearth/protocol/client'
import type { KeyList, UsageReport, UsageStatement } from '@hearth/protocol'
import { usageFault, type Args } from '../args.ts'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import type { Context } from '../context.ts'
import { momentMs } from '../moment.ts'
import { save } from '../save.ts'
import { jsonLine } from '../text.ts'

/** A million rows on a busy box take seconds, and the daemon answers others meanwhile. */
const patienceMs = 300_000
const groupings = ['day', 'month', 'job', 'person', 'automation', 'principal', 'model', 'place', 'purpose', 'project']

export const usage: Command = {
  spec: {
    name: 'usage', operands: '', arity: [0, 0],
    about: 'Sums up the ledger: calls, tokens, time, energy and money, and what follows from them: the share done here, the cost of a resolved job, what escalations changed, '
      + 'the burn rate, what the box pays back. What is estimated says so, with what it assumes; what was not measured is never counted as 0. Days are UTC. docs/usage.md defines each figure.',
    flags: {
      since: { type: 'string', value: 'TIME', help: 'only what is newer: 24h, 7d, or a date like 2026-01-31' },
      until: { type: 'string', value: 'TIME', help: 'only what is older; a date counts to its end' },
      by: { type: 'string', value: 'WHAT', help: `rows of the table: ${groupings.join(', ')} or tag:KEY (default model)` },
      job: { type: 'string', value: 'JOB', help: 'only one job' },
      tag: { type: 'string', value: 'K=V', help: 'only jobs with this tag' },
      principal: { type: 'string', value: 'WHO', help: 'only one person or key: socket:1000, key:7k2m9x4tq8wz, or the name of a key' },
      limit: { type: 'string', value: 'N', help: 'rows of the table at most (default 40; 10000 for --csv and --json)' },
      statement: { type: 'string', value: 'MONTH', help: 'a statement for each principal, e.g. 2026-11' },
      csv: { type: 'boolean', help: 'the table as CSV on stdout' },
      svg: { type: 'string', value: 'FILE', help: 'draw tokens, money, cost of a resolved job, spenders and what the next dollar bought' },
    },
    examples: [
      ['hearth usage --since 7d --by day', 'the last seven days, one by one'],
      ['hearth usage --by tag:customer --since 2026-01-01 --until 2026-03-31 --csv', 'a quarter by customer'],
      ['hearth usage --statement 2026-11 --principal nightly', 'what the key nightly used in November'],
      ['hearth usage --svg usage.svg', 'the same as a picture'],
    ],
  },
  async run(ctx, args) {
    if (args.flag('json') && args.flag('csv')) throw usageFault('--json and --csv cannot both be meant.')
    const client = new Client(ctx.paths.socket)
    const month = args.text('statement')
    return month === null ? await showReport(ctx, args, client) : await showStatement(ctx, args, client, month)
  },
}

async function showReport(ctx: Context, args: Args, client: Client): Promise<number> {
  const by = args.text('by') ?? 'model'
  if (!groupings.includes(by) && !/^tag:./.test(by)) throw usageFault(`--by takes ${groupings.join(', ')} or tag:KEY, not '${by}'.`)
  const tag = args.text('tag')
  if (tag !== null && !/^[^=]+=/.test(tag)) throw usageFault(`--tag takes KEY=VALUE, not '${tag}'.`)
  const limit = args.whole('limit', 1) ?? (args.flag('csv') || args.flag('json') ? 10_000 : 40)
  if (limit > 10_000) throw usageFault('--limit takes 10000 at most.')
  const query = new URLSearchParams({ by, limit: String(limit) })
  const given = { since: momentMs('since', args.text('since')), until: momentMs('until', args.text('until'), 86_400_000), tag, principal: await principalOf(client, args.text('principal')) }
  for (const [name, value] of Object.entries(given)) if (value !== null) query.set(name, String(value))
  const word = args.text('job')
  if (word !== null) query.set('job', (await (await import('../jobs.ts')).findJob(client, word)).id)
  const report = await ask<UsageReport>(client, `/api/usage/report?${query.toString()}`, patienceMs)
  const svg = args.text('svg')
  if (svg !== null) save(resolve(ctx.cwd, svg), (await import('../usage-plot.ts')).drawUsage(report))
  const { reportCsv, reportLines } = await import('../usage-text.ts')
  if (args.flag('json')) ctx.out.line(jsonLine(report))
  else if (args.flag('csv')) ctx.out.write(reportCsv(report))
  else for (const line of reportLines(report, ctx.out.width, ctx.out.ink, new Date().toISOString().slice(0, 10))) ctx.out.line(line)
  return 0
}

async function showStatement(ctx: Context, args: Args, client: Client, month: string): Promise<number> {
  if (!/^\d{4}-(0[1-9]|1[0-2])$/.test(month)) throw usageFault(`--statement takes a month like 2026-11, not '${month}'.`)
  const other = ['since', 'until', 'by', 'job', 'tag', 'limit', 'svg'].find((name) => args.flag(name))
  if (other !== undefined) throw usageFault(`--${other} says nothing of a statement: it is of one month, by principal.`)
  const principal = await principalOf(client, args.text('principal'))
  const statement = await ask<UsageStatement>(client, `/api/usage/statement?${new URLSearchParams({ month, ...(principal === null ? {} : { principal }) }).toString()}`, patienceMs)
  const { statementCsv, statementLines } = await import('../usage-text.ts')
  if (args.flag('json')) ctx.out.line(jsonLine(statement))
  else if (args.flag('csv')) ctx.out.write(statementCsv(statement))
  else for (const line of statementLines(statement, ctx.out.width, ctx.out.ink)) ctx.out.line(line)
  return 0
}

/** The id of whom a person named: an id is one, a key may be named by its name. Throws FaultError where that names none, or several. */
async function principalOf(client: Client, word: string | null): Promise<string | null> {
  if (word === null || /^(socket|key|ssh):/.test(word)) return word
  const { keys } = await ask<KeyList>(client, '/api/keys')
  const named = keys.filter(({ id, name }) => id === word || name === word)
  const [one] = named
  if (one === undefined) throw usageFault(`There is no key named '${word}'; --principal also takes an id like socket:1000 or key:7k2m9x4tq8wz.`)
  if (named.length > 1) throw usageFault(`'${word}' is the name of ${named.length} keys: ${named.map(({ id, revokedAt }) => `key:${id}${revokedAt === null ? '' : ' (revoked)'}`).join(', ')}. Give --principal one of these ids.`)
  return `key:${one.id}`
}
