// Owns `hearth budget`: what is left of limits, packages and paid throughput.
import { Client } from '@hearth/protocol/client'
import type { BudgetReply, BudgetRow, PackageRow } from '@hearth/protocol'
import { ask } from '../ask.ts'
import type { Command } from '../command.ts'
import { findJob } from '../jobs.ts'
import { count, counted, table, usd, usdExact, type Cell, type Ink } from '../print.ts'
import { jsonLine, oneLine, wrap } from '../text.ts'

const barColumns = 20
const right = { side: 'right' as const }

export const budget: Command = {
  spec: {
    name: 'budget', operands: '[JOB]', arity: [0, 1],
    about: 'Shows what is left: of the limits of this box, its projects and keys, or of all that hold for one job; of packages bought ahead, with what they are forecast to come to; of paid throughput. '
      + 'What is reserved for calls under way counts as spent at its worst price. Days and months are UTC.',
    flags: {},
    examples: [['hearth budget', 'the limits of this box, today and this month'], ['hearth budget 4f2', 'every limit that holds for the job whose id begins with 4f2']],
  },
  async run(ctx, args) {
    const client = new Client(ctx.paths.socket)
    const word = args.operands[0]
    const reply = await ask<BudgetReply>(client, `/api/budget${word === undefined ? '' : `?job=${(await findJob(client, word)).id}`}`)
    const { ink, width } = ctx.out
    if (args.flag('json')) {
      ctx.out.line(jsonLine(reply))
      return 0
    }
    if (reply.rows.length === 0) ctx.out.line('There is no limit, and without one of this box in money nothing is bought: set escalation.budget in the configuration.')
    else for (const line of table(head('LIMIT OF', 'FOR', 'LEFT', 'SPENT', 'LIMIT'), reply.rows.map((row) => limitCells(row, reply.day, ink)), width, ink)) ctx.out.line(line)
    if (reply.worth !== undefined) for (const line of wrap(oneLine(reply.worth), width)) ctx.out.line(line)
    for (const { principals, period, usdMicros, left } of reply.reserved) ctx.out.line(`${usdExact(left)} of ${usdExact(usdMicros)} a ${period} kept for ${oneLine(principals.join(', '))}`)
    if (reply.packages.length > 0) {
      ctx.out.line()
      for (const line of table(head('PACKAGE', 'UNTIL', 'LEFT', 'A DAY', 'HELD'), reply.packages.map((row) => packageCells(row, ink)), width, ink)) ctx.out.line(line)
    }
    for (const row of reply.packages) {
      for (const text of row.warnings) ctx.out.line(`${ink.yellow('!')} ${oneLine(row.id)}: ${oneLine(text)}`)
      const words = forecastWords(row, reply.day)
      if (words !== null) ctx.out.line(ink.dim(`${oneLine(row.id)} ${words}`))
    }
    for (const { provider, used, tokensPerMinute } of reply.throughput) ctx.out.line(`${oneLine(provider)}: ${count(used)} of ${count(tokensPerMinute)} paid tokens a minute used`)
    if (reply.open.count > 0) ctx.out.line(ink.dim(`${usd(reply.open.usdMicros)} reserved for ${counted(reply.open.count, 'call')} under way`))
    if (reply.charged.count > 0) ctx.out.line(ink.yellow(`${usd(reply.charged.usdMicros)} charged this month for ${counted(reply.charged.count, 'call')} that a crash cut off, at the worst price`))
    if (reply.clockBack) ctx.out.line(ink.yellow(`the clock was turned back; what is bought still counts as on ${reply.day}`))
    return 0
  },
}

function head(...titles: readonly string[]): { title: string; side?: 'left' | 'right' }[] {
  return [...titles.map((title, index) => (index < 2 ? { title } : { title, ...right })), { title: '' }]
}

function limitCells(row: BudgetRow, day: string, ink: Ink): Cell[] {
  const amount = (value: number): string => (row.unit === 'usdMicros' ? usdExact(value) : counted(value, 'escalation'))
  const period = { job: 'job', day, month: day.slice(0, 7) }[row.period]
  return [row.scope === 'box' ? 'this box' : `${row.scope} ${oneLine(row.id)}`, period, amount(row.left), amount(row.spent), amount(row.limit), bar(row.left, row.limit, ink)]
}

function packageCells(row: PackageRow, ink: Ink): Cell[] {
  const amount = (value: number): string => (row.unit === 'usdMicros' ? usd(value) : `${count(value)} tokens`)
  return [oneLine(row.id), row.expiresAt ?? 'no end', amount(row.left), amount(row.perDay), amount(row.amount), bar(row.left, row.amount, ink)]
}

/** Whether it pays, or would pay, as the end of a sentence; null = that cannot be said. */
function forecastWords({ pays, boughtAt, worthUsdMicros, forecastUsdMicros = null }: PackageRow, day: string): string | null {
  if (pays === null || forecastUsdMicros === null) return null
  return day < boughtAt
    ? `would pay for ${usd(forecastUsdMicros)} at the pace of the last 7 days; it is forecast ${pays ? 'to save more than it costs' : 'to cost more than it saves'}`
    : `paid for ${usd(worthUsdMicros)} at list price so far, of ${usd(forecastUsdMicros)} in the end; it is forecast ${pays ? 'to save more than it cost' : 'to cost more than it saves'}`
}

/** What is left, as a bar and a share; red below a tenth. */
function bar(left: number, of: number, ink: Ink): Cell {
  const share = of === 0 ? 0 : left / of
  const full = Math.round(share * barColumns)
  return { text: `${'█'.repeat(full)}${'░'.repeat(barColumns - full)} ${Math.floor(share * 100)} %`, ink: share < 0.1 ? ink.red : share < 0.3 ? ink.yellow : ink.green }
}
