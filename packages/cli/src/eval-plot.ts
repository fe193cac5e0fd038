// Draws an evaluation as an SVG: money of a job against the share of solved jobs, one mark an arm with its intervals, and the line that no arm is better than. Pure.
import type { ArmSummary, EvalSummary } from '@hearth/protocol'
import { solvedText } from './eval-text.ts'
import { usd } from './print.ts'
import { colours, escaped, niceStep, round, text } from './svg.ts'

const page = { width: 760, height: 480, left: 64, right: 110, top: 100, bottom: 56 }
const inner = { width: page.width - page.left - page.right, height: page.height - page.top - page.bottom }
/** Marks at the same place are drawn side by side. */
const apart = 9
const lineHeight = 15
// Roughly, of the fonts that browsers choose for these texts.
const letterWidth = 6.6

type Mark = { arm: ArmSummary; x: number; y: number; colour: string }
type Box = { x: number; y: number; width: number }

/** Light and dark pages both work. */
export function drawEval(summary: EvalSummary): string {
  const top = Math.max(1, ...summary.arms.map(({ usdMicrosPerJob: { high } }) => high))
  const step = niceStep(top * 1.02 / 1e6) * 1e6
  const most = step * Math.ceil(top * 1.02 / step)
  const px = (micros: number): number => page.left + 10 + (inner.width - 10) * micros / most
  const py = (part: number): number => page.top + inner.height * (1 - part)
  const marks = placed(summary.arms, px, py)
  const columns = Array.from({ length: Math.round(most / step) + 1 }, (_, index) => index * step)
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${page.width} ${page.height}" width="${page.width}" height="${page.height}" font-family="system-ui, sans-serif" font-size="12">
<title>Share of solved jobs against money, ${escaped(summary.arms.map(({ arm }) => arm).join(', '))}</title>
<style>.page{fill:#fff}.ink{fill:#222}.soft{fill:#666}.grid{stroke:#e6e6e6}.axis{stroke:#999}.best{stroke:#999;fill:none}.name{fill:#222;stroke:#fff;stroke-width:4px;stroke-linejoin:round;paint-order:stroke}
@media (prefers-color-scheme: dark){.page{fill:#16181c}.ink{fill:#e8e8e8}.soft{fill:#a2a6ad}.grid{stroke:#2c3036}.axis{stroke:#6b7078}.best{stroke:#6b7078}.name{fill:#e8e8e8;stroke:#16181c}}</style>
<rect class="page" width="100%" height="100%"/>
${text(page.left, 28, 'What help buys', 'class="ink" font-size="18" font-weight="600"')}
${text(page.left, 48, `${summary.jobs} jobs of ${summary.tasks} tasks; bars: 95 % intervals; dashed: no arm solves more for less`, 'class="soft"')}
${[0, 0.25, 0.5, 0.75, 1].map((part) => `<line class="${part === 0 ? 'axis' : 'grid'}" x1="${page.left}" x2="${page.left + inner.width}" y1="${round(py(part))}" y2="${round(py(part))}"/>${text(page.left - 8, py(part) + 4, `${part * 100} %`, 'class="soft" text-anchor="end"')}`).join('\n')}
${columns.map((micros) => text(px(micros), page.height - page.bottom + 20, usdLabel(micros), 'class="soft" text-anchor="middle"')).join('\n')}
${text(page.left - 8, page.top - 22, 'solved', 'class="soft" text-anchor="end"')}
${text(page.left + inner.width / 2, page.height - 14, 'money a job', 'class="soft" text-anchor="middle"')}
<path class="best" stroke-dasharray="4 4" d="${bestLine(marks)}"/>
${marks.map(({ arm, x, y, colour }) => cross(arm, x, y, colour, px, py)).join('\n')}
${labels(marks).join('\n')}
</svg>
`
}

/** By money, so that neighbours have colours of their own and stay in their order when they are moved apart. */
function placed(arms: readonly ArmSummary[], px: (micros: number) => number, py: (part: number) => number): Mark[] {
  const marks: Mark[] = []
  for (const [index, arm] of arms.toSorted((a, b) => a.usdMicrosPerJob.value - b.usdMicrosPerJob.value || a.passRate.value - b.passRate.value).entries()) {
    const x = Math.max(px(arm.usdMicrosPerJob.value), (marks.at(-1)?.x ?? -Infinity) + apart)
    marks.push({ arm, x, y: py(arm.passRate.value), colour: colours[index % colours.length] ?? '#888' })
  }
  return marks
}

function cross({ arm, passRate, usdMicrosPerJob }: ArmSummary, x: number, y: number, colour: string, px: (micros: number) => number, py: (part: number) => number): string {
  const shift = x - px(usdMicrosPerJob.value)
  const [left, right] = [px(Math.max(0, usdMicrosPerJob.low)) + shift, px(usdMicrosPerJob.high) + shift]
  const bar = (x1: number, x2: number, y1: number, y2: number): string => `<line x1="${round(x1)}" x2="${round(x2)}" y1="${round(y1)}" y2="${round(y2)}" stroke="${colour}" stroke-width="2" stroke-opacity="0.55"/>`
  return `${bar(x, x, py(passRate.low), py(passRate.high))}${right - left > 1 ? bar(left, right, y, y) : ''}`
    + `<circle cx="${round(x)}" cy="${round(y)}" r="5" fill="${colour}"><title>${escaped(`${arm}: ${solvedText(passRate)}, ${usd(usdMicrosPerJob.value)} a job`)}</title></circle>`
}

/** From arm to arm, each solving more than all that cost less. */
function bestLine(marks: readonly Mark[]): string {
  let best = Infinity
  const line: Mark[] = []
  for (const mark of marks) {
    if (mark.y >= best) continue
    best = mark.y
    line.push(mark)
  }
  return line.map(({ x, y }, index) => `${index === 0 ? 'M' : 'L'}${round(x)} ${round(y)}`).join(' ')
}

/** Names beside the marks, moved up or down where they would lie on another name or mark, with a thread to their mark then. */
function labels(marks: readonly Mark[]): string[] {
  const taken: Box[] = marks.map(({ x, y }) => ({ x: x - 6, y, width: 12 }))
  return marks.toSorted((a, b) => b.x - a.x).map(({ arm: { arm }, x, y, colour }) => {
    const width = arm.length * letterWidth
    const hits = (box: Box): boolean => taken.some((other) => box.x < other.x + other.width && other.x < box.x + box.width && Math.abs(box.y - other.y) < lineHeight)
    const places = Array.from({ length: 12 }, (_, n) => [-n - 0.7, n + 0.8]).flat().map((n) => ({ x: x + 8, y: y + n * lineHeight, width }))
    const box = places.find((one) => !hits(one) && one.y > page.top - 18 && one.y < page.top + inner.height + 4) ?? { x: x + 8, y, width }
    taken.push(box)
    const thread = Math.abs(box.y - y) < lineHeight ? '' : `<line x1="${round(x)}" y1="${round(y)}" x2="${round(box.x - 2)}" y2="${round(box.y)}" stroke="${colour}" stroke-width="1"/>`
    return `${thread}${text(box.x, box.y + 4, arm, 'class="name" font-weight="600"')}`
  })
}

function usdLabel(micros: number): string {
  return micros === 0 ? '$0' : `$${Number((micros / 1e6).toPrecision(2))}`
}
