// Draws recorded rows: one small chart a figure (its ratio over the recordings, with interval and bar) and a page with the latest of each. Pure.
import { barText, figures, type Row } from './frame.ts'

/** A row as docs/bench.jsonl keeps it. */
export type Recorded = Row & { commit: string; date: string; machine: string }

const chart = { width: 360, height: 150, left: 44, right: 12, top: 34, bottom: 26 }
const perRow = 2
const gap = 16

/** An SVG of all figures that have a ratio. Light and dark pages both work: it has a background of its own. */
export function drawPicture(rows: readonly Recorded[]): string {
  const series = [...byFigure(rows).values()].filter((one) => one.some((row) => row.ratio !== null))
  const width = perRow * chart.width + (perRow + 1) * gap
  const height = Math.max(1, Math.ceil(series.length / perRow)) * (chart.height + gap) + gap
  const charts = series.map((one, index) => {
    const x = gap + (index % perRow) * (chart.width + gap)
    const y = gap + Math.floor(index / perRow) * (chart.height + gap)
    return `<g transform="translate(${x} ${y})">${drawChart(one)}</g>`
  })
  const empty = series.length === 0 ? `<text x="${gap}" y="${gap * 2}">nothing was recorded yet</text>` : ''
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, sans-serif" font-size="11" fill="#333">
<title>Ratio of each figure to what it is compared with, over the recordings</title>
<rect width="100%" height="100%" fill="#fff"/>
${empty}${charts.join('\n')}
</svg>
`
}

function drawChart(rows: readonly Recorded[]): string {
  const points = rows.flatMap((row) => (row.ratio === null ? [] : [{ row, ratio: row.ratio }]))
  const last = points.at(-1)
  if (last === undefined) return ''
  const bar = last.row.bar?.ratio ?? 1
  const top = Math.max(bar, ...points.map((one) => one.ratio.high)) * 1.15
  const inner = { width: chart.width - chart.left - chart.right, height: chart.height - chart.top - chart.bottom }
  const x = (index: number): number => round(chart.left + (points.length === 1 ? inner.width / 2 : (index / (points.length - 1)) * inner.width))
  const y = (value: number): number => round(chart.top + inner.height * (1 - value / top))
  const path = points.map((one, index) => `${index === 0 ? 'M' : 'L'}${x(index)} ${y(one.ratio.median)}`).join(' ')
  const marks = points.map(({ row, ratio }, index) => {
    const colour = row.verdict === 'falls short' ? '#c0392b' : '#1f6f54'
    return `<line x1="${x(index)}" x2="${x(index)}" y1="${y(ratio.low)}" y2="${y(ratio.high)}" stroke="${colour}" stroke-width="2"/>`
      + `<circle cx="${x(index)}" cy="${y(ratio.median)}" r="3" fill="${colour}"><title>${escaped(`${row.date} ${row.commit}: ${figures(ratio.median)} [${figures(ratio.low)}, ${figures(ratio.high)}]`)}</title></circle>`
  })
  const first = points[0]?.row.date ?? ''
  return [
    `<text x="0" y="12" font-weight="600">${escaped(heading(last.row))}</text>`,
    `<text x="0" y="26" fill="#666">${escaped(`${figures(last.ratio.median)}x of ${last.row.theirs?.name ?? 'nothing'}, bar ${barText(last.row.bar)}, ${last.row.verdict}`)}</text>`,
    `<line x1="${chart.left}" x2="${chart.left}" y1="${chart.top}" y2="${chart.height - chart.bottom}" stroke="#bbb"/>`,
    `<line x1="${chart.left}" x2="${chart.width - chart.right}" y1="${y(0)}" y2="${y(0)}" stroke="#bbb"/>`,
    `<text x="${chart.left - 6}" y="${y(0)}" text-anchor="end" fill="#666">0</text>`,
    `<line x1="${chart.left}" x2="${chart.width - chart.right}" y1="${y(bar)}" y2="${y(bar)}" stroke="#b8860b" stroke-dasharray="5 3"/>`,
    `<text x="${chart.left - 6}" y="${y(bar) + 4}" text-anchor="end" fill="#b8860b">${figures(bar)}</text>`,
    `<path d="${path}" fill="none" stroke="#1f6f54" stroke-width="1.5"/>`,
    ...marks,
    `<text x="${chart.left}" y="${chart.height - 8}" fill="#666">${escaped(first)}</text>`,
    points.length === 1 ? '' : `<text x="${chart.width - chart.right}" y="${chart.height - 8}" text-anchor="end" fill="#666">${escaped(last.row.date)}</text>`,
  ].join('')
}

// What a chart is wide enough for in bold letters; the page below has the whole names.
const headingCharacters = 54

function heading({ bench, figure }: Recorded): string {
  const text = `${bench}: ${figure}`
  return text.length <= headingCharacters ? text : `${text.slice(0, headingCharacters - 1)}…`
}

/** Prompt tokens over the steps of a job: evaluated, and what a plain transcript sends. From the latest recording of each length. */
export function drawGrowth(rows: readonly Recorded[]): string {
  const latest = [...byFigure(rows.filter((row) => row.bench === 'growth')).values()].flatMap((one) => one.slice(-1))
  const points = latest.flatMap((row) => {
    const steps = Number(/^(\d+) steps$/.exec(row.figure)?.[1])
    return Number.isNaN(steps) || row.theirs === null || !('spread' in row.theirs) ? [] : [{ steps, ours: row.ours.median, plain: row.theirs.spread.median }]
  }).toSorted((a, b) => a.steps - b.steps)
  const last = points.at(-1)
  const size = { width: 640, height: 320, left: 70, right: 180, top: 40, bottom: 44 }
  if (last === undefined) return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} 40"><text x="16" y="24">nothing was recorded yet</text></svg>\n`
  const x = (steps: number): number => round(size.left + (steps / last.steps) * (size.width - size.left - size.right))
  const y = (tokens: number): number => round(size.height - size.bottom - (tokens / last.plain) * (size.height - size.top - size.bottom))
  const line = (colour: string, name: string, of: (point: (typeof points)[number]) => number): string => [
    `<path d="M${x(0)} ${y(0)} ${points.map((point) => `L${x(point.steps)} ${y(of(point))}`).join(' ')}" fill="none" stroke="${colour}" stroke-width="2"/>`,
    ...points.map((point) => `<circle cx="${x(point.steps)}" cy="${y(of(point))}" r="3" fill="${colour}"/>`),
    `<text x="${x(last.steps) + 8}" y="${y(of(last)) + 4}" fill="${colour}">${name}: ${Math.round(of(last)).toLocaleString('en')}</text>`,
  ].join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" width="${size.width}" height="${size.height}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<title>Prompt tokens over the steps of one job</title>
<rect width="100%" height="100%" fill="#fff"/>
<text x="16" y="22" font-weight="600">Prompt tokens of one job, summed over its steps</text>
<path d="M${x(0)} ${size.top} V${y(0)} H${x(last.steps)}" fill="none" stroke="#bbb"/>
${[0, 0.5, 1].map((part) => `<text x="${size.left - 8}" y="${y(last.plain * part) + 4}" text-anchor="end" fill="#666">${Math.round(last.plain * part).toLocaleString('en')}</text>`).join('')}
${points.map(({ steps }) => `<text x="${x(steps)}" y="${size.height - 24}" text-anchor="middle" fill="#666">${steps}</text>`).join('')}
<text x="${x(last.steps / 2)}" y="${size.height - 8}" text-anchor="middle" fill="#666">steps</text>
${line('#b8860b', 'plain transcript', ({ plain }) => plain)}
${line('#1f6f54', 'evaluated here', ({ ours }) => ours)}
</svg>
`
}

/** The latest recording of each figure as Markdown. */
export function drawPage(rows: readonly Recorded[]): string {
  const latest = [...byFigure(rows).values()].flatMap((one) => one.slice(-1))
  const cells = latest.map((row) => [
    row.bench, row.figure, `${figures(row.ours.median)} ${row.unit} (${figures(row.ours.min)} to ${figures(row.ours.max)}, n=${row.ours.n})`,
    row.theirs === null ? '-' : `${row.theirs.name}: ${figures('limit' in row.theirs ? row.theirs.limit : row.theirs.spread.median)}`,
    row.ratio === null ? '-' : `${figures(row.ratio.median)} [${figures(row.ratio.low)}, ${figures(row.ratio.high)}]`,
    barText(row.bar), row.verdict, `${row.date}, ${row.commit}`,
  ])
  const head = ['bench', 'figure', 'ours: median (spread)', 'against', 'ratio [95 %]', 'bar', 'verdict', 'recorded']
  const table = [head, head.map(() => '---'), ...cells].map((row) => `| ${row.join(' | ')} |`).join('\n')
  const notes = latest.filter((row) => row.note !== '').map((row) => `- **${row.bench}, ${row.figure}**: ${row.note}`)
  const machines = [...new Set(latest.map((row) => row.machine))].map((one) => `- ${one}`)
  return `# Results

Written by \`scripts/bench --draw\` from [bench.jsonl](bench.jsonl); do not edit. How the figures are made: [bench.md](bench.md).

![Ratio of each figure over the recordings](bench.svg)

${latest.length === 0 ? 'Nothing was recorded yet.' : table}

${notes.join('\n')}

Machines:
${machines.join('\n')}
`
}

function byFigure(rows: readonly Recorded[]): Map<string, Recorded[]> {
  return Map.groupBy(rows, (row) => `${row.bench}\0${row.figure}`)
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
