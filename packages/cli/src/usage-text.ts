// Owns how a report of usage and a statement read on a terminal and as CSV. Every derived figure says how it is made. Pure.
import type { UsageFigures, UsageReport, UsageStatement } from '@hearth/protocol'
import { csv } from './csv.ts'
import { bytes, count, counted, duration, fields, table, usd, type Column, type Ink } from './print.ts'
import { oneLine, wrap } from './text.ts'

type Field = [name: string, value: string]

const right = { side: 'right' as const }

/** `today`: a day that was reached until then is told as past; absent = all are told as to come. */
export function reportLines(report: UsageReport, width: number, ink: Ink, today = ''): string[] {
  const room = Math.min(width, 110)
  return [
    ...fields(totalFields(report), ink), ...rowLines(report, width, ink), ...jobLines(report, width, ink), ...helpLines(report, width, ink),
    ...estimateLines(report, room, ink, today), ...monthLines(report, width, ink),
  ]
}

function totalFields({ since, until, firstAt, totals, energySource, tokens, steps }: UsageReport): Field[] {
  const time = (at: number): string => new Date(at).toISOString().replace(/T00:00:00\.000Z$/, '').replace('.000Z', 'Z')
  const from = since === null ? `the beginning${firstAt === null ? '' : `, the first call on ${time(firstAt).slice(0, 10)}`}` : time(since)
  return [
    ['since', `${from}${until === null ? '' : ` until ${time(until)}`}; days are UTC`],
    ['jobs', `${count(totals.jobs)} ended, ${count(totals.resolved)} resolved`],
    ['model calls', `${count(totals.calls)}${totals.chargedCalls === 0 ? '' : `, of them ${count(totals.chargedCalls)} cut off by a crash and charged at their worst price`}`],
    ['tokens', `${count(totals.promptTokens)} prompt (${count(totals.reusedTokens)} reused${totals.cacheWriteTokens === 0 ? '' : `, ${count(totals.cacheWriteTokens)} written to a cache`}), ${count(totals.completionTokens)} generated`],
    ...(tokens.localShare === null ? [] : [['done locally', `${percent(tokens.localShare)} of tokens${steps.localShare === null ? '' : `, ${percent(steps.localShare)} of steps (answered turns that worked on jobs)`}`] satisfies Field]),
    ['model time', duration(totals.modelSeconds * 1000)],
    ['energy', `${energyText(totals)}${totals.joules === null || energySource === null ? '' : `: ${oneLine(energySource)}`}`],
    ['spent', `${usd(totals.usdMicros)}${totals.prepaidUsdMicros === 0 ? '' : `, and ${usd(totals.prepaidUsdMicros)} at list price that packages covered`}`],
    ['left the box', `${totals.uncountedConnections === 0 ? '' : 'at least '}${bytes(totals.bytesLeftBox ?? 0)}${totals.uncountedConnections === 0 ? '' : `; ${counted(totals.uncountedConnections, 'connection')} not counted, or not to the end`}`],
  ]
}

function energyText({ joules, kwh, measuredCalls, localCalls, energyUsdMicros }: UsageFigures): string {
  if (joules === null || kwh === null) return localCalls === 0 ? 'nothing was computed on this box' : 'not measured'
  const part = measuredCalls === localCalls ? `all ${count(localCalls)} local calls` : `${count(measuredCalls)} of ${count(localCalls)} local calls`
  return `${count(joules)} J above idle on ${part} (${kwhText(kwh)}${energyUsdMicros === null ? '' : `, ${usd(energyUsdMicros)}`})`
}

/** The table by what was asked for. A figure that nothing has is no column. */
function rowLines(report: UsageReport, width: number, ink: Ink): string[] {
  const { rows, by } = report
  if (rows.length === 0) return []
  const unusual = new Map(report.byModel.map((one) => [one.model, one]))
  const some = (is: (row: UsageFigures) => boolean): boolean => rows.some(is)
  const columns: { column: Column; of(row: UsageReport['rows'][number]): string }[] = [
    { column: { title: 'CALLS', ...right }, of: (row) => count(row.calls) },
    { column: { title: 'PROMPT', ...right }, of: (row) => count(row.promptTokens) },
    { column: { title: 'REUSED', ...right }, of: (row) => count(row.reusedTokens) },
    ...(some((row) => row.cacheWriteTokens > 0) ? [{ column: { title: 'CACHED', ...right }, of: (row: UsageFigures) => count(row.cacheWriteTokens) }] : []),
    { column: { title: 'GENERATED', ...right }, of: (row) => count(row.completionTokens) },
    { column: { title: 'TIME', ...right }, of: (row) => duration(row.modelSeconds * 1000) },
    ...(some((row) => row.joules !== null) ? [{ column: { title: 'JOULES', ...right }, of: (row: UsageFigures) => (row.joules === null ? '-' : `${count(row.joules)}${row.measuredCalls < row.localCalls ? '+' : ''}`) }] : []),
    { column: { title: 'SPENT', ...right }, of: (row) => usd(row.usdMicros) },
    ...(some((row) => row.prepaidUsdMicros > 0) ? [{ column: { title: 'PREPAID', ...right }, of: (row: UsageFigures) => usd(row.prepaidUsdMicros) }] : []),
    ...(some((row) => (row.bytesLeftBox ?? 0) > 0) ? [{ column: { title: 'LEFT', ...right }, of: (row: UsageFigures) => bytes(row.bytesLeftBox ?? 0) }] : []),
    ...(by === 'model' && unusual.size > 0 ? [
      { column: { title: 'MENDED', ...right }, of: (row: { name: string }) => count(unusual.get(row.name)?.mendedCalls ?? 0) },
      { column: { title: 'REFUSED', ...right }, of: (row: { name: string }) => count(unusual.get(row.name)?.refusedCalls ?? 0) },
    ] : []),
    { column: { title: by.startsWith('tag:') ? oneLine(by.slice(4)).toUpperCase() : by.toUpperCase() }, of: named },
  ]
  return [
    '', ...table(columns.map(({ column }) => column), rows.map((row) => columns.map(({ of }) => of(row))), width, ink),
    ...(some((row) => row.joules !== null && row.measuredCalls < row.localCalls) ? [ink.dim('+ not all of its local calls were measured')] : []),
    ...(report.leftOut === 0 ? [] : [ink.dim(`${counted(report.leftOut, 'row')} more; --limit shows them`)]),
  ]
}

function jobLines({ jobs, spenders }: UsageReport, width: number, ink: Ink): string[] {
  const { checked, byOutcome, open } = jobs
  const price = checked.usdMicrosPerResolved === null ? 'none was resolved' : `${fine(checked.usdMicrosPerResolved)} for each resolved one`
  const people = spenders.filter((one) => one.usdMicros + one.prepaidUsdMicros > 0)
  return [
    ...(byOutcome.length === 0 ? [] : [
      '', ink.bold('Jobs that ended, with all the money they cost'),
      ...table([{ title: 'JOBS', ...right }, { title: 'CHECKED', ...right }, { title: 'SPENT', ...right }, { title: 'PREPAID', ...right }, { title: 'A JOB', ...right }, { title: 'OUTCOME' }],
        byOutcome.map((row) => [count(row.jobs), count(row.checked), usd(row.usdMicros), usd(row.prepaidUsdMicros), fine(row.usdMicrosPerJob), row.outcome]), width, ink),
      ...(checked.jobs === 0 ? [] : [`${counted(checked.jobs, 'job')} with a check: ${usd(checked.usdMicros)}, ${price}${open === 0 ? '' : `; ${count(open)} not over`}`]),
    ]),
    ...(people.length === 0 ? [] : [
      '', ink.bold('Money by person and automation'),
      ...table([{ title: 'SPENT', ...right }, { title: 'PREPAID', ...right }, { title: 'CALLS', ...right }, { title: 'WHO' }, { title: '' }],
        people.map((one) => [usd(one.usdMicros), usd(one.prepaidUsdMicros), count(one.calls), one.origin === 'human' ? 'person' : 'automation', named({ ...one, name: one.principal })]), width, ink),
    ]),
  ]
}

function helpLines({ escalations: all }: UsageReport, width: number, ink: Ink): string[] {
  if (all.count === 0) return []
  return [
    '', ink.bold('Escalations'),
    `${count(all.count)} for ${usd(all.usdMicros)}${all.prepaidUsdMicros === 0 ? '' : ` and ${usd(all.prepaidUsdMicros)} prepaid`}: ${count(all.cleared)} cleared what was wrong, ${count(all.same)} changed nothing, ${count(all.worse)} made it worse, ${count(all.untold)} not told yet or cut off`,
    all.usdMicrosPerChanged === null ? 'none cleared something in a job that was then resolved' : `${count(all.changed)} cleared something in a job that was then resolved: ${fine(all.usdMicrosPerChanged)} of all that money for each`,
    ...(all.curve.length === 0 ? [] : table([{ title: 'FOR ONE CLEARED', ...right }, { title: 'CLEARED', ...right }, { title: 'OF', ...right }, { title: 'MONEY', ...right }, { title: 'MODE' }, { title: 'MODEL' }],
      all.curve.map((one) => [one.usdMicrosPerCleared === null ? '-' : fine(one.usdMicrosPerCleared), count(one.cleared), count(one.count), usd(one.usdMicros), one.mode, oneLine(one.model)]), width, ink)),
  ]
}

function estimateLines({ avoided, box, idle }: UsageReport, room: number, ink: Ink, today: string): string[] {
  const assume = (texts: readonly string[]): string[] => texts.flatMap((one) => wrap(oneLine(one), room - 4).map((line, index) => ink.dim(index === 0 ? `  - ${line}` : `    ${line}`)))
  const perDay = (micros: number): string => `${micros < 0 ? '-' : ''}${usd(Math.abs(micros))} a day`
  return [
    ...(avoided === null ? [] : [
      '', ink.bold('Frontier cost avoided (an estimate)'),
      `${usd(avoided.usdMicros)}: ${count(avoided.promptTokens)} prompt and ${count(avoided.completionTokens)} generated tokens of this box at the dated price of ${oneLine(avoided.model)}, if`, ...assume(avoided.assumptions),
    ]),
    ...(box === null ? [] : [
      '', ink.bold('The price of this box (an estimate)'),
      `${usd(box.writeOffUsdMicros)} written off in ${counted(box.days, 'day')}${box.energyUsdMicros === null ? '' : ` + ${usd(box.energyUsdMicros)} energy above idle`}${box.idleUsdMicros === null ? '' : ` + ${usd(box.idleUsdMicros)} idle`}; `
        + `${count(box.localTokens)} local tokens${box.usdMicrosPerMillion === null ? '' : `, ${fine(box.usdMicrosPerMillion)} a million`}${box.frontierUsdMicrosPerMillion === null ? '' : ` (${fine(box.frontierUsdMicrosPerMillion)} at the frontier)`}`,
      ...(box.netUsdMicrosPerDay.value === null ? [] : [`it saves ${perDay(box.netUsdMicrosPerDay.value)}${box.netUsdMicrosPerDay.low === null || box.netUsdMicrosPerDay.high === null ? '' : ` (95 %: ${perDay(box.netUsdMicrosPerDay.low)} to ${perDay(box.netUsdMicrosPerDay.high)})`}: ${breakEven(box, today)}`]),
      ...assume(box.assumptions),
    ]),
    ...(idle.length === 0 ? [] : [
      '', ink.bold('Free work left, by the speeds that hearth tune measured'),
      ...idle.map((one) => `${oneLine(one.model)}: ${percent(one.busyShare)} busy (computing time of all local calls over ${counted(one.streams, 'stream')}), room to generate ${count(one.freeTokensPerDay)} tokens a day at ${one.decodeTokensPerSecond.toPrecision(3)} tokens/s`),
    ]),
  ]
}

function breakEven({ breakEvenDays: { value, low, high }, breakEvenOn }: NonNullable<UsageReport['box']>, today: string): string {
  if (value === null) return `it does not pay for itself at this rate${low === null ? '' : `, at best after ${count(Math.ceil(low))} days`}`
  const interval = low === null ? '' : ` (95 %: ${count(Math.ceil(low))} to ${high === null ? 'never' : count(Math.ceil(high))})`
  return `paid for after ${counted(Math.ceil(value), 'day')}${interval}, ${breakEvenOn !== null && breakEvenOn <= today ? 'since' : 'on'} ${breakEvenOn ?? ''}`
}

function monthLines({ burn, packages, throughput }: UsageReport, width: number, ink: Ink): string[] {
  const limit = burn.limitUsdMicros === null ? '' : ` of ${usd(burn.limitUsdMicros)}${burn.limitReachedOn === null ? '' : `, which is reached on ${burn.limitReachedOn}`}`
  return [
    ...(burn.days === 0 ? [] : [
      '', ink.bold(`This month, ${burn.month}`),
      `${usd(burn.usdMicros)} spent; at the pace of the last ${burn.days === 7 ? '7 days' : `${burn.days.toFixed(1)} days`} (${usd(burn.perDayUsdMicros)} a day) ${usd(burn.monthEndUsdMicros)} at its end${limit}`,
    ]),
    ...(packages.length === 0 ? [] : [
      '', ...table([{ title: 'PACKAGE' }, { title: 'LEFT', ...right }, { title: 'OF', ...right }, { title: 'UNTIL' }], packages.map((one) => {
        const amount = (value: number): string => (one.unit === 'usdMicros' ? usd(value) : `${count(value)} tokens`)
        return [oneLine(one.id), amount(one.left), amount(one.amount), one.expiresAt ?? 'no end']
      }), width, ink),
      ...packages.flatMap((one) => one.warnings.map((text) => `${ink.yellow('!')} ${oneLine(one.id)}: ${oneLine(text)}`)),
    ]),
    ...throughput.map((one) => `${oneLine(one.provider)}: ${count(one.used)} of ${count(one.tokensPerMinute)} paid tokens a minute used`),
  ]
}

export function statementLines({ month, closed, statements }: UsageStatement, width: number, ink: Ink): string[] {
  if (statements.length === 0) return [`Nothing was used in ${month}.`]
  return statements.flatMap((one, index) => [
    ...(index === 0 ? [] : ['']),
    ink.bold(`Statement for ${month}${closed ? '' : ', which is not over'}: ${named({ ...one, name: one.principal })} (${one.origins.map((origin) => (origin === 'human' ? 'person' : 'automation')).join(' and ')})`),
    ...table([{ title: 'CALLS', ...right }, { title: 'PROMPT', ...right }, { title: 'REUSED', ...right }, { title: 'GENERATED', ...right }, { title: 'TIME', ...right }, { title: 'SPENT', ...right }, { title: 'PREPAID', ...right }, { title: 'PLACE' }, { title: 'MODEL' }],
      [...one.lines, { ...one.totals, place: 'all', model: '' }].map((line) => [count(line.calls), count(line.promptTokens), count(line.reusedTokens), count(line.completionTokens), duration(line.modelSeconds * 1000), usd(line.usdMicros), usd(line.prepaidUsdMicros), line.place, oneLine(line.model)]), width, ink),
    `energy: ${energyText(one.totals)}`,
    `${counted(one.jobs, 'job')} ended, ${count(one.checked)} with a check, ${count(one.resolved)} resolved`,
  ])
}

const csvColumns = ['calls', 'promptTokens', 'reusedTokens', 'cacheWriteTokens', 'completionTokens', 'modelSeconds', 'joules', 'measuredCalls', 'localCalls', 'kwh', 'energyUsdMicros', 'usdMicros', 'prepaidUsdMicros', 'chargedCalls', 'bytesLeftBox'] as const satisfies readonly (keyof UsageFigures)[]

/** With a head; what is not known is an empty cell, never 0. */
export function reportCsv({ by, rows }: UsageReport): string {
  return csv([[by, 'label', ...csvColumns], ...rows.map((row) => [row.name, row.label ?? '', ...figureCells(row)])])
}

export function statementCsv({ month, statements }: UsageStatement): string {
  return csv([['month', 'principal', 'label', 'model', 'place', ...csvColumns], ...statements.flatMap((one) => one.lines.map((line) => [month, one.principal, one.label ?? '', line.model, line.place, ...figureCells(line)]))])
}

function figureCells(figures: UsageFigures): (string | number)[] {
  return csvColumns.map((column) => figures[column] ?? '')
}

function named({ name, label }: { name: string; label?: string | undefined }): string {
  return name === '' ? '(none)' : `${oneLine(name)}${label === undefined ? '' : ` (${oneLine(label)})`}`
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share > 0.995 && share < 1 ? 1 : share < 0.01 && share > 0 ? 2 : 0)} %`
}

/** Dollars of one piece: three digits that say something. */
function fine(micros: number): string {
  const dollars = micros / 1e6
  return dollars >= 1 || dollars === 0 ? usd(micros) : `$${Number(dollars.toPrecision(3))}`
}

function kwhText(kwh: number): string {
  return `${kwh >= 100 ? kwh.toFixed(0) : kwh.toPrecision(2)} kWh`
}
