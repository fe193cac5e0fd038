// Draws a report of usage as an SVG: tokens and money over time, cost of a resolved job, who spent, and what the next dollar bought. Pure.
import type { UsageReport } from '@hearth/protocol'
import { colours, escaped, label, niceStep, round, text } from './svg.ts'
import { cut, oneLine } from './text.ts'

type Bucket = { name: string; title: string; tokens: [local: number, lan: number, bought: number]; money: [spent: number, prepaid: number]; resolved: number; checked: number; jobsUsd: number }
type Series = { name: string; colour: string; values: readonly number[] }

const panel = { width: 470, height: 250, left: 66, right: 14, top: 52, bottom: 38 }
const gap = 22
const head = 64
const columns = 2
const inner = { width: panel.width - panel.left - panel.right, height: panel.height - panel.top - panel.bottom }
const right = panel.left + inner.width
const [green = '', orange = '', blue = '', violet = ''] = colours
const mostBuckets = 62
const dayMs = 86_400_000

/** One picture of all panels that have something to show. It has a background of its own, and a dark one where dark is wished for. */
export function drawUsage(report: UsageReport): string {
  const buckets = bucketsOf(report.days)
  const panels = [
    ...(buckets.length === 0 ? [] : [
      bars('Tokens, read and written', buckets, [['on this box', green, (one: Bucket) => one.tokens[0]], ['on the LAN', blue, (one: Bucket) => one.tokens[1]], ['bought', orange, (one: Bucket) => one.tokens[2]]], short),
      bars('Money for models', buckets, [['spent', orange, (one: Bucket) => one.money[0]], ['covered by packages', violet, (one: Bucket) => one.money[1]]], dollars),
      perResolved(buckets),
    ]),
    outcomes(report.jobs.byOutcome), spenders(report.spenders), curve(report.escalations.curve),
  ].filter((one) => one !== null)
  const width = columns * panel.width + (columns + 1) * gap
  const height = head + Math.max(1, Math.ceil(panels.length / columns)) * (panel.height + gap) + gap
  const days = report.days
  const span = days.length === 0 ? 'nothing was called' : `${days[0]?.day ?? ''} to ${days.at(-1)?.day ?? ''} (UTC)`
  const share = report.tokens.localShare === null ? '' : `; ${(report.tokens.localShare * 100).toFixed(0)} % of the tokens on this box`
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="12">
<title>Usage, ${escaped(span)}</title>
<style>.page{fill:#fff}.ink{fill:#222}.soft{fill:#666}.grid{stroke:#e6e6e6}.axis{stroke:#999}.box{fill:none;stroke:#e6e6e6}.halo{stroke:#fff;stroke-width:3px;paint-order:stroke}
@media (prefers-color-scheme: dark){.page{fill:#16181c}.ink{fill:#e8e8e8}.soft{fill:#a2a6ad}.grid{stroke:#2c3036}.axis{stroke:#6b7078}.box{stroke:#2c3036}.halo{stroke:#16181c}}</style>
<rect class="page" width="100%" height="100%"/>
${text(gap, 30, 'Usage', 'class="ink" font-size="18" font-weight="600"')}${text(gap, 50, `${span}; ${short(report.totals.promptTokens + report.totals.completionTokens)} tokens in ${short(report.totals.calls)} calls, ${dollars(report.totals.usdMicros)} spent${share}`, 'class="soft"')}
${panels.map((one, index) => `<g transform="translate(${gap + (index % columns) * (panel.width + gap)} ${head + Math.floor(index / columns) * (panel.height + gap)})"><rect class="box" width="${panel.width}" height="${panel.height}" rx="6"/>${one}</g>`).join('\n')}
</svg>
`
}

/** Days in a row without a gap; weeks (from Monday) or months where days are too many. */
function bucketsOf(days: UsageReport['days']): Bucket[] {
  const [first, last] = [days[0], days.at(-1)]
  if (first === undefined || last === undefined) return []
  const span = (Date.parse(last.day) - Date.parse(first.day)) / dayMs + 1
  const keyOf = (day: string): string => {
    if (span <= mostBuckets) return day
    if (span > 7 * mostBuckets) return day.slice(0, 7)
    const at = Date.parse(day)
    return new Date(at - (new Date(at).getUTCDay() + 6) % 7 * dayMs).toISOString().slice(0, 10)
  }
  const buckets = new Map<string, Bucket>()
  for (let at = Date.parse(first.day); at <= Date.parse(last.day); at += dayMs) {
    const name = keyOf(new Date(at).toISOString().slice(0, 10))
    if (!buckets.has(name)) buckets.set(name, { name, title: span <= mostBuckets ? name : span <= 7 * mostBuckets ? `week from ${name}` : name, tokens: [0, 0, 0], money: [0, 0], resolved: 0, checked: 0, jobsUsd: 0 })
  }
  for (const one of days) {
    const bucket = buckets.get(keyOf(one.day))
    if (bucket === undefined) continue
    bucket.tokens = [bucket.tokens[0] + one.localTokens, bucket.tokens[1] + one.lanTokens, bucket.tokens[2] + one.remoteTokens]
    bucket.money = [bucket.money[0] + one.usdMicros, bucket.money[1] + one.prepaidUsdMicros]
    bucket.resolved += one.resolvedJobs
    bucket.checked += one.checkedJobs
    bucket.jobsUsd += one.jobsUsdMicros
  }
  return [...buckets.values()]
}

/** Bars on each other. A part that is nowhere is not named. */
function bars(title: string, buckets: readonly Bucket[], all: readonly (readonly [name: string, colour: string, of: (one: Bucket) => number])[], figure: (value: number) => string): string | null {
  const series: Series[] = all.map(([name, colour, of]) => ({ name, colour, values: buckets.map(of) })).filter(({ values }) => values.some((value) => value > 0))
  if (series.length === 0) return null
  const axis = scaleOf(Math.max(...buckets.map((_, index) => series.reduce((sum, { values }) => sum + (values[index] ?? 0), 0))))
  const step = inner.width / buckets.length
  const bar = Math.min(Math.max(1, step - (step > 6 ? 2 : 0.5)), 40)
  return frame(title, series, axis, figure) + timeAxis(buckets) + buckets.map((bucket, index) => {
    let below = 0
    const pieces = series.map(({ colour, values, name }) => {
      const value = values[index] ?? 0
      const y = yOf(axis, below + value)
      const piece = value === 0 ? '' : `<rect x="${round(panel.left + (index + 0.5) * step - bar / 2)}" y="${y}" width="${round(bar)}" height="${round(Math.max(0.6, yOf(axis, below) - y))}" fill="${colour}"><title>${escaped(`${bucket.title}: ${figure(value)} ${name}`)}</title></rect>`
      below += value
      return piece
    })
    return pieces.join('')
  }).join('')
}

function perResolved(buckets: readonly Bucket[]): string | null {
  const points = buckets.flatMap((one, index) => (one.resolved === 0 ? [] : [{ index, value: one.jobsUsd / one.resolved, one }]))
  if (points.length === 0) return null
  const most = Math.max(...points.map(({ value }) => value))
  // Where nothing cost anything the axis ends at a cent.
  const axis = scaleOf(most, most === 0 ? 10_000 : 1)
  const step = inner.width / buckets.length
  const x = (index: number): number => round(panel.left + (index + 0.5) * step)
  const path = points.map(({ index, value }, n) => `${n === 0 ? 'M' : 'L'}${x(index)} ${yOf(axis, value)}`).join(' ')
  return frame('Cost of a resolved job: all jobs with a check, for each resolved', [], axis, dollars) + timeAxis(buckets)
    + `<path d="${path}" fill="none" stroke="${blue}" stroke-width="1.5" stroke-opacity="0.6"/>`
    + points.map(({ index, value, one }) => `<circle cx="${x(index)}" cy="${yOf(axis, value)}" r="${round(Math.min(6, 2.5 + Math.sqrt(one.resolved) / 2))}" fill="${blue}"><title>${escaped(`${one.title}: ${dollars(value)}, ${one.resolved} of ${one.checked} resolved`)}</title></circle>`).join('')
}

function spenders(all: UsageReport['spenders']): string | null {
  const title = 'Money by person and automation, packages included'
  return lying(title, [{ name: 'person', colour: blue }, { name: 'automation', colour: orange }], all.flatMap((one) => {
    const money = one.usdMicros + one.prepaidUsdMicros
    return money === 0 ? [] : [{ name: oneLine(one.label ?? one.principal), value: money, colour: one.origin === 'human' ? blue : orange, figure: dollars(money), more: `${oneLine(one.principal)}: ${dollars(money)} in ${one.calls} calls` }]
  }).toSorted((a, b) => b.value - a.value))
}

function outcomes(all: UsageReport['jobs']['byOutcome']): string | null {
  return lying('Jobs by outcome, with what one of them cost', [], all.map((one) => ({
    name: one.outcome, value: one.jobs, colour: one.outcome === 'resolved' ? green : one.outcome === 'done_unverified' ? blue : orange,
    figure: `${short(one.jobs)}, ${dollars(one.usdMicrosPerJob)} each`, more: `${one.outcome}: ${one.jobs} jobs, ${dollars(one.usdMicros)}`,
  })))
}

const mostBars = 7
/** Of a line beside the curve: what is left of it stays in sight. */
const legendChars = 48

/** Lying bars, longest first as they come. */
function lying(title: string, keys: readonly { name: string; colour: string }[], all: readonly { name: string; value: number; colour: string; figure: string; more: string }[]): string | null {
  const shown = all.slice(0, mostBars)
  if (shown.length === 0) return null
  const top = Math.max(...shown.map(({ value }) => value))
  const left = 150
  const room = panel.width - left - 150
  const rowHeight = Math.min(30, (panel.height - panel.top - 10) / shown.length)
  return text(14, 22, title, 'class="ink" font-weight="600"') + legend(keys) + shown.map(({ name, value, colour, figure, more }, index) => {
    const y = panel.top + index * rowHeight
    return text(left - 8, y + rowHeight / 2 + 4, cut(name, 20), 'class="ink" text-anchor="end"')
      + `<rect x="${left}" y="${round(y + 4)}" width="${round(Math.max(1, room * value / top))}" height="${round(rowHeight - 8)}" fill="${colour}"><title>${escaped(more)}</title></rect>`
      + text(left + room * value / top + 6, y + rowHeight / 2 + 4, figure, 'class="soft"')
  }).join('')
}

/** Money over escalations that cleared something, the cheapest kind of help first: where the line goes flat the next dollar bought little. */
function curve(all: UsageReport['escalations']['curve']): string | null {
  const steps = all.filter((one) => one.usdMicros > 0)
  const money = steps.reduce((sum, one) => sum + one.usdMicros, 0)
  if (money === 0) return null
  const axis = scaleOf(steps.reduce((sum, one) => sum + one.cleared, 0))
  const x = (value: number): number => round(panel.left + inner.width * value / money)
  let [spent, cleared] = [0, 0]
  const lines = steps.map((one, index) => {
    const from = { x: x(spent), y: yOf(axis, cleared) }
    spent += one.usdMicros
    cleared += one.cleared
    const to = { x: x(spent), y: yOf(axis, cleared) }
    const colour = colours[index % colours.length] ?? blue
    return `<line x1="${from.x}" y1="${from.y}" x2="${to.x}" y2="${to.y}" stroke="${colour}" stroke-width="3" stroke-linecap="round"><title>${escaped(`${one.mode}, ${oneLine(one.model)}: ${one.cleared} of ${one.count} cleared, ${dollars(one.usdMicros)}`)}</title></line>`
  })
  // The line rises to the left and goes flat, so its lower right is free.
  const named = steps.slice(0, mostBars)
  const names = named.map((one, index) => {
    const y = panel.top + inner.height - 10 - (named.length - 1 - index) * 16
    const price = one.usdMicrosPerCleared === null ? 'none cleared' : `${dollars(one.usdMicrosPerCleared)} for one`
    const figures = `: ${short(one.cleared)} of ${short(one.count)}, ${price}`
    return text(right - 16, y, `${one.mode}, ${ending(oneLine(one.model), legendChars - one.mode.length - figures.length)}${figures}`, 'class="ink halo" text-anchor="end" font-size="11"') + `<rect x="${right - 11}" y="${round(y - 9)}" width="9" height="9" rx="2" fill="${colours[index % colours.length] ?? blue}"/>`
  })
  const ticks = [0, 0.5, 1].map((part) => text(panel.left + inner.width * part, panel.height - panel.bottom + 16, dollars(money * part), `class="soft" text-anchor="${part === 1 ? 'end' : part === 0 ? 'start' : 'middle'}"`))
  return frame('What the next dollar bought: escalations that cleared something', [], axis, short) + ticks.join('') + text(panel.left + inner.width / 2, panel.height - 6, 'money, the cheapest kind of help first', 'class="soft" text-anchor="middle"') + lines.join('') + names.join('')
}

type Axis = { step: number; top: number }

/** Of whole pieces: tokens, micro-dollars, escalations. */
function scaleOf(most: number, least = 1): Axis {
  const step = Math.max(least, niceStep(most * 1.05))
  return { step, top: step * Math.max(1, Math.ceil(most * 1.02 / step)) }
}

function yOf({ top }: Axis, value: number): number {
  return round(panel.top + inner.height * (1 - value / top))
}

function frame(title: string, series: readonly { name: string; colour: string }[], axis: Axis, figure: (value: number) => string): string {
  const rows = Array.from({ length: Math.round(axis.top / axis.step) + 1 }, (_, index) => index * axis.step)
  return text(14, 22, title, 'class="ink" font-weight="600"') + (series.length > 1 ? legend(series) : '')
    + rows.map((value) => `<line class="${value === 0 ? 'axis' : 'grid'}" x1="${panel.left}" x2="${right}" y1="${yOf(axis, value)}" y2="${yOf(axis, value)}"/>${text(panel.left - 6, yOf(axis, value) + 4, figure(value), 'text-anchor="end" class="soft" font-size="11"')}`).join('')
}

function legend(series: readonly { name: string; colour: string }[]): string {
  let x = 14
  return series.map(({ name, colour }) => {
    const piece = `<rect x="${x}" y="32" width="9" height="9" rx="2" fill="${colour}"/>${text(x + 14, 40.5, name, 'class="soft" font-size="11"')}`
    x += 28 + name.length * 6
    return piece
  }).join('')
}

function timeAxis(buckets: readonly Bucket[]): string {
  const step = inner.width / buckets.length
  // The year stands above all panels; it is told where there is more than one.
  const oneYear = buckets[0]?.name.slice(0, 4) === buckets.at(-1)?.name.slice(0, 4)
  const shown = (name: string): string => (oneYear && name.length > 7 ? name.slice(5) : name)
  const every = Math.max(1, Math.ceil((Math.max(...buckets.map(({ name }) => shown(name).length)) * 6.5 + 12) / step))
  return buckets.map((bucket, index) => (index % every === 0 && index + every / 2 <= buckets.length ? text(panel.left + (index + 0.5) * step, panel.height - panel.bottom + 16, shown(bucket.name), 'class="soft" text-anchor="middle" font-size="11"') : '')).join('')
}

/** The end of a name, which says more of a model than its beginning. */
function ending(name: string, most: number): string {
  return name.length <= most ? name : `…${name.slice(1 - most).toWellFormed()}`
}

/** 1234567 -> '1.23M'. */
function short(value: number): string {
  for (const [size, unit] of [[1e15, 'P'], [1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e3, 'k']] as const) if (value >= size) return `${Number((value / size).toPrecision(3))}${unit}`
  return label(value)
}

function dollars(micros: number): string {
  const usd = micros / 1e6
  if (usd === 0) return '$0'
  if (usd >= 1000) return `$${short(usd)}`
  // Two digits that say something, and never an exponent.
  return `$${usd.toFixed(Math.max(2, 1 - Math.floor(Math.log10(usd)))).replace(/(\.\d\d\d*?)0+$/, '$1')}`
}
