// Draws measured profiles as an SVG: threads compared, reading and writing over the length of the prompt, writing over streams. Pure.
import type { MeasuredPoint, ModelProfile, SpeedSpread } from '@hearth/protocol'
import { colours, escaped, label, niceStep, round, text } from './svg.ts'

type Mark = { x: number; spread: SpeedSpread }
type Series = { name: string; marks: Mark[] }
type Panel = { title: string; x: string; y: string; series: Series[]; log: boolean }

const panel = { width: 400, height: 230, left: 58, right: 16, top: 46, bottom: 44 }
const gap = 18
const head = 52
const columns = 2

/** An SVG of all profiles, one below the other. Light and dark pages both work: it has a background of its own. */
export function drawProfiles(profiles: readonly ModelProfile[]): string {
  const width = columns * panel.width + (columns + 1) * gap
  let y = gap
  const parts: string[] = []
  for (const profile of profiles) {
    const panels = panelsOf(profile)
    const date = new Date(profile.measuredAt).toISOString().slice(0, 10)
    parts.push(text(gap, y + 14, profile.model, 'font-size="16" font-weight="600"'), text(gap, y + 32, `${profile.machine}; ${profile.library}; ${date}`, 'fill="#666"'))
    panels.forEach((one, index) => {
      const at = { x: gap + (index % columns) * (panel.width + gap), y: y + head + Math.floor(index / columns) * (panel.height + gap) }
      parts.push(`<g transform="translate(${at.x} ${at.y})">${drawPanel(one)}</g>`)
    })
    y += head + Math.ceil(panels.length / columns) * (panel.height + gap) + gap
  }
  if (profiles.length === 0) {
    parts.push(text(gap, y + 14, 'nothing was measured yet', ''))
    y += 40
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${y}" width="${width}" height="${y}" font-family="system-ui, sans-serif" font-size="12" fill="#333">
<title>Measured speed of ${escaped(profiles.map((one) => one.model).join(', ') || 'nothing')}</title>
<rect width="100%" height="100%" fill="#fff"/>
${parts.join('\n')}
</svg>
`
}

function panelsOf({ points, choices }: ModelProfile): Panel[] {
  const of = (run: MeasuredPoint['run']): MeasuredPoint[] => points.filter((point) => point.run === run)
  const threads = [...of('threads'), ...of('threads-fine').filter((point) => !of('threads').some((one) => one.threads === point.threads))]
  const chosen = choices.threads?.value
  const lengths = [...points.filter((point) => point.run === 'threads' && (chosen === undefined || point.threads === chosen)), ...of('depth')].filter((point) => point.streams === 1)
  const streams = of('streams')
  const all: Panel[] = [
    { title: 'Reading a prompt, by threads', x: 'threads', y: 'tokens/s', log: false, series: [series('read', threads, (point) => point.threads, 'prefillTokensPerSecond')] },
    { title: 'Writing, by threads', x: 'threads', y: 'tokens/s', log: false, series: [series('write', threads, (point) => point.threads, 'decodeTokensPerSecond')] },
    { title: 'Reading, by length of the prompt', x: 'prompt, tokens', y: 'tokens/s', log: true, series: [series('read', lengths, (point) => point.promptTokens, 'prefillTokensPerSecond')] },
    { title: 'Writing, by length of the prompt', x: 'prompt, tokens', y: 'tokens/s', log: true, series: [series('write', lengths, (point) => point.promptTokens, 'decodeTokensPerSecond')] },
    {
      title: 'Writing, all streams together', x: 'streams at once', y: 'tokens/s', log: true,
      series: (['built-in', 'llama-server'] as const).map((adapter) => series(adapter, streams.filter((point) => point.adapter === adapter), (point) => point.streams, 'decodeTokensPerSecond')),
    },
    { title: 'Reading, by size of the pieces', x: 'tokens handed over at once', y: 'tokens/s', log: true, series: [series('read', of('pieces'), (point) => point.pieceTokens, 'prefillTokensPerSecond')] },
  ]
  return all.map((one) => ({ ...one, series: one.series.filter((each) => each.marks.length > 0) })).filter((one) => one.series.some((each) => each.marks.length > 1))
}

function series(name: string, points: readonly MeasuredPoint[], x: (point: MeasuredPoint) => number, figure: 'prefillTokensPerSecond' | 'decodeTokensPerSecond'): Series {
  return { name, marks: points.flatMap((point) => (point[figure] === null ? [] : [{ x: x(point), spread: point[figure] }])).toSorted((a, b) => a.x - b.x) }
}

function drawPanel({ title, x: xTitle, y: yTitle, series: all, log }: Panel): string {
  const xs = [...new Set(all.flatMap((one) => one.marks.map((mark) => mark.x)))].toSorted((a, b) => a - b)
  const scale = (value: number): number => (log ? Math.log2(value) : value)
  const [low, high] = [scale(xs[0] ?? 1), scale(xs.at(-1) ?? 1)]
  const inner = { width: panel.width - panel.left - panel.right - 20, height: panel.height - panel.top - panel.bottom }
  const step = niceStep(Math.max(...all.flatMap((one) => one.marks.map((mark) => mark.spread.max))) * 1.05)
  const top = step * Math.ceil(Math.max(...all.flatMap((one) => one.marks.map((mark) => mark.spread.max))) * 1.05 / step)
  const px = (value: number): number => round(panel.left + 10 + (high === low ? inner.width / 2 : ((scale(value) - low) / (high - low)) * inner.width))
  const py = (value: number): number => round(panel.top + inner.height * (1 - value / top))
  const right = panel.width - panel.right
  const rows = Array.from({ length: Math.round(top / step) + 1 }, (_, index) => index * step)
  return [
    text(0, 14, title, 'font-weight="600"'),
    ...rows.map((value) => `<line x1="${panel.left}" x2="${right}" y1="${py(value)}" y2="${py(value)}" stroke="${value === 0 ? '#999' : '#e4e4e4'}"/>${text(panel.left - 6, py(value) + 4, label(value), 'text-anchor="end" fill="#666"')}`),
    text(0, 30, yTitle, 'fill="#666"'),
    ...xs.filter((value, index) => index === 0 || px(value) - px(xs[index - 1] ?? value) > 24).map((value) => text(px(value), panel.height - panel.bottom + 16, label(value), 'text-anchor="middle" fill="#666"')),
    text(panel.left + inner.width / 2 + 10, panel.height - 10, xTitle, 'text-anchor="middle" fill="#666"'),
    ...all.map((one, index) => drawSeries(one, colours[index % colours.length] ?? '#333', px, py)),
    ...(all.length > 1 ? all.map((one, index) => `<rect x="${right - 108}" y="${panel.top - 30 + index * 15}" width="10" height="10" fill="${colours[index % colours.length] ?? '#333'}"/>${text(right - 93, panel.top - 21 + index * 15, one.name, '')}`) : []),
  ].join('')
}

function drawSeries({ marks }: Series, colour: string, px: (value: number) => number, py: (value: number) => number): string {
  const path = marks.map((mark, index) => `${index === 0 ? 'M' : 'L'}${px(mark.x)} ${py(mark.spread.median)}`).join(' ')
  return `<path d="${path}" fill="none" stroke="${colour}" stroke-width="1.5"/>` + marks.map(({ x, spread }) =>
    `<line x1="${px(x)}" x2="${px(x)}" y1="${py(spread.min)}" y2="${py(spread.max)}" stroke="${colour}" stroke-width="2"/>`
    + `<circle cx="${px(x)}" cy="${py(spread.median)}" r="3.5" fill="${colour}"><title>${label(x)}: ${label(spread.median)} (${label(spread.min)} to ${label(spread.max)})</title></circle>`).join('')
}
